//! Calls about locks.

use axum::http::StatusCode;
use lockring_client::wire;
use lockring_core::{ClusterTime, Fence, Holder, LockName, LockView, Mode, WaiterView, limits};

use super::Api;
use super::ask::{Ask, session_of, wrong_name};
use super::error::Failure;
use super::reply::Reply;
use super::sessions::owner_of;
use crate::service::{Acquire, Acquired, Answer, By, Granted};

pub(super) async fn acquire(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let key = ask.key()?;
    let lock = ask.lock()?;
    let body: wire::Acquire = ask.json(api.limits().body).await?;
    let wait_ms = body.wait_ms.unwrap_or(0);
    if wait_ms > limits::WAIT_MS_MAX {
        let bound = format!("at most {}", limits::WAIT_MS_MAX);
        return Err(Failure::invalid("wait_ms", wait_ms.to_string(), bound));
    }
    only_exclusive(&body)?;
    let by = by(api, &body)?;
    let asked = Acquire {
        lock: lock.clone(),
        by,
        wait_ms,
        key,
    };
    let Answer {
        revision,
        replayed,
        body,
    } = api.service().acquire(asked).await?;
    Ok(match body {
        Acquired::Granted(lease) => granted(&lock, lease, replayed).at(revision),
        Acquired::Parked(parked) => {
            let queued = wire::Queued {
                ticket: parked.ticket,
                position: parked.position,
                retry_after_ms: 0,
            };
            Reply::json(&queued)
                .status(StatusCode::ACCEPTED)
                .key(parked.key)
                .at(revision)
        }
    })
}

pub(super) async fn release(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let key = ask.key()?;
    let lock = ask.lock()?;
    let body: wire::Release = ask.json(api.limits().body).await?;
    let session = session_of("session", &body.session)?;
    let fence = Fence::claimed(body.fence);
    let answer = api.service().release(session, lock, fence, key).await?;
    let released = wire::Released {
        released: true,
        replayed: answer.replayed,
    };
    Ok(Reply::json(&released).at(answer.revision))
}

pub(super) async fn get(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let lock = ask.lock()?;
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    parameters.end()?;
    let answer = api.service().lock(&lock, fresh).await?;
    let seen = match answer.body.view {
        Some(view) => in_use(view, answer.body.now),
        None => wire::Lock {
            lock: lock.as_str().to_owned(),
            state: wire::LockState::Free,
            holders: Vec::new(),
            queue: Vec::new(),
            queue_total: 0,
            highest_fence: None,
        },
    };
    Ok(Reply::json(&seen).at(answer.revision))
}

pub(super) async fn list(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    let rows = parameters.rows()?;
    let prefix = parameters.text("prefix")?.unwrap_or_default();
    let after = match parameters.text("after")? {
        None => None,
        Some(name) => {
            Some(LockName::parse(&name).map_err(|error| wrong_name("after", &name, &error))?)
        }
    };
    parameters.end()?;
    let answer = api
        .service()
        .locks(&prefix, after.as_ref(), rows, fresh)
        .await?;
    let page = answer.body;
    let locks: Vec<_> = page
        .locks
        .into_iter()
        .map(|view| in_use(view, page.now))
        .collect();
    let last = locks.last().filter(|_| page.more);
    let next = last.map(|lock| lock.lock.clone());
    Ok(Reply::json(&wire::LockPage { locks, next }).at(answer.revision))
}

pub(super) async fn check(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let lock = ask.lock()?;
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    let fence = parameters.number("fence", 0..=u64::MAX)?;
    parameters.end()?;
    let fence = fence.ok_or_else(|| Failure::invalid("fence", "absent", "has to be there"))?;
    let fence = Fence::claimed(fence);
    let answer = api.service().check(&lock, fence, fresh).await?;
    let checked = wire::Check {
        current: answer.body.current,
        highest_fence: answer.body.highest_fence.map(Fence::number),
    };
    Ok(Reply::json(&checked).at(answer.revision))
}

/// A holder as others see it.
pub(super) fn holder(holder: &Holder, now: ClusterTime) -> wire::Holder {
    wire::Holder {
        session: holder.session.short(),
        owner: holder.owner.as_str().to_owned(),
        mode: wire_mode(holder.mode),
        fence: holder.fence.number(),
        held_ms: now.ms_since(holder.since),
        expires_in_ms: holder.expires_at.ms_since(now),
        hold_ends_in_ms: holder.hold_until.map(|until| until.ms_since(now)),
        value: holder.value.as_deref().map(str::to_owned),
    }
}

/// A mode as the contract writes it.
pub(super) fn wire_mode(mode: Mode) -> wire::Mode {
    match mode {
        Mode::Exclusive => wire::Mode::Exclusive,
        Mode::Shared => wire::Mode::Shared,
        Mode::Permits { count: permits, of } => wire::Mode::Permits { permits, of },
    }
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

/// What the contract has and this version of the machine has not is refused, not ignored.
fn only_exclusive(body: &wire::Acquire) -> Result<(), Failure> {
    let mode = body.mode.filter(|mode| *mode != wire::Mode::Exclusive);
    let beyond = [
        mode.map(|mode| ("mode", mode.to_string())),
        body.max_hold_ms.map(|ms| ("max_hold_ms", ms.to_string())),
        body.value.clone().map(|value| ("value", value)),
    ];
    match beyond.into_iter().flatten().next() {
        None => Ok(()),
        Some((field, value)) => Err(Failure::invalid(field, value, "not served by this version")),
    }
}

fn granted(lock: &LockName, lease: Granted, replayed: bool) -> Reply {
    let granted = wire::Granted {
        lock: lock.as_str().to_owned(),
        session: lease.session.to_string(),
        mode: wire::Mode::Exclusive,
        fence: lease.fence.number(),
        expires_in_ms: lease.expires_in_ms,
        hold_ends_in_ms: None,
        replayed,
    };
    Reply::json(&granted).fence(lease.fence)
}

fn in_use(view: LockView, now: ClusterTime) -> wire::Lock {
    wire::Lock {
        lock: view.lock.as_str().to_owned(),
        state: match view.holders.is_empty() {
            true => wire::LockState::Free,
            false => wire::LockState::Held,
        },
        holders: view.holders.iter().map(|row| holder(row, now)).collect(),
        queue: view.queue.iter().map(|row| waiter(row, now)).collect(),
        queue_total: view.queue_total,
        highest_fence: view.highest_fence.map(Fence::number),
    }
}

fn waiter(waiter: &WaiterView, now: ClusterTime) -> wire::Waiter {
    wire::Waiter {
        session: waiter.session.short(),
        owner: waiter.owner.as_str().to_owned(),
        mode: wire_mode(waiter.mode),
        ticket: waiter.ticket,
        waited_ms: now.ms_since(waiter.since),
        ends_in_ms: waiter.until.ms_since(now),
    }
}
