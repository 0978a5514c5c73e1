//! The kinds of faults, and what they are called.

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Writes take longer, each its own time, so that connections overtake each other.
    Delay,
    /// One link is much slower than the others, in one direction.
    SlowLink,
    /// Connections break.
    Break,
    /// Links hold what is sent on them, in all shapes.
    Partition,
    /// Processes are killed.
    Kill,
    /// Power is cut, and with it what was not synced, whole or torn.
    PowerCut,
    /// Processes stand still, and find that time has passed.
    Pause,
    /// The leader stands still for moments that nobody notices, and finds that all sorts of
    /// things have fallen due at once.
    Stutter,
    /// The leader is cut off until another leads, and is given the lead back at once: what it
    /// stamped meanwhile is ahead of the cluster's time.
    Seesaw,
    /// A flush takes up to a second.
    SlowSync,
    /// A disk is full.
    FullDisk,
    /// A flush fails.
    FailedSync,
    /// A bit of the log flips while its node is down.
    Rot,
    /// Clocks run fast and slow.
    Rates,
    /// Wall clocks jump.
    WallJumps,
    /// Nodes join and leave, and leadership is handed over.
    Members,
    /// Answers are lost on their way to the client.
    LostAnswers,
}

/// All of them.
pub const KINDS: [Kind; 17] = [
    Kind::Delay,
    Kind::SlowLink,
    Kind::Break,
    Kind::Partition,
    Kind::Kill,
    Kind::PowerCut,
    Kind::Pause,
    Kind::Stutter,
    Kind::Seesaw,
    Kind::SlowSync,
    Kind::FullDisk,
    Kind::FailedSync,
    Kind::Rot,
    Kind::Rates,
    Kind::WallJumps,
    Kind::Members,
    Kind::LostAnswers,
];

/// What people call a kind.
#[must_use]
pub fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Delay => "delay",
        Kind::SlowLink => "slow link",
        Kind::Break => "broken connections",
        Kind::Partition => "partition",
        Kind::Kill => "kill",
        Kind::PowerCut => "power cut planned",
        Kind::Pause => "pause",
        Kind::Stutter => "stutter",
        Kind::Seesaw => "seesaw",
        Kind::SlowSync => "slow flush",
        Kind::FullDisk => "full disk",
        Kind::FailedSync => "failed flush",
        Kind::Rot => "rot",
        Kind::Rates => "rates",
        Kind::WallJumps => "wall clock jump",
        Kind::Members => "change of members",
        Kind::LostAnswers => "lost answers",
    }
}
