//! Calls that take locks: one, or many at once.

use std::borrow::Cow;

use axum::http::StatusCode;
use lockring_client::wire;
use lockring_core::{LockName, Mode, Want, Wants, WantsError, limits};

use super::Api;
use super::ask::{Ask, session_of, wrong_name};
use super::error::Failure;
use super::reply::Reply;
use super::sessions::owner_of;
use crate::service::{Acquire, AcquireAll, Acquired, Answer, By, Granted, GrantedMany, Parked};

pub(super) async fn one(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let (key, opening) = (ask.key()?, ask.opening_key()?);
    let lock = ask.lock()?;
    let body: wire::Acquire = ask.json(api.limits().body).await?;
    let by = by(api, &body)?;
    let asked = Acquire {
        lock: lock.clone(),
        key: match by {
            By::Session(_) => key,
            By::OneLease { .. } => opening,
        },
        by,
        mode: mode("mode", body.mode)?,
        wait_ms: wait(body.wait_ms)?,
        max_hold_ms: hold(body.max_hold_ms)?,
        value: value(body.value.unwrap_or_default())?,
    };
    let answer = api.service().acquire(asked).await?;
    Ok(acquired(Some(&lock), answer))
}

pub(super) async fn all(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let key = ask.key()?;
    let body: wire::AcquireAll = ask.json(api.limits().body).await?;
    let asked = AcquireAll {
        session: session_of("session", &body.session)?,
        wants: wants(body.locks)?,
        wait_ms: wait(body.wait_ms)?,
        max_hold_ms: hold(body.max_hold_ms)?,
        key,
    };
    let answer = api.service().acquire_all(asked).await?;
    Ok(acquired(None, answer))
}

/// Who asks: a session that is open, or one that is opened with this TTL and owner.
fn by(api: &Api, body: &wire::Acquire) -> Result<By, Failure> {
    let Some(session) = &body.session else {
        return Ok(By::OneLease {
            ttl: api.service().ttl(body.ttl_ms)?,
            owner: owner_of(body.owner.as_deref())?,
        });
    };
    let ttl = body.ttl_ms.map(|ttl_ms| ("ttl_ms", ttl_ms.to_string()));
    let owner = body.owner.clone().map(|owner| ("owner", owner));
    if let Some((field, value)) = ttl.or(owner) {
        let bound = "absent beside `session`: the session has its own";
        return Err(Failure::invalid(field, value, bound));
    }
    Ok(By::Session(session_of("session", session)?))
}

fn wants(locks: Vec<wire::Want>) -> Result<Wants, Failure> {
    let mut wants = Vec::with_capacity(locks.len().min(limits::LOCKS_PER_ACQUIRE_MAX));
    // One more than allowed is enough to be refused.
    for (nth, want) in locks
        .into_iter()
        .take(limits::LOCKS_PER_ACQUIRE_MAX + 1)
        .enumerate()
    {
        let lock = LockName::parse(&want.lock)
            .map_err(|error| wrong_name(format!("locks[{nth}].lock"), &want.lock, &error))?;
        let mode = mode(format!("locks[{nth}].mode"), want.mode)?;
        wants.push(Want { lock, mode });
    }
    Wants::parse(wants).map_err(|error| match &error {
        WantsError::Number { locks } => {
            let bound = format!("from 1 to {} locks", limits::LOCKS_PER_ACQUIRE_MAX);
            Failure::invalid("locks", format!("{locks} locks"), bound)
        }
        WantsError::Twice(lock) => {
            Failure::invalid("locks", lock.as_str(), "no lock more than once")
        }
    })
}

fn mode(field: impl Into<Cow<'static, str>>, mode: Option<wire::Mode>) -> Result<Mode, Failure> {
    let asked = mode.unwrap_or_default();
    let mode = Mode::from(asked);
    if mode.fits() {
        return Ok(mode);
    }
    let bound = format!(
        "from 1 permit to as many as there are, at most {}",
        limits::PERMITS_MAX
    );
    Err(Failure::invalid(field, asked.to_string(), bound))
}

fn wait(wait_ms: Option<u64>) -> Result<u64, Failure> {
    let wait_ms = wait_ms.unwrap_or(0);
    if wait_ms > limits::WAIT_MS_MAX {
        let bound = format!("at most {}", limits::WAIT_MS_MAX);
        return Err(Failure::invalid("wait_ms", wait_ms.to_string(), bound));
    }
    Ok(wait_ms)
}

fn hold(max_hold_ms: Option<u64>) -> Result<Option<u64>, Failure> {
    match max_hold_ms {
        Some(ms) if !(1..=limits::HOLD_MS_MAX).contains(&ms) => {
            let bound = format!("from 1 to {}", limits::HOLD_MS_MAX);
            Err(Failure::invalid("max_hold_ms", ms.to_string(), bound))
        }
        within => Ok(within),
    }
}

/// What a lease is to be seen with.
pub(super) fn value(value: String) -> Result<String, Failure> {
    if value.len() > limits::VALUE_BYTES_MAX {
        let bound = format!("at most {} bytes", limits::VALUE_BYTES_MAX);
        let length = format!("{} bytes", value.len());
        return Err(Failure::invalid("value", length, bound));
    }
    Ok(value)
}

fn acquired(lock: Option<&LockName>, answer: Answer<Acquired>) -> Reply {
    let reply = match (answer.body, lock) {
        (Acquired::Granted(lease), lock) => granted(lock, lease, answer.replayed),
        (Acquired::GrantedAll(many), _) => granted_all(many, answer.replayed),
        (Acquired::Parked(parked), _) => queued(parked),
    };
    reply.at(answer.revision)
}

fn granted(lock: Option<&LockName>, lease: Granted, replayed: bool) -> Reply {
    let granted = wire::Granted {
        lock: lock.map_or_else(String::new, |lock| lock.as_str().to_owned()),
        session: lease.session.to_string(),
        mode: lease.mode.into(),
        fence: lease.fence.number(),
        expires_in_ms: lease.expires_in_ms,
        hold_ends_in_ms: lease.hold_ends_in_ms,
        replayed,
    };
    Reply::json(&granted).fence(lease.fence)
}

fn granted_all(many: GrantedMany, replayed: bool) -> Reply {
    let lease = |row: lockring_core::LeaseRow| wire::Lease {
        lock: row.lock.as_str().to_owned(),
        mode: row.mode.into(),
        fence: row.fence.number(),
    };
    Reply::json(&wire::GrantedAll {
        session: many.session.to_string(),
        leases: many.leases.into_iter().map(lease).collect(),
        expires_in_ms: many.expires_in_ms,
        hold_ends_in_ms: many.hold_ends_in_ms,
        replayed,
    })
}

fn queued(parked: Parked) -> Reply {
    let queued = wire::Queued {
        ticket: parked.ticket,
        position: parked.position,
        retry_after_ms: 0,
    };
    Reply::json(&queued)
        .status(StatusCode::ACCEPTED)
        .key(parked.key)
}
