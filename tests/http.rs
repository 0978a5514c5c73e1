//! The HTTP contract through the real door: a listener, a service and a replica on a real log.

#[path = "http/node.rs"]
mod node;
#[path = "http/raw.rs"]
mod raw;
#[path = "http/calls.rs"]
mod calls;
#[path = "http/waits.rs"]
mod waits;
#[path = "http/codes.rs"]
mod codes;
#[path = "http/family.rs"]
mod family;
#[path = "http/rules.rs"]
mod rules;
#[path = "http/fields.rs"]
mod fields;
#[path = "http/bounds.rs"]
mod bounds;
#[path = "http/followers.rs"]
mod followers;
#[path = "http/stream.rs"]
mod stream;
#[path = "http/events.rs"]
mod events;
#[path = "http/session_events.rs"]
mod session_events;
#[path = "http/history.rs"]
mod history;
#[path = "http/contract.rs"]
mod contract;
#[path = "http/rings.rs"]
mod rings;
