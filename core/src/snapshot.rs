//! The machine as bytes, taken off the apply path.
//!
//! A [`Frozen`] shares the machine's pages (see `paged.rs`), so taking it costs next to nothing
//! and the machine applies on while another thread writes it out.
//!
//! ```text
//! "lockring" · version: u16, little end first
//! header:    revision · clock · highest fence · rows of each table
//! operators: the calls of operators and what they came to       in the order they came
//! ended:     number, session, cause, the call that ended it     in the order they ended
//! sessions:  id, owner, metadata, ttl, life, remembered calls   in the order of the ids
//! bundles:   ticket, session, wants                             in the order of the tickets
//! locks:     name, leases, queue, delay, revocation             in the order of the names
//! rings:     spec, members, slots by runs, past epochs          in the order of the names
//! ```
//! Everything behind the version is postcard, row after row. What follows from these rows
//! (deadlines, leases and places by session, sessions by the call that opened them) is not
//! written but built again. The bytes depend on the state alone, not on how its pages lie, so
//! replicas at the same revision write the same bytes (I9) and the digest is taken over them.
//!
//! There is no checksum here: whoever stores the bytes adds one. Reading takes any bytes at all;
//! it answers with a machine that passes the audit, or with an error.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::audit::audit_rows;
use crate::deadlines::{Deadlines, Due};
use crate::digest::Digest;
use crate::fence::Mint;
use crate::lock;
use crate::machine::{Machine, multi_due};
use crate::name::RingName;
use crate::paged::Paged;
use crate::planted::{self, Plant};
use crate::ring::{self, Ring};
use crate::session::{self, Life};
use crate::time::ClusterTime;

/// What a snapshot begins with.
const MAGIC: &[u8; 8] = b"lockring";
/// The layout of the bytes behind it.
const VERSION: u16 = 2;
/// The bytes handed to a sink at a time, at most.
const CHUNK_BYTES: usize = 64 * 1024;

/// An immutable view of the machine at one revision.
#[derive(Clone, Debug)]
pub struct Frozen {
    header: Header,
    operators: session::Operators,
    ended: session::EndedRows,
    sessions: session::Rows,
    bundles: lock::Bundles,
    locks: lock::Rows,
    rings: BTreeMap<RingName, Arc<Ring>>,
}

/// What a snapshot tells before its rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    revision: u64,
    clock: ClusterTime,
    mint: Mint,
    ended: u64,
    sessions: u64,
    bundles: u64,
    locks: u64,
    rings: u64,
}

/// Why bytes are not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotError {
    /// In words.
    pub why: &'static str,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl core::error::Error for SnapshotError {}

impl Machine {
    /// An immutable view for a snapshot: cheap, whatever the size of the state.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        Frozen {
            header: Header {
                revision: self.revision,
                clock: self.clock,
                mint: self.mint.clone(),
                ended: self.sessions.ended.rows.len() as u64,
                sessions: self.sessions.rows.len() as u64,
                bundles: self.locks.bundles.len() as u64,
                locks: self.locks.rows.len() as u64,
                rings: self.rings.rows.len() as u64,
            },
            operators: self.sessions.operators.clone(),
            ended: self.sessions.ended.rows.clone(),
            sessions: self.sessions.rows.clone(),
            bundles: self.locks.bundles.clone(),
            locks: self.locks.rows.clone(),
            rings: self.rings.rows.clone(),
        }
    }

    /// The machine that a snapshot's bytes describe, if it would pass the audit.
    ///
    /// # Errors
    /// [`SnapshotError`] when they are not such bytes, whole.
    pub fn thaw(bytes: &[u8]) -> Result<Self, SnapshotError> {
        thaw(bytes)
    }
}

impl Frozen {
    /// The revision it shows.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.header.revision
    }

    /// Writes the versioned bytes, in chunks of at most 64 KiB.
    pub fn encode(&self, sink: &mut dyn FnMut(&[u8])) {
        let mut to = Chunks {
            bytes: Vec::with_capacity(2 * CHUNK_BYTES),
            sink,
        };
        to.extend_from(MAGIC);
        to.extend_from(&VERSION.to_le_bytes());
        to.write(&self.header);
        to.write(&self.operators);
        self.ended.iter().for_each(|row| to.write(&row));
        for (id, session) in self.sessions.iter() {
            if planted::is(Plant::ReplaysNotInSnapshot) {
                to.write(&(id, session.without_replays()));
            } else {
                to.write(&(id, session));
            }
        }
        self.bundles.iter().for_each(|row| to.write(&row));
        self.locks.iter().for_each(|row| to.write(&row));
        self.rings.values().for_each(|ring| to.write(&**ring));
        to.flush();
    }

    /// One number that all replicas at this revision agree on: a digest of [`Self::encode`]'s
    /// bytes, which depend on the state alone. It finds divergence; it is not cryptographic.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        self.encode(&mut |bytes| digest.write(bytes));
        digest.finish()
    }
}

/// Bytes on their way to a sink.
struct Chunks<'a> {
    bytes: Vec<u8>,
    sink: &'a mut dyn FnMut(&[u8]),
}

impl Chunks<'_> {
    fn write<T: Serialize>(&mut self, row: &T) {
        postcard::to_extend(row, self).expect("every row of the machine can be written");
    }

    fn extend_from(&mut self, bytes: &[u8]) {
        let mut to = self;
        to.extend(bytes.iter().copied());
    }

    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            (self.sink)(&self.bytes);
            self.bytes.clear();
        }
    }
}

impl Extend<u8> for &mut Chunks<'_> {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        self.bytes.extend(bytes);
        while self.bytes.len() >= CHUNK_BYTES {
            (self.sink)(&self.bytes[..CHUNK_BYTES]);
            self.bytes.drain(..CHUNK_BYTES);
        }
    }
}

/// Reads rows off the front of bytes.
struct Rows<'a> {
    bytes: &'a [u8],
}

impl<'a> Rows<'a> {
    fn next<T: Deserialize<'a>>(&mut self) -> Result<T, SnapshotError> {
        let read = postcard::take_from_bytes(self.bytes);
        let (row, rest) = read.map_err(|_| error("a row cannot be read"))?;
        self.bytes = rest;
        Ok(row)
    }

    /// So many rows of a table, which must come in the order of their keys.
    fn table<K, V, const ROWS: usize>(
        &mut self,
        rows: u64,
    ) -> Result<Paged<K, V, ROWS>, SnapshotError>
    where
        K: Deserialize<'a> + Ord + Clone,
        V: Deserialize<'a> + Clone,
    {
        let mut table = Paged::default();
        for _ in 0..rows {
            let (key, value) = self.next::<(K, V)>()?;
            if table.last_key().is_some_and(|last| *last >= key) {
                return Err(error("rows are out of order"));
            }
            table.insert(key, value);
        }
        Ok(table)
    }

    /// So many rings, which must come in the order of their names.
    fn rings(&mut self, rows: u64) -> Result<BTreeMap<RingName, Ring>, SnapshotError> {
        let mut rings = BTreeMap::new();
        for _ in 0..rows {
            let ring = self.next::<Ring>()?;
            let last = rings.last_key_value();
            if last.is_some_and(|(last, _): (&RingName, _)| *last >= ring.name) {
                return Err(error("rings are out of order"));
            }
            rings.insert(ring.name.clone(), ring);
        }
        Ok(rings)
    }
}

const fn error(why: &'static str) -> SnapshotError {
    SnapshotError { why }
}

fn thaw(bytes: &[u8]) -> Result<Machine, SnapshotError> {
    let bytes = bytes
        .strip_prefix(MAGIC)
        .ok_or(error("this is no snapshot of lockring's"))?;
    let bytes = bytes
        .strip_prefix(&VERSION.to_le_bytes())
        .ok_or(error("the snapshot has another version than 2"))?;
    let mut rows = Rows { bytes };
    let header: Header = rows.next()?;
    let operators = rows.next()?;
    let ended = rows.table(header.ended)?;
    let sessions = rows.table(header.sessions)?;
    let bundles = rows.table(header.bundles)?;
    let locks = rows.table(header.locks)?;
    let rings = rows.rings(header.rings)?;
    if !rows.bytes.is_empty() {
        return Err(error("bytes follow the last row"));
    }
    // Far from the end of the numbers, so that no later apply can reach it.
    let highest = header.revision.max(header.mint.last()).max(header.clock.0);
    if highest > u64::MAX / 2 {
        return Err(error("a number is beyond all use"));
    }
    let mut machine = Machine {
        revision: header.revision,
        clock: header.clock,
        mint: header.mint,
        sessions: session::Table::rebuild(sessions, ended, operators)
            .ok_or(error("sessions contradict each other"))?,
        locks: lock::Table::rebuild(locks, bundles)
            .ok_or(error("leases or places contradict each other"))?,
        rings: ring::Table::rebuild(rings),
        ..Machine::default()
    };
    count_uses(&mut machine)?;
    // First, for what contradicts itself may also fall due twice.
    if audit_rows(&machine).is_err() {
        return Err(error("the tables contradict each other"));
    }
    machine.deadlines = deadlines_of(&machine);
    Ok(machine)
}

/// Counts each session's leases and places again.
fn count_uses(machine: &mut Machine) -> Result<(), SnapshotError> {
    let stranger = error("a lock names a session that is not there");
    for (_, lock) in machine.locks.rows.iter() {
        for lease in lock.leases() {
            let holder = machine.sessions.get_mut(lease.session);
            holder.ok_or(stranger.clone())?.leases += 1;
        }
        for waiter in lock.waiters() {
            let waiter = machine.sessions.get_mut(waiter.session);
            waiter.ok_or(stranger.clone())?.places += 1;
        }
    }
    Ok(())
}

/// Everything that falls due in these tables.
fn deadlines_of(machine: &Machine) -> Deadlines {
    let mut deadlines = Deadlines::default();
    for (id, session) in machine.sessions.rows.iter() {
        match session.life {
            Life::Waits(_) => {}
            Life::Open | Life::Holds(_) => {
                deadlines.insert(session.expires_at, Due::Session(*id));
            }
        }
    }
    for (name, lock) in machine.locks.rows.iter() {
        for lease in lock.leases() {
            if let Some(until) = lease.hold_until() {
                deadlines.insert(until, Due::Hold(lease.fence, name.clone()));
            }
        }
        for waiter in lock.waiters().filter(|waiter| !waiter.many) {
            let due = Due::Wait(waiter.ticket, name.clone());
            deadlines.insert(waiter.until, due);
        }
        if let Some(revocation) = lock.revocation() {
            deadlines.insert(revocation.deadline, Due::Revoke(name.clone()));
        }
        if let Some(until) = lock.delayed_until() {
            deadlines.insert(until, Due::Delay(name.clone()));
        }
    }
    for (ticket, bundle) in machine.locks.bundles.iter() {
        deadlines.insert(bundle.until, multi_due(*ticket, bundle));
    }
    for (name, ring) in &machine.rings.rows {
        if let Some(at) = ring.alarm() {
            deadlines.insert(at, Due::Ring(name.clone()));
        }
    }
    deadlines
}
