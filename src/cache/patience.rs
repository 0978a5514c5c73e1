//! What a client need not see of a move: a request waits for the ring instead of being sent around.
//!
//! *The problem.* A slot that moves has an instant in which nobody serves it, and members hear of
//! the move one after the other. A client that asks in that instant is told `TRYAGAIN`; one that
//! the old owner sends on to a new owner which has not heard of it yet is sent straight back. Every
//! client bears that, but only so often: redis-py gives a request up after 16 answers of that kind,
//! which at the speed of a local network is a few milliseconds.
//!
//! *The answer.* A request for a slot that is on its way to this member waits here until it has
//! come. And before a request is sent to another member, that one is asked, once for each epoch
//! that matters, whether it knows of its slot; if not, it is asked again shortly. Both end after a
//! time that is short for a client: then the answer is `TRYAGAIN` or `MOVED`, as the table says.
//!
//! What it does not do: it has no part in who may answer. After the wait a request is looked at
//! again from the beginning, under the picture that hangs then.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::node::Node;
use super::view::Place;

/// How long a request waits for the ring at a time. Sixteen of these are longer than a move takes
/// anywhere; one is shorter than what clients wait for an answer.
const WITHIN: Duration = Duration::from_millis(400);
/// Between two questions to a member that has not heard yet.
const PAUSE: Duration = Duration::from_millis(5);

impl Node {
    /// Waits until a slot is not on its way to us any more.
    pub(crate) async fn arrival(&self, slot: u16) {
        self.figures.waited();
        let mut pictures = self.pictures.subscribe();
        let arrived = pictures.wait_for(|_| self.now().place(slot) != Place::Coming);
        // Whether it came is seen under the picture that hangs then.
        let _ = timeout(WITHIN, arrived).await;
    }

    /// Waits until a member has heard of an epoch.
    pub(crate) async fn hearing(&self, peer: &str, epoch: u64) {
        self.figures.waited();
        let heard = async {
            while self.peers.has_heard_of(peer) < epoch {
                match self.peers.epoch_of(peer).await {
                    Some(known) => self.peers.heard_of(peer, known),
                    // A member that cannot be reached by us may be by the client.
                    None => return,
                }
                if self.peers.has_heard_of(peer) < epoch {
                    sleep(PAUSE).await;
                }
            }
        };
        let _ = timeout(WITHIN, heard).await;
        // Nobody waits for the same news twice.
        self.peers.heard_of(peer, epoch);
    }
}
