//! One call at a node, from inside of it: past its service, or by the service's use cases.
//!
//! What the service answers is put into the core's words again, so that the checkers read one
//! language; deadlines, which it tells as durations, are left out there.

use std::time::Duration;

use lockring::consensus::{ProposeError, Replica};
use lockring::service::{
    Acquire, AcquireAll, Acquired, Answer, By, Consistency, Freshness, Key, Lease, Open, Service,
    ServiceError,
};
use lockring_core::{
    Acquirer, ClusterTime, Command, Fence, Grant, GrantedAll, LockName, Op, Outcome, Renewal,
    Reply, RequestId, SessionId,
};
use tokio::time::timeout;

use crate::history::{Ask, Fresh, Table, Told};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// A deadline that was not told.
const UNTOLD: ClusterTime = ClusterTime(0);

/// Makes a call. Dropping it is hanging up.
pub async fn call(replica: &Replica, service: &Service, ask: Ask) -> Told {
    match ask {
        Ask::Command(request, op) => propose(replica, request, op).await,
        Ask::Use(request, op) => {
            let told = timeout(PATIENCE, use_case(replica, service, request, op)).await;
            told.unwrap_or(Told::Unknown)
        }
        Ask::Read(lock) => match replica.read_barrier(PATIENCE).await {
            Ok(_) => replica.view(|machine| {
                let view = machine.lock(&lock);
                let holders = view.iter().flat_map(|view| &view.holders);
                let holders = holders.map(|holder| (holder.session, holder.fence.number()));
                Told::Seen(machine.revision(), holders.collect())
            }),
            Err(_) => Told::Nothing,
        },
        Ask::Table(ring, fresh) => {
            let consistency = match fresh {
                Fresh::Linearizable => Consistency::Linearizable,
                Fresh::Stale => Consistency::Stale,
            };
            let fresh = Freshness {
                consistency,
                min_revision: None,
            };
            match timeout(PATIENCE, service.ring(&ring, fresh)).await {
                Ok(Ok(answer)) => Told::Table(answer.revision, Table(answer.body)),
                Ok(Err(_)) | Err(_) => Told::Nothing,
            }
        }
    }
}

async fn propose(replica: &Replica, request: RequestId, op: Op) -> Told {
    let request = Some(request);
    match replica.propose(Command { request, op }, PATIENCE).await {
        Ok(reply) => Told::Reply(reply),
        Err(ProposeError::Unready { .. }) => Told::Nothing,
        Err(ProposeError::Indeterminate | ProposeError::Stopped) => Told::Unknown,
    }
}

async fn use_case(replica: &Replica, service: &Service, request: RequestId, op: Op) -> Told {
    let key = Key::Clients(request);
    match op {
        Op::Acquire { .. } | Op::AcquireAll { .. } => acquire(service, key, op).await,
        Op::Open(new) => {
            let ask = Open {
                ttl: new.ttl,
                owner: new.owner,
                metadata: new.metadata,
                lock_delay_ms: new.lock_delay_ms,
            };
            told(service.open(ask, key).await, |opened| Outcome::Opened {
                session: opened.session,
                ttl: opened.ttl,
                expires_at: UNTOLD,
            })
        }
        Op::Renew { sessions } if sessions.len() == 1 => {
            told(service.renew(sessions[0]).await, |_| {
                Outcome::Renewed(vec![(sessions[0], Renewal::Until(UNTOLD))])
            })
        }
        Op::Close { session } => told(service.close(session, key).await, closed),
        Op::EndSession { session, reason } => {
            let first = u32::from_str_radix(&session.short(), 16).expect("eight digits");
            told(service.end_session(first, reason, key).await, closed)
        }
        Op::Release {
            session,
            lock,
            fence,
        } => {
            let lease = lease(session, lock, fence);
            told(service.release(lease, key).await, |()| Outcome::Released)
        }
        Op::Transfer {
            session,
            lock,
            fence,
            to,
        } => {
            let lease = lease(session, lock, fence);
            told(service.transfer_lease(lease, to, key).await, |fence| {
                Outcome::Transferred { fence }
            })
        }
        Op::Revoke {
            lock,
            reason,
            deadline_ms,
        } => told(
            service.revoke(lock, reason, deadline_ms, key).await,
            |asked| Outcome::Revoking {
                deadline: UNTOLD,
                leases: asked.leases,
            },
        ),
        Op::Break { lock, reason } => {
            told(service.break_leases(lock, reason, key).await, |leases| {
                Outcome::Broken { leases }
            })
        }
        Op::Ring(op) => told(service.change_ring(op).await, Outcome::Ring),
        // What the service has no call for, or makes itself.
        op => propose(replica, request, op).await,
    }
}

fn lease(session: SessionId, lock: LockName, fence: Fence) -> Lease {
    Lease {
        session,
        lock,
        fence,
    }
}

async fn acquire(service: &Service, key: Key, op: Op) -> Told {
    let answer = match op {
        Op::Acquire {
            by,
            lock,
            mode,
            wait_ms,
            max_hold_ms,
            value,
        } => {
            let by = match by {
                Acquirer::Session(session) => By::Session(session),
                Acquirer::OneLease(new) => By::OneLease {
                    ttl: new.ttl,
                    owner: new.owner,
                },
            };
            let ask = Acquire {
                lock,
                by,
                mode,
                wait_ms,
                max_hold_ms,
                value,
                key,
            };
            service.acquire(ask).await
        }
        Op::AcquireAll {
            session,
            wants,
            wait_ms,
            max_hold_ms,
        } => {
            let ask = AcquireAll {
                session,
                wants,
                wait_ms,
                max_hold_ms,
                key,
            };
            service.acquire_all(ask).await
        }
        _ => unreachable!("only these two take locks"),
    };
    match answer {
        Ok(Answer {
            body: Acquired::Parked(_),
            ..
        }) => Told::Parked,
        answer => told(answer, acquired),
    }
}

fn acquired(acquired: Acquired) -> Outcome {
    match acquired {
        Acquired::Granted(granted) => Outcome::Granted(Grant {
            session: granted.session,
            mode: granted.mode,
            fence: granted.fence,
            expires_at: UNTOLD,
            hold_until: None,
        }),
        Acquired::GrantedAll(all) => Outcome::GrantedAll(GrantedAll {
            session: all.session,
            expires_at: UNTOLD,
            hold_until: None,
            leases: all.leases,
        }),
        Acquired::Parked(_) => unreachable!("it was told before"),
    }
}

fn closed(released: Vec<(LockName, u64)>) -> Outcome {
    let released = released.into_iter();
    Outcome::Closed {
        released: released
            .map(|(lock, fence)| (lock, Fence::claimed(fence)))
            .collect(),
    }
}

/// What a caller of the service is told.
///
/// # Panics
/// If the service was answered something else than it had asked for; it is a violation here.
fn told<T>(answer: Result<Answer<T>, ServiceError>, outcome: impl FnOnce(T) -> Outcome) -> Told {
    match answer {
        Ok(answer) => Told::Reply(Reply {
            revision: answer.revision,
            replayed: answer.replayed,
            outcome: outcome(answer.body),
        }),
        Err(ServiceError::Refused { revision, refusal }) => Told::Reply(Reply {
            revision,
            replayed: false,
            outcome: Outcome::Refused(refusal),
        }),
        Err(ServiceError::Indeterminate) => Told::Unknown,
        Err(ServiceError::Mismatch(other)) => panic!("the service was answered {other:?}"),
        Err(
            ServiceError::Unready { .. }
            | ServiceError::Invalid { .. }
            | ServiceError::NotFound { .. }
            | ServiceError::Busy { .. },
        ) => Told::Nothing,
    }
}
