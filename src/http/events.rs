//! What happened, as others see it: histories, and streams of server-sent events.
//!
//! A stream is a body that is made while it is read. hyper asks for more when the connection has
//! taken what there was, so a reader that is slow is waited for (and cut when it takes nothing at
//! all, see [`super::patience`]), and nothing piles up for it. While nothing happens it is sent a
//! comment now and then, so that both sides notice when the other is gone.

use std::fmt::Write;
use std::time::Duration;

use axum::http::HeaderValue;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use lockring_client::wire;
use serde::Serialize;
use tokio::time::timeout;

use super::Api;
use super::ask::Ask;
use super::error::Failure;
use super::happened::{gap, owners, told};
use super::reply::Reply;
use crate::service::{Noticed, Place, Subject};

const EVENT_STREAM: HeaderValue = HeaderValue::from_static(wire::EVENT_STREAM);
/// The longest silence of a stream; below what proxies on the way cut.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(15);
/// A comment, which readers pass over.
pub(super) const STILL_HERE: Bytes = Bytes::from_static(b":\n\n");
/// What a stream begins with: so long a reader waits before it comes back.
const BEGINNING: Bytes = Bytes::from_static(b"retry: 1000\n\n");

pub(super) async fn history(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let lock = ask.lock()?;
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    let rows = parameters.rows()?;
    let after = parameters.number("after", 0..=u64::MAX)?.unwrap_or(0);
    parameters.end()?;
    let answer = api.service().history(lock, after, rows, fresh).await?;
    let page = answer.body;
    let last = page.events.last().filter(|_| page.more);
    let page = wire::HistoryPage {
        next: last.map(|event| event.revision),
        events: page.events.iter().filter_map(told).collect(),
        gaps: page.gaps.into_iter().map(gap).collect(),
    };
    Ok(Reply::json(&page).at(answer.revision))
}

/// Everything that happens, or what happens to locks whose names start so.
pub(super) async fn all(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let mut parameters = ask.parameters()?;
    let subject = match parameters.text("prefix")? {
        None => Subject::Everything,
        Some(prefix) => Subject::Locks(prefix),
    };
    let after = parameters.text("after")?;
    parameters.end()?;
    let after = place(&ask, after)?;
    let answer = api.service().watch(subject, after).await?;
    let events = stream::unfold(answer.body, |mut watch| async {
        let Ok(noticed) = timeout(SILENCE_MAX, watch.next()).await else {
            return Some((STILL_HERE, watch));
        };
        let mut text = String::new();
        for noticed in noticed? {
            match noticed {
                Noticed::Event(place, event) => {
                    if let Some(event) = told(&event) {
                        line(&mut text, Some(place), event.event.as_str(), &event);
                    }
                }
                Noticed::Gap { from, to } => line(&mut text, None, "gap", &wire::Gap { from, to }),
            }
        }
        Some((text.into(), watch))
    });
    Ok(streamed(events).at(answer.revision))
}

/// What happens to one session.
pub(super) async fn of_session(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let session = ask.session()?;
    let mut parameters = ask.parameters()?;
    let after = parameters.text("after")?;
    parameters.end()?;
    let after = place(&ask, after)?;
    let answer = api.service().watch_session(session, after).await?;
    let watch = (api.clone(), answer.body);
    let events = stream::unfold(watch, |(api, mut watch)| async {
        let Ok(news) = timeout(SILENCE_MAX, watch.next()).await else {
            return Some((STILL_HERE, (api, watch)));
        };
        let mut text = String::new();
        for news in news? {
            if let Some((place, event)) = owners(news, api.service().now()) {
                line(&mut text, place, event.kind(), &event);
            }
        }
        Some((text.into(), (api, watch)))
    });
    Ok(streamed(events).at(answer.revision))
}

pub(super) fn streamed(events: impl Stream<Item = Bytes> + Send + 'static) -> Reply {
    let beginning = stream::once(std::future::ready(BEGINNING));
    Reply::stream(EVENT_STREAM, beginning.chain(events))
}

/// Where a reader wants to go on: what it says itself goes before what its address says.
fn place(ask: &Ask, after: Option<String>) -> Result<Option<Place>, Failure> {
    let (field, text) = match (ask.last_event_id(), after) {
        (Some(id), _) => ("Last-Event-ID", id),
        (None, Some(after)) => ("after", after),
        (None, None) => return Ok(None),
    };
    match text.parse() {
        Ok(place) => Ok(Some(place)),
        Err(_) => Err(Failure::invalid(
            field,
            text,
            "the id of an event: a revision, or revision.number",
        )),
    }
}

/// One event of a stream. JSON has no line ends in it, so `data` is one line.
fn line(text: &mut String, id: Option<Place>, kind: &str, data: &impl Serialize) {
    let data = serde_json::to_string(data).expect("wire types are made of strings and numbers");
    let written = match id {
        Some(id) => write!(text, "id: {id}\nevent: {kind}\ndata: {data}\n\n"),
        None => write!(text, "event: {kind}\ndata: {data}\n\n"),
    };
    written.expect("a String takes whatever is written");
}
