//! I13, seen from outside: nobody is granted a lock past somebody who came before and still waits.
//!
//! Random logs of all modes, one command an entry. Before and after each entry the queues are
//! looked at as readers see them: whoever is granted a lock leaves nobody waiting behind who stood
//! before, unless what was granted is the holder's own lease in another mode, or came from another
//! holder. And whatever is over, is over for the queue: a session that is gone stands in none.

use std::collections::BTreeMap;
use std::format;
use std::vec::Vec;

use super::random::log::Log;
use super::random::{reproduce, seeds};
use crate::*;

/// Who waits for each lock, in order.
type Queues = BTreeMap<LockName, Vec<SessionId>>;

fn queues(machine: &Machine) -> Queues {
    let views = machine.locks("", None, usize::MAX);
    let queue = |view: &LockView| view.queue.iter().map(|w| w.session).collect();
    views.iter().map(|v| (v.lock.clone(), queue(v))).collect()
}

/// The grants that somebody asked or waited for, lock by lock.
fn grants(events: &[Event]) -> Vec<(&LockName, SessionId)> {
    let changed = |of: &Event, name: &LockName| {
        events.iter().any(|event| match &event.what {
            What::Ended { lock, cause, .. } => {
                let kept = matches!(
                    cause,
                    LeaseEnd::Upgraded | LeaseEnd::Downgraded | LeaseEnd::Transferred { .. }
                );
                kept && lock == name && event.revision == of.revision
            }
            _ => false,
        })
    };
    let granted = events.iter().filter_map(|event| match &event.what {
        What::Granted { lock, grant, .. } if !changed(event, lock) => Some((lock, grant.session)),
        _ => None,
    });
    granted.collect()
}

#[test]
fn nobody_is_overtaken() {
    let (mut waited, mut shared) = (0, 0);
    for seed in seeds() {
        let mut log = Log::new(seed);
        let mut machine = Machine::new();
        for number in 0..600 {
            let (_, mut entry) = log.entry();
            entry.stamp.term = 7;
            entry.commands.truncate(1);
            let before = queues(&machine);
            let applied = machine.apply(7, &entry);
            log.learn(&entry, &applied);
            let after = queues(&machine);
            let story = || {
                format!(
                    "entry {number}: {entry:?}\n{}",
                    reproduce(seed, "overtaken")
                )
            };
            for (lock, granted) in grants(&applied.events) {
                let empty = Vec::new();
                let queue = before.get(lock).unwrap_or(&empty);
                let at = queue.iter().position(|id| *id == granted);
                waited += usize::from(at.is_some());
                let ahead = &queue[..at.unwrap_or(queue.len())];
                let left = after.get(lock).unwrap_or(&empty);
                let overtaken: Vec<_> = ahead.iter().filter(|id| left.contains(id)).collect();
                assert!(
                    overtaken.is_empty(),
                    "{lock} past {overtaken:?}; {}",
                    story()
                );
                shared += usize::from(machine.lock(lock).is_some_and(|v| v.holders_total > 1));
            }
            for id in after.values().flatten() {
                assert!(machine.session(*id).is_ok(), "{id:?} is gone; {}", story());
            }
        }
    }
    // One seed that is replayed may have little of either.
    let few = seeds().count() < 30;
    assert!(few || waited > 100, "only {waited} grants were waited for");
    assert!(few || shared > 100, "only {shared} grants were shared");
}
