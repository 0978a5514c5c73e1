//! A disk in memory that forgets, tears, fills up and fails.
//!
//! It keeps two versions of everything: what a reader sees now, and what would still be there
//! after a power cut. It also keeps the list of operations that made it, so that a test can ask
//! for the disk as a crash after any of them would have left it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};

/// Bytes that a device writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// One change of the disk, or a note that a test put between two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A file was made (or emptied) under this name.
    Create { path: PathBuf, file: usize },
    /// Bytes were written.
    Write {
        file: usize,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// What was written to a file was made durable.
    Sync { file: usize },
    /// A name was changed.
    Rename { from: PathBuf, to: PathBuf },
    /// A name was taken away.
    Remove { path: PathBuf },
    /// The names in a directory were made durable.
    SyncDir { dir: PathBuf },
    /// A test's note: at this point so much had been acknowledged.
    Note(u64),
}

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// Nothing.
    Nothing,
    /// All of it.
    Everything,
    /// So many bytes of each file's unsynced writes, from the oldest on; and all names.
    Prefix(usize),
    /// Each sector of the unsynced writes by the toss of a coin (this seed), and some names.
    Sectors(u64),
}

/// The disk. Its clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The disk as it was at first, if it is what a crash left.
    start: Option<Box<State>>,
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Names as they were after each change since they were last synced.
    unsynced_names: Vec<BTreeMap<PathBuf, usize>>,
    history: Vec<Operation>,
    capacity: Option<u64>,
    writes_until_failure: Option<u64>,
    syncs_until_failure: Option<u64>,
    syncs: u64,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
}

impl FaultDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk that is left when the power goes now; this one stays as it is.
    #[must_use]
    pub fn crash(&self, tear: Tear) -> Self {
        self.0.lock().copy().after_crash(tear)
    }

    /// The disk that is left when the power goes after so many operations of this one's history.
    #[must_use]
    pub fn crash_at(&self, operations: usize, tear: Tear) -> Self {
        let state = self.0.lock();
        let mut replayed = state
            .start
            .as_ref()
            .map_or_else(State::default, |start| start.copy());
        for operation in &state.history[..operations] {
            replayed.perform(operation.clone());
        }
        replayed.after_crash(tear)
    }

    /// All that happened so far.
    #[must_use]
    pub fn history(&self) -> Vec<Operation> {
        self.0.lock().history.clone()
    }

    /// Puts a note among the operations.
    pub fn note(&self, number: u64) {
        self.0.lock().history.push(Operation::Note(number));
    }

    /// Lets all files together be so many bytes long.
    pub fn limit_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Lets so many writes succeed, and every one after them fail.
    pub fn fail_writes_after(&self, writes: u64) {
        self.0.lock().writes_until_failure = Some(writes);
    }

    /// Lets so many syncs succeed, and the next one fail; later ones lie, as Linux does: the
    /// bytes that the failed one should have made durable are lost.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.0.lock().syncs_until_failure = Some(syncs);
    }

    /// How many syncs of files were asked for.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Bytes of all files that have a name.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.lock().used_bytes()
    }

    /// Changes a file's bytes behind everybody's back, durably.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let file = state.names[path];
        let contents = &mut state.files[file];
        change(&mut contents.now);
        contents.durable = contents.now.clone();
    }

    fn handle(&self, file: usize) -> Arc<dyn DiskFile> {
        Arc::new(FaultFile {
            disk: self.clone(),
            file,
        })
    }
}

impl State {
    /// The same contents, without faults and without a history.
    fn copy(&self) -> Self {
        Self {
            files: self.files.clone(),
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            unsynced_names: self.unsynced_names.clone(),
            ..Self::default()
        }
    }

    fn perform(&mut self, operation: Operation) {
        match &operation {
            Operation::Create { path, file } => {
                assert_eq!(
                    *file,
                    self.files.len(),
                    "files are numbered as they are made"
                );
                self.files.push(Contents::default());
                self.names.insert(path.clone(), *file);
                self.unsynced_names.push(self.names.clone());
            }
            Operation::Write {
                file,
                offset,
                bytes,
            } => {
                let contents = &mut self.files[*file];
                overwrite(&mut contents.now, *offset, bytes);
                contents.unsynced.push((*offset, bytes.clone()));
            }
            Operation::Sync { file } => {
                let contents = &mut self.files[*file];
                for (offset, bytes) in contents.unsynced.drain(..) {
                    overwrite(&mut contents.durable, offset, &bytes);
                }
            }
            Operation::Rename { from, to } => {
                let file = self.names.remove(from).expect("the caller looked it up");
                self.names.insert(to.clone(), file);
                self.unsynced_names.push(self.names.clone());
            }
            Operation::Remove { path } => {
                self.names.remove(path);
                self.unsynced_names.push(self.names.clone());
            }
            Operation::SyncDir { .. } => {
                self.durable_names = self.names.clone();
                self.unsynced_names.clear();
            }
            Operation::Note(_) => {}
        }
        self.history.push(operation);
    }

    fn after_crash(mut self, tear: Tear) -> FaultDisk {
        self.crash(tear);
        self.start = Some(Box::new(self.copy()));
        FaultDisk(Arc::new(Mutex::new(self)))
    }

    fn crash(&mut self, tear: Tear) {
        let mut coin = Coin(0);
        match tear {
            Tear::Nothing => self.names = self.durable_names.clone(),
            Tear::Everything | Tear::Prefix(_) => {}
            Tear::Sectors(seed) => {
                coin = Coin(seed);
                let keep = coin.toss() as usize % (self.unsynced_names.len() + 1);
                self.names = match keep.checked_sub(1) {
                    None => self.durable_names.clone(),
                    Some(last) => self.unsynced_names.swap_remove(last),
                };
            }
        }
        self.durable_names = self.names.clone();
        self.unsynced_names.clear();
        for contents in &mut self.files {
            contents.crash(tear, &mut coin);
        }
        self.history.clear();
    }

    fn used_bytes(&self) -> u64 {
        self.names
            .values()
            .map(|file| self.files[*file].now.len() as u64)
            .sum()
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("no file {}", path.display()),
            )
        })
    }

    fn write(&mut self, file: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(left) = &mut self.writes_until_failure {
            if *left == 0 {
                return Err(io::Error::other("injected: the write failed"));
            }
            *left -= 1;
        }
        let length = self.files[file].now.len() as u64;
        let growth = (offset + bytes.len() as u64).saturating_sub(length);
        let room = self
            .capacity
            .map_or(u64::MAX, |most| most.saturating_sub(self.used_bytes()));
        let fits = (bytes.len() as u64).saturating_sub(growth.saturating_sub(room)) as usize;
        if fits > 0 {
            let bytes = bytes[..fits].to_vec();
            self.perform(Operation::Write {
                file,
                offset,
                bytes,
            });
        }
        if fits < bytes.len() {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "injected: the disk is full",
            ));
        }
        Ok(())
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        self.syncs += 1;
        if let Some(left) = &mut self.syncs_until_failure {
            if *left == 0 {
                self.syncs_until_failure = None;
                self.files[file].unsynced.clear();
                return Err(io::Error::other("injected: the sync failed"));
            }
            *left -= 1;
        }
        self.perform(Operation::Sync { file });
        Ok(())
    }
}

impl Contents {
    fn crash(&mut self, tear: Tear, coin: &mut Coin) {
        let mut left = match tear {
            Tear::Nothing => 0,
            Tear::Prefix(bytes) => bytes,
            Tear::Everything | Tear::Sectors(_) => usize::MAX,
        };
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            if !matches!(tear, Tear::Sectors(_)) {
                let kept = left.min(bytes.len());
                overwrite(&mut self.durable, offset, &bytes[..kept]);
                left -= kept;
                continue;
            }
            let mut at = 0;
            while at < bytes.len() {
                let in_sector = (offset as usize + at) % SECTOR_BYTES;
                let end = bytes.len().min(at + SECTOR_BYTES - in_sector);
                if coin.toss().is_multiple_of(2) {
                    overwrite(&mut self.durable, offset + at as u64, &bytes[at..end]);
                }
                at = end;
            }
        }
        self.now = self.durable.clone();
    }
}

fn overwrite(contents: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let start = usize::try_from(offset).expect("a test's file fits in memory");
    let end = start + bytes.len();
    if contents.len() < end {
        contents.resize(end, 0);
    }
    contents[start..end].copy_from_slice(bytes);
}

/// A fixed sequence of numbers for a seed (splitmix64): the same seed tears the same way.
#[derive(Debug)]
struct Coin(u64);

impl Coin {
    fn toss(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl Disk for FaultDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        let file = state.files.len();
        state.perform(Operation::Create {
            path: path.to_path_buf(),
            file,
        });
        drop(state);
        Ok(self.handle(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.0.lock().find(path)?;
        Ok(self.handle(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.find(from)?;
        state.perform(Operation::Rename {
            from: from.to_path_buf(),
            to: to.to_path_buf(),
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.find(path)?;
        state.perform(Operation::Remove {
            path: path.to_path_buf(),
        });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().perform(Operation::SyncDir {
            dir: dir.to_path_buf(),
        });
        Ok(())
    }
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    file: usize,
}

impl DiskFile for FaultFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().files[self.file].now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.lock();
        let contents = &state.files[self.file].now;
        let start = contents.len().min(offset as usize);
        let given = buffer.len().min(contents.len() - start);
        buffer[..given].copy_from_slice(&contents[start..start + given]);
        Ok(given)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.0.lock().write(self.file, offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.0.lock().sync(self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_what_was_synced_and_tears_the_rest() {
        let disk = FaultDisk::new();
        let (dir, path) = (Path::new("d"), Path::new("d/f"));
        let file = disk.create(path).unwrap();
        file.write_at(b"safe", 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(dir).unwrap();
        file.write_at(b"lost", 4).unwrap();
        let left = |tear| {
            let crashed = disk.crash(tear);
            super::super::read_all(&*crashed.open(path).unwrap()).unwrap()
        };
        assert_eq!(left(Tear::Nothing), b"safe");
        assert_eq!(left(Tear::Prefix(2)), b"safelo");
        assert_eq!(left(Tear::Everything), b"safelost");
        disk.rename(path, Path::new("d/g")).unwrap();
        let crashed = disk.crash(Tear::Nothing);
        assert_eq!(crashed.list(dir).unwrap(), ["f"]);
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let disk = FaultDisk::new();
        let file = disk.create(Path::new("d/f")).unwrap();
        disk.limit_capacity(Some(6));
        file.write_at(b"safe", 0).unwrap();
        let error = file.write_at(b"lost", 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.length().unwrap(), 6);
        file.write_at(b"over", 0).unwrap();
    }
}
