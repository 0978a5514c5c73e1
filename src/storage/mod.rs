//! Storage: what must survive the process, and how it is told apart from what did not.
//!
//! Four things lie in a node's data directory, each with its own idea of safety:
//! the write-ahead log ([`wal`]: entries and vote, synced before anybody is told), snapshots (files
//! that appear whole or not at all), the identity (who this disk is), and the history (derived,
//! behind apply, may be lost). Nothing here knows Raft or the machine's tables; bytes go in and
//! the same bytes come out, or an error names the file.

pub mod disk;
pub mod poison;
pub mod wal;

pub use self::poison::{Fault, Poison};
