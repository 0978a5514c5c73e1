//! Wall clocks that jump. Nothing may depend on them, so nothing may change.
//!
//! libfaketime is loaded into each node when it starts, and reads what time it is from a file.
//! It leaves the monotonic clock alone: that is the one a node may rely on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::stage::Stage;
use super::{Status, Struck};

/// Where distributions put the library.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// The file that says what time it is for a node.
fn file(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("node-{id}.clock"))
}

/// What a node has to be started with, where the library is installed.
#[must_use]
pub(crate) fn environment() -> Option<Vec<(String, String)>> {
    let library = LIBRARIES
        .into_iter()
        .find(|path| Path::new(path).exists())?;
    let pairs = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", "{dir}/node-{node}.clock"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DISABLE_SHM", "1"),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(pairs.to_vec())
}

/// Some clocks jump by hours, forward and back, and some go to and fro.
pub(super) async fn jump(stage: &mut Stage, hold: Duration) -> Struck {
    if environment().is_none() {
        let why = "libfaketime is not installed".to_owned();
        return Ok((String::new(), Status::Skipped(why)));
    }
    let dir = stage.cluster.dir().to_owned();
    let mut shown = Vec::new();
    let ids: Vec<u64> = stage.cluster.ids().collect();
    for turn in 0..4 {
        for id in &ids {
            let hours = stage.dice.between(1, 48);
            let sign = if stage.dice.happens(50) { '+' } else { '-' };
            let offset = match (turn + id) % 3 {
                0 => "+0".to_owned(),
                _ => format!("{sign}{hours}h"),
            };
            fs::write(file(&dir, *id), format!("{offset}\n"))?;
            shown.push(format!("n{id} {offset}"));
        }
        stage.hold(hold / 4).await;
    }
    for id in &ids {
        fs::write(file(&dir, *id), "+0\n")?;
    }
    // The library reads the file again within a second.
    stage.hold(Duration::from_millis(1_100)).await;
    let loaded = stage.cluster.ids().all(|id| {
        let maps = stage
            .cluster
            .pid(id)
            .map(|pid| fs::read_to_string(format!("/proc/{pid}/maps")));
        matches!(maps, Ok(Ok(maps)) if maps.contains("libfaketime"))
    });
    let status = match loaded {
        true => Status::Installed,
        false => Status::Skipped("libfaketime is not loaded into the nodes".to_owned()),
    };
    Ok((format!("wall clocks: {}", shown.join(", ")), status))
}
