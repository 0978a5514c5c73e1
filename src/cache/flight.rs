//! One flight a key: whoever asks for a value that is being fetched waits for that fetch.
//!
//! It is more than a saving. While a value is on its way from the slot's owner before us, nothing
//! else may happen to its key: a `DEL` that overtook it would be undone by its arrival. So every
//! command on a key that is not here, in a slot that is warm, takes a seat first.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;

/// What a flight brought, for those who waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Landed {
    /// It asked the owner before, and the origin if `asked_origin`; what there was is in the store.
    Done { asked_origin: bool },
    /// It found nothing out.
    Failed(String),
    /// Whoever fetched is gone; somebody else must.
    Deserted,
}

type Key = (u64, Box<[u8]>);
type News = watch::Receiver<Option<Landed>>;

/// The flights under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    board: Mutex<HashMap<Key, News>>,
}

/// Where a caller finds itself.
#[derive(Debug)]
pub(crate) enum Seat<'a> {
    /// It fetches.
    Pilot(Pilot<'a>),
    /// Somebody else does.
    Passenger(Passenger),
}

/// The one who fetches. Dropped without having landed, it tells that it is gone.
#[derive(Debug)]
pub(crate) struct Pilot<'a> {
    flights: &'a Flights,
    key: Key,
    tell: watch::Sender<Option<Landed>>,
}

#[derive(Debug)]
pub(crate) struct Passenger(News);

impl Flights {
    /// Takes a seat in the flight of a key under a slot's epoch.
    pub(crate) fn board(&self, epoch: u64, key: &[u8]) -> Seat<'_> {
        let key: Key = (epoch, key.into());
        let mut board = self.board.lock();
        if let Some(news) = board.get(&key) {
            return Seat::Passenger(Passenger(news.clone()));
        }
        let (tell, news) = watch::channel(None);
        board.insert(key.clone(), news);
        Seat::Pilot(Pilot {
            flights: self,
            key,
            tell,
        })
    }
}

impl Pilot<'_> {
    /// Tells everybody who waits. What was fetched must be in the store by now.
    pub(crate) fn landed(self, how: Landed) {
        self.tell.send_replace(Some(how));
    }
}

impl Drop for Pilot<'_> {
    fn drop(&mut self) {
        self.flights.board.lock().remove(&self.key);
        let silent = |landed: &mut Option<Landed>| {
            let silent = landed.is_none();
            if silent {
                *landed = Some(Landed::Deserted);
            }
            silent
        };
        self.tell.send_if_modified(silent);
    }
}

impl Passenger {
    pub(crate) async fn wait(mut self) -> Landed {
        match self.0.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone().unwrap_or(Landed::Deserted),
            Err(_) => Landed::Deserted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_but_the_first_wait_and_hear_the_same() {
        let flights = Flights::default();
        let Seat::Pilot(pilot) = flights.board(1, b"k") else {
            panic!("the first flies");
        };
        let passenger = || match flights.board(1, b"k") {
            Seat::Passenger(passenger) => passenger,
            Seat::Pilot(_) => panic!("there is a flight"),
        };
        let (one, two) = (passenger(), passenger());
        pilot.landed(Landed::Done { asked_origin: true });
        for passenger in [one, two] {
            assert_eq!(passenger.wait().await, Landed::Done { asked_origin: true });
        }
        assert!(matches!(flights.board(1, b"k"), Seat::Pilot(_)));
    }

    #[tokio::test]
    async fn a_pilot_that_goes_leaves_nobody_waiting() {
        let flights = Flights::default();
        let seat = flights.board(1, b"k");
        let Seat::Passenger(passenger) = flights.board(1, b"k") else {
            panic!("there is a flight");
        };
        drop(seat);
        assert_eq!(passenger.wait().await, Landed::Deserted);
        assert!(flights.board.lock().is_empty());
    }
}
