//! Calls about sessions.

use axum::http::StatusCode;
use lockring_client::wire;
use lockring_core::{ClusterTime, LockName, Owner, SessionView, limits};

use super::Api;
use super::ask::{Ask, wrong_name};
use super::error::Failure;
use super::operator;
use super::reply::Reply;
use crate::service::{Answer, Open, SessionSeen};

pub(super) async fn open(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let key = ask.opening_key()?;
    let body: wire::OpenSession = ask.json(api.limits().body).await?;
    let ttl = api.service().ttl(body.ttl_ms)?;
    let owner = owner_of(body.owner.as_deref())?;
    let metadata = body.metadata.unwrap_or_default();
    if metadata.len() > limits::METADATA_BYTES_MAX {
        let bound = format!("at most {} bytes", limits::METADATA_BYTES_MAX);
        let value = format!("{} bytes", metadata.len());
        return Err(Failure::invalid("metadata", value, bound));
    }
    let lock_delay_ms = body.lock_delay_ms.unwrap_or(0);
    if lock_delay_ms > limits::LOCK_DELAY_MS_MAX {
        let bound = format!("at most {}", limits::LOCK_DELAY_MS_MAX);
        let value = lock_delay_ms.to_string();
        return Err(Failure::invalid("lock_delay_ms", value, bound));
    }
    let asked = Open {
        ttl,
        owner,
        metadata,
        lock_delay_ms,
    };
    let answer = api.service().open(asked, key).await?;
    let opened = wire::Opened {
        session: answer.body.session.to_string(),
        ttl_ms: answer.body.ttl.ms(),
        expires_in_ms: answer.body.expires_in_ms,
        replayed: answer.replayed,
    };
    Ok(Reply::json(&opened)
        .status(StatusCode::CREATED)
        .at(answer.revision))
}

pub(super) async fn renew(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    // A renewal is harmless to repeat, so its key changes nothing; a wrong one is still told.
    ask.key()?;
    let session = ask.session()?;
    ask.no_body(api.limits().body).await?;
    let answer = api.service().renew(session).await?;
    let renewed = wire::Renewed {
        expires_in_ms: answer.body,
    };
    Ok(Reply::json(&renewed).at(answer.revision))
}

pub(super) async fn get(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let session = ask.session()?;
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    parameters.end()?;
    let answer = api.service().session(session, fresh).await?;
    Ok(Reply::json(&whole(answer.body)).at(answer.revision))
}

pub(super) async fn list(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    let rows = parameters.rows()?;
    let owner = parameters.text("owner")?;
    let after = match parameters.text("after")? {
        None => None,
        Some(cursor) => Some(cursor_of(cursor)?),
    };
    parameters.end()?;
    let answer = api
        .service()
        .sessions(owner.as_deref(), after, rows, fresh)
        .await?;
    let page = wire::SessionPage {
        sessions: answer
            .body
            .sessions
            .into_iter()
            .map(|view| row(view, answer.body.now))
            .collect(),
        next: answer.body.next.map(|first| format!("{first:08x}")),
    };
    Ok(Reply::json(&page).at(answer.revision))
}

/// Its owner closes a session by its whole id, an operator ends it by the digits that others see.
pub(super) async fn close(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    if let Some(first) = ask.first_digits()? {
        return operator::end_session(api, ask, first).await;
    }
    let key = ask.key()?;
    let session = ask.session()?;
    ask.no_body(api.limits().body).await?;
    Ok(closed(api.service().close(session, key).await?))
}

pub(super) fn closed(answer: Answer<Vec<(LockName, u64)>>) -> Reply {
    let closed = wire::Closed {
        released: answer.body.into_iter().map(released).collect(),
        replayed: answer.replayed,
    };
    Reply::json(&closed).at(answer.revision)
}

/// An owner in a body.
pub(super) fn owner_of(owner: Option<&str>) -> Result<Owner, Failure> {
    let owner = owner.unwrap_or_default();
    Owner::parse(owner).map_err(|error| wrong_name("owner", owner, &error))
}

fn cursor_of(cursor: String) -> Result<u32, Failure> {
    let digits = cursor.len() == 8 && cursor.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u32::from_str_radix(&cursor, 16) {
        Ok(first) if digits => Ok(first),
        Ok(_) | Err(_) => Err(Failure::invalid(
            "after",
            cursor,
            "`next` of the page before",
        )),
    }
}

fn released((lock, fence): (LockName, u64)) -> wire::ClosedLease {
    wire::ClosedLease {
        lock: lock.as_str().to_owned(),
        fence,
    }
}

fn row(view: SessionView, now: ClusterTime) -> wire::SessionRow {
    wire::SessionRow {
        session: view.session.short(),
        owner: view.owner.as_str().to_owned(),
        metadata: view.metadata,
        ttl_ms: view.ttl.ms(),
        expires_in_ms: view.expires_at.ms_since(now),
        leases: view.leases_total,
    }
}

fn whole(SessionSeen { view, now }: SessionSeen) -> wire::Session {
    wire::Session {
        session: view.session.to_string(),
        owner: view.owner.as_str().to_owned(),
        metadata: view.metadata,
        ttl_ms: view.ttl.ms(),
        expires_in_ms: view.expires_at.ms_since(now),
        leases: view
            .leases
            .into_iter()
            .map(|lease| wire::Lease {
                lock: lease.lock.as_str().to_owned(),
                mode: lease.mode.into(),
                fence: lease.fence.number(),
            })
            .collect(),
        leases_total: view.leases_total,
        waits: view
            .waits
            .into_iter()
            .map(|wait| wire::Wait {
                lock: wait.lock.as_str().to_owned(),
                mode: wait.mode.into(),
                position: wait.position,
            })
            .collect(),
        waits_total: view.waits_total,
        lock_delay_ms: view.lock_delay_ms,
    }
}
