//! A node's disk: it can lose power between any two operations, fill up, fail a flush, and rot.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use lockring::storage::Poison;
use lockring::storage::disk::{Disk, DiskFile, FaultDisk, Tear};
use lockring::storage::wal::{self, FileCare, Recovered, Wal, WalError, Writing};
use parking_lot::Mutex;

use crate::dice::{Dice, Trace};

/// Bytes at a segment's beginning that hold what every segment repeats.
const DAMAGE_FROM: usize = 64;

/// The disk in one life of its node. Its clones are the same.
#[derive(Clone)]
pub struct NodeDisk(Arc<Mutex<Life>>);

struct Life {
    disk: FaultDisk,
    node: u64,
    trace: Trace,
    /// After so many operations the power goes.
    until_dark: Option<(u64, Tear)>,
    /// What the power cut left.
    left: Option<FaultDisk>,
}

impl fmt::Debug for NodeDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeDisk")
    }
}

impl NodeDisk {
    /// The disk of a node that begins.
    #[must_use]
    pub fn new(disk: FaultDisk, node: u64, trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(Life {
            disk,
            node,
            trace,
            until_dark: None,
            left: None,
        })))
    }

    /// The power goes after so many more operations.
    pub fn cut_power_after(&self, operations: u64, tear: Tear) {
        self.0.lock().until_dark = Some((operations, tear));
    }

    /// The power goes now. Answers the disk that the next life finds.
    #[must_use]
    pub fn cut_power(&self, tear: Tear) -> FaultDisk {
        let mut life = self.0.lock();
        let left = life.disk.crash(tear);
        life.left.get_or_insert(left).clone()
    }

    /// Whether the power has gone by itself.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.0.lock().left.is_some()
    }

    /// The process is gone, and whatever is left of it writes nothing more. Answers the disk as
    /// it is: what was written is still in the kernel's hands.
    #[must_use]
    pub fn after_kill(&self) -> FaultDisk {
        let mut life = self.0.lock();
        let disk = life.disk.clone();
        life.left.get_or_insert(disk).clone()
    }

    /// Fails the flush after so many.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.0.lock().disk.fail_sync_after(syncs);
    }

    /// Leaves so many bytes free.
    pub fn leave_free(&self, bytes: u64) {
        let life = self.0.lock();
        let used = life.disk.used_bytes();
        life.disk.limit_capacity(Some(used + bytes));
    }

    /// One operation, unless the power is gone or goes now.
    fn operate<T>(
        &self,
        what: &str,
        number: u64,
        bytes: &[u8],
        act: impl FnOnce(&FaultDisk) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut life = self.0.lock();
        let dark = || Err(io::Error::other("simulated: the power is gone"));
        if life.left.is_some() {
            return dark();
        }
        if let Some((operations, tear)) = life.until_dark {
            if operations == 0 {
                life.left = Some(life.disk.crash(tear));
                return dark();
            }
            life.until_dark = Some((operations - 1, tear));
        }
        life.trace.note(what, &[life.node, number], bytes);
        act(&life.disk)
    }
}

impl Disk for NodeDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate("create_dir", 0, &[], |disk| disk.create_dir(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.operate("list", 0, &[], |disk| disk.list(dir))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.operate("create", 0, &[], |disk| disk.create(path))
            .map(|file| self.file(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.operate("open", 0, &[], |disk| disk.open(path))
            .map(|file| self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate("rename", 0, &[], |disk| disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate("remove", 0, &[], |disk| disk.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate("sync_dir", 0, &[], |disk| disk.sync_dir(dir))
    }
}

impl NodeDisk {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let disk = self.clone();
        Arc::new(NodeFile { disk, file })
    }
}

#[derive(Debug)]
struct NodeFile {
    disk: NodeDisk,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for NodeFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.operate("write", offset, bytes, |_| {
            self.file.write_at(bytes, offset)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.operate("sync", 0, &[], |_| self.file.sync_data())
    }
}

/// What became of a log in which a bit was flipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rot {
    /// There was nothing to damage.
    Nothing,
    /// It is refused.
    Refused,
    /// It is read as before.
    Harmless,
    /// It is read as another log: what was promised is silently gone.
    Believed(String),
}

/// Flips one bit of what was written to the newest file of a log, durably, and looks at what the
/// log says to that.
pub fn rot(disk: &FaultDisk, dir: &Path, dice: &mut Dice) -> Rot {
    let Ok(before) = read_log(disk, dir) else {
        return Rot::Nothing;
    };
    let names = disk.list(dir).unwrap_or_default();
    let Some(newest) = names.iter().rfind(|name| name.ends_with(".wal")) else {
        return Rot::Nothing;
    };
    let mut flipped = false;
    disk.damage(&dir.join(newest), |bytes| {
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        if end > DAMAGE_FROM + 1 {
            let at = dice.between(DAMAGE_FROM as u64, end as u64 - 1) as usize;
            bytes[at] ^= 1 << dice.between(0, 7);
            flipped = true;
        }
    });
    match read_log(disk, dir) {
        _ if !flipped => Rot::Nothing,
        Err(_) => Rot::Refused,
        Ok(after) if after == before => Rot::Harmless,
        Ok(after) => Rot::Believed(format!("{:?} became {:?}", before.entries, after.entries)),
    }
}

/// Opens a copy.
fn read_log(disk: &FaultDisk, dir: &Path) -> Result<Recovered, WalError> {
    let options = wal::Options {
        files: FileCare::Inline,
        writing: Writing::InTurns,
        ..wal::Options::default()
    };
    let copy = disk.crash(Tear::Everything);
    let (_, recovered) = Wal::open(Arc::new(copy), dir, options, Poison::new())?;
    Ok(recovered)
}
