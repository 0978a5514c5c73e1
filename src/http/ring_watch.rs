//! A ring as a stream of server-sent events: its table, then each change.
//!
//! The body is made while it is read. A reader that is slow misses nothing and costs nothing: when
//! it takes the next event, that is the difference between the table it has and the newest one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use lockring_client::wire;
use lockring_core::RingView;
use tokio::time::timeout;

use super::Api;
use super::ask::Ask;
use super::error::Failure;
use super::events::{SILENCE_MAX, STILL_HERE, streamed};
use super::reply::Reply;
use super::rings;

pub(super) async fn watch(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let mut parameters = ask.parameters()?;
    let after = parameters.text("after")?;
    parameters.end()?;
    let known = epoch(&ask, after)?;
    let answer = api.service().watch_ring(&ring, known).await?;
    let told: Option<Arc<RingView>> = None;
    let events = stream::unfold((answer.body, told), |(mut watch, told)| async {
        let Ok(next) = timeout(SILENCE_MAX, watch.next()).await else {
            return Some((STILL_HERE, (watch, told)));
        };
        let next = next?;
        let event = event(&next, told.as_deref());
        Some((event, (watch, Some(next))))
    });
    Ok(streamed(events).at(answer.revision))
}

/// The epoch of the table that a reader has: what it says itself goes before what its address says.
fn epoch(ask: &Ask, after: Option<String>) -> Result<Option<u64>, Failure> {
    let (field, text) = match (ask.last_event_id(), after) {
        (Some(id), _) => ("Last-Event-ID", id),
        (None, Some(after)) => ("after", after),
        (None, None) => return Ok(None),
    };
    match text.parse() {
        Ok(epoch) => Ok(Some(epoch)),
        Err(_) => Err(Failure::invalid(field, text, "the epoch of a table")),
    }
}

/// The table, or what has changed since the one that was told before. JSON has no line ends in it,
/// so `data` is one line.
fn event(view: &RingView, told: Option<&RingView>) -> Bytes {
    // Another hash is another ring under the same name: nothing of the table before is left.
    let told = told.filter(|told| told.spec.hash == view.spec.hash);
    let (kind, table) = match told {
        None => ("table", wire::RingTableBody::of(&view.table)),
        Some(told) => (
            "change",
            wire::RingTableBody::since(&view.table, &told.table),
        ),
    };
    let event = wire::RingEvent {
        since: told.map(|told| told.epoch),
        ring: rings::body(view),
        table,
    };
    let data = serde_json::to_string(&event).expect("wire types are made of strings and numbers");
    format!("id: {}\nevent: {kind}\ndata: {data}\n\n", view.epoch).into()
}
