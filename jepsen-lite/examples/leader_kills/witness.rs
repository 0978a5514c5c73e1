//! What was acknowledged, and whether it can all be true.
//!
//! A grant's fence is held against two orders. In time: it is higher than every fence that was
//! acknowledged to anybody before it was asked for. In the log: sorted by the revisions that the
//! answers name, fences rise without exception.

use std::sync::{Mutex, MutexGuard};

#[derive(Default)]
pub(crate) struct Witness {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// (revision, fence) of each grant whose answer was the first.
    in_the_log: Vec<(u64, u64)>,
    highest_fence: u64,
    newest_revision: u64,
    grants: u64,
    releases: u64,
    contradictions: Vec<String>,
}

impl Witness {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("nobody panics with it")
    }

    pub(crate) fn highest_fence(&self) -> u64 {
        self.told().highest_fence
    }

    pub(crate) fn newest_revision(&self) -> u64 {
        self.told().newest_revision
    }

    pub(crate) fn grants(&self) -> u64 {
        self.told().grants
    }

    pub(crate) fn releases(&self) -> u64 {
        self.told().releases
    }

    pub(crate) fn contradictions(&self) -> Vec<String> {
        self.told().contradictions.clone()
    }

    pub(crate) fn contradiction(&self, what: String) {
        self.told().contradictions.push(what);
    }

    /// A grant that was asked for when `floor` was the highest fence told to anybody.
    pub(crate) fn granted(&self, floor: u64, fence: u64, revision: Option<u64>) {
        let mut told = self.told();
        told.grants += 1;
        if fence <= floor {
            let what = format!("fence {fence} was granted after {floor} had been acknowledged");
            told.contradictions.push(what);
        }
        told.highest_fence = told.highest_fence.max(fence);
        if let Some(revision) = revision {
            told.newest_revision = told.newest_revision.max(revision);
            told.in_the_log.push((revision, fence));
        }
    }

    pub(crate) fn released(&self) {
        self.told().releases += 1;
    }

    /// Looks at the order of the log, once everything has been told.
    pub(crate) fn judge(&self) {
        let mut told = self.told();
        told.in_the_log.sort_unstable();
        let pairs = told.in_the_log.windows(2);
        let falling = pairs.filter(|pair| pair[0].0 == pair[1].0 || pair[0].1 >= pair[1].1);
        let falling: Vec<_> = falling
            .map(|pair| {
                format!(
                    "(revision, fence) {:?} is followed by {:?}",
                    pair[0], pair[1]
                )
            })
            .collect();
        told.contradictions.extend(falling);
    }
}
