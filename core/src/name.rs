//! Names: parsed once at a door, valid for ever after.
//!
//! No type here can hold an invalid name, so nothing behind the doors checks one again.

mod ring;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::{Digest, Sha1};

use crate::limits;
pub use ring::{Addresses, MemberName, RingName, Weight, WeightError, Zone};

/// The name of a lock: 1–512 bytes of UTF-8 without control characters; `/` makes hierarchies.
///
/// Cheap to clone: the bytes are shared between the tables that mention the lock.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockName(Arc<str>);

/// What is wrong with a name, and the bound that it broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// No bytes at all.
    Empty,
    /// Longer than the bound; both lengths in bytes.
    TooLong {
        /// Length of what was given.
        bytes: usize,
        /// The most that is allowed.
        bytes_max: usize,
    },
    /// A control character at this byte offset.
    Control {
        /// Offset of the character, in bytes.
        at: usize,
    },
    /// Not the number of hexadecimal digits that an id has.
    NotHex {
        /// How many digits there must be.
        digits: usize,
    },
    /// A character outside the visible ASCII range at this byte offset.
    NotVisible {
        /// Offset of the character, in bytes.
        at: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "is empty, at least 1 byte"),
            Self::TooLong { bytes, bytes_max } => {
                write!(f, "is {bytes} bytes, at most {bytes_max}")
            }
            Self::Control { at } => write!(f, "has a control character at byte {at}"),
            Self::NotHex { digits } => write!(f, "is not {digits} lower-case hexadecimal digits"),
            Self::NotVisible { at } => {
                write!(f, "has a character at byte {at} that is not visible ASCII")
            }
        }
    }
}

impl core::error::Error for NameError {}

impl LockName {
    /// Parses a lock's name.
    ///
    /// # Errors
    /// [`NameError`] when it is empty, longer than 512 bytes or holds a control character.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        check_text(name, limits::LOCK_NAME_BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What sorts before every name: a place to begin a range, never the name of a lock.
    pub(crate) fn floor() -> Self {
        Self("".into())
    }
}

/// Names order as their text does, so tables of names can be searched by text.
impl Borrow<str> for LockName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Text that a person or program supplies: not empty, bounded, no control characters.
fn check_text(text: &str, bytes_max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > bytes_max {
        return Err(NameError::TooLong {
            bytes: text.len(),
            bytes_max,
        });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(NameError::Control { at }),
        None => Ok(()),
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for LockName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::parse(name)
    }
}

impl Serialize for LockName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LockName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Parse(Self::parse))
    }
}

/// Reads text of any format and parses it at once, so that nothing invalid gets past a door.
struct Parse<T>(fn(&str) -> Result<T, NameError>);

impl<T> Visitor<'_> for Parse<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

/// The number of a lockring process in its cluster; kept in its data directory.
pub type NodeId = u64;

/// One client's session: 128 random bits chosen by the node that served the call.
///
/// It is a bearer capability: whoever knows it whole can renew and close the session. Show
/// [`SessionId::short`] to everybody else; `Debug` prints only that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(u128);

impl SessionId {
    /// A session id of the given bits; the caller draws them at random.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits again.
    #[must_use]
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// Parses the 32 hexadecimal digits that [`fmt::Display`] prints.
    ///
    /// # Errors
    /// [`NameError::NotHex`] for anything else.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let lower_hex = text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() != 32 || !lower_hex {
            return Err(NameError::NotHex { digits: 32 });
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NameError::NotHex { digits: 32 })
    }

    /// The first eight digits: what others than the owner may see.
    #[must_use]
    pub fn short(self) -> String {
        let mut digits = self.to_string();
        digits.truncate(8);
        digits
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.short())
    }
}

/// Names one mutating call, so that repeating it has one effect and one outcome.
///
/// Clients send an `Idempotency-Key` of 1–64 visible characters; the machine keeps its first 128
/// bits of SHA-1, which is 16 bytes however long the key was. Keys count within one session, so a
/// collision could only ever confuse the client that went looking for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(u128);

impl RequestId {
    /// The id of a client's `Idempotency-Key`.
    ///
    /// # Errors
    /// [`NameError`] when the key is empty, longer than 64 bytes or not visible ASCII.
    pub fn of_key(key: &str) -> Result<Self, NameError> {
        if key.is_empty() {
            return Err(NameError::Empty);
        }
        if key.len() > limits::REQUEST_KEY_BYTES_MAX {
            return Err(NameError::TooLong {
                bytes: key.len(),
                bytes_max: limits::REQUEST_KEY_BYTES_MAX,
            });
        }
        if let Some(at) = key.bytes().position(|b| !b.is_ascii_graphic()) {
            return Err(NameError::NotVisible { at });
        }
        let digest = Sha1::digest(key.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Ok(Self(u128::from_be_bytes(first)))
    }

    /// A request id that a node draws at random for a call that came without a key.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Who opened a session, in the client's own words: at most 128 bytes, no control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize)]
pub struct Owner(Arc<str>);

impl Owner {
    /// Parses an owner; the empty one stands for "did not say".
    ///
    /// # Errors
    /// [`NameError`] when it is longer than 128 bytes or holds a control character.
    pub fn parse(owner: &str) -> Result<Self, NameError> {
        if !owner.is_empty() {
            check_text(owner, limits::OWNER_BYTES_MAX)?;
        }
        Ok(Self(owner.into()))
    }

    /// The owner as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Parse(Self::parse))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an operator did something, in the operator's own words: 1–512 bytes, no control
/// characters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Reason(Arc<str>);

impl Reason {
    /// Parses a reason.
    ///
    /// # Errors
    /// [`NameError`] when it is empty, longer than 512 bytes or holds a control character.
    pub fn parse(reason: &str) -> Result<Self, NameError> {
        check_text(reason, limits::REASON_BYTES_MAX)?;
        Ok(Self(reason.into()))
    }

    /// The reason as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Parse(Self::parse))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
