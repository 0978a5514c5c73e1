//! The contract as an OpenAPI document, and a page that shows it to people.
//!
//! The document is made, not written: its calls come from the table that the router is made of,
//! its shapes from the wire types that answer, its bounds from `lockring_core::limits`. What has to
//! be written, the sentences, is in [`about`], whose match does not compile without every call.

mod about;

use std::sync::LazyLock;

use axum::http::{HeaderValue, Method, StatusCode};
use bytes::Bytes;
use lockring_client::wire::{self, ErrorCode, header};
use lockring_core::limits;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::ask::Ask;
use super::calls::{Call, Spec};
use super::error::Failure;
use super::reply::{JSON, Reply};
use about::{About, Success};

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| describe().to_string().into());
/// One file without a foreign byte, so that it works on a machine without the internet too.
const PAGE: &str = include_str!("page.html");

pub(super) fn document(ask: &Ask) -> Result<Reply, Failure> {
    ask.no_parameters()?;
    Ok(Reply::of(StatusCode::OK, JSON, DOCUMENT.clone()))
}

pub(super) fn page(ask: &Ask) -> Result<Reply, Failure> {
    ask.no_parameters()?;
    Ok(Reply::of(StatusCode::OK, HTML, PAGE))
}

fn describe() -> Value {
    let mut paths = Map::new();
    for call in Call::ALL {
        let spec = call.spec();
        let method = spec.method.as_str().to_ascii_lowercase();
        let path = paths.entry(spec.path).or_insert_with(|| json!({}));
        path[method] = operation(&spec, &about::about(call));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "lockring",
            "version": env!("CARGO_PKG_VERSION"),
            "description": about::INTRODUCTION,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(spec: &Spec, about: &About) -> Value {
    let mut parameters = about.query.clone();
    for name in parameters_of(spec.path) {
        parameters.push(json!({
            "name": name, "in": "path", "required": true,
            "description": about::path_parameter(spec, name),
            "schema": path_schema(spec, name),
        }));
    }
    if about.keyed {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": about::KEY,
            "schema": {
                "type": "string", "minLength": 1,
                "maxLength": limits::REQUEST_KEY_BYTES_MAX, "pattern": "^[!-~]+$",
            },
        }));
    }
    if !about.event_data.is_empty() {
        parameters.push(json!({
            "name": "Last-Event-ID", "in": "header", "required": false,
            "description": about::LAST_EVENT_ID,
            "schema": { "type": "string", "pattern": "^[0-9]{1,19}([.][0-9]{1,9})?$" },
        }));
    }
    let mut responses = Map::new();
    for success in &about.successes {
        responses.insert(success.status.to_string(), answer(success));
    }
    for (status, codes) in by_status(spec, about) {
        responses.insert(status.to_string(), problem(&codes));
    }
    let mut operation = json!({
        "operationId": spec.name,
        "tags": [about.tag],
        "summary": about.summary,
        "description": about.description,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(body) = about.body {
        operation["requestBody"] = json!({
            "required": about.body_required,
            "description": format!("At most {} bytes.", limits::BODY_BYTES_MAX),
            "content": { "application/json": { "schema": reference(body) } },
        });
    }
    if !about.event_data.is_empty() {
        let data: Vec<_> = about.event_data.iter().copied().map(reference).collect();
        operation["x-event-data"] = json!({ "oneOf": data });
    }
    if let Some(permission) = spec.permission {
        operation["security"] = json!([{}, { "token": [permission.as_str()] }]);
        operation["x-permission"] = json!(permission.as_str());
    }
    operation
}

fn answer(success: &Success) -> Value {
    let revision = json!({
        "description": "The revision of a mutation, or the one that a read's view reflects.",
        "schema": { "type": "integer", "minimum": 0 },
    });
    let leader = json!({
        "description": "The leader's API address, if known.",
        "schema": { "type": "string" },
    });
    let mut headers = json!({ header::REVISION: revision, header::LEADER: leader });
    for (name, description) in success.headers {
        headers[*name] = json!({
            "description": description, "schema": { "type": "string" },
        });
    }
    let content = match success.schema {
        Ok(schema) => json!({ "application/json": { "schema": reference(schema) } }),
        Err(content_type) => json!({ content_type: { "schema": { "type": "string" } } }),
    };
    json!({ "description": success.description, "headers": headers, "content": content })
}

/// The codes that a call can be answered with, by their status.
fn by_status(spec: &Spec, about: &About) -> Vec<(u16, Vec<ErrorCode>)> {
    let mut codes = about.problems.to_vec();
    codes.extend([ErrorCode::Invalid, ErrorCode::Bug]);
    if spec.permission.is_some() {
        codes.extend([ErrorCode::Unauthenticated, ErrorCode::Forbidden]);
    }
    // A call that takes no body refuses one.
    if spec.method != Method::GET {
        codes.extend([
            ErrorCode::Malformed,
            ErrorCode::TooLarge,
            ErrorCode::UnsupportedMediaType,
        ]);
    }
    let mut by_status: Vec<(u16, Vec<ErrorCode>)> = Vec::new();
    for code in codes {
        match by_status
            .iter_mut()
            .find(|(status, _)| *status == code.status())
        {
            Some((_, codes)) => codes.push(code),
            None => by_status.push((code.status(), vec![code])),
        }
    }
    by_status.sort_by_key(|(status, _)| *status);
    by_status
}

fn problem(codes: &[ErrorCode]) -> Value {
    let line = |code: &ErrorCode| {
        let certainty = match code.certainty() {
            wire::Certainty::NoEffect => "no effect",
            wire::Certainty::Unknown => "effect unknown",
        };
        format!("`{code}`: {} ({certainty})", code.title())
    };
    let lines: Vec<_> = codes.iter().map(line).collect();
    json!({
        "description": lines.join("; "),
        "content": { wire::CONTENT_TYPE: { "schema": reference("Problem") } },
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// The names in a template's braces.
fn parameters_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_schema(spec: &Spec, name: &str) -> Value {
    let path = spec.path;
    if path == wire::route::SESSION && spec.method == Method::DELETE {
        json!({ "type": "string", "pattern": "^([0-9a-f]{8}|[0-9a-f]{32})$" })
    } else if path.starts_with(wire::route::SESSIONS) {
        json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })
    } else if name == "ring" {
        json!({ "type": "string", "minLength": 1, "maxLength": limits::RING_NAME_BYTES_MAX })
    } else if name == "member" {
        json!({ "type": "string", "minLength": 1, "maxLength": limits::MEMBER_NAME_BYTES_MAX })
    } else if path.starts_with(wire::route::LOCKS) {
        json!({ "type": "string", "minLength": 1, "maxLength": limits::LOCK_NAME_BYTES_MAX })
    } else {
        json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX })
    }
}

fn schemas() -> Value {
    let mut found = Vec::new();
    macro_rules! schemas_of {
        ($($body:ty),* $(,)?) => {$(
            found.push((<$body>::name().into_owned(), <$body as utoipa::PartialSchema>::schema()));
            <$body>::schemas(&mut found);
        )*};
    }
    schemas_of!(
        wire::OpenSession,
        wire::Opened,
        wire::Renewed,
        wire::Session,
        wire::SessionPage,
        wire::Closed,
        wire::Acquire,
        wire::AcquireAll,
        wire::Granted,
        wire::GrantedAll,
        wire::Queued,
        wire::Release,
        wire::Released,
        wire::SetValue,
        wire::ValueSet,
        wire::Transfer,
        wire::Transferred,
        wire::Revoke,
        wire::Revoking,
        wire::Break,
        wire::Broken,
        wire::HistoryPage,
        wire::Event,
        wire::Gap,
        wire::SessionEvent,
        wire::Lock,
        wire::LockPage,
        wire::Check,
        wire::Cluster,
        wire::Digest,
        wire::AddNode,
        wire::TransferLeader,
        wire::LeaderIs,
        wire::RingList,
        wire::Ring,
        wire::ConfigureRing,
        wire::RingTableBody,
        wire::JoinRing,
        wire::RingChanged,
        wire::ReleaseSlots,
        wire::SlotsReleased,
        wire::Lookup,
        wire::Assignments,
        wire::PlanRing,
        wire::Planned,
        wire::RingDiff,
        wire::FreezeRing,
        wire::Problem,
        wire::Consistency,
    );
    let mut schemas = Map::new();
    for (name, schema) in found {
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        schemas.insert(name, schema);
    }
    let mut schemas = Value::Object(schemas);
    for (schema, field, key, bound) in about::bounds() {
        schemas[schema]["properties"][field][key] = bound;
    }
    schemas
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every `$ref` in a document.
    fn references(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    into.insert(to.clone());
                }
                fields.values().for_each(|field| references(field, into));
            }
            Value::Array(rows) => rows.iter().for_each(|row| references(row, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_referred_to() {
        let document = describe();
        let mut referred = BTreeSet::new();
        references(&document, &mut referred);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let there: BTreeSet<_> = schemas
            .keys()
            .map(|name| format!("#/components/schemas/{name}"))
            .collect();
        assert_eq!(referred, there);
    }

    #[test]
    fn every_bound_is_on_a_field_that_exists_and_describes_itself() {
        let described = schemas();
        for (schema, field, key, _) in about::bounds() {
            let field = &described[schema]["properties"][field];
            assert!(field["description"].is_string(), "{schema} {key}: {field}");
        }
    }

    #[test]
    fn every_call_has_a_success_and_its_sentences() {
        for call in Call::ALL {
            let about = about::about(call);
            let name = call.spec().name;
            assert!(!about.successes.is_empty(), "{name}");
            assert!(about.summary.len() > 5, "{name}");
            assert!(about.description.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn every_code_of_the_contract_that_a_call_can_give_is_described() {
        let text = describe().to_string();
        let of_no_call = [ErrorCode::MethodNotAllowed];
        for code in ErrorCode::ALL {
            let told = text.contains(&format!("`{code}`: {}", code.title()));
            assert_ne!(told, of_no_call.contains(&code), "{code}");
        }
    }
}
