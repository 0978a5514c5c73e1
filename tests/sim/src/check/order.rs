//! Linearizability, by revision: a sort and a sweep.
//!
//! Revisions are the order of all that happened. An answer carries its own, a read that of the
//! state it saw. So the run is linearizable if revisions never contradict real time (what was
//! told before something was asked has a lower one), and if each reader saw what the log holds at
//! the revision that it named.

use std::collections::BTreeMap;

use lockring_core::LockName;

use crate::history::{Ask, Call, Fresh, Told};
use crate::truth::{Held, Truth, turn};

pub(super) fn check(truth: &Truth, history: &[Call]) -> Vec<String> {
    let mut found = in_real_time(history);
    found.extend(as_the_log_says(truth, history));
    found
}

fn in_real_time(history: &[Call]) -> Vec<String> {
    let mut found = Vec::new();
    let mut told: Vec<(u64, u64, usize)> = Vec::new();
    let mut asked: Vec<(u64, u64, usize)> = Vec::new();
    for (at, call) in history.iter().enumerate() {
        if matches!(call.ask, Ask::Table(_, Fresh::Stale)) {
            continue;
        }
        if let (Some(revision), Some(told_ms)) = (call.revision(), call.told_ms) {
            told.push((told_ms, revision, at));
            asked.push((call.asked_ms, revision, at));
        }
    }
    told.sort_unstable();
    asked.sort_unstable();
    let mut before = told.into_iter().peekable();
    // The highest revision that was told before, and by which call.
    let mut highest = (0, 0);
    for (asked_ms, revision, at) in asked {
        while let Some((_, revision, earlier)) = before.next_if(|(told_ms, ..)| *told_ms < asked_ms)
        {
            highest = highest.max((revision, earlier));
        }
        // The service tells a call that waited the revision of its grant, or of what it saw.
        let call = &history[at];
        let read = matches!(call.told, Told::Seen(..) | Told::Table(..));
        let read = read || matches!(call.ask, Ask::Use(..));
        let too_low = match read {
            true => revision < highest.0,
            false => revision <= highest.0,
        };
        if too_low {
            found.push(format!(
                "linearizable: call {at} was asked of node {} at {asked_ms} ms and answered with \
                 revision {revision}, after call {} had been answered with {}",
                history[at].node, highest.1, highest.0
            ));
        }
    }
    found
}

fn as_the_log_says(truth: &Truth, history: &[Call]) -> Vec<String> {
    let mut reads: BTreeMap<u64, Vec<(usize, &LockName, &Vec<_>)>> = BTreeMap::new();
    for (at, call) in history.iter().enumerate() {
        if let (Ask::Read(lock), Told::Seen(revision, seen)) = (&call.ask, &call.told) {
            reads.entry(*revision).or_default().push((at, lock, seen));
        }
    }
    let mut found = Vec::new();
    let mut holders: BTreeMap<LockName, Vec<Held>> = BTreeMap::new();
    let mut moments = truth.moments.iter().peekable();
    for (revision, reads) in reads {
        while let Some((_, moment)) = moments.next_if(|(at, _)| **at <= revision) {
            for event in &moment.events {
                turn(&mut holders, &event.what);
            }
        }
        for (at, lock, seen) in reads {
            let held = holders.get(lock).into_iter().flatten();
            let mut held: Vec<_> = held.map(|held| (held.session, held.fence)).collect();
            let mut seen = seen.clone();
            held.sort_unstable_by_key(|(_, fence)| *fence);
            seen.sort_unstable_by_key(|(_, fence)| *fence);
            if held != seen {
                found.push(format!(
                    "linearizable: call {at} saw {lock} held by {seen:?} at revision {revision}, \
                     where the log says {held:?}"
                ));
            }
        }
    }
    found
}
