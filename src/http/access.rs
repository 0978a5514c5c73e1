//! Who may do what: bearer tokens and their permissions.
//!
//! A token is random, so its SHA-256 is all that a node keeps and a fast hash is enough. Every
//! configured hash is compared with the one that came, each in constant time and without stopping
//! at the first that fits, so that the time of an answer tells nothing about a token.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What a token may allow, and a call may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// To look.
    Read,
    /// To open sessions and to take locks.
    Lock,
    /// To change the cluster, and to end others' leases and sessions.
    Operate,
}

impl Permission {
    /// As it is written in configurations and problem bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Lock => "lock",
            Self::Operate => "operate",
        }
    }
}

/// The tokens that a node knows. Without any, everybody who reaches the node may do everything.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<Token>);

/// SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

/// One token, as far as the node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of it.
    pub sha256: TokenHash,
    /// What it allows.
    pub permissions: Vec<Permission>,
}

/// Why a caller is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// It has no token that is known.
    Unauthenticated,
    /// Its token does not allow it.
    Forbidden,
}

impl Tokens {
    /// These tokens.
    #[must_use]
    pub fn new(tokens: Vec<Token>) -> Self {
        Self(tokens)
    }

    /// Whether the bearer of this `Authorization` header may do what needs `permission`, and whose
    /// token it is, if there are tokens.
    pub(super) fn allow(
        &self,
        authorization: Option<&[u8]>,
        permission: Permission,
    ) -> Result<Option<TokenHash>, Denied> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let bearer = authorization
            .and_then(bearer_of)
            .ok_or(Denied::Unauthenticated)?;
        let hash = Sha256::digest(bearer);
        let mut found = None;
        for token in &self.0 {
            if bool::from(hash.as_slice().ct_eq(&token.sha256)) {
                found = Some(token);
            }
        }
        let token = found.ok_or(Denied::Unauthenticated)?;
        if token.permissions.contains(&permission) {
            Ok(Some(token.sha256))
        } else {
            Err(Denied::Forbidden)
        }
    }
}

/// The token in `Bearer TOKEN`; the scheme's name is case-insensitive.
fn bearer_of(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = authorization.split_at_checked(7)?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let token = |text: &str, permissions: &[Permission]| Token {
            sha256: Sha256::digest(text).into(),
            permissions: permissions.to_vec(),
        };
        Tokens::new(vec![
            token("reader", &[Permission::Read]),
            token("worker", &[Permission::Read, Permission::Lock]),
        ])
    }

    #[test]
    fn without_tokens_everybody_may_do_everything() {
        let open = Tokens::default();
        assert_eq!(open.allow(None, Permission::Operate), Ok(None));
        assert_eq!(open.allow(Some(b"Basic x"), Permission::Lock), Ok(None));
    }

    #[test]
    fn a_token_allows_what_it_lists_and_nothing_else() {
        let known = tokens();
        let ask = |header: &str, permission| known.allow(Some(header.as_bytes()), permission);
        let hash = |text: &str| Ok(Some(Sha256::digest(text).into()));
        assert_eq!(ask("Bearer worker", Permission::Lock), hash("worker"));
        assert_eq!(ask("bearer  reader ", Permission::Read), hash("reader"));
        assert_eq!(
            ask("Bearer reader", Permission::Lock),
            Err(Denied::Forbidden)
        );
        assert_eq!(
            ask("Bearer worker", Permission::Operate),
            Err(Denied::Forbidden)
        );
        for wrong in ["", "Bearer", "Bearer ", "Bearer nobody", "Basic worker"] {
            assert_eq!(
                ask(wrong, Permission::Read),
                Err(Denied::Unauthenticated),
                "{wrong:?}"
            );
        }
        assert_eq!(
            known.allow(None, Permission::Read),
            Err(Denied::Unauthenticated)
        );
    }
}
