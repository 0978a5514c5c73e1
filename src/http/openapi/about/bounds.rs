//! The bounds of fields.

use lockring_core::limits;
use serde_json::{Value, json};

type Bound = (&'static str, &'static str, &'static str, Value);

/// The bounds of fields, as JSON Schema has them. Lengths are in characters there and in bytes
/// here, so a text that is longer in bytes than in characters may be refused within its bound.
pub(in crate::http::openapi) fn bounds() -> Vec<Bound> {
    [of_locks(), super::rings::bounds()].concat()
}

fn of_locks() -> Vec<Bound> {
    let mut bounds = Vec::new();
    for (schema, field) in [
        ("Acquire", "session"),
        ("AcquireAll", "session"),
        ("Release", "session"),
        ("SetValue", "session"),
        ("Transfer", "session"),
    ] {
        bounds.push((schema, field, "pattern", json!("^[0-9a-f]{32}$")));
    }
    bounds.push((
        "Transfer",
        "to",
        "pattern",
        json!("^([0-9a-f]{8}|[0-9a-f]{32})$"),
    ));
    for (schema, field, least, most) in [
        (
            "OpenSession",
            "ttl_ms",
            limits::TTL_MS_MIN,
            limits::TTL_MS_MAX,
        ),
        ("OpenSession", "lock_delay_ms", 0, limits::LOCK_DELAY_MS_MAX),
        ("Acquire", "ttl_ms", limits::TTL_MS_MIN, limits::TTL_MS_MAX),
        ("Acquire", "wait_ms", 0, limits::WAIT_MS_MAX),
        ("Acquire", "max_hold_ms", 1, limits::HOLD_MS_MAX),
        ("AcquireAll", "wait_ms", 0, limits::WAIT_MS_MAX),
        ("AcquireAll", "max_hold_ms", 1, limits::HOLD_MS_MAX),
        ("Revoke", "deadline_ms", 0, limits::REVOKE_MS_MAX),
        ("AddNode", "id", 1, u64::from(u32::MAX)),
    ] {
        bounds.push((schema, field, "minimum", json!(least)));
        bounds.push((schema, field, "maximum", json!(most)));
    }
    for (schema, field, least, most) in [
        ("OpenSession", "owner", 0, limits::OWNER_BYTES_MAX),
        ("OpenSession", "metadata", 0, limits::METADATA_BYTES_MAX),
        ("Acquire", "owner", 0, limits::OWNER_BYTES_MAX),
        ("Acquire", "value", 0, limits::VALUE_BYTES_MAX),
        ("Want", "lock", 1, limits::LOCK_NAME_BYTES_MAX),
        ("SetValue", "value", 0, limits::VALUE_BYTES_MAX),
        ("Revoke", "reason", 1, limits::REASON_BYTES_MAX),
        ("Break", "reason", 1, limits::REASON_BYTES_MAX),
    ] {
        bounds.push((schema, field, "minLength", json!(least)));
        bounds.push((schema, field, "maxLength", json!(most)));
    }
    bounds.push(("AcquireAll", "locks", "minItems", json!(1)));
    bounds.push((
        "AcquireAll",
        "locks",
        "maxItems",
        json!(limits::LOCKS_PER_ACQUIRE_MAX),
    ));
    bounds
}
