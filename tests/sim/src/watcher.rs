//! A reader of the event stream, which follows it from node to node.
//!
//! It takes up at another node where it was when its node dies, and now and then for no reason.
//! The nodes keep no history here, so what happened in between is a gap, and must be told as one.

use lockring::service::{Noticed, Place, Service, Subject};
use tokio::task::JoinHandle;

use crate::dice::Dice;
use crate::node::{Node, Tray};

/// How often it changes its node for no reason: so many times in a million milliseconds.
const HOPS: u64 = 300;
/// How long it waits after a node that had nothing to tell.
const PAUSE_MS: u64 = 50;

/// What the watcher is told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It begins behind this revision.
    Since(u64),
    /// What it is told then.
    Noticed(Noticed),
}

/// See the module's text.
#[derive(Debug)]
pub struct Watcher {
    dice: Dice,
    /// Which node it follows, in which of its lives, and the task there.
    at: Option<(usize, u64, JoinHandle<()>)>,
    rests_until_ms: u64,
    place: Option<Place>,
    /// All that it was told.
    pub heard: Vec<Heard>,
    tray: Tray<Heard>,
}

impl Watcher {
    /// One that follows nobody yet.
    #[must_use]
    pub fn new(dice: Dice) -> Self {
        Self {
            dice,
            at: None,
            rests_until_ms: 0,
            place: None,
            heard: Vec::new(),
            tray: Tray::default(),
        }
    }

    /// Hears what there is, and goes to another node if it has to. Answers how much it heard.
    pub fn act(&mut self, now_ms: u64, nodes: &[Node]) -> usize {
        let told = std::mem::take(&mut *self.tray.lock());
        for heard in &told {
            match heard {
                Heard::Since(revision) => self.place = Some(Place::behind(*revision)),
                Heard::Noticed(Noticed::Event(place, _)) => self.place = Some(*place),
                Heard::Noticed(Noticed::Gap { to, .. }) => {
                    self.place = self.place.max(Some(Place::behind(*to)));
                }
            }
        }
        let count = told.len();
        self.heard.extend(told);
        if let Some((at, lives, task)) = &self.at {
            let node = &nodes[*at];
            let there = node.life.is_some() && node.lives == *lives && !task.is_finished();
            if there && !self.dice.hits(HOPS) {
                return count;
            }
            task.abort();
            self.at = None;
            // What that task had still to tell is told again by the next.
            self.tray = Tray::default();
            self.rests_until_ms = now_ms + PAUSE_MS;
        }
        if now_ms >= self.rests_until_ms {
            self.begin(nodes);
        }
        count
    }

    fn begin(&mut self, nodes: &[Node]) {
        let up: Vec<usize> = (0..nodes.len())
            .filter(|at| nodes[*at].life.is_some())
            .collect();
        if up.is_empty() {
            return;
        }
        let at = *self.dice.pick(&up);
        let life = nodes[at].life.as_ref().expect("it was just seen to be up");
        let follow = follow(life.service.clone(), self.place, self.tray.clone());
        let task = life.runtime.spawn(follow);
        self.at = Some((at, nodes[at].lives, task));
    }
}

async fn follow(service: Service, place: Option<Place>, tray: Tray<Heard>) {
    let Ok(answer) = service.watch(Subject::Everything, place).await else {
        return;
    };
    let mut watch = answer.body;
    if place.is_none() {
        tray.lock().push(Heard::Since(answer.revision));
    }
    while let Some(noticed) = watch.next().await {
        tray.lock().extend(noticed.into_iter().map(Heard::Noticed));
    }
}
