//! Calls about locks.

use lockring_client::wire;

use super::{About, READS, STREAMS, plain};

pub(super) fn list_locks() -> About {
    plain(
        "locks",
        "List locks in use",
        "In the order of their names. A free lock is absent: it costs nothing and is not listed.",
    )
    .query::<wire::LocksQuery>()
    .ok("LockPage", "A page.")
    .problems(READS)
}

pub(super) fn get_lock() -> About {
    plain(
        "locks",
        "Get a lock",
        "Who holds it and who waits. A free lock is not an error.",
    )
    .query::<wire::ReadQuery>()
    .ok("Lock", "The lock, held or free.")
    .problems(READS)
}

pub(super) fn check_fence() -> About {
    plain(
        "locks",
        "Check a fence",
        "Whether a lease with this fence is in force. A resource does better to remember the \
         highest fence it has seen, and to refuse lower ones: that needs no call, and no moment \
         between the check and the use.",
    )
    .query::<wire::CheckQuery>()
    .ok("Check", "What was found.")
    .problems(READS)
}

pub(super) fn lock_history() -> About {
    plain(
        "locks",
        "Get a lock's history",
        "What happened to a lock and why, oldest first, as far as the asked node keeps it: by age \
         and by number, the newest of every lock. `gaps` tells where more may have happened than \
         is known. `wall_ms` is the clock of the node that led, for people; order is by revision.",
    )
    .query::<wire::HistoryQuery>()
    .ok("HistoryPage", "A page.")
    .problems(READS)
}

pub(super) fn events() -> About {
    plain(
        "locks",
        "Watch what happens",
        "A stream of server-sent events, ordered by revision. `event` is the kind; `id` is what to \
         come back with, in `Last-Event-ID` or `after`, and nothing is lost or told twice then, at \
         this node or another: the revision, or `revision.number` while more of the same revision \
         follow. What is no longer kept, or was skipped because the reader was too slow, is told \
         by an event `gap` with the first and the last revision in it. A silent stream has a \
         comment every 15 s. A reader that takes nothing for 30 s is cut.",
    )
    .query::<wire::EventsQuery>()
    .events(
        &["Event", "Gap"],
        "The stream; it ends when the node stops.",
    )
    .problems(STREAMS)
}
