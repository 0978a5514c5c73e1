//! Storage: what must survive the process, and how it is told apart from what did not.
//!
//! ```text
//! data directory
//! ├── LOCK          one process at a time (lockfile.rs)
//! ├── identity      who this disk is (identity.rs)
//! ├── wal/          Raft's entries and vote, synced before anybody is told (wal/)
//! ├── snapshots/    files that appear whole or not at all (snapshots.rs)
//! └── history/      what happened, for people and resumed watches; derived (history.rs)
//! ```
//! Nothing here knows Raft or the machine's tables: bytes go in, and the same bytes come out or
//! an error names the file. What must be safe goes through [`disk::Disk`], so that tests can take
//! the power away at every byte; the history is sled's, behind apply, and may be lost.

pub mod disk;
pub(crate) mod offload;
pub mod poison;
pub mod lockfile;
pub mod identity;
pub mod wal;
pub mod snapshots;
pub mod history;

pub use self::identity::{Identity, IdentityError};
pub use self::lockfile::{DirectoryLock, LockError};
pub use self::poison::{Fault, Poison};

/// The log's directory in the data directory.
pub const WAL_DIR: &str = "wal";
/// The snapshots' directory in the data directory.
pub const SNAPSHOTS_DIR: &str = "snapshots";
/// The history's directory in the data directory.
pub const HISTORY_DIR: &str = "history";
