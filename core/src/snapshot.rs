//! (skeleton: the core builder replaces this file)
#![allow(missing_docs)]
use core::fmt;
/// An immutable view of the machine at one revision.
#[derive(Clone, Debug)]
pub struct Frozen {
    pub(crate) revision: u64,
}
impl Frozen {
    /// The revision it shows.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }
    /// Writes the versioned bytes, in chunks.
    pub fn encode(&self, _sink: &mut dyn FnMut(&[u8])) {}
    /// One number that all replicas at this revision agree on.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.revision
    }
}
/// Why bytes are not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotError {
    pub why: &'static str,
}
impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}
impl core::error::Error for SnapshotError {}
