//! Why the log stops: the end, a torn write, or damage.
//!
//! A batch is one write and one sync, and the next batch is written only after that sync. So at
//! any crash at most one batch, the newest, was under way, and nobody was told that it is safe.
//! Where the records of the last segment stop being believable there is one of three things:
//!
//! - *zeros to the end of the file*: that is the end;
//! - *the batch under way, torn*: a device writes whole sectors in any order, so some are as they
//!   were (zeros), or the bytes just stop. It was never acknowledged; it is cut off;
//! - *damage*: a record of a **later** batch follows, so this one had been synced; or no byte of
//!   it is missing, and still its sum is wrong. Something that may have been acknowledged is
//!   lost; a voter must not go on as if it had never been.
//!
//! What this cannot tell is a drive that acknowledged a sync and kept nothing of the newest batch.

use super::record::{self, HEAD_BYTES};
use crate::planted::{self, Plant};

/// The smallest unit that a device writes whole.
const SECTOR_BYTES: usize = 512;

/// What lies behind the last whole batch of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Zeros.
    Clean,
    /// A batch that was never acknowledged.
    Torn,
    /// Something that was.
    Damaged(&'static str),
}

/// Judges the rest of the last segment.
///
/// `whole` is where its last whole batch ends, `stop` where its believable records end (later
/// than `whole`, if some records of the next batch are there), `batch` the next batch's number.
pub(super) fn judge(bytes: &[u8], segment: u64, whole: usize, stop: usize, batch: u64) -> Tail {
    let end = end_of_nonzero(bytes);
    if end <= whole {
        return Tail::Clean;
    }
    if end <= stop {
        return Tail::Torn;
    }
    if planted::is(Plant::CorruptSuffixCut) {
        return Tail::Torn;
    }
    let later = (stop + 1..end).any(|at| {
        record::parse_head(&bytes[at..], segment, at as u64).is_some_and(|head| head.batch > batch)
    });
    if later {
        return Tail::Damaged("a record is not believable, and later batches follow it");
    }
    if has_unwritten_sector(bytes, stop, end) {
        return Tail::Torn;
    }
    let stops_short = match record::parse_head(&bytes[stop..], segment, stop as u64) {
        None => end - stop < HEAD_BYTES,
        Some(head) => end - stop < head.record_bytes(),
    };
    if stops_short {
        return Tail::Torn;
    }
    Tail::Damaged("a record's sum is wrong, and no part of it is missing")
}

/// Behind the last byte that is not zero.
fn end_of_nonzero(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut end = bytes.len();
    for chunk in bytes.rchunks(ZEROS.len()) {
        if *chunk != ZEROS[..chunk.len()] {
            return end - chunk.len()
                + chunk
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |last| last + 1);
        }
        end -= chunk.len();
    }
    0
}

fn has_unwritten_sector(bytes: &[u8], start: usize, end: usize) -> bool {
    let mut at = start;
    while at < end {
        let next = end.min((at / SECTOR_BYTES + 1) * SECTOR_BYTES);
        if bytes[at..next].iter().all(|byte| *byte == 0) {
            return true;
        }
        at = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_written_is_found() {
        assert_eq!(end_of_nonzero(&[0; 9000]), 0);
        for at in [0, 1, 4095, 4096, 5000, 8999] {
            let mut bytes = vec![0; 9000];
            bytes[0] = 1;
            bytes[at] = 1;
            assert_eq!(end_of_nonzero(&bytes), at + 1);
        }
    }

    #[test]
    fn a_sector_counts_only_within_the_span() {
        let mut bytes = vec![1; 2048];
        assert!(!has_unwritten_sector(&bytes, 100, 2000));
        bytes[510..512].fill(0);
        assert!(!has_unwritten_sector(&bytes, 100, 2000));
        assert!(has_unwritten_sector(&bytes, 510, 2000));
        bytes[512..1024].fill(0);
        assert!(has_unwritten_sector(&bytes, 100, 2000));
    }
}
