//! Bugs that are planted on purpose: whoever tests the testers wants to see them found.
//!
//! Each is one of the mistakes that a lock service dies of, made at the very place where the rule
//! against it lives, in a line or two. They are compiled only with the feature `planted`, which
//! nothing turns on by default, and even then there is none until `choose` is called, once,
//! when the process begins. Without the feature [`is`] is the constant `false`, and the compiler
//! leaves nothing of them.
//!
//! The choice is one for the process, not for a machine: a machine is a value that is cloned,
//! frozen and compared, and a bug must not show in it but by what it does.

/// The bugs that can be planted in this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Plant {
    /// A release is believed whatever its fence.
    NoFenceCheck = 1,
    /// A release is believed whoever asks for it.
    NoOwnerCheck,
    /// Fences are read off the wall clock.
    WallClockFence,
    /// A lock is handed to a waiter whose wait or session is over.
    GrantToExpired,
    /// An entry counts whichever term it was stamped in.
    NoTermGuard,
    /// A snapshot leaves out which calls were answered.
    ReplaysNotInSnapshot,
    /// A ring's table changes under the number that it had before.
    EpochNotBumped,
    /// A slot that moves is the new owner's before the old one has released it.
    TwoOwnersInAMove,
    /// Applying a release panics. No checker looks for this one: it shows that a
    /// node that cannot apply ends, and says so.
    PanicInApply,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NoFenceCheck,
        Self::NoOwnerCheck,
        Self::WallClockFence,
        Self::GrantToExpired,
        Self::NoTermGuard,
        Self::ReplaysNotInSnapshot,
        Self::EpochNotBumped,
        Self::TwoOwnersInAMove,
        Self::PanicInApply,
    ];

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoFenceCheck => "no-fence-check",
            Self::NoOwnerCheck => "no-owner-check",
            Self::WallClockFence => "wall-clock-fence",
            Self::GrantToExpired => "grant-to-expired",
            Self::NoTermGuard => "no-term-guard",
            Self::ReplaysNotInSnapshot => "replays-not-in-snapshot",
            Self::EpochNotBumped => "ring-epoch-not-bumped",
            Self::TwoOwnersInAMove => "two-owners-in-a-move",
            Self::PanicInApply => "panic-in-apply",
        }
    }
}

#[cfg(feature = "planted")]
static CHOSEN: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Plants a bug in every machine of this process, or none.
#[cfg(feature = "planted")]
pub fn choose(plant: Option<Plant>) {
    let number = plant.map_or(0, |plant| plant as u8);
    CHOSEN.store(number, core::sync::atomic::Ordering::Relaxed);
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(plant: Plant) -> bool {
    CHOSEN.load(core::sync::atomic::Ordering::Relaxed) == plant as u8
}

/// Whether this bug is planted: never, in a build without the feature.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is(_plant: Plant) -> bool {
    false
}
