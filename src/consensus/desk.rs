//! The desk: what this node has been asked to propose, and who waits for the answer.
//!
//! **Problem.** A command may be committed by another node than the one that was asked, by a
//! leader that died right after, or by nobody. The one place where its outcome is certain and
//! the same for all is the apply, which happens here as on every replica.
//!
//! **Answer.** Each command gets a *tag*, one higher than the one before. The tags of a batch
//! travel in the log beside the commands, and the local apply settles them here. Since tags are
//! consecutive, a batch needs only the first tag and a count, and finding a waiter is an index
//! into a queue: no map, no hashing, no allocation but the caller's own channel.
//!
//! A command that nobody has taken yet can be withdrawn, and then certainly has no effect. Once
//! it is taken, only an apply (or the certain refusal by a leader) tells.
//!
//! What it does not do: it neither sends nor repeats anything.

use std::collections::VecDeque;
use std::sync::Arc;

use lockring_core::{Command, NodeId, Reply};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::raft::Origin;

/// How many commands may wait at a time.
const WAITING_MAX: usize = 65_536;

/// What became of a command.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It was applied, and this is the answer.
    Applied(Reply),
    /// It surely has no effect: it never entered the log, or was applied as void.
    Nothing,
    /// The replica has stopped; whether the command takes effect is not known.
    Stopped,
}

/// Commands of one node, with consecutive tags.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) origin: Origin,
    pub(super) commands: Vec<Command>,
}

/// Why a command cannot wait here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Too many wait already.
    TooMany,
    /// The replica has stopped.
    Closed,
}

#[derive(Debug)]
pub(super) struct Desk {
    node: NodeId,
    boot: u64,
    queues: Mutex<Queues>,
    /// Rings when there is something to take.
    pub(super) bell: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    /// The tag of the first in `waiting`.
    oldest: u64,
    /// Who waits, by tag; `None` when settled or given up.
    waiting: VecDeque<Option<oneshot::Sender<Verdict>>>,
    /// The commands of the newest tags, which nobody has taken; `None` when withdrawn.
    untaken: VecDeque<Option<Command>>,
    closed: bool,
}

impl Queues {
    fn next_tag(&self) -> u64 {
        self.oldest + self.waiting.len() as u64
    }

    fn first_untaken(&self) -> u64 {
        self.next_tag() - self.untaken.len() as u64
    }

    fn leave(&mut self, tag: u64) -> Option<oneshot::Sender<Verdict>> {
        let index = usize::try_from(tag.checked_sub(self.oldest)?).ok()?;
        let waiter = self.waiting.get_mut(index)?.take();
        // Untaken places stay, so that tags remain consecutive with the commands' queue.
        let taken = self.waiting.len() - self.untaken.len();
        let done = self.waiting.iter().take(taken);
        let done = done.take_while(|waiter| waiter.is_none()).count();
        self.waiting.drain(..done);
        self.oldest += done as u64;
        waiter
    }
}

impl Desk {
    /// The desk of a node in one life of it, which `boot` tells from its other lives.
    pub(super) fn new(node: NodeId, boot: u64) -> Arc<Self> {
        Arc::new(Self {
            node,
            boot,
            queues: Mutex::new(Queues::default()),
            bell: Notify::new(),
        })
    }

    /// Hands in a command.
    pub(super) fn enter(self: &Arc<Self>, command: Command) -> Result<Place, Full> {
        let (sender, verdict) = oneshot::channel();
        let mut queues = self.queues.lock();
        if queues.closed {
            return Err(Full::Closed);
        }
        if queues.waiting.len() >= WAITING_MAX {
            return Err(Full::TooMany);
        }
        let tag = queues.next_tag();
        queues.waiting.push_back(Some(sender));
        queues.untaken.push_back(Some(command));
        drop(queues);
        self.bell.notify_one();
        let desk = Arc::clone(self);
        Ok(Place { desk, tag, verdict })
    }

    /// Takes up to `commands_max` commands, oldest first. Mostly that is one run; each withdrawn
    /// command ends one.
    pub(super) fn take(&self, commands_max: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut queues = self.queues.lock();
        let mut first = queues.first_untaken();
        let mut room = commands_max;
        let mut commands = Vec::with_capacity(queues.untaken.len().min(commands_max));
        while room > 0
            && let Some(command) = queues.untaken.pop_front()
        {
            if let Some(command) = command {
                commands.push(command);
                room -= 1;
                continue;
            }
            let withdrawn = first + commands.len() as u64;
            self.push_run(&mut runs, first, std::mem::take(&mut commands));
            first = withdrawn + 1;
        }
        self.push_run(&mut runs, first, commands);
        runs
    }

    fn push_run(&self, runs: &mut Vec<Run>, first: u64, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        let count = u32::try_from(commands.len()).expect("a batch is bounded far below 2^32");
        let origin = Origin {
            node: self.node,
            boot: self.boot,
            first,
            count,
        };
        runs.push(Run { origin, commands });
    }

    /// Tells the waiters of a run what became of it. Does nothing for another node's run, or for
    /// one of an earlier life of this node.
    pub(super) fn settle(&self, origin: &Origin, verdicts: impl Iterator<Item = Verdict>) {
        if origin.node != self.node || origin.boot != self.boot {
            return;
        }
        let mut waiters = Vec::with_capacity(origin.count as usize);
        {
            let mut queues = self.queues.lock();
            for tag in origin.first..origin.first + u64::from(origin.count) {
                waiters.push(queues.leave(tag));
            }
        }
        for (waiter, verdict) in waiters.into_iter().zip(verdicts) {
            if let Some(waiter) = waiter {
                // A caller that went away meanwhile does not want to know.
                let _ = waiter.send(verdict);
            }
        }
    }

    /// A run surely has no effect: its waiters may hand their commands in again.
    pub(super) fn refuse(&self, origin: &Origin) {
        self.settle(origin, std::iter::repeat_with(|| Verdict::Nothing));
    }

    /// Sends everybody away: the replica has stopped.
    pub(super) fn close(&self) {
        let mut queues = self.queues.lock();
        queues.closed = true;
        queues.untaken.clear();
        queues.oldest = queues.next_tag();
        let waiting = std::mem::take(&mut queues.waiting);
        drop(queues);
        for waiter in waiting.into_iter().flatten() {
            let _ = waiter.send(Verdict::Stopped);
        }
    }
}

/// One command's place at the desk. Whoever drops it gives the command up: if nobody has taken
/// it yet, it surely has no effect.
#[derive(Debug)]
pub(super) struct Place {
    desk: Arc<Desk>,
    tag: u64,
    pub(super) verdict: oneshot::Receiver<Verdict>,
}

impl Place {
    /// Gives the command up. Answers whether it surely has no effect.
    pub(super) fn withdraw(&mut self) -> bool {
        let mut queues = self.desk.queues.lock();
        let first_untaken = queues.first_untaken();
        let untaken = self.tag.checked_sub(first_untaken);
        queues.leave(self.tag);
        let Some(index) = untaken.and_then(|index| usize::try_from(index).ok()) else {
            return false;
        };
        match queues.untaken.get_mut(index) {
            Some(command) => command.take().is_some(),
            None => false,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.withdraw();
    }
}

#[cfg(test)]
mod tests {
    use lockring_core::{Op, Outcome, SessionId};

    use super::*;

    fn command(number: u128) -> Command {
        let session = SessionId::from_bits(number);
        Command {
            request: None,
            op: Op::Close { session },
        }
    }

    fn applied(revision: u64) -> Verdict {
        Verdict::Applied(Reply {
            revision,
            replayed: false,
            outcome: Outcome::Released,
        })
    }

    fn revision(place: &mut Place) -> Option<u64> {
        match place.verdict.try_recv() {
            Ok(Verdict::Applied(reply)) => Some(reply.revision),
            _ => None,
        }
    }

    #[test]
    fn commands_that_wait_together_are_one_run_and_are_settled_in_order() {
        let desk = Desk::new(1, 7);
        let mut places: Vec<Place> = (0..3).map(|n| desk.enter(command(n)).unwrap()).collect();
        let runs = desk.take(10);
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].origin.first, runs[0].origin.count), (0, 3));
        assert_eq!(runs[0].commands, [command(0), command(1), command(2)]);
        assert!(desk.take(10).is_empty());
        desk.settle(&runs[0].origin, (10..).map(applied));
        let told: Vec<_> = places.iter_mut().map(revision).collect();
        assert_eq!(told, [Some(10), Some(11), Some(12)]);
        assert!(desk.queues.lock().waiting.is_empty());
    }

    #[test]
    fn a_withdrawn_command_is_never_taken_and_splits_the_run() {
        let desk = Desk::new(1, 7);
        let _first = desk.enter(command(0)).unwrap();
        let mut second = desk.enter(command(1)).unwrap();
        let mut third = desk.enter(command(2)).unwrap();
        assert!(second.withdraw());
        assert!(!second.withdraw(), "it is withdrawn only once");
        let runs = desk.take(10);
        assert_eq!(runs.len(), 2);
        assert_eq!((runs[0].origin.first, runs[0].origin.count), (0, 1));
        assert_eq!((runs[1].origin.first, runs[1].origin.count), (2, 1));
        assert!(!third.withdraw(), "it is taken, so nothing is sure");
        desk.settle(&runs[1].origin, std::iter::once(applied(5)));
        assert_eq!(revision(&mut third), None, "whoever withdrew is not told");
    }

    #[test]
    fn a_dropped_place_does_not_shift_the_others() {
        let desk = Desk::new(1, 7);
        let first = desk.enter(command(0)).unwrap();
        let runs = desk.take(1);
        drop(first);
        let mut second = desk.enter(command(1)).unwrap();
        let later = desk.take(1);
        assert_eq!(later[0].origin.first, 1);
        desk.settle(&runs[0].origin, std::iter::once(applied(1)));
        desk.settle(&later[0].origin, std::iter::once(applied(2)));
        assert_eq!(revision(&mut second), Some(2));
    }

    #[test]
    fn a_run_of_an_earlier_life_settles_nothing() {
        let desk = Desk::new(1, 7);
        let mut place = desk.enter(command(0)).unwrap();
        let mut origin = desk.take(1)[0].origin;
        origin.boot = 6;
        desk.settle(&origin, std::iter::once(applied(1)));
        assert_eq!(revision(&mut place), None);
    }

    #[test]
    fn a_batch_takes_no_more_than_it_may() {
        let desk = Desk::new(1, 7);
        let _places: Vec<Place> = (0..5).map(|n| desk.enter(command(n)).unwrap()).collect();
        assert_eq!(desk.take(2)[0].commands.len(), 2);
        assert_eq!(desk.take(9)[0].origin.first, 2);
        assert!(desk.take(9).is_empty());
    }

    #[test]
    fn closing_sends_everybody_away() {
        let desk = Desk::new(1, 7);
        let mut place = desk.enter(command(0)).unwrap();
        desk.close();
        assert!(matches!(place.verdict.try_recv(), Ok(Verdict::Stopped)));
        assert_eq!(desk.enter(command(1)).unwrap_err(), Full::Closed);
        assert!(desk.take(1).is_empty());
    }
}
