//! When to ask again, how soon, and under which key.
//!
//! Every call that changes something carries an `Idempotency-Key`, and the cluster remembers the
//! outcome of a key, so that repeating a call is always safe: it has one effect at most. That is
//! why the client may repeat after a cut connection, when it does not know whether the first
//! attempt arrived. The rule for each code is the contract's own ([`ErrorCode::retry`]).

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Error;
use crate::wire::{Certainty, ErrorCode};

/// The first pause between two attempts; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
/// The longest pause. A new leader serves within a second; asking much less often wastes it.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Where keys and jitter come from: random once, counted from there.
#[derive(Debug)]
pub(crate) struct Keys {
    client: String,
    seed: u64,
    drawn: AtomicU64,
}

impl Keys {
    /// A source whose keys no other client's will equal.
    pub(crate) fn draw() -> Result<Self, Error> {
        let mut random = [0; 24];
        draw(&mut random).map_err(|error| Error::Invalid {
            what: "the system's source of random numbers",
            why: format!("cannot be read: {error}"),
        })?;
        let mut client = String::with_capacity(32);
        for byte in &random[..16] {
            write!(client, "{byte:02x}").expect("a String takes whatever is written");
        }
        let mut seed = [0; 8];
        seed.copy_from_slice(&random[16..]);
        Ok(Self {
            client,
            seed: u64::from_le_bytes(seed),
            drawn: AtomicU64::new(0),
        })
    }

    /// A key that was never used before.
    pub(crate) fn key(&self) -> String {
        format!(
            "{}-{:x}",
            self.client,
            self.drawn.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// A number from 0 to 255 that differs between clients and from call to call (SplitMix64).
    fn jitter(&self) -> u32 {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut mixed = self
            .seed
            .wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from(mixed >> 56).expect("8 bits fit into 32")
    }
}

fn draw(random: &mut [u8]) -> Result<(), getrandom::Error> {
    #[cfg(test)]
    if crate::tests::simulated_chance(random) {
        return Ok(());
    }
    getrandom::fill(random)
}

/// The pauses between the attempts of one call.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    pauses: u32,
}

impl Backoff {
    /// The next pause: twice the one before, less up to a half of it at random, so that clients
    /// that failed together do not come back together.
    pub(crate) fn next(&mut self, keys: &Keys) -> Duration {
        let pause = jittered(self.pauses, keys.jitter());
        self.pauses = self.pauses.saturating_add(1);
        pause
    }
}

/// The pause after `pauses` others; `jitter` is from 0 to 255.
fn jittered(pauses: u32, jitter: u32) -> Duration {
    let full = PAUSE_FIRST
        .saturating_mul(1 << pauses.min(16))
        .min(PAUSE_MAX);
    full / 2 + full / 2 * jitter / 255
}

/// What the attempts of one call amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Certain(Certainty);

impl Certain {
    /// Before the first attempt.
    pub(crate) const fn new() -> Self {
        Self(Certainty::NoEffect)
    }

    /// An attempt was sent and not answered.
    pub(crate) const fn unanswered(&mut self) {
        self.0 = Certainty::Unknown;
    }

    /// An attempt was answered with this code.
    pub(crate) fn answered(&mut self, code: ErrorCode) {
        if decided(code) {
            self.0 = Certainty::NoEffect;
        } else if code.certainty() == Certainty::Unknown {
            self.0 = Certainty::Unknown;
        }
    }

    /// Whether anything may have come of all of them together.
    pub(crate) const fn certainty(self) -> Certainty {
        self.0
    }
}

/// Whether the answer is the outcome of the request's key: then it speaks for the attempts before
/// it, too. The other answers come from the door of one node, and speak only for their own.
const fn decided(code: ErrorCode) -> bool {
    match code {
        ErrorCode::Held
        | ErrorCode::Deadlock
        | ErrorCode::LimitMismatch
        | ErrorCode::UpgradeConflict
        | ErrorCode::Delayed
        | ErrorCode::WaitTimeout
        | ErrorCode::SessionGone
        | ErrorCode::FenceStale => true,
        ErrorCode::NotFound
        | ErrorCode::Invalid
        | ErrorCode::TooLarge
        | ErrorCode::UnsupportedMediaType
        | ErrorCode::MethodNotAllowed
        | ErrorCode::Malformed
        | ErrorCode::Limit
        | ErrorCode::Unauthenticated
        | ErrorCode::Forbidden
        | ErrorCode::Unready
        | ErrorCode::Indeterminate
        | ErrorCode::Bug => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_never_vanish() {
        assert_eq!(jittered(0, 255), PAUSE_FIRST);
        assert_eq!(jittered(0, 0), PAUSE_FIRST / 2);
        assert_eq!(jittered(1, 255), PAUSE_FIRST * 2);
        assert_eq!(jittered(40, 255), PAUSE_MAX);
        assert_eq!(jittered(u32::MAX, 0), PAUSE_MAX / 2);
    }

    #[test]
    fn keys_are_new_each_time_and_of_the_allowed_shape() {
        let (one, other) = (Keys::draw().unwrap(), Keys::draw().unwrap());
        let keys = [one.key(), one.key(), other.key()];
        for (at, key) in keys.iter().enumerate() {
            assert!(lockring_core::RequestId::of_key(key).is_ok(), "{key}");
            assert!(!keys[..at].contains(key), "{key}");
        }
    }

    #[test]
    fn a_door_that_refuses_says_nothing_of_an_attempt_before() {
        let mut certain = Certain::new();
        certain.answered(ErrorCode::Unready);
        assert_eq!(certain.certainty(), Certainty::NoEffect);
        certain.unanswered();
        certain.answered(ErrorCode::Unready);
        certain.answered(ErrorCode::Forbidden);
        assert_eq!(certain.certainty(), Certainty::Unknown);
        certain.answered(ErrorCode::Held);
        assert_eq!(certain.certainty(), Certainty::NoEffect);
        certain.answered(ErrorCode::Indeterminate);
        assert_eq!(certain.certainty(), Certainty::Unknown);
    }
}
