//! The locks that one call asks for together.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::limits::LOCKS_PER_ACQUIRE_MAX;
use crate::mode::Mode;
use crate::name::LockName;

/// One of the locks that a call asks for together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Which.
    pub lock: LockName,
    /// How.
    pub mode: Mode,
}

/// From 1 to 1024 locks, none of them twice, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Want>")]
pub struct Wants(Vec<Want>);

/// Why locks cannot be asked for together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantsError {
    /// None, or more than [`LOCKS_PER_ACQUIRE_MAX`].
    Number {
        /// How many.
        locks: usize,
    },
    /// This one twice.
    Twice(LockName),
}

impl fmt::Display for WantsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { locks } => write!(f, "{locks} locks, from 1 to {LOCKS_PER_ACQUIRE_MAX}"),
            Self::Twice(lock) => write!(f, "`{lock}` is there twice"),
        }
    }
}

impl core::error::Error for WantsError {}

impl Wants {
    /// Puts locks together, in the order of their names.
    ///
    /// # Errors
    /// [`WantsError`].
    pub fn parse(mut wants: Vec<Want>) -> Result<Self, WantsError> {
        let locks = wants.len();
        if locks == 0 || locks > LOCKS_PER_ACQUIRE_MAX {
            return Err(WantsError::Number { locks });
        }
        wants.sort_by(|a, b| a.lock.cmp(&b.lock));
        match wants.windows(2).find(|pair| pair[0].lock == pair[1].lock) {
            Some(pair) => Err(WantsError::Twice(pair[0].lock.clone())),
            None => Ok(Self(wants)),
        }
    }
}

impl TryFrom<Vec<Want>> for Wants {
    type Error = WantsError;
    fn try_from(wants: Vec<Want>) -> Result<Self, WantsError> {
        Self::parse(wants)
    }
}

impl Deref for Wants {
    type Target = [Want];
    fn deref(&self) -> &[Want] {
        &self.0
    }
}
