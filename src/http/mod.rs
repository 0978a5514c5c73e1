//! The HTTP contract, served: what comes in becomes core types, what goes out becomes wire types.
//!
//! A request takes one way, whatever it asks: [`limits`] accepts its connection, [`router`] finds
//! its [`calls::Call`], [`Api::answer`] lets it through or not and hands it to the file of its
//! noun, and what that says becomes a response in [`reply`] or, if it is not a success, in
//! [`error`]. Nothing below this floor knows a status code, and nothing here knows how a command
//! is committed.
//!
//! There are no layers of middleware: what every call needs is done in one function, which costs
//! no boxed future and can be read from top to bottom.

mod access;
mod acquire;
mod ask;
mod calls;
mod cluster;
mod error;
mod events;
mod happened;
mod health;
mod leases;
mod limits;
mod locks;
mod metrics;
mod openapi;
mod operator;
mod parameters;
mod patience;
mod reply;
mod ring_watch;
mod rings;
mod router;
mod sessions;
mod ui;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::FutureExt;
use lockring_core::NodeId;
use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

pub use access::{Permission, Token, Tokens};
pub use limits::{Limits, serve};

use ask::Ask;
use calls::Call;
use error::Failure;
use limits::Doorman;
use metrics::Metrics;
use reply::Reply;

use crate::service::{Role, Service};
use crate::watch;

/// What the HTTP floor is told when it starts.
#[derive(Debug, Default)]
pub struct Options {
    /// How much the node takes on.
    pub limits: Limits,
    /// Who may do what.
    pub tokens: Tokens,
    /// Figures that the floors below count; they are told together with this floor's own.
    pub registry: Registry,
}

/// The calls of one node, ready to be served. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    service: Service,
    limits: Limits,
    tokens: Tokens,
    doorman: Arc<Doorman>,
    metrics: Metrics,
    role: watch::Receiver<Role>,
    leader: RwLock<Leader>,
}

/// Where the leader of a term is, as the header has it; looked up once a term.
#[derive(Debug, Default)]
struct Leader {
    of: Option<(u64, NodeId)>,
    api: Option<HeaderValue>,
}

impl Api {
    /// The calls over these use cases.
    #[must_use]
    pub fn new(service: Service, options: Options) -> Self {
        let doorman = Arc::new(Doorman::default());
        Self {
            inner: Arc::new(Inner {
                metrics: Metrics::new(options.registry, service.clone(), Arc::clone(&doorman)),
                role: service.roles(),
                service,
                limits: options.limits,
                tokens: options.tokens,
                doorman,
                leader: RwLock::default(),
            }),
        }
    }

    fn service(&self) -> &Service {
        &self.inner.service
    }

    fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    fn doorman(&self) -> &Arc<Doorman> {
        &self.inner.doorman
    }

    fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Answers one call, from its head to its last byte.
    async fn answer(&self, call: Call, request: Request) -> Response {
        let begun = Instant::now();
        let spec = call.spec();
        let mut ask = Ask::new(request, spec.path);
        let let_through = match call.permission(&ask) {
            None => Ok(None),
            Some(permission) => self
                .inner
                .tokens
                .allow(ask.authorization(), permission)
                .map_err(|denied| Failure::Denied(denied, permission)),
        };
        ask.token = *let_through.as_ref().unwrap_or(&None);
        let outcome = match let_through {
            Ok(_) => guarded(self.hand_on(call, ask)).await,
            Err(failure) => Err(failure),
        };
        let response = self.respond(outcome);
        self.inner.metrics.answered(call, begun.elapsed());
        response
    }

    async fn hand_on(&self, call: Call, ask: Ask) -> Result<Reply, Failure> {
        match call {
            Call::OpenSession => sessions::open(self, ask).await,
            Call::ListSessions => sessions::list(self, ask).await,
            Call::GetSession => sessions::get(self, ask).await,
            Call::RenewSession => sessions::renew(self, ask).await,
            Call::CloseSession => sessions::close(self, ask).await,
            Call::SessionEvents => events::of_session(self, ask).await,
            Call::ListLocks => locks::list(self, ask).await,
            Call::GetLock => locks::get(self, ask).await,
            Call::Acquire => acquire::one(self, ask).await,
            Call::AcquireAll => acquire::all(self, ask).await,
            Call::Release => leases::release(self, ask).await,
            Call::SetValue => leases::set_value(self, ask).await,
            Call::Transfer => leases::transfer(self, ask).await,
            Call::Revoke => operator::revoke(self, ask).await,
            Call::Break => operator::break_now(self, ask).await,
            Call::CheckFence => locks::check(self, ask).await,
            Call::LockHistory => events::history(self, ask).await,
            Call::Events => events::all(self, ask).await,
            Call::ListRings => rings::list(self, ask).await,
            Call::GetRing => rings::get(self, ask).await,
            Call::ConfigureRing => rings::configure(self, ask).await,
            Call::GetRingTable => rings::table(self, ask).await,
            Call::JoinRing => rings::join(self, ask).await,
            Call::LeaveRing => rings::leave(self, ask).await,
            Call::DrainMember => rings::drain(self, ask).await,
            Call::ReleaseSlots => rings::release(self, ask).await,
            Call::LookUp => rings::look_up_one(self, ask).await,
            Call::LookUpAll => rings::look_up_many(self, ask).await,
            Call::PlanRing => rings::plan(self, ask).await,
            Call::DiffRing => rings::diff(self, ask).await,
            Call::WatchRing => ring_watch::watch(self, ask).await,
            Call::FreezeRing => rings::freeze(self, ask).await,
            Call::UnfreezeRing => rings::unfreeze(self, ask).await,
            Call::GetCluster => cluster::get(self, &ask),
            Call::AddNode => cluster::add(self, ask).await,
            Call::RemoveNode => cluster::remove(self, ask).await,
            Call::TransferLeader => cluster::transfer(self, ask).await,
            Call::GetDigest => cluster::digest(self, ask).await,
            Call::Health => health::health(&ask),
            Call::Ready => health::ready(self, ask).await,
            Call::Metrics => metrics::get(self, &ask),
            Call::OpenApi => openapi::document(&ask),
            Call::Docs => openapi::page(&ask),
            Call::Ui => ui::page(&ask),
        }
    }

    /// Whatever came of a call, with the headers that every answer has.
    fn respond(&self, outcome: Result<Reply, Failure>) -> Response {
        let (revision, mut response) = match outcome {
            Ok(reply) => (reply.revision, reply.into_response()),
            Err(failure) => {
                let told = failure.tell(self);
                self.inner.metrics.problem(told.problem.code.as_str());
                let status = StatusCode::from_u16(told.problem.status)
                    .expect("the contract's statuses are statuses");
                let body = reply::to_json(&told.problem);
                let mut response = Reply::of(status, reply::PROBLEM, body).into_response();
                if let Some((name, value)) = told.header {
                    response.headers_mut().insert(name, value);
                }
                (told.revision, response)
            }
        };
        let revision = revision.unwrap_or_else(|| self.inner.service.revision());
        let headers = response.headers_mut();
        headers.insert(reply::REVISION, HeaderValue::from(revision));
        if let Some(leader) = self.leader() {
            headers.insert(reply::LEADER, leader);
        }
        response
    }

    /// The leader's API address.
    fn leader(&self) -> Option<HeaderValue> {
        let of = {
            let role = self.inner.role.borrow();
            (role.term, role.leader?)
        };
        let known = self.inner.leader.read();
        if known.of == Some(of) && known.api.is_some() {
            return known.api.clone();
        }
        drop(known);
        let api = self.inner.service.api_of(of.1)?;
        let api = HeaderValue::try_from(api).ok()?;
        *self.inner.leader.write() = Leader {
            of: Some(of),
            api: Some(api.clone()),
        };
        Some(api)
    }
}

/// A panic in a handler is one caller's `bug` and not the end of its connection, wherever panics
/// unwind. In a build where they abort, the node stops, as it does for every broken invariant.
async fn guarded(handler: impl Future<Output = Result<Reply, Failure>>) -> Result<Reply, Failure> {
    match AssertUnwindSafe(handler).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Failure::Panicked(
                message.unwrap_or("no message").to_owned(),
            ))
        }
    }
}
