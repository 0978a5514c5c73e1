//! The cluster's door: requests into operations, outcomes into answers, in the contract's words.

use lockring_core::{
    Acquirer, LockName, Mode, NewSession, Op, Outcome, Owner, Refusal, Renewal, RequestId,
    SessionId, Ttl,
};

use super::Chance;
use super::cluster::Cluster;
use crate::wire::{self, ErrorCode, GoneCause, LockState, Problem};

/// One request, as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) line: String,
    key: Option<String>,
    body: String,
}

/// What it asks for.
pub(super) enum Wanted {
    Op(Op),
    /// The lock as it is.
    Look,
    /// The session as it is.
    Session(SessionId),
    /// The session's stream of events.
    Listen,
}

impl Asked {
    /// The first request of the bytes, and where it ends.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&bytes[..head_end]).unwrap();
        let (line, rest) = head.split_once(" HTTP/1.1\r\n").unwrap();
        let header = |name: &str| {
            let mut lines = rest.lines().filter_map(|line| line.split_once(": "));
            let (_, value) = lines.find(|(found, _)| *found == name)?;
            Some(value.to_owned())
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        let body = bytes.get(head_end..head_end + length)?;
        let asked = Self {
            line: line.to_owned(),
            key: header("idempotency-key"),
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        Some((asked, head_end + length))
    }

    pub(super) fn request(&self) -> Option<RequestId> {
        let key = self.key.as_deref()?;
        Some(RequestId::of_key(key).unwrap())
    }

    fn body<'a, T: serde::Deserialize<'a>>(&'a self) -> T {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn wanted(&self, chance: &mut Chance) -> Wanted {
        let (method, path) = self.line.split_once(' ').unwrap();
        let (path, _) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        let session = |text: &str| SessionId::parse(text).unwrap();
        let name = |text: &str| LockName::parse(text).unwrap();
        Wanted::Op(match (method, &*parts) {
            ("POST", ["sessions"]) => {
                let open: wire::OpenSession = self.body();
                Op::Open(NewSession {
                    session: SessionId::from_bits(
                        u128::from(chance.next()) << 64 | u128::from(chance.next()),
                    ),
                    ttl: Ttl::parse(open.ttl_ms.unwrap()).unwrap(),
                    owner: Owner::parse("").unwrap(),
                    lock_delay_ms: 0,
                    metadata: String::new(),
                })
            }
            ("POST", ["sessions", id, "renew"]) => Op::Renew {
                sessions: vec![session(id)],
            },
            ("DELETE", ["sessions", id]) => Op::Close {
                session: session(id),
            },
            ("POST", ["locks", lock, "acquire"]) => {
                let ask: wire::Acquire = self.body();
                Op::Acquire {
                    by: Acquirer::Session(session(&ask.session.unwrap())),
                    lock: name(lock),
                    mode: Mode::Exclusive,
                    wait_ms: ask.wait_ms.unwrap(),
                    max_hold_ms: None,
                    value: String::new(),
                }
            }
            ("POST", ["locks", lock, "release"]) => {
                let release: wire::Release = self.body();
                Op::Release {
                    session: session(&release.session),
                    lock: name(lock),
                    fence: lockring_core::Fence::claimed(release.fence),
                }
            }
            ("GET", ["locks", _]) => return Wanted::Look,
            ("GET", ["sessions", _, "events"]) => return Wanted::Listen,
            ("GET", ["sessions", id]) => return Wanted::Session(session(id)),
            other => panic!("nobody asks for {other:?}"),
        })
    }
}

fn written(status: u16, body: &impl serde::Serialize) -> String {
    let body = serde_json::to_string(body).unwrap();
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}")
}

pub(super) fn problem(code: ErrorCode) -> String {
    written(code.status(), &Problem::new(code, "as it happens"))
}

fn gone(cause: lockring_core::Gone) -> String {
    let mut problem = Problem::new(ErrorCode::SessionGone, "gone");
    problem.cause = Some(GoneCause::from(cause));
    written(problem.status, &problem)
}

/// The head of a stream on which nothing will come.
pub(super) fn stream() -> String {
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned()
}

impl Cluster {
    /// The answer to an outcome; nothing for a place, which is answered later.
    pub(super) fn answer(&self, outcome: &Outcome, replayed: bool) -> Option<String> {
        let clock = self.machine.clock();
        Some(match outcome {
            Outcome::Opened {
                session,
                ttl,
                expires_at,
            } => written(
                201,
                &wire::Opened {
                    session: session.to_string(),
                    ttl_ms: ttl.ms(),
                    expires_in_ms: expires_at.ms_since(clock),
                    replayed,
                },
            ),
            Outcome::Renewed(rows) => match rows[0].1 {
                Renewal::Until(until) => written(
                    200,
                    &wire::Renewed {
                        expires_in_ms: until.ms_since(clock),
                    },
                ),
                Renewal::Gone(cause) => gone(cause),
            },
            Outcome::Closed { .. } => written(
                200,
                &wire::Closed {
                    released: Vec::new(),
                    replayed,
                },
            ),
            Outcome::Granted(grant) => self.granted(grant, replayed),
            Outcome::Queued(_) => return None,
            Outcome::Released => written(
                200,
                &wire::Released {
                    released: true,
                    replayed,
                },
            ),
            Outcome::Refused(refusal) => refused(refusal),
            other => panic!("nobody asked for {other:?}"),
        })
    }

    pub(super) fn granted(&self, grant: &lockring_core::Grant, replayed: bool) -> String {
        written(
            200,
            &wire::Granted {
                lock: "db".to_owned(),
                session: grant.session.to_string(),
                mode: wire::Mode::Exclusive,
                fence: grant.fence.number(),
                expires_in_ms: grant.expires_at.ms_since(self.machine.clock()),
                hold_ends_in_ms: None,
                replayed,
            },
        )
    }

    /// The lock as its door shows it.
    pub(super) fn look(&self) -> String {
        let view = self.machine.lock(&LockName::parse("db").unwrap());
        let holders = view.iter().flat_map(|view| &view.holders);
        let queue = view.iter().flat_map(|view| &view.queue);
        let lock = wire::Lock {
            lock: "db".to_owned(),
            state: view.as_ref().map_or(LockState::Free, |_| LockState::Held),
            holders: holders
                .map(|holder| wire::Holder {
                    session: holder.session.short(),
                    owner: String::new(),
                    mode: wire::Mode::Exclusive,
                    fence: holder.fence.number(),
                    held_ms: 0,
                    expires_in_ms: 0,
                    hold_ends_in_ms: None,
                    value: None,
                })
                .collect(),
            queue: queue
                .map(|waiter| wire::Waiter {
                    session: waiter.session.short(),
                    owner: String::new(),
                    mode: wire::Mode::Exclusive,
                    ticket: waiter.ticket,
                    waited_ms: 0,
                    ends_in_ms: 0,
                })
                .collect(),
            queue_total: view.as_ref().map_or(0, |view| view.queue_total),
            highest_fence: None,
            holders_total: 0,
            delayed_for_ms: None,
            revoking: None,
        };
        written(200, &lock)
    }
}

impl Cluster {
    /// A session as its door shows it.
    pub(super) fn session(&self, session: SessionId) -> String {
        let view = match self.machine.session(session) {
            Ok(view) => view,
            Err(cause) => return gone(cause),
        };
        let lease = |lease: &lockring_core::LeaseRow| wire::Lease {
            lock: lease.lock.as_str().to_owned(),
            mode: wire::Mode::Exclusive,
            fence: lease.fence.number(),
        };
        let shown = wire::Session {
            session: session.to_string(),
            owner: String::new(),
            metadata: String::new(),
            ttl_ms: view.ttl.ms(),
            expires_in_ms: view.expires_at.ms_since(self.machine.clock()),
            leases: view.leases.iter().map(lease).collect(),
            leases_total: view.leases_total,
            waits: Vec::new(),
            waits_total: 0,
            lock_delay_ms: 0,
        };
        written(200, &shown)
    }
}

/// The answer to a refusal.
pub(super) fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Held { .. } => problem(ErrorCode::Held),
        Refusal::WaitTimeout { .. } => problem(ErrorCode::WaitTimeout),
        Refusal::FenceStale { .. } => problem(ErrorCode::FenceStale),
        Refusal::SessionGone { cause, .. } => gone(*cause),
        other => panic!("nobody is refused so: {other:?}"),
    }
}
