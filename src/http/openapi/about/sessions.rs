//! Calls about sessions.

use lockring_client::wire::{self, ErrorCode};

use super::{About, CHANGES, CHANGES_A_SESSION, READS, plain};

pub(super) fn open_session() -> About {
    plain(
        "sessions",
        "Open a session",
        "A session is one client's liveness. It lives `ttl_ms` from its last renewal; when it \
         ends, every lease and every place in a queue that it has goes with it. The bounds and the \
         default of `ttl_ms` may be narrower in a cluster's configuration.",
    )
    .keyed()
    .may_have("OpenSession")
    .ok("Opened", "It is open.")
    .status(201)
    .problems(CHANGES)
}

pub(super) fn list_sessions() -> About {
    plain(
        "sessions",
        "List live sessions",
        "A page may be a few rows longer than `limit`: it does not end between two sessions that \
         begin with the same eight digits.",
    )
    .query::<wire::SessionsQuery>()
    .ok("SessionPage", "A page.")
    .problems(READS)
}

pub(super) fn get_session() -> About {
    plain(
        "sessions",
        "Get a session",
        "For its owner, who knows the id: its leases and its places in queues.",
    )
    .query::<wire::ReadQuery>()
    .ok("Session", "It is alive.")
    .problems(&[ErrorCode::SessionGone, ErrorCode::Unready])
}

pub(super) fn renew_session() -> About {
    plain(
        "sessions",
        "Renew a session",
        "It lives its TTL from now. Acknowledged when committed; renewals that arrive within 20 ms \
         share one command. Harmless to repeat, so it needs no key.",
    )
    .ok("Renewed", "It lives on.")
    .problems(CHANGES_A_SESSION)
}

pub(super) fn close_session() -> About {
    plain(
        "sessions",
        "Close a session",
        "Its leases are released and its places given up, in the same command. A repetition \
         without the first call's key is answered with 410.\n\nAn operator ends another's \
         session by the first eight digits of its id and a `reason`, which is recorded. That takes \
         the permission `operate` in place of `lock`. While the session is remembered, a \
         repetition under the first call's key is answered as that was, and any other with 410. \
         Digits that no session began with are `not_found`, those of several live ones are \
         `invalid`.",
    )
    .keyed()
    .query::<wire::EndQuery>()
    .ok("Closed", "It is closed, and these leases went with it.")
    .problems(&[
        ErrorCode::SessionGone,
        ErrorCode::NotFound,
        ErrorCode::Limit,
        ErrorCode::Unready,
        ErrorCode::Indeterminate,
    ])
}

pub(super) fn session_events() -> About {
    plain(
        "sessions",
        "Watch a session",
        "For its owner: a stream of server-sent events. `granted` and `lost`, with the cause, tell \
         of its leases; `revoke_requested` tells that an operator asks for one; `expiring` that \
         two thirds of its TTL have passed without a renewal; `ended` is the last. `id` is what to \
         come back with, in `Last-Event-ID` or `after`, at this node or another. Whoever comes \
         back after the session's end is told of what it missed. `gap` tells that events may be \
         missing: look at the session. A stream does not keep its session alive.",
    )
    .query::<wire::SessionEventsQuery>()
    .events(
        &["SessionEvent"],
        "The stream; it ends with the session, or when the node stops.",
    )
    .problems(&[ErrorCode::SessionGone, ErrorCode::Limit, ErrorCode::Unready])
}
