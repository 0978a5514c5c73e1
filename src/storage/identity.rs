//! Who this disk is.
//!
//! A voter that lost its log and vote must not vote again under its old number: it could elect a
//! second leader. The directory therefore holds a random *incarnation*, made once with it and
//! known to the others from the membership. An empty directory gets a new one, and is no longer
//! the node that they know. A directory that has a log but no identity is refused: it has lost
//! something, and nobody can say what.
//!
//! ```text
//! lockring data directory, format 1
//! cluster <its name>
//! node <its number>
//! incarnation <16 hexadecimal digits>
//! sum <CRC32C of the lines above, 8 hexadecimal digits>
//! ```

use std::io;
use std::path::{Path, PathBuf};

use lockring_core::NodeId;

use super::disk::{self, Disk};

const NAME: &str = "identity";
const UNFINISHED: &str = "identity.new";
const TITLE: &str = "lockring data directory, format 1";

/// What a data directory belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The node's number in it.
    pub node: NodeId,
    /// Drawn at random when the directory was made.
    pub incarnation: u64,
}

/// Why a data directory cannot be this node's.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It belongs to another cluster.
    #[error("data directory {} belongs to cluster {found}, not {expected}", dir.display())]
    Cluster {
        /// Which directory.
        dir: PathBuf,
        /// The cluster that it belongs to.
        found: String,
        /// The cluster that was asked for.
        expected: String,
    },
    /// It belongs to another node.
    #[error("data directory {} belongs to node {found}, not {expected}", dir.display())]
    Node {
        /// Which directory.
        dir: PathBuf,
        /// The node that it belongs to.
        found: NodeId,
        /// The node that was asked for.
        expected: NodeId,
    },
    /// It is not readable as one, or of a format that this program does not know.
    #[error("{} is damaged or of another format: {what}", path.display())]
    Damaged {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is a log, and no identity.
    #[error(
        "data directory {} has a log but no identity file: it has lost something; \
         replace this node with an empty directory",
        dir.display()
    )]
    Lost {
        /// Which directory.
        dir: PathBuf,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The identity file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Identity {
    /// The identity of a directory (made if absent). One without gets `incarnation`, which the
    /// caller drew at random, before anything else is put into it.
    ///
    /// # Errors
    /// It belongs to somebody else, is damaged, or has a log without an identity.
    pub fn open(
        disk: &dyn Disk,
        dir: &Path,
        cluster: &str,
        node: NodeId,
        incarnation: u64,
    ) -> Result<Self, IdentityError> {
        assert!(!cluster.contains('\n'), "the name of a cluster is one line");
        let path = dir.join(NAME);
        let failed = |source| IdentityError::Io {
            path: path.clone(),
            source,
        };
        disk.create_dir(dir).map_err(failed)?;
        let bytes = match disk.open(&path) {
            Ok(file) => disk::read_all(&*file).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if has_log(disk, dir).map_err(failed)? {
                    return Err(IdentityError::Lost {
                        dir: dir.to_path_buf(),
                    });
                }
                let made = Self {
                    cluster: cluster.to_owned(),
                    node,
                    incarnation,
                };
                made.write(disk, dir).map_err(failed)?;
                return Ok(made);
            }
            Err(error) => return Err(failed(error)),
        };
        let found = Self::parse(&bytes).map_err(|what| IdentityError::Damaged {
            path: path.clone(),
            what,
        })?;
        let dir = dir.to_path_buf();
        if found.cluster != cluster {
            let expected = cluster.to_owned();
            return Err(IdentityError::Cluster {
                dir,
                found: found.cluster,
                expected,
            });
        }
        if found.node != node {
            return Err(IdentityError::Node {
                dir,
                found: found.node,
                expected: node,
            });
        }
        Ok(found)
    }

    fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let unfinished = dir.join(UNFINISHED);
        let file = disk.create(&unfinished)?;
        file.write_at(self.encode().as_bytes(), 0)?;
        file.sync_data()?;
        disk.rename(&unfinished, &dir.join(NAME))?;
        disk.sync_dir(dir)
    }

    fn encode(&self) -> String {
        let Self {
            cluster,
            node,
            incarnation,
        } = self;
        let lines =
            format!("{TITLE}\ncluster {cluster}\nnode {node}\nincarnation {incarnation:016x}\n");
        let sum = crc32c::crc32c(lines.as_bytes());
        format!("{lines}sum {sum:08x}\n")
    }

    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err("its first line is not that of format 1");
        }
        let mut value = |name| lines.next().and_then(|line| line.strip_prefix(name));
        let cluster = value("cluster ").ok_or("it names no cluster")?.to_owned();
        let node = value("node ")
            .and_then(|it| it.parse().ok())
            .ok_or("it names no node")?;
        let incarnation = value("incarnation ")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or("it names no incarnation")?;
        let identity = Self {
            cluster,
            node,
            incarnation,
        };
        if identity.encode() != text {
            return Err("its sum is wrong");
        }
        Ok(identity)
    }
}

/// Whether there is a log in the data directory.
fn has_log(disk: &dyn Disk, dir: &Path) -> io::Result<bool> {
    match disk.list(&dir.join(super::WAL_DIR)) {
        Ok(names) => Ok(!names.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::{FaultDisk, RealDisk, Tear};

    const DIR: &str = "data";

    fn open(disk: &dyn Disk, cluster: &str, node: NodeId) -> Result<Identity, IdentityError> {
        Identity::open(disk, Path::new(DIR), cluster, node, 0xABC)
    }

    #[test]
    fn an_identity_is_made_once_and_survives() {
        let disk = FaultDisk::new();
        let made = open(&disk, "home", 2).unwrap();
        assert_eq!(made.incarnation, 0xABC);
        let crashed = disk.crash(Tear::Nothing);
        let again = Identity::open(&crashed, Path::new(DIR), "home", 2, 7).unwrap();
        assert_eq!(again, made);
    }

    #[test]
    fn the_real_disk_keeps_one_in_a_directory_that_it_makes() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("a/b");
        let made = Identity::open(&RealDisk, &inside, "home", 1, 5).unwrap();
        assert_eq!(
            Identity::open(&RealDisk, &inside, "home", 1, 6).unwrap(),
            made
        );
    }

    #[test]
    fn a_crash_at_any_byte_leaves_all_of_it_or_none() {
        let disk = FaultDisk::new();
        open(&disk, "home", 2).unwrap();
        let history = disk.history();
        for nth in 0..=history.len() {
            for tear in (0..120).map(Tear::Prefix).chain((0..20).map(Tear::Sectors)) {
                let crashed = disk.crash_at(nth, tear);
                Identity::open(&crashed, Path::new(DIR), "home", 2, 7).unwrap();
            }
        }
    }

    #[test]
    fn another_cluster_and_another_node_are_named() {
        let disk = FaultDisk::new();
        open(&disk, "home", 2).unwrap();
        let error = open(&disk, "work", 2).unwrap_err().to_string();
        assert_eq!(
            error,
            "data directory data belongs to cluster home, not work"
        );
        let error = open(&disk, "home", 3).unwrap_err().to_string();
        assert_eq!(error, "data directory data belongs to node 2, not 3");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let disk = FaultDisk::new();
        open(&disk, "home", 2).unwrap();
        let path = Path::new(DIR).join(NAME);
        let bits = disk.open(&path).unwrap().length().unwrap() as usize * 8;
        for bit in 0..bits {
            let damaged = disk.crash(Tear::Everything);
            damaged.damage(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            let error = open(&damaged, "home", 2).unwrap_err();
            assert!(
                matches!(error, IdentityError::Damaged { .. }),
                "bit {bit}: {error}"
            );
        }
    }

    #[test]
    fn a_log_without_an_identity_is_refused() {
        let disk = FaultDisk::new();
        disk.create(&Path::new(DIR).join(super::super::WAL_DIR).join("1.wal"))
            .unwrap();
        let error = open(&disk, "home", 2).unwrap_err();
        assert!(matches!(error, IdentityError::Lost { .. }), "{error}");
    }
}
