//! The event stream: in order, each event once, and no gap untold.

use lockring::service::Noticed;
use lockring_core::{Event, What};

use crate::truth::Truth;
use crate::watcher::Heard;

/// Every violation of what one reader was told.
#[must_use]
pub fn heard(truth: &Truth, heard: &[Heard]) -> Vec<String> {
    // All events that a reader of everything is told, in order.
    let events = truth.moments.values().flat_map(|moment| &moment.events);
    let events: Vec<&Event> = events.filter(|event| is_told(&event.what)).collect();
    let mut found = Vec::new();
    let mut gaps: Vec<(u64, u64)> = Vec::new();
    // The place in `events` that is next.
    let mut next = 0;
    for heard in heard {
        let event = match heard {
            Heard::Since(revision) => {
                next = events.partition_point(|event| event.revision <= *revision);
                continue;
            }
            Heard::Noticed(Noticed::Gap { from, to }) => {
                gaps.push((*from, *to));
                continue;
            }
            Heard::Noticed(Noticed::Event(_, event)) => event,
        };
        let Some(at) = events[next..].iter().position(|other| *other == event) else {
            found.push(format!(
                "the stream is in order: revision {} is told where {:?} is next: {:?}",
                event.revision,
                events.get(next).map(|event| event.revision),
                event.what
            ));
            continue;
        };
        for missed in &events[next..next + at] {
            let told = |(from, to): &(u64, u64)| (*from..=*to).contains(&missed.revision);
            if !gaps.iter().any(told) {
                found.push(format!(
                    "no gap untold: the stream goes on with revision {} without revision {}: {:?}",
                    event.revision, missed.revision, missed.what
                ));
            }
        }
        next += at + 1;
    }
    found
}

/// Whether the stream of everything tells of it: a grant of many is told lock by lock, and rings
/// have streams of their own.
const fn is_told(what: &What) -> bool {
    !matches!(what, What::GrantedAll { .. } | What::Ring(_))
}
