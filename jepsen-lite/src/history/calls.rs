//! Calls: what begins with an `invoke` and ends with what the same process records next.

use std::collections::HashMap;

use serde_json::Value;

use super::{Event, Kind, NEMESIS};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was done.
    Ok,
    /// It had no effect.
    Fail,
    /// Nobody knows, also because the history ends first.
    Info,
}

/// One call. Fields are those of the answer where it has them, else those of the request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who called.
    pub process: i64,
    /// As part of which workload.
    pub workload: String,
    /// What.
    pub f: String,
    /// Of which lock or key.
    pub key: Option<String>,
    /// For which session.
    pub session: Option<String>,
    /// The fence that was named or granted.
    pub fence: Option<u64>,
    /// The revision of the answer.
    pub revision: Option<u64>,
    /// The TTL of the session opened.
    pub ttl_ms: Option<u64>,
    /// What was to be written, or else was asked with.
    pub asked: Option<Value>,
    /// What came back.
    pub value: Option<Value>,
    /// The code of a failure.
    pub error: Option<String>,
    /// Before the request was sent.
    pub start: u64,
    /// After the answer was read; the end of time if none came.
    pub stop: u64,
    /// How it ended.
    pub end: End,
    /// The events that it is made of, for a counterexample.
    pub events: Vec<Event>,
}

impl Call {
    /// Whether it was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.end == End::Ok
    }

    /// Whether it failed with this code.
    #[must_use]
    pub fn failed_with(&self, code: &str) -> bool {
        self.end == End::Fail && self.error.as_deref() == Some(code)
    }

    /// The lock or key, empty for none.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    /// The session, empty for none.
    #[must_use]
    pub fn session(&self) -> &str {
        self.session.as_deref().unwrap_or_default()
    }
}

pub(super) fn pair(events: &[Event]) -> Vec<Call> {
    let mut open: HashMap<i64, Event> = HashMap::new();
    let mut calls = Vec::new();
    for event in events.iter().filter(|event| event.process > NEMESIS) {
        match event.kind {
            Kind::Invoke => {
                if let Some(left) = open.insert(event.process, event.clone()) {
                    calls.push(call(left, None));
                }
            }
            Kind::Ok | Kind::Fail | Kind::Info => {
                if let Some(begun) = open.remove(&event.process) {
                    calls.push(call(begun, Some(event.clone())));
                }
            }
        }
    }
    calls.extend(open.into_values().map(|begun| call(begun, None)));
    calls.sort_by_key(|call| call.start);
    calls
}

fn call(begun: Event, ended: Option<Event>) -> Call {
    let end = match ended.as_ref().map(|event| event.kind) {
        Some(Kind::Ok) => End::Ok,
        Some(Kind::Fail) => End::Fail,
        Some(Kind::Info | Kind::Invoke) | None => End::Info,
    };
    // The time of an `info` says when the caller gave up, not when the call was over.
    let stop = ended.as_ref().filter(|_| end != End::Info);
    let answer = ended.clone().unwrap_or_default();
    let asked = begun.clone();
    Call {
        process: begun.process,
        workload: begun.workload.clone(),
        f: begun.f.clone(),
        key: answer.key.or(asked.key),
        session: answer.session.or(asked.session),
        fence: answer.fence.or(asked.fence),
        revision: answer.revision,
        ttl_ms: answer.ttl_ms.or(asked.ttl_ms),
        asked: asked.value,
        value: answer.value,
        error: answer.error,
        start: begun.t,
        stop: stop.map_or(u64::MAX, |event| event.t),
        end,
        events: std::iter::once(begun).chain(ended).collect(),
    }
}
