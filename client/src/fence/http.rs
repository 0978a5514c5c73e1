//! A tower layer, for axum and every other service of that kind: writes under a stale
//! `Lockring-Fence` header are answered with 412.
//!
//! **One step, also around slow handlers.** The request goes into the [`Gate`] and stays in until
//! its answer is ready. When one with a higher fence comes, those in flight under lower ones are
//! ended: their handlers' futures are dropped, as they are when a client disconnects, and their
//! callers get 412 with certainty `unknown`. Only then does the newer one begin. A handler that
//! hands its write to a task of its own has it outside of the gate, and has to guard it there.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use lockring_core::Fence;
use tower_layer::Layer;
use tower_service::Service;

use super::{Gate, Stale};
use crate::wire::{self, Certainty, ErrorCode, Problem};

/// What becomes of a request that brings no fence and is not of a safe method (RFC 9110: GET,
/// HEAD, OPTIONS, TRACE). Safe ones pass without; a fence that *is* brought counts for them too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// 422, code `invalid`: whoever writes must hold the lock.
    #[default]
    Refuse,
    /// It passes unguarded: for the time in which clients learn to send it, and not for longer.
    Pass,
}

type Resource = dyn Fn(&Parts) -> String + Send + Sync;

/// Guards a service: stale fences get 412 as `application/problem+json`, with `highest_fence`.
///
/// ```
/// use std::sync::Arc;
///
/// use lockring_client::fence::Gate;
/// use lockring_client::fence::http::{FenceLayer, Missing};
///
/// let gate = Arc::new(Gate::new(100_000));
/// let layer = FenceLayer::new(gate)
///     .missing(Missing::Refuse)
///     // What is guarded together: here the invoice, whatever part of it is written.
///     .resource(|request| request.uri.path().split('/').take(3).collect());
/// // With axum: router.layer(layer)
/// # drop(layer);
/// ```
#[derive(Clone)]
pub struct FenceLayer {
    rule: Rule,
}

#[derive(Clone)]
struct Rule {
    gate: Arc<Gate>,
    missing: Missing,
    resource: Arc<Resource>,
}

impl FenceLayer {
    /// A layer whose resources are the paths, and that refuses writes without a fence.
    #[must_use]
    pub fn new(gate: Arc<Gate>) -> Self {
        let rule = Rule {
            gate,
            missing: Missing::default(),
            resource: Arc::new(|request| request.uri.path().to_owned()),
        };
        Self { rule }
    }

    /// What becomes of writes that bring no fence.
    #[must_use]
    pub fn missing(mut self, missing: Missing) -> Self {
        self.rule.missing = missing;
        self
    }

    /// Which resource a request writes to. It must be the same for everything that one lock
    /// protects.
    #[must_use]
    pub fn resource(mut self, resource: impl Fn(&Parts) -> String + Send + Sync + 'static) -> Self {
        self.rule.resource = Arc::new(resource);
        self
    }
}

impl fmt::Debug for FenceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FenceLayer")
            .field("gate", &self.rule.gate)
            .field("missing", &self.rule.missing)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for FenceLayer {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        let rule = self.rule.clone();
        Fenced { inner, rule }
    }
}

/// A service behind a [`FenceLayer`].
#[derive(Clone)]
pub struct Fenced<S> {
    inner: S,
    rule: Rule,
}

impl<S: fmt::Debug> fmt::Debug for Fenced<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fenced")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

type Answering<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

impl<S, A, B> Service<Request<A>> for Fenced<S>
where
    S: Service<Request<A>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    A: Send + 'static,
    B: From<Vec<u8>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answering<B, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let rule = self.rule.clone();
        // The one that said it was ready is the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let fence = match rule.fence_of(&parts) {
                Ok(fence) => fence,
                Err(problem) => return Ok(answer(&problem)),
            };
            let resource = (rule.resource)(&parts);
            let request = Request::from_parts(parts, body);
            let Some(fence) = fence else {
                return inner.call(request).await;
            };
            let pass = match rule.gate.enter(&resource, fence).await {
                Ok(pass) => pass,
                Err(stale) => return Ok(answer(&refused(stale, Certainty::NoEffect))),
            };
            // What loses is dropped here, before the pass is.
            tokio::select! {
                biased;
                answered = inner.call(request) => answered,
                stale = pass.superseded() => Ok(answer(&refused(stale, Certainty::Unknown))),
            }
        })
    }
}

impl Rule {
    /// The fence that a request brings; nothing if it may pass without.
    fn fence_of(&self, request: &Parts) -> Result<Option<Fence>, Box<Problem>> {
        let mut brought = request.headers.get_all(wire::header::FENCE).iter();
        let Some(value) = brought.next() else {
            let passes = is_safe(&request.method) || self.missing == Missing::Pass;
            let problem = || invalid("a write needs the fence of its lease", None);
            return if passes { Ok(None) } else { Err(problem()) };
        };
        if brought.next().is_some() {
            return Err(invalid("a request has one fence", None));
        }
        let number = value.to_str().ok().filter(|text| is_decimal(text));
        let number = number.and_then(|text| text.parse().ok());
        let problem = || invalid("it is not a number of 64 bits", Some(value));
        number
            .map(|number| Some(Fence::claimed(number)))
            .ok_or_else(problem)
    }
}

fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method)
}

/// `parse` would take a plus sign.
fn is_decimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn invalid(why: &str, value: Option<&HeaderValue>) -> Box<Problem> {
    let detail = format!("{}: {why}", wire::header::FENCE);
    let mut problem = Problem::new(ErrorCode::Invalid, detail);
    problem.field = Some(wire::header::FENCE.to_owned());
    let shown = value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    problem.value = shown.map(|text| text.chars().take(100).collect());
    problem.bound = Some("a whole number, in decimal digits".to_owned());
    Box::new(problem)
}

fn refused(stale: Stale, certainty: Certainty) -> Problem {
    let mut problem = Problem::new(ErrorCode::FenceStale, stale.to_string());
    problem.highest_fence = Some(Some(stale.least.number()));
    problem.certainty = certainty;
    problem
}

fn answer<B: From<Vec<u8>>>(problem: &Problem) -> Response<B> {
    let body = serde_json::to_vec(problem).expect("a problem is plain text and numbers");
    let mut response = Response::new(B::from(body));
    *response.status_mut() =
        StatusCode::from_u16(problem.status).expect("a code's status is a status");
    let json = HeaderValue::from_static(wire::CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests;
