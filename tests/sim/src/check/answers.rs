//! What was told is what happened: nothing that was acknowledged is lost, invented or raised from
//! the dead, and the same request has the same outcome.

use std::collections::BTreeMap;

use lockring_core::{
    Fence, LeaseEnd, LockName, Op, Outcome, Refusal, Renewal, RequestId, SessionId, What,
};

use crate::history::Call;
use crate::truth::Truth;

/// A lease as the log knows it: when it began, and when it ended.
#[derive(Clone, Debug)]
struct Life {
    session: SessionId,
    lock: LockName,
    began: u64,
    released: Option<u64>,
}

pub(super) fn check(truth: &Truth, history: &[Call]) -> Vec<String> {
    let mut found = Vec::new();
    let (leases, sessions_ended) = lives(truth);
    let mut known: BTreeMap<RequestId, (usize, String, Option<SessionId>)> = BTreeMap::new();
    for (at, call) in history.iter().enumerate() {
        let (Some((op, outcome)), Some(reply)) = (call.outcome(), call.reply()) else {
            continue;
        };
        let revision = reply.revision;
        if revision > truth.newest {
            found.push(format!(
                "nothing acknowledged is lost: revision {revision} was told to client {} and is \
                 nowhere",
                call.client
            ));
        }
        found.extend(effect(op, outcome, revision, reply.replayed, &leases));
        if let Outcome::Renewed(rows) = outcome {
            for (session, renewal) in rows {
                let ended = sessions_ended.get(session).copied().unwrap_or(u64::MAX);
                if matches!(renewal, Renewal::Until(_)) && ended < revision {
                    found.push(format!(
                        "nothing is raised from the dead: a session that ended at revision \
                         {ended} was renewed at {revision}"
                    ));
                }
            }
        }
        let Some((request, _)) = call.ask.command() else {
            continue;
        };
        let Some(kind) = remembered(outcome) else {
            continue;
        };
        match known.get(&request) {
            Some((_, before, _)) if *before == kind => {}
            // Whoever asks again for a session that is over is given another.
            Some((.., Some(session)))
                if sessions_ended.get(session).is_some_and(|at| *at < revision) =>
            {
                known.insert(request, (at, kind, of_session(outcome)));
            }
            Some((first, before, _)) => found.push(format!(
                "one request, one outcome: calls {first} and {at} are one request, and were told \
                 {before} and {kind}"
            )),
            None => {
                known.insert(request, (at, kind, of_session(outcome)));
            }
        }
    }
    found
}

/// The outcome of a request that is settled for as long as its session lives.
fn remembered(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Granted(grant) => Some(format!("granted {}", grant.fence)),
        Outcome::GrantedAll(all) => {
            let fences = all.leases.iter().map(|row| row.fence.number());
            Some(format!("granted {:?}", fences.collect::<Vec<_>>()))
        }
        Outcome::Transferred { fence } => Some(format!("transferred as {fence}")),
        Outcome::Released => Some("released".into()),
        Outcome::Opened { session, .. } => Some(format!("opened {session:?}")),
        Outcome::Refused(Refusal::FenceStale { .. }) => Some("refused, by its fence".into()),
        // A wait goes on, a refusal of the dead is another one, a close is of no session any more.
        _ => None,
    }
}

/// The session that a call which may have opened one was told.
const fn of_session(outcome: &Outcome) -> Option<SessionId> {
    match outcome {
        Outcome::Granted(grant) => Some(grant.session),
        Outcome::Opened { session, .. } => Some(*session),
        _ => None,
    }
}

fn lives(truth: &Truth) -> (BTreeMap<u64, Life>, BTreeMap<SessionId, u64>) {
    let mut leases: BTreeMap<u64, Life> = BTreeMap::new();
    let mut sessions_ended = BTreeMap::new();
    for (revision, moment) in &truth.moments {
        for event in &moment.events {
            match &event.what {
                What::Granted { lock, grant, .. } => {
                    let life = Life {
                        session: grant.session,
                        lock: lock.clone(),
                        began: *revision,
                        released: None,
                    };
                    leases.insert(grant.fence.number(), life);
                }
                What::Ended { fence, cause, .. } => {
                    if let Some(life) = leases.get_mut(&fence.number())
                        && *cause == LeaseEnd::Released
                    {
                        life.released = Some(*revision);
                    }
                }
                What::SessionEnded { session, .. } => {
                    sessions_ended.insert(*session, *revision);
                }
                _ => {}
            }
        }
    }
    (leases, sessions_ended)
}

/// Whether an answer about a lease is what the log says.
fn effect(
    op: &Op,
    outcome: &Outcome,
    revision: u64,
    replayed: bool,
    leases: &BTreeMap<u64, Life>,
) -> Option<String> {
    match (op, outcome) {
        (Op::Acquire { lock, .. }, Outcome::Granted(grant)) => {
            lost(grant.session, lock, grant.fence, revision, leases)
        }
        (Op::Transfer { lock, to, .. }, Outcome::Transferred { fence }) => {
            lost(*to, lock, *fence, revision, leases)
        }
        (Op::AcquireAll { .. }, Outcome::GrantedAll(all)) => {
            let mut rows = all.leases.iter();
            rows.find_map(|row| lost(all.session, &row.lock, row.fence, revision, leases))
        }
        (
            Op::Release {
                session,
                lock,
                fence,
            },
            Outcome::Released,
        ) => released(*session, lock, *fence, revision, replayed, leases),
        _ => None,
    }
}

/// A grant that was told and is not in the log.
fn lost(
    session: SessionId,
    lock: &LockName,
    fence: Fence,
    revision: u64,
    leases: &BTreeMap<u64, Life>,
) -> Option<String> {
    let life = leases.get(&fence.number());
    let there = life.is_some_and(|life| {
        (life.session, &life.lock) == (session, lock) && life.began <= revision
    });
    (!there).then(|| {
        format!(
            "nothing acknowledged is lost: fence {fence} of {lock} was told at revision \
             {revision} and the log has no such grant"
        )
    })
}

fn released(
    session: SessionId,
    lock: &LockName,
    fence: Fence,
    revision: u64,
    replayed: bool,
    leases: &BTreeMap<u64, Life>,
) -> Option<String> {
    let Some(life) = leases.get(&fence.number()) else {
        return Some(format!(
            "only a holder releases: fence {fence} of {lock} was never granted, and its release \
             at revision {revision} was acknowledged"
        ));
    };
    if life.session != session {
        return Some(format!(
            "only a holder releases: fence {fence} of {lock} was released at revision {revision} \
             by another session"
        ));
    }
    let at = life.released;
    let right = match replayed {
        true => at.is_some_and(|at| at <= revision),
        false => at == Some(revision),
    };
    (!right).then(|| {
        format!(
            "only a holder releases: the release of fence {fence} of {lock} was acknowledged at \
             revision {revision}, and the log has {at:?}"
        )
    })
}
