//! Locks as readers see them.

use lockring_client::wire;
use lockring_core::{ClusterTime, Fence, Holder, LockName, LockView, WaiterView};

use super::Api;
use super::ask::{Ask, wrong_name};
use super::error::Failure;
use super::reply::Reply;

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
            holders_total: 0,
            highest_fence: None,
            delayed_for_ms: None,
            revoking: None,
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
        mode: holder.mode.into(),
        fence: holder.fence.number(),
        held_ms: now.ms_since(holder.since),
        expires_in_ms: holder.expires_at.ms_since(now),
        hold_ends_in_ms: holder.hold_until.map(|until| until.ms_since(now)),
        value: holder.value.as_deref().map(str::to_owned),
    }
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
        holders_total: view.holders_total,
        highest_fence: view.highest_fence.map(Fence::number),
        delayed_for_ms: view.delayed_until.map(|until| until.ms_since(now)),
        revoking: view.revoking.map(|(deadline, reason)| wire::Revocation {
            deadline_in_ms: deadline.ms_since(now),
            reason: reason.to_string(),
        }),
    }
}

fn waiter(waiter: &WaiterView, now: ClusterTime) -> wire::Waiter {
    wire::Waiter {
        session: waiter.session.short(),
        owner: waiter.owner.as_str().to_owned(),
        mode: waiter.mode.into(),
        ticket: waiter.ticket,
        waited_ms: now.ms_since(waiter.since),
        ends_in_ms: waiter.until.ms_since(now),
    }
}
