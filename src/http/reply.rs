//! Successes on their way out.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use lockring_client::wire;
use lockring_core::Fence;
use serde::Serialize;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const PROBLEM: HeaderValue = HeaderValue::from_static(wire::CONTENT_TYPE);
pub(super) const REVISION: HeaderName = HeaderName::from_static(wire::header::REVISION);
pub(super) const LEADER: HeaderName = HeaderName::from_static(wire::header::LEADER);
const FENCE: HeaderName = HeaderName::from_static(wire::header::FENCE);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(wire::header::IDEMPOTENCY_KEY);

/// Most answers fit, so that serializing one allocates once.
const BODY_BYTES_USUAL: usize = 256;

/// What a call is answered with.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    content_type: HeaderValue,
    body: Body,
    pub(super) revision: Option<u64>,
    fence: Option<Fence>,
    key: Option<String>,
    tag: Option<HeaderValue>,
}

impl Reply {
    /// 200 with this body.
    pub(super) fn json(body: &impl Serialize) -> Self {
        Self::of(StatusCode::OK, JSON, to_json(body))
    }

    /// Bytes of another type.
    pub(super) fn of(
        status: StatusCode,
        content_type: HeaderValue,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            status,
            content_type,
            body: Body::from(body.into()),
            revision: None,
            fence: None,
            key: None,
            tag: None,
        }
    }

    /// 200 with bytes that come as they come.
    pub(super) fn stream(
        content_type: HeaderValue,
        bytes: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Self {
        let body = Body::from_stream(bytes.map(Ok::<_, Infallible>));
        Self {
            body,
            ..Self::of(StatusCode::OK, content_type, Bytes::new())
        }
    }

    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The revision that the answer is of, if it is not simply the newest.
    pub(super) fn at(mut self, revision: u64) -> Self {
        self.revision = Some(revision);
        self
    }

    pub(super) fn fence(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// The key to come back with.
    pub(super) fn key(mut self, key: Option<String>) -> Self {
        self.key = key;
        self
    }

    /// What tells whether a reader has the newest already.
    pub(super) fn tag(mut self, epoch: u64) -> Self {
        let tag = HeaderValue::try_from(format!("\"{epoch}\""));
        self.tag = Some(tag.expect("digits in quotes are visible"));
        self
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.reserve(6);
        headers.insert(CONTENT_TYPE, self.content_type);
        if let Some(fence) = self.fence {
            headers.insert(FENCE, HeaderValue::from(fence.number()));
        }
        if let Some(tag) = self.tag {
            headers.insert(ETAG, tag);
        }
        if let Some(key) = self.key {
            let key = HeaderValue::try_from(key).expect("the service tells hexadecimal digits");
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        response
    }
}

pub(super) fn to_json(body: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BODY_BYTES_USUAL);
    serde_json::to_writer(&mut bytes, body).expect("wire types are made of strings and numbers");
    bytes
}
