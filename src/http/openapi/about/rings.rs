//! What is said about the calls of rings.

use lockring_client::wire::{self, ErrorCode};
use lockring_core::limits;
use serde_json::{Value, json};

use super::{About, plain};

const RING_READS: &[ErrorCode] = &[ErrorCode::NotFound, ErrorCode::Unready];
const RING_CHANGES: &[ErrorCode] = &[
    ErrorCode::NotFound,
    ErrorCode::Unready,
    ErrorCode::Indeterminate,
];
const MEMBER_CHANGES: &[ErrorCode] = &[
    ErrorCode::NotFound,
    ErrorCode::FenceStale,
    ErrorCode::Unready,
    ErrorCode::Indeterminate,
];
const ETAG: &[(&str, &str)] = &[("ETag", "The epoch.")];

/// The bounds of fields, as JSON Schema has them.
pub(super) fn bounds() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let id = json!("^[0-9a-f]{32}$");
    let replicas_max = json!(limits::REPLICAS_MAX);
    vec![
        ("ConfigureRing", "replicas", "minimum", json!(1)),
        ("ConfigureRing", "replicas", "maximum", replicas_max.clone()),
        (
            "ConfigureRing",
            "reassign_delay_ms",
            "maximum",
            json!(limits::REASSIGN_DELAY_MS_MAX),
        ),
        ("JoinRing", "session", "pattern", id.clone()),
        ("JoinRing", "weight", "minimum", json!(1)),
        ("JoinRing", "weight", "maximum", json!(limits::WEIGHT_MAX)),
        (
            "JoinRing",
            "zone",
            "maxLength",
            json!(limits::ZONE_BYTES_MAX),
        ),
        ("ReleaseSlots", "session", "pattern", id),
        ("Lookup", "n", "minimum", json!(1)),
        ("Lookup", "n", "maximum", replicas_max),
        (
            "FreezeRing",
            "reason",
            "maxLength",
            json!(limits::RING_REASON_BYTES_MAX),
        ),
    ]
}

pub(super) fn list() -> About {
    plain(
        "rings",
        "List rings",
        "Every ring and its epoch. Whoever holds a table asks this to know whether it is the \
         newest: the answer is linearizable and small.",
    )
    .ok("RingList", "The rings.")
    .query::<wire::ReadQuery>()
    .problems(&[ErrorCode::Unready])
}

pub(super) fn get() -> About {
    plain(
        "rings",
        "Get one ring",
        "Who is on it, and how evenly its slots are spread. With `If-None-Match: \"EPOCH\"` a \
         reader that has the newest is answered 304.",
    )
    .query::<wire::ReadQuery>()
    .ok("Ring", "The ring.")
    .headers(ETAG)
    .problems(RING_READS)
}

pub(super) fn configure() -> About {
    plain(
        "rings",
        "Make or change a ring",
        "What is not said stays as it is. The hash cannot change while the ring has members. \
         Another placement moves slots.",
    )
    .may_have("ConfigureRing")
    .ok("Ring", "The ring, as asked.")
    .headers(ETAG)
    .problems(&[
        ErrorCode::Limit,
        ErrorCode::Unready,
        ErrorCode::Indeterminate,
    ])
}

pub(super) fn table() -> About {
    plain(
        "rings",
        "Get a ring's table",
        "Whose each of the 16384 slots is, and what moves. A moving range is listed under its new \
         owner, who may serve it once the old one has released it or has lost its session.",
    )
    .query::<wire::ReadQuery>()
    .ok("RingTableBody", "The table.")
    .headers(ETAG)
    .problems(RING_READS)
}

pub(super) fn join() -> About {
    plain(
        "rings",
        "Join a ring",
        "The member lives exactly as long as the session. Its slots come to it as others release \
         them. Joining again changes what it is listed with, brings back a member that was lost \
         (with another session, under the same name), and stops a drain.",
    )
    .has("JoinRing")
    .ok("RingChanged", "It is on the ring.")
    .problems(&[
        ErrorCode::NotFound,
        ErrorCode::Held,
        ErrorCode::SessionGone,
        ErrorCode::Limit,
        ErrorCode::Unready,
        ErrorCode::Indeterminate,
    ])
}

pub(super) fn leave() -> About {
    plain(
        "rings",
        "Take a member off a ring",
        "All its slots move at once, each when the member releases it or its session ends. \
         Nothing is kept any longer for a member that is down.",
    )
    .query::<wire::MemberQuery>()
    .ok("RingChanged", "It leaves.")
    .problems(MEMBER_CHANGES)
}

pub(super) fn drain() -> About {
    plain(
        "rings",
        "Drain a member",
        "Its slots move in batches of at most 1024, so that none waits longer than one hand-over. \
         It has left when it has released the last.",
    )
    .query::<wire::MemberQuery>()
    .ok("RingChanged", "It is draining.")
    .problems(MEMBER_CHANGES)
}

pub(super) fn release() -> About {
    plain(
        "rings",
        "Release slots that move away",
        "A member says that it serves these slots no longer; whoever they move to may from then \
         on. Slots that do not move away from it, or that moved otherwise since `epoch`, are \
         passed over: repeating the call is harmless.",
    )
    .has("ReleaseSlots")
    .ok("SlotsReleased", "They are released.")
    .problems(&[
        ErrorCode::NotFound,
        ErrorCode::SessionGone,
        ErrorCode::FenceStale,
        ErrorCode::Unready,
        ErrorCode::Indeterminate,
    ])
}

pub(super) fn look_up() -> About {
    plain(
        "rings",
        "Look up a key",
        "Whom to ask for it, the owner first.",
    )
    .query::<wire::LookupQuery>()
    .ok("Assignments", "Its slot and members.")
    .problems(RING_READS)
}

pub(super) fn look_up_all() -> About {
    plain(
        "rings",
        "Look up many keys",
        "All out of one table. A client that looks up often holds the table itself.",
    )
    .has("Lookup")
    .ok("Assignments", "Their slots and members.")
    .problems(RING_READS)
}

pub(super) fn plan() -> About {
    plain(
        "rings",
        "See what changes would move",
        "A dry run: nothing is changed. It supposes that nothing holds the ring still, and that \
         who is down does not come back.",
    )
    .has("PlanRing")
    .ok("Planned", "What would move.")
    .problems(RING_READS)
}

pub(super) fn diff() -> About {
    plain(
        "rings",
        "See what moved",
        "Between the tables of two epochs. The newest 256 epochs are kept, fewer if much moved.",
    )
    .query::<wire::DiffQuery>()
    .ok("RingDiff", "What moved.")
    .problems(RING_READS)
}

pub(super) fn freeze() -> About {
    plain(
        "rings",
        "Freeze a ring",
        "Nothing moves from now on, whoever joins, leaves or is lost; moves under way are \
         finished. The slots of a member that is lost wait for it.",
    )
    .has("FreezeRing")
    .ok("RingChanged", "It is frozen.")
    .problems(RING_CHANGES)
}

pub(super) fn unfreeze() -> About {
    plain(
        "rings",
        "Unfreeze a ring",
        "Ends a freeze, and the brake that a ring puts on when more than a third of its members \
         are lost within a minute.",
    )
    .has("FreezeRing")
    .ok("RingChanged", "Slots move again.")
    .problems(RING_CHANGES)
}

pub(super) fn watch() -> About {
    plain(
        "rings",
        "Watch a ring",
        "Server-sent events, whose id is the epoch: `table` with the whole, then a `change` with \
         what differs each time the ring was seen changed; changes that come fast are told as \
         one. A reader that comes back with the newest epoch, as `Last-Event-ID` or `after`, is \
         told the next change only, and it is whole. A stream begins with a table that was the \
         newest when it was asked for. The data is `{since?, ring, table}`: the epoch that a \
         change follows, the ring as GET tells it, and the table or what differs of it.",
    )
    .query::<wire::RingWatchQuery>()
    .text(wire::EVENT_STREAM, "The stream.")
    .problems(RING_READS)
}
