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
    /// Of each slot: the epoch of the table by which it became ours.
    since: Box<[AtomicU64]>,
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
            since: moments(),
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

    /// Writes what was answered under a view. Where the next one, if there is one, has another
    /// epoch of ours or none, it is forgotten; the next answer there begins a new interval.
    ///
    /// A run is of slots that became ours together. Slots of one epoch may come from several
    /// owners, each released in its time: a line over both would begin before the later release.
    pub(crate) fn write(&self, view: &View, next: Option<&View>) -> io::Result<()> {
        let mut lines: Vec<(u64, Line<'_>)> = Vec::new();
        for slot in (0..SLOTS).filter_map(|slot| u16::try_from(slot).ok()) {
            let of = |moments: &[AtomicU64]| moments[usize::from(slot)].load(Ordering::Relaxed);
            let (first_ns, last_ns, epoch) = (of(&self.first), of(&self.last), view.epoch_of(slot));
            let since = of(&self.since);
            let is_over = |next: &&View| next.epoch_if_mine(slot) != view.epoch_if_mine(slot);
            if let Some(next) = next.filter(is_over) {
                self.first[usize::from(slot)].store(0, Ordering::Relaxed);
                self.since[usize::from(slot)].store(next.table().epoch, Ordering::Relaxed);
            }
            if first_ns == 0 {
                continue;
            }
            match lines.last_mut() {
                Some((known, line))
                    if line.last_slot + 1 == slot && line.epoch == epoch && *known == since =>
                {
                    line.last_slot = slot;
                    line.first_ns = line.first_ns.min(first_ns);
                    line.last_ns = line.last_ns.max(last_ns);
                }
                _ => {
                    let line = Line {
                        member: &self.member,
                        pid: std::process::id(),
                        first_slot: slot,
                        last_slot: slot,
                        epoch,
                        first_ns,
                        last_ns,
                    };
                    lines.push((since, line));
                }
            }
        }
        let mut file = self.file.lock();
        let Some(file) = file.as_mut() else {
            return Ok(());
        };
        let mut text = Vec::new();
        for (_, line) in lines {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        file.write_all(&text)
    }
}
