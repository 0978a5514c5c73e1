//! Who answered for what, and when: evidence for those who do not take our word.
//!
//! For each slot and epoch the first and the last answer are kept, on the boot-time clock, which
//! all processes of a machine share. A line a run of slots goes to a file, again and again while
//! answers go on, so that little is lost with a process that is killed; of lines about the same
//! slots and epoch the last one counts.
//!
//! The moment of an answer is when it passed its last check, right before it is handed to the
//! system. A process that is stopped between the two answers late, and no clock of its own can
//! tell: that is what a slot's epoch is for.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use super::slot::SLOTS;
use super::view::View;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Audit {
    /// Of each slot, under the epoch that is in force; 0 for never.
    first: Box<[AtomicU64]>,
    last: Box<[AtomicU64]>,
    file: Mutex<Option<File>>,
    member: String,
}

#[derive(Serialize)]
struct Line<'a> {
    member: &'a str,
    pid: u32,
    first_slot: u16,
    last_slot: u16,
    epoch: u64,
    first_ns: u64,
    last_ns: u64,
}

impl Audit {
    pub(crate) fn open(path: Option<&Path>, member: &str) -> io::Result<Self> {
        let open = |path| File::options().create(true).append(true).open(path);
        let moments = || (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Ok(Self {
            first: moments(),
            last: moments(),
            file: Mutex::new(path.map(open).transpose()?),
            member: member.to_owned(),
        })
    }

    /// These slots were answered for at `moment`. Called under the view's lock.
    pub(crate) fn answered(&self, slots: &[u16], moment: u64) {
        for slot in slots {
            let slot = usize::from(*slot);
            if self.first[slot].load(Ordering::Relaxed) == 0 {
                self.first[slot].store(moment, Ordering::Relaxed);
            }
            self.last[slot].store(moment, Ordering::Relaxed);
        }
    }

    /// Writes what was answered under a view, and forgets it for the slots of which `is_over` says
    /// so; the next answer for those is the first of a new interval.
    pub(crate) fn write(&self, view: &View, is_over: impl Fn(u16) -> bool) -> io::Result<()> {
        let mut lines: Vec<Line<'_>> = Vec::new();
        for slot in (0..SLOTS).filter_map(|slot| u16::try_from(slot).ok()) {
            let of = |moments: &[AtomicU64]| moments[usize::from(slot)].load(Ordering::Relaxed);
            let (first_ns, last_ns, epoch) = (of(&self.first), of(&self.last), view.epoch_of(slot));
            if first_ns == 0 {
                continue;
            }
            if is_over(slot) {
                self.first[usize::from(slot)].store(0, Ordering::Relaxed);
            }
            match lines.last_mut() {
                Some(line) if line.last_slot + 1 == slot && line.epoch == epoch => {
                    line.last_slot = slot;
                    line.first_ns = line.first_ns.min(first_ns);
                    line.last_ns = line.last_ns.max(last_ns);
                }
                _ => lines.push(Line {
                    member: &self.member,
                    pid: std::process::id(),
                    first_slot: slot,
                    last_slot: slot,
                    epoch,
                    first_ns,
                    last_ns,
                }),
            }
        }
        let mut file = self.file.lock();
        let Some(file) = file.as_mut() else {
            return Ok(());
        };
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        file.write_all(&text)
    }
}
