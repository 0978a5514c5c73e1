//! The contract as an OpenAPI document, and a page that shows it.

use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::ask::Ask;
use super::calls::Call;
use super::error::Failure;
use super::reply::{JSON, Reply};

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(describe().to_string()));

pub(super) fn document(ask: &Ask) -> Result<Reply, Failure> {
    ask.no_parameters()?;
    Ok(Reply::of(StatusCode::OK, JSON, DOCUMENT.clone()))
}

pub(super) fn page(ask: &Ask) -> Result<Reply, Failure> {
    ask.no_parameters()?;
    let page = "<!doctype html><title>lockring</title><a href=/openapi.json>/openapi.json</a>";
    Ok(Reply::of(StatusCode::OK, HTML, page))
}

fn describe() -> Value {
    let mut paths = Map::new();
    for call in Call::ALL {
        let spec = call.spec();
        let method = spec.method.as_str().to_ascii_lowercase();
        let path = paths.entry(spec.path).or_insert_with(|| json!({}));
        path[method] = json!({ "operationId": spec.name });
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "lockring", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
    })
}
