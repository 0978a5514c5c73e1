//! Bringing values here that are elsewhere: at the slot's owner before us, or at the origin.

use std::time::Duration;

use super::command::Missing;
use super::flight::{Landed, Seat};
use super::node::{Node, wall_millis};
use super::origin::Found;
use super::store::NEVER;

/// How long the owner before may take; after that it is as if it had nothing, for ever. Long enough
/// for a member that has too much to do: what it cannot say in time is lost.
const TAKE_WITHIN: Duration = Duration::from_secs(2);

impl Node {
    /// Fetches what is missing, all at once. An error is for the client.
    pub(crate) async fn fetch(&self, missing: Vec<Missing>) -> Result<(), String> {
        let fetches = missing.iter().map(|missing| self.fetch_one(missing));
        let fetched = futures_util::future::join_all(fetches).await;
        fetched.into_iter().collect()
    }

    async fn fetch_one(&self, missing: &Missing) -> Result<(), String> {
        loop {
            let landed = match self.flights.board(missing.epoch, &missing.key) {
                Seat::Pilot(pilot) => {
                    let landed = self.fly(missing).await;
                    pilot.landed(landed.clone());
                    landed
                }
                Seat::Passenger(passenger) => passenger.wait().await,
            };
            match landed {
                Landed::Failed(why) => return Err(why),
                Landed::Done { asked_origin } if asked_origin || !missing.reads_through => {
                    return Ok(());
                }
                // The flight was for a command that does not ask the origin.
                Landed::Done { .. } if self.origin.is_none() || self.has(missing) => return Ok(()),
                Landed::Done { .. } | Landed::Deserted => {}
            }
        }
    }

    async fn fly(&self, missing: &Missing) -> Landed {
        // Somebody may have brought it between the miss and the take-off.
        if self.has(missing) || self.take(missing).await {
            return Landed::Done { asked_origin: true };
        }
        let Some(origin) = self.origin.as_ref().filter(|_| missing.reads_through) else {
            return Landed::Done {
                asked_origin: false,
            };
        };
        self.figures.origin_called();
        match origin.load(missing).await {
            Ok(Found::Value { bytes, fresh_for }) => {
                let lives = |fresh: Duration| u64::try_from(fresh.as_millis()).unwrap_or(NEVER);
                let lives = fresh_for.map_or(NEVER, lives);
                self.keep(missing, &bytes, lives);
                Landed::Done { asked_origin: true }
            }
            Ok(Found::Nothing) => Landed::Done { asked_origin: true },
            Err(why) => {
                self.figures.origin_failed();
                Landed::Failed(format!("ERR the origin did not answer: {why}"))
            }
        }
    }

    /// Takes the value from the slot's owner before us, if it has one.
    async fn take(&self, missing: &Missing) -> bool {
        let Some(source) = self.handover.source(missing.slot) else {
            return false;
        };
        let asked = self.peers.take(&source.peer, missing);
        let taken = match tokio::time::timeout(TAKE_WITHIN, asked).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(why)) => {
                tracing::debug!(peer = source.peer, why, "warm hand-over ends");
                source.close();
                None
            }
            Err(_) => {
                tracing::debug!(peer = source.peer, "warm hand-over ends: no answer in time");
                source.close();
                None
            }
        };
        self.figures.warm(taken.is_some());
        let Some(taken) = taken else { return false };
        self.keep(missing, &taken.value, taken.lives_for);
        true
    }

    fn has(&self, missing: &Missing) -> bool {
        let at = self
            .store
            .at(missing.slot, missing.epoch, wall_millis(), &missing.key);
        self.store.shard(missing.slot).has(at)
    }

    /// Keeps a value that came, unless the slot has moved meanwhile or the key has a newer one.
    fn keep(&self, missing: &Missing, value: &[u8], lives_for: u64) {
        let view = self.view.read();
        if view.epoch_if_mine(missing.slot) != Some(missing.epoch) || !view.serves() {
            return;
        }
        let now = wall_millis();
        let at = self
            .store
            .at(missing.slot, missing.epoch, now, &missing.key);
        let mut shard = self.store.shard(missing.slot);
        if !shard.has(at) {
            shard.put(at, value, now.saturating_add(lives_for));
        }
    }
}
