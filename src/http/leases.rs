//! What a holder does with its lease.

use lockring_client::wire;
use lockring_core::{Fence, SessionId};

use super::Api;
use super::acquire::value;
use super::ask::{Ask, first_digits, session_of};
use super::error::Failure;
use super::reply::Reply;
use crate::service::Lease;

pub(super) async fn release(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let key = ask.key()?;
    let lock = ask.lock()?;
    let body: wire::Release = ask.json(api.limits().body).await?;
    let lease = Lease {
        session: session_of("session", &body.session)?,
        lock,
        fence: Fence::claimed(body.fence),
    };
    let answer = api.service().release(lease, key).await?;
    let released = wire::Released {
        released: true,
        replayed: answer.replayed,
    };
    Ok(Reply::json(&released).at(answer.revision))
}

pub(super) async fn set_value(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let key = ask.key()?;
    let lock = ask.lock()?;
    let body: wire::SetValue = ask.json(api.limits().body).await?;
    let lease = Lease {
        session: session_of("session", &body.session)?,
        lock,
        fence: Fence::claimed(body.fence),
    };
    let value = value(body.value)?;
    let answer = api.service().set_value(lease, value, key).await?;
    let set = wire::ValueSet {
        set: true,
        replayed: answer.replayed,
    };
    Ok(Reply::json(&set).at(answer.revision))
}

pub(super) async fn transfer(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let key = ask.key()?;
    let lock = ask.lock()?;
    let body: wire::Transfer = ask.json(api.limits().body).await?;
    let lease = Lease {
        session: session_of("session", &body.session)?,
        lock,
        fence: Fence::claimed(body.fence),
    };
    let to = receiver(api, &body.to).await?;
    let answer = api.service().transfer_lease(lease, to, key).await?;
    let transferred = wire::Transferred {
        fence: answer.body.number(),
        replayed: answer.replayed,
    };
    Ok(Reply::json(&transferred)
        .fence(answer.body)
        .at(answer.revision))
}

/// Who is to have a lease: a whole id, or the digits of it that others see.
async fn receiver(api: &Api, to: &str) -> Result<SessionId, Failure> {
    match first_digits(to) {
        Some(first) => Ok(api.service().session_with("to", first).await?),
        None => session_of("to", to),
    }
}
