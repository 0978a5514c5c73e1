//! A hand: one logical process of a history.

use std::net::SocketAddr;
use std::time::Duration;

use lockring_client::wire::{Certainty, ErrorCode, route};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::call::{Answer, Ask, Caller, Told};
use super::record::Recorder;
use super::{Phase, Spec, pause};
use crate::history::{Event, Kind};
use crate::seed::Dice;

/// What a recorded call came to.
#[derive(Debug)]
pub(crate) enum Came {
    Done(Answer),
    Refused(ErrorCode),
    /// Nobody knows, or it was not sent.
    Nothing,
}

/// Does one thing at a time and records it.
#[derive(Debug)]
pub(crate) struct Hand {
    pub(crate) spec: Spec,
    /// Which hand of all hands of the run.
    pub(crate) number: i64,
    pub(crate) dice: Dice,
    pub(crate) caller: Caller,
    pub(crate) recorder: Recorder,
    process: i64,
    phase: watch::Receiver<Phase>,
}

/// A session as its hand knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) id: String,
    /// The time of the run before the last acknowledged renewal was sent.
    pub(crate) renewed: u64,
}

impl Open {
    /// The first eight digits, as it is written in histories.
    pub(crate) fn short(&self) -> String {
        self.id.chars().take(8).collect()
    }
}

impl Hand {
    pub(crate) fn new(
        spec: &Spec,
        nth: u64,
        recorder: Recorder,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let process = spec.first_process + i64::try_from(nth).unwrap_or(0);
        let home = u64::try_from(process).unwrap_or(0);
        Self {
            number: process,
            dice: Dice::new(spec.seed, &format!("{:?} hand {process}", spec.workload)),
            caller: Caller::new(&spec.endpoints, home),
            recorder,
            process,
            phase,
            spec: spec.clone(),
        }
    }

    /// Whether something new may be begun.
    pub(crate) fn goes_on(&self) -> bool {
        *self.phase.borrow() == Phase::Working
    }

    /// Waits for so long, or until it is time to wind up.
    pub(crate) async fn rest(&mut self, time: Duration) {
        let ends = self.phase.wait_for(|phase| *phase == Phase::WindingUp);
        tokio::select! {
            () = sleep(time) => {}
            // When the sender is gone, so is the worker.
            _ = ends => {}
        }
    }

    /// The usual pause between two steps.
    pub(crate) async fn pause(&mut self) {
        let time = pause(&mut self.dice, self.spec.pause_ms);
        self.rest(time).await;
    }

    /// One of the keys that all hands share.
    pub(crate) fn some_key(&mut self) -> String {
        let nth = self.dice.below(self.spec.keys);
        format!("{}/{nth}", self.spec.workload.name())
    }

    pub(crate) fn resource(&self) -> Option<SocketAddr> {
        self.spec.resource
    }

    /// Begins to record a call.
    pub(crate) fn invoke(&self, draft: &Event) {
        self.record(Kind::Invoke, draft.clone());
    }

    /// Records how a call ended; after an `info` the process number retires.
    pub(crate) fn complete(&mut self, kind: Kind, event: Event) {
        self.record(kind, event);
        if kind == Kind::Info {
            self.process += self.spec.processes;
        }
    }

    fn record(&self, kind: Kind, event: Event) {
        self.recorder.record(Event {
            process: self.process,
            kind,
            workload: self.spec.workload.name().to_owned(),
            ..event
        });
    }

    /// A recorded call. `draft` says what is asked; the answer's numbers are added to it. `read`
    /// says what of an answer's body is the value.
    pub(crate) async fn call(
        &mut self,
        draft: Event,
        ask: &Ask,
        read: impl Fn(&Value) -> Option<Value>,
    ) -> Came {
        let draft = Event {
            node: Some(self.caller.node()),
            ..draft
        };
        self.invoke(&draft);
        let mutates = ask.method != lockring_client::Method::Get;
        let told = self.caller.call(ask).await;
        let (kind, event, came) = judge(draft, told, mutates, read);
        self.complete(kind, event);
        if matches!(came, Came::Nothing) {
            self.look_elsewhere();
        }
        came
    }

    /// After a failure: half of the time another node is asked from then on.
    fn look_elsewhere(&mut self) {
        if self.dice.happens(50) {
            let node = self.dice.between(1, self.caller.nodes());
            self.caller.turn_to(node);
        }
    }

    /// Opens a session with the run's TTL, trying until it works or the run ends.
    pub(crate) async fn open(&mut self, ttl_ms: u64) -> Option<Open> {
        while self.goes_on() {
            let owner = format!("{} {}", self.spec.workload.name(), self.number);
            let body = json!({"ttl_ms": ttl_ms, "owner": owner});
            let ask = Ask::post(route::SESSIONS.to_owned(), body);
            let renewed = self.recorder.now();
            let draft = Event {
                f: "open".to_owned(),
                ttl_ms: Some(ttl_ms),
                ..Event::default()
            };
            if let Came::Done(answer) = self.call(draft, &ask, |_| None).await
                && let Some(id) = answer.body["session"].as_str()
            {
                let id = id.to_owned();
                return Some(Open { id, renewed });
            }
            self.rest(Duration::from_millis(50)).await;
        }
        None
    }

    /// Renews a session.
    pub(crate) async fn renew(&mut self, session: &mut Open) -> Came {
        let sent = self.recorder.now();
        let ask = Ask {
            body: None,
            ..Ask::post(route::renew(&session.id), Value::Null)
        };
        let draft = Event {
            f: "renew".to_owned(),
            session: Some(session.short()),
            ..Event::default()
        };
        let came = self.call(draft, &ask, |_| None).await;
        if matches!(came, Came::Done(_)) {
            session.renewed = sent;
        }
        came
    }

    /// Asks for a lock, waiting so long.
    pub(crate) async fn acquire(&mut self, session: &Open, key: &str, wait_ms: u64) -> Came {
        let body = json!({"session": session.id, "wait_ms": wait_ms});
        let ask = Ask {
            patience: Duration::from_millis(wait_ms),
            ..Ask::post(route::acquire(key), body)
        };
        let draft = Event {
            f: "acquire".to_owned(),
            key: Some(key.to_owned()),
            session: Some(session.short()),
            value: (wait_ms > 0).then(|| json!(wait_ms)),
            ..Event::default()
        };
        // A replay tells an old grant under a new revision: the two do not belong together.
        self.call(draft, &ask, |body| body.get("replayed").cloned())
            .await
    }

    /// Gives a lease back, or claims to.
    pub(crate) async fn release(&mut self, session: &Open, key: &str, fence: u64) -> Came {
        let body = json!({"session": session.id, "fence": fence});
        let ask = Ask::post(route::release(key), body);
        let draft = Event {
            f: "release".to_owned(),
            key: Some(key.to_owned()),
            session: Some(session.short()),
            fence: Some(fence),
            ..Event::default()
        };
        self.call(draft, &ask, |_| None).await
    }

    /// Closes a session.
    pub(crate) async fn close(&mut self, session: &Open) -> Came {
        let ask = Ask {
            method: lockring_client::Method::Delete,
            ..Ask::get(route::session(&session.id))
        };
        let draft = Event {
            f: "close".to_owned(),
            session: Some(session.short()),
            ..Event::default()
        };
        self.call(draft, &ask, |_| None).await
    }

    /// Asks whether a fence is in force, linearizably.
    pub(crate) async fn check(&mut self, key: &str, fence: u64) -> Came {
        let ask = Ask::get(route::check(key, fence));
        let draft = Event {
            f: "check".to_owned(),
            key: Some(key.to_owned()),
            fence: Some(fence),
            ..Event::default()
        };
        self.call(draft, &ask, |body| body.get("current").cloned())
            .await
    }

    /// Asks who holds a lock and who waits for it, linearizably.
    pub(crate) async fn holders(&mut self, key: &str) -> Came {
        let ask = Ask::get(route::lock(key));
        let draft = Event {
            f: "holders".to_owned(),
            key: Some(key.to_owned()),
            ..Event::default()
        };
        self.call(draft, &ask, seen).await
    }
}

/// What a history keeps of a lock that was read.
fn seen(lock: &Value) -> Option<Value> {
    let rows = |of: &str, fields: &[&str]| -> Vec<Value> {
        let rows = lock[of].as_array().into_iter().flatten();
        rows.map(|row| {
            let kept = fields
                .iter()
                .map(|field| ((*field).to_owned(), row[*field].clone()));
            Value::Object(kept.collect())
        })
        .collect()
    };
    let holders = rows("holders", &["session", "fence", "mode"]);
    let queue = rows("queue", &["session", "ticket"]);
    Some(json!({"holders": holders, "queue": queue}))
}

/// What an answer means for the history and for its hand.
fn judge(
    draft: Event,
    told: Told,
    mutates: bool,
    read: impl Fn(&Value) -> Option<Value>,
) -> (Kind, Event, Came) {
    let unknown = if mutates { Kind::Info } else { Kind::Fail };
    let with = |error: String| Event {
        error: Some(error),
        ..draft.clone()
    };
    let answer = match told {
        Told::Unsent(why) => return (Kind::Fail, with(why), Came::Nothing),
        Told::Unknown(why) => return (unknown, with(why), Came::Nothing),
        Told::Answer(answer) => answer,
    };
    if answer.status == 202 {
        // Sent away with a place in the queue, which this hand does not come back for.
        return (unknown, with("queued".to_owned()), Came::Nothing);
    }
    if (200..300).contains(&answer.status) {
        let session = answer.body["session"].as_str();
        let session = session.map(|id| id.chars().take(8).collect());
        let event = Event {
            session: session.or(draft.session.clone()),
            fence: answer.fence.or(draft.fence),
            revision: answer.revision,
            value: read(&answer.body),
            ..draft
        };
        return (Kind::Ok, event, Came::Done(answer));
    }
    let Ok(code) = ErrorCode::deserialize(&answer.body["code"]) else {
        return (
            unknown,
            with(format!("status {}", answer.status)),
            Came::Nothing,
        );
    };
    let cause = answer.body["cause"]
        .as_str()
        .map(|cause| json!({"cause": cause}));
    let event = Event {
        error: Some(code.to_string()),
        revision: answer.revision,
        value: cause,
        ..draft
    };
    match code.certainty() {
        Certainty::Unknown => (unknown, event, Came::Nothing),
        // Nothing happened, and nothing was decided.
        Certainty::NoEffect if code == ErrorCode::Unready => (Kind::Fail, event, Came::Nothing),
        Certainty::NoEffect => (Kind::Fail, event, Came::Refused(code)),
    }
}
