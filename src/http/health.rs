//! Whether the process lives, and whether the node can serve.
//!
//! They are two questions for two readers. Whoever restarts processes asks `/healthz`, and a node
//! without a leader is healthy: to restart it would help nobody. Whoever sends traffic asks
//! `/readyz`, and is told no, with the reason, while this node could only answer 503.

use axum::http::{HeaderValue, StatusCode};

use super::Api;
use super::ask::Ask;
use super::error::Failure;
use super::reply::Reply;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

pub(super) fn health(ask: &Ask) -> Result<Reply, Failure> {
    ask.no_parameters()?;
    Ok(Reply::of(StatusCode::OK, TEXT, "ok\n"))
}

pub(super) async fn ready(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    ask.no_parameters()?;
    drop(ask);
    api.service().ready().await?;
    Ok(Reply::of(StatusCode::OK, TEXT, "ready\n"))
}
