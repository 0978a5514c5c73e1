//! What tells one call from another under the same request id.

use super::{Acquirer, NewSession, Op, Wants};
use crate::digest::Digest;
use crate::mode::Mode;

impl Op {
    /// A number that only the same call has. The session that a call proposes to open does not
    /// count: each repetition may propose its own.
    pub(crate) fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.write_number(self.kind());
        match self {
            Self::Open(new) => new.write_to(&mut digest),
            Self::Renew { sessions } => {
                for session in sessions {
                    digest.write_session(*session);
                }
            }
            Self::Close { session } => digest.write_session(*session),
            Self::Acquire { .. } | Self::AcquireAll { .. } => self.write_acquire(&mut digest),
            Self::Abandon {
                session,
                lock,
                attachment,
            } => {
                digest.write_session(*session);
                digest.write_text(lock.as_str());
                digest.write_number(*attachment);
            }
            Self::AbandonAll {
                session,
                wants,
                attachment,
            } => {
                digest.write_session(*session);
                wants.write_to(&mut digest);
                digest.write_number(*attachment);
            }
            Self::Release { .. } | Self::SetValue { .. } | Self::Transfer { .. } => {
                self.write_holder(&mut digest);
            }
            Self::Revoke {
                lock,
                reason,
                deadline_ms,
            } => {
                digest.write_text(lock.as_str());
                digest.write_text(reason.as_str());
                digest.write_number(*deadline_ms);
            }
            Self::Break { lock, reason } => {
                digest.write_text(lock.as_str());
                digest.write_text(reason.as_str());
            }
            Self::EndSession { session, reason } => {
                digest.write_session(*session);
                digest.write_text(reason.as_str());
            }
            Self::Ring(op) => op.write_to(&mut digest),
        }
        digest.finish()
    }

    /// What asks for leases.
    fn write_acquire(&self, digest: &mut Digest) {
        if let Self::Acquire {
            by,
            lock,
            mode,
            wait_ms,
            max_hold_ms,
            value,
        } = self
        {
            match by {
                Acquirer::Session(session) => digest.write_session(*session),
                Acquirer::OneLease(new) => new.write_to(digest),
            }
            digest.write_text(lock.as_str());
            mode.write_to(digest);
            digest.write_number(*wait_ms);
            write_option(*max_hold_ms, digest);
            digest.write_text(value);
        } else if let Self::AcquireAll {
            session,
            wants,
            wait_ms,
            max_hold_ms,
        } = self
        {
            digest.write_session(*session);
            wants.write_to(digest);
            digest.write_number(*wait_ms);
            write_option(*max_hold_ms, digest);
        }
    }

    /// What a holder does with its lease.
    fn write_holder(&self, digest: &mut Digest) {
        let (Self::Release {
            session,
            lock,
            fence,
        }
        | Self::SetValue {
            session,
            lock,
            fence,
            ..
        }
        | Self::Transfer {
            session,
            lock,
            fence,
            ..
        }) = self
        else {
            return;
        };
        digest.write_session(*session);
        digest.write_text(lock.as_str());
        digest.write_number(fence.number());
        if let Self::SetValue { value, .. } = self {
            digest.write_text(value);
        } else if let Self::Transfer { to, .. } = self {
            digest.write_session(*to);
        }
    }

    /// A number for the operation; a call for one lease alone is another than a session's.
    const fn kind(&self) -> u64 {
        match self {
            Self::Open(_) => 1,
            Self::Renew { .. } => 2,
            Self::Close { .. } => 3,
            Self::Acquire { by, .. } => match by {
                Acquirer::Session(_) => 4,
                Acquirer::OneLease(_) => 5,
            },
            Self::Abandon { .. } => 6,
            Self::Release { .. } => 7,
            Self::AcquireAll { .. } => 8,
            Self::AbandonAll { .. } => 9,
            Self::SetValue { .. } => 10,
            Self::Transfer { .. } => 11,
            Self::Revoke { .. } => 12,
            Self::Break { .. } => 13,
            Self::EndSession { .. } => 14,
            Self::Ring(_) => 15,
        }
    }
}

fn write_option(number: Option<u64>, digest: &mut Digest) {
    digest.write_number(u64::from(number.is_some()));
    digest.write_number(number.unwrap_or(0));
}

impl NewSession {
    fn write_to(&self, digest: &mut Digest) {
        digest.write_number(self.ttl.ms());
        digest.write_text(self.owner.as_str());
        digest.write_number(self.lock_delay_ms);
        digest.write_text(&self.metadata);
    }
}

impl Mode {
    fn write_to(self, digest: &mut Digest) {
        match self {
            Self::Exclusive => digest.write_number(0),
            Self::Shared => digest.write_number(1),
            Self::Permits { count, of } => {
                digest.write_number(2);
                digest.write_number(u64::from(count));
                digest.write_number(u64::from(of));
            }
        }
    }
}

impl Wants {
    fn write_to(&self, digest: &mut Digest) {
        digest.write_number(self.len() as u64);
        for want in self.iter() {
            digest.write_text(want.lock.as_str());
            want.mode.write_to(digest);
        }
    }
}
