//! Calls about rings.

use axum::http::StatusCode;
use bytes::Bytes;
use lockring_client::wire;
use lockring_core::{
    Addresses, MemberName, PlanChange, RingDiff, RingMove, RingName, RingOp, RingOutcome, RingView,
    SLOTS, SlotRange, Weight, Zone, limits,
};

use super::Api;
use super::ask::{Ask, member_of, session_of, wrong_name};
use super::error::Failure;
use super::reply::{JSON, Reply};
use crate::service::{Answer, Consistency, Freshness, LookedUp};

/// Keys in one lookup.
const KEYS_MAX: usize = 10_000;

pub(super) async fn list(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    parameters.end()?;
    let answer = api.service().rings(fresh).await?;
    let rows = answer.body.into_iter().map(|(ring, epoch)| wire::RingRow {
        ring: ring.as_str().to_owned(),
        epoch,
    });
    let rings = rows.collect();
    Ok(Reply::json(&wire::RingList { rings }).at(answer.revision))
}

/// One ring; a reader that names the epoch it has is only told whether that is the newest.
pub(super) async fn get(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    parameters.end()?;
    let Some(known) = ask.if_none_match() else {
        let answer = api.service().ring(&ring, fresh).await?;
        return Ok(whole(&answer.body).at(answer.revision));
    };
    let known = known.to_owned();
    let Answer { revision, body, .. } = api.service().ring(&ring, fresh).await?;
    if known == format!("\"{}\"", body.epoch) {
        let reply = Reply::of(StatusCode::NOT_MODIFIED, JSON, Bytes::new());
        return Ok(reply.tag(body.epoch).at(revision));
    }
    Ok(whole(&body).at(revision))
}

pub(super) async fn configure(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let body: wire::ConfigureRing = ask.json(api.limits().body).await?;
    let replicas_max = limits::REPLICAS_MAX;
    if let Some(replicas) = body.replicas
        && !(1..=replicas_max).contains(&usize::from(replicas))
    {
        let bound = format!("from 1 to {replicas_max}");
        return Err(Failure::invalid("replicas", replicas.to_string(), bound));
    }
    let delay_max = limits::REASSIGN_DELAY_MS_MAX;
    if let Some(delay_ms) = body.reassign_delay_ms.filter(|ms| *ms > delay_max) {
        let bound = format!("at most {delay_max}");
        return Err(Failure::invalid(
            "reassign_delay_ms",
            delay_ms.to_string(),
            bound,
        ));
    }
    let op = RingOp::Configure {
        ring: ring.clone(),
        hash: body.hash.map(Into::into),
        placement: body.placement.map(Into::into),
        replicas: body.replicas,
        reassign_delay_ms: body.reassign_delay_ms,
    };
    let revision = api.service().change_ring(op).await?.revision;
    let fresh = Freshness {
        consistency: Consistency::Stale,
        min_revision: Some(revision),
    };
    let answer = api.service().ring(&ring, fresh).await?;
    Ok(whole(&answer.body).at(revision))
}

pub(super) async fn table(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    parameters.end()?;
    let answer = api.service().ring(&ring, fresh).await?;
    let body = wire::RingTableBody::of(&answer.body.table);
    Ok(Reply::json(&body)
        .tag(answer.body.epoch)
        .at(answer.revision))
}

pub(super) async fn join(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let (ring, member) = (ask.ring()?, ask.member()?);
    let body: wire::JoinRing = ask.json(api.limits().body).await?;
    let zone = body.zone.unwrap_or_default();
    let addresses = Addresses::parse(body.addresses)
        .map_err(|error| Failure::invalid("addresses", "what was sent", error.to_string()))?;
    let op = RingOp::Join {
        ring,
        member,
        session: session_of("session", &body.session)?,
        weight: weight(body.weight)?,
        zone: Zone::parse(&zone).map_err(|error| wrong_name("zone", &zone, &error))?,
        addresses,
    };
    changed(api, op).await
}

pub(super) async fn leave(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let (ring, member, incarnation) = one_life(&ask)?;
    ask.only_parameters(api.limits().body).await?;
    let op = RingOp::Leave {
        ring,
        member,
        incarnation,
    };
    changed(api, op).await
}

pub(super) async fn drain(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let (ring, member, incarnation) = one_life(&ask)?;
    ask.only_parameters(api.limits().body).await?;
    let op = RingOp::Drain {
        ring,
        member,
        incarnation,
    };
    changed(api, op).await
}

/// A member, and in which of its lives if that is said.
fn one_life(ask: &Ask) -> Result<(RingName, MemberName, Option<u64>), Failure> {
    let mut parameters = ask.parameters()?;
    let incarnation = parameters.number("incarnation", 0..=u64::MAX)?;
    parameters.end()?;
    Ok((ask.ring()?, ask.member()?, incarnation))
}

pub(super) async fn freeze(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let reason = reason(ask.json(api.limits().body).await?)?;
    changed(api, RingOp::Freeze { ring, reason }).await
}

pub(super) async fn unfreeze(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let reason = reason(ask.json(api.limits().body).await?)?;
    changed(api, RingOp::Unfreeze { ring, reason }).await
}

async fn changed(api: &Api, op: RingOp) -> Result<Reply, Failure> {
    let answer = api.service().change_ring(op).await?;
    let epoch = answer.body.epoch;
    Ok(Reply::json(&wire::RingChanged { epoch }).at(answer.revision))
}

pub(super) async fn release(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let body: wire::ReleaseSlots = ask.json(api.limits().body).await?;
    if body.ranges.len() > SLOTS {
        let bound = format!("at most {SLOTS} ranges");
        return Err(Failure::invalid(
            "ranges",
            format!("{} ranges", body.ranges.len()),
            bound,
        ));
    }
    let range = |(first, last)| {
        SlotRange::new(first, last).map_err(|error| {
            let value = format!("[{first},{last}]");
            let bound = "[first, last], rising and at most 16383".to_owned();
            Failure::Invalid {
                field: "ranges".into(),
                value,
                bound,
                detail: format!("a range {error}"),
            }
        })
    };
    let ranges: Result<Vec<_>, _> = body.ranges.into_iter().map(range).collect();
    let op = RingOp::Release {
        ring,
        member: member_of("member", &body.member)?,
        session: session_of("session", &body.session)?,
        ranges: ranges?,
        epoch: body.epoch,
    };
    let answer = api.service().change_ring(op).await?;
    let RingOutcome { epoch, released } = answer.body;
    Ok(Reply::json(&wire::SlotsReleased { epoch, released }).at(answer.revision))
}

pub(super) async fn look_up_one(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    let key = parameters.text("key")?;
    let wanted = parameters.number("n", 1..=limits::REPLICAS_MAX as u64)?;
    parameters.end()?;
    let key = key.ok_or_else(|| Failure::invalid("key", "absent", "has to be there"))?;
    let wanted = wanted.and_then(|n| usize::try_from(n).ok());
    let keys = [key];
    let bytes = [keys[0].as_bytes()];
    let answer = api.service().look_up(&ring, &bytes, wanted, fresh).await?;
    Ok(assigned(&keys, answer))
}

pub(super) async fn look_up_many(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let body: wire::Lookup = ask.json(api.limits().body).await?;
    if body.keys.len() > KEYS_MAX {
        let value = format!("{} keys", body.keys.len());
        return Err(Failure::invalid(
            "keys",
            value,
            format!("at most {KEYS_MAX}"),
        ));
    }
    let wanted = match body.n.map(usize::from) {
        Some(n) if !(1..=limits::REPLICAS_MAX).contains(&n) => {
            let bound = format!("from 1 to {}", limits::REPLICAS_MAX);
            return Err(Failure::invalid("n", n.to_string(), bound));
        }
        wanted => wanted,
    };
    let keys: Vec<&[u8]> = body.keys.iter().map(|key| key.as_bytes()).collect();
    let fresh = Freshness::default();
    let answer = api.service().look_up(&ring, &keys, wanted, fresh).await?;
    Ok(assigned(&body.keys, answer))
}

fn assigned(keys: &[String], answer: Answer<LookedUp>) -> Reply {
    let rows = keys.iter().zip(answer.body.rows);
    let assignments = rows.map(|(key, (slot, members))| wire::Assignment {
        key: key.clone(),
        slot,
        members: members.iter().map(|m| m.as_str().to_owned()).collect(),
    });
    let assignments = wire::Assignments {
        epoch: answer.body.epoch,
        assignments: assignments.collect(),
    };
    Reply::json(&assignments).at(answer.revision)
}

pub(super) async fn plan(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let body: wire::PlanRing = ask.json(api.limits().body).await?;
    if body.changes.len() > limits::MEMBERS_PER_RING_MAX {
        let value = format!("{} changes", body.changes.len());
        let bound = format!("at most {}", limits::MEMBERS_PER_RING_MAX);
        return Err(Failure::invalid("changes", value, bound));
    }
    let changes: Result<Vec<_>, _> = body.changes.into_iter().map(change).collect();
    let fresh = Freshness::default();
    let answer = api.service().plan_ring(&ring, &changes?, fresh).await?;
    let (epoch, plan) = (answer.body.epoch, answer.body.plan);
    let planned = wire::Planned {
        epoch,
        moved_slots: count(plan.moved_slots),
        fraction: fraction(plan.moved_slots),
        moves: moves(&plan.moves),
        balance_before: balance(plan.before),
        balance_after: balance(plan.after),
        digest: digest(plan.digest),
    };
    Ok(Reply::json(&planned).at(answer.revision))
}

/// One change of a dry run: exactly one name, and with it only what goes with it.
fn change(change: wire::PlanChange) -> Result<PlanChange, Failure> {
    let wire::PlanChange {
        join,
        drain,
        leave,
        member,
        weight: units,
        zone,
    } = change;
    let wrong = |value: &str| {
        let bound = "one of join (weight, zone), drain, leave, member with weight";
        Err(Failure::invalid("changes", value, bound))
    };
    match (join, drain, leave, member) {
        (Some(name), None, None, None) => {
            let zone = zone.unwrap_or_default();
            Ok(PlanChange::Join {
                member: member_of("join", &name)?,
                weight: weight(units)?,
                zone: Zone::parse(&zone).map_err(|error| wrong_name("zone", &zone, &error))?,
            })
        }
        (None, Some(name), None, None) if units.is_none() && zone.is_none() => {
            let member = member_of("drain", &name)?;
            Ok(PlanChange::Drain { member })
        }
        (None, None, Some(name), None) if units.is_none() && zone.is_none() => {
            let member = member_of("leave", &name)?;
            Ok(PlanChange::Leave { member })
        }
        (None, None, None, Some(name)) if units.is_some() && zone.is_none() => {
            Ok(PlanChange::Weight {
                member: member_of("member", &name)?,
                weight: weight(units)?,
            })
        }
        (None, None, None, None) => wrong("without a name"),
        _ => wrong("with fields that do not go together"),
    }
}

pub(super) async fn diff(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let ring = ask.ring()?;
    let mut parameters = ask.parameters()?;
    let fresh = parameters.freshness()?;
    let from = parameters.number("from", 0..=u64::MAX)?;
    let to = parameters.number("to", 0..=u64::MAX)?;
    parameters.end()?;
    let from = from.ok_or_else(|| Failure::invalid("from", "absent", "has to be there"))?;
    let answer = api.service().diff_ring(&ring, from, to, fresh).await?;
    let RingDiff {
        moved_slots,
        moves: rows,
    } = answer.body.diff;
    let diff = wire::RingDiff {
        from,
        to: answer.body.to,
        moved_slots: count(moved_slots),
        fraction: fraction(moved_slots),
        moves: moves(&rows),
    };
    Ok(Reply::json(&diff).at(answer.revision))
}

fn whole(view: &RingView) -> Reply {
    Reply::json(&body(view)).tag(view.epoch)
}

/// A ring as it is told.
pub(super) fn body(view: &RingView) -> wire::Ring {
    let moving: usize = view.table.moving().iter().map(|m| m.range.slots()).sum();
    wire::Ring {
        ring: view.ring.as_str().to_owned(),
        epoch: view.epoch,
        hash: view.spec.hash.into(),
        placement: view.spec.placement.into(),
        replicas: view.spec.replicas,
        reassign_delay_ms: view.spec.reassign_delay_ms,
        digest: digest(view.table.digest()),
        frozen: view.frozen.is_some() || view.braked,
        reason: view.frozen.clone(),
        degraded: view.degraded,
        members: view.members.iter().map(member).collect(),
        moving: count(moving),
        balance: balance(view.balance),
    }
}

fn member(view: &lockring_core::MemberView) -> wire::RingMember {
    let addresses = view.addresses.iter();
    wire::RingMember {
        member: view.member.as_str().to_owned(),
        state: view.state.into(),
        session: view.session.short(),
        incarnation: view.incarnation,
        weight: view.weight.units(),
        zone: view.zone.as_str().to_owned(),
        addresses: addresses
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        slots: count(view.slots),
        share: f64::from(view.share_ppm) / 1e6,
    }
}

fn moves(moves: &[RingMove]) -> Vec<wire::SlotMoves> {
    let name = |member: &Option<MemberName>| member.as_ref().map(|m| m.as_str().to_owned());
    let rows = moves.iter().map(|row| wire::SlotMoves {
        from: name(&row.from),
        to: name(&row.to),
        ranges: row.ranges.iter().map(|r| (r.first(), r.last())).collect(),
    });
    rows.collect()
}

fn balance(balance: lockring_core::Balance) -> wire::Balance {
    let milli = u32::try_from(balance.max_over_mean_milli).unwrap_or(u32::MAX);
    wire::Balance {
        max_over_mean: f64::from(milli) / 1e3,
    }
}

fn count(slots: usize) -> u32 {
    u32::try_from(slots).expect("a ring has 16384 slots")
}

fn fraction(slots: usize) -> f64 {
    let share = f64::from(count(slots)) / f64::from(count(SLOTS));
    (share * 1e6).round() / 1e6
}

fn digest(digest: u64) -> String {
    format!("{digest:016x}")
}

fn weight(units: Option<u16>) -> Result<Weight, Failure> {
    let Some(units) = units else {
        return Ok(Weight::default());
    };
    Weight::parse(u64::from(units)).map_err(|_| {
        let bound = format!("from 1 to {}", limits::WEIGHT_MAX);
        Failure::invalid("weight", units.to_string(), bound)
    })
}

fn reason(body: wire::FreezeRing) -> Result<String, Failure> {
    match body.reason.len() {
        1..=limits::RING_REASON_BYTES_MAX => Ok(body.reason),
        _ => {
            let bound = format!("1 to {} bytes", limits::RING_REASON_BYTES_MAX);
            Err(Failure::invalid("reason", body.reason, bound))
        }
    }
}
