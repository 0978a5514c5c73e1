//! Carries news from each apply to the calls that are parked for it.
//!
//! There is one feed a node: it alone subscribes to the replica, so that a thousand parked calls
//! cost one wake-up an apply and not a thousand. If the feed itself falls behind, or the replica
//! took a snapshot in place of what happened, it does not try to catch up: every parked call is
//! told that it may have missed something, and looks for itself.

use std::sync::Arc;

use lockring_core::What;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::Service;
use super::waiting::{Told, Topic};
use crate::consensus::News;

/// Runs until the service stops or the replica does.
pub(super) async fn run(service: Service, mut news: Receiver<Arc<News>>) {
    let inner = &service.inner;
    loop {
        let heard = tokio::select! {
            biased;
            heard = news.recv() => heard,
            () = inner.stopping.cancelled() => return,
        };
        match heard {
            Ok(news) => dispatch(&service, &news),
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(
                    missed,
                    "the feed fell behind: parked calls look for themselves"
                );
                inner.waiting.lose_all();
            }
            Err(RecvError::Closed) => {
                inner.waiting.lose_all();
                return;
            }
        }
    }
}

fn dispatch(service: &Service, news: &News) {
    let waiting = &service.inner.waiting;
    if waiting.parked() == 0 {
        return;
    }
    if news.gap {
        waiting.lose_all();
    }
    for event in &news.events {
        match &event.what {
            What::Granted { lock, grant, .. } => {
                waiting.tell(grant.session, Topic::Lock(lock.clone()), || Told::Granted {
                    revision: event.revision,
                    grant: grant.clone(),
                });
            }
            What::GrantedAll { ticket, all } => {
                waiting.tell(all.session, Topic::Many, || Told::GrantedAll {
                    revision: event.revision,
                    ticket: *ticket,
                    all: all.clone(),
                });
            }
            What::WaitEnded {
                lock,
                session,
                ticket,
                refusal,
            } => waiting.tell(*session, Topic::Lock(lock.clone()), || Told::Ended {
                revision: event.revision,
                ticket: *ticket,
                refusal: refusal.clone(),
            }),
            What::WaitAllEnded {
                session,
                ticket,
                locks: _,
                refusal,
            } => waiting.tell(*session, Topic::Many, || Told::Ended {
                revision: event.revision,
                ticket: *ticket,
                refusal: refusal.clone(),
            }),
            // The places of a session that ends are told by their own events; nobody is parked
            // for the rest.
            What::SessionOpened { .. }
            | What::SessionEnded { .. }
            | What::Ended { .. }
            | What::RevokeRequested { .. }
            | What::ValueSet { .. }
            | What::Ring(_) => {}
        }
    }
}
