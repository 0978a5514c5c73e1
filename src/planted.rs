//! Bugs that are planted on purpose; see `lockring_core::planted`, where the idea is explained.
//!
//! This file names those that live in the server, and reads which one was asked for. A build with
//! the feature `planted` must not be mistaken for one without: a node of it begins only if
//! [`VARIABLE`] says what it shall do wrong (`none` for nothing), and says so aloud. A build
//! without the feature refuses to begin when a bug is asked for, so that nobody concludes from
//! its good behaviour that a checker is blind.

use lockring_core::planted as core;

/// Where the process is told which bug it has.
pub const VARIABLE: &str = "LOCKRING_PLANT";

/// The bugs that can be planted in the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Plant {
    /// A leader goes on counting from the anchor of an earlier term.
    KeptAnchor = 1,
    /// A leader answers reads without asking whether it still leads.
    StaleLeaderRead,
    /// The log says that records are durable, and writes them later.
    AckBeforeSync,
    /// Damage at the log's end is cut off as if it were a torn write.
    CorruptSuffixCut,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::KeptAnchor,
        Self::StaleLeaderRead,
        Self::AckBeforeSync,
        Self::CorruptSuffixCut,
    ];

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeptAnchor => "kept-anchor",
            Self::StaleLeaderRead => "stale-leader-read",
            Self::AckBeforeSync => "ack-before-sync",
            Self::CorruptSuffixCut => "corrupt-suffix-cut",
        }
    }
}

/// Whether bugs can be planted in this build.
pub const COMPILED_IN: bool = cfg!(feature = "planted");

/// Why a bug was not planted, or why a node must not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlantError {
    /// The build cannot do what was asked of it.
    #[error("{VARIABLE} asks for the bug {0}, and this build has none to plant")]
    NotCompiledIn(String),
    /// A build for tests was started as if it were a real one.
    #[error(
        "this build can plant bugs on purpose and must not serve anybody: {VARIABLE}=none starts \
         it without one"
    )]
    NotAsked,
    /// There is no such bug.
    #[error("{VARIABLE} is {0:?}, known are none, {known}", known = names().join(", "))]
    Unknown(String),
}

/// The names of all bugs.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let of_core = core::Plant::ALL.map(core::Plant::name);
    let of_server = Plant::ALL.map(Plant::name);
    of_core.into_iter().chain(of_server).collect()
}

/// Plants the bug that the environment names. Answers its name, if there is one.
///
/// # Errors
/// The build and what is asked of it do not fit; nothing is planted then.
pub fn choose_as_told() -> Result<Option<String>, PlantError> {
    let told = std::env::var(VARIABLE).ok();
    match told.as_deref() {
        None if COMPILED_IN => Err(PlantError::NotAsked),
        None | Some("none") => Ok(None),
        Some(name) => choose(name).map(|()| Some(name.to_owned())),
    }
}

/// Plants the bug of this name in all of this process.
///
/// # Errors
/// There is no such bug, or none can be planted in this build.
pub fn choose(name: &str) -> Result<(), PlantError> {
    let of_core = core::Plant::ALL.into_iter().find(|it| it.name() == name);
    let of_server = Plant::ALL.into_iter().find(|it| it.name() == name);
    if of_core.is_none() && of_server.is_none() {
        return Err(PlantError::Unknown(name.to_owned()));
    }
    #[cfg(feature = "planted")]
    {
        let number = of_server.map_or(0, |plant| plant as u8);
        CHOSEN.store(number, std::sync::atomic::Ordering::Relaxed);
        core::choose(of_core);
        Ok(())
    }
    #[cfg(not(feature = "planted"))]
    Err(PlantError::NotCompiledIn(name.to_owned()))
}

#[cfg(feature = "planted")]
static CHOSEN: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Whether this bug is planted.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(plant: Plant) -> bool {
    CHOSEN.load(std::sync::atomic::Ordering::Relaxed) == plant as u8
}

/// Whether this bug is planted: never, in a build without the feature.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is(_plant: Plant) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_that_nobody_knows_is_told_with_those_that_are_known() {
        let told = choose("off-by-one").unwrap_err().to_string();
        assert!(told.contains("off-by-one"), "{told}");
        assert!(names().iter().all(|name| told.contains(name)), "{told}");
    }

    #[test]
    fn a_build_without_bugs_does_not_pretend_to_have_one() {
        let asked = choose("kept-anchor");
        if COMPILED_IN {
            assert_eq!(asked, Ok(()));
        } else {
            let refused = PlantError::NotCompiledIn("kept-anchor".into());
            assert_eq!(asked, Err(refused));
        }
    }
}
