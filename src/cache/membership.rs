//! A node's place on the ring: its session, the table that it obeys, what it releases.
//!
//! A life begins with a session and ends with it. In between the node follows the ring: a new table
//! becomes a new picture (`view.rs`); slots that move away from it are released once the picture
//! hangs, for then nobody answers for them any more. When the session is lost, the node's own count
//! has already stopped it from answering; it opens another one, joins again, waits until it has
//! seen a table at least as new as its joining, and serves what that says.
//!
//! So a node that was paused, cut off or forgotten comes back by itself, and never with a right
//! that it has no more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockring_client::wire::{ConfigureRing, ErrorCode, JoinRing, ReleaseSlots, RingHash};
use lockring_client::wire::{MemberState, Placement};
use lockring_client::{BootTime, Client, Error, RingSnapshot, RingView, Session};
use lockring_core::{MemberName, RingName};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use super::node::Node;
use super::slot::SLOTS;
use super::view::{Member, Standing, Table, View};

/// Between two attempts at the control plane.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks at what time alone changes.
const TICK: Duration = Duration::from_millis(250);
/// How long a node that was asked to drain may take before it goes anyway.
const DRAIN_WITHIN: Duration = Duration::from_secs(60);

/// Who a node is on which ring.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) client: Client,
    pub(crate) ring: RingName,
    pub(crate) member: MemberName,
    pub(crate) ttl: Duration,
    pub(crate) weight: u16,
    pub(crate) zone: String,
    /// What for, and where: `resp`, `peer`, `proxy`.
    pub(crate) addresses: BTreeMap<String, String>,
    /// For how long after its drain a node hands out what it had.
    pub(crate) linger: Duration,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Joining,
    Serving,
    Draining,
}

/// Why a life ended.
enum Ended {
    Lost,
    Drained,
}

/// The clocks of a life.
#[derive(Debug)]
struct Life {
    session: Session,
    ring: Arc<RingView>,
}

impl Standing for Life {
    fn serves_for(&self) -> Duration {
        self.session.remaining()
    }

    fn vouched_for(&self) -> Duration {
        BootTime::now().until(self.ring.vouched_until())
    }
}

/// The clock of a picture that is still followed, but whose node has no slots.
#[derive(Debug)]
struct Onlooker {
    ring: Arc<RingView>,
}

impl Standing for Onlooker {
    fn serves_for(&self) -> Duration {
        Duration::ZERO
    }

    fn vouched_for(&self) -> Duration {
        BootTime::now().until(self.ring.vouched_until())
    }
}

impl Membership {
    /// Keeps the node on the ring until `drain` says `true` and its slots have found new owners.
    ///
    /// # Errors
    /// What no waiting mends, such as a ring that hashes otherwise.
    pub(crate) async fn keep(
        self,
        node: Arc<Node>,
        stage: watch::Sender<Stage>,
        mut drain: watch::Receiver<bool>,
    ) -> Result<(), String> {
        let ring = tokio::select! {
            ring = self.follow() => Arc::new(ring?),
            _ = drain.wait_for(|drain| *drain) => return Ok(()),
        };
        loop {
            stage.send_replace(Stage::Joining);
            let session = tokio::select! {
                session = self.begin(&ring) => session?,
                _ = drain.wait_for(|drain| *drain) => return Ok(()),
            };
            let mut life = Run {
                membership: &self,
                node: &node,
                ring: ring.clone(),
                session: session.clone(),
                releases: JoinSet::new(),
                released: vec![0; SLOTS],
            };
            match life.run(&stage, &mut drain).await {
                Ended::Lost => tracing::warn!("the session is lost; joining again"),
                Ended::Drained => {
                    life.linger().await;
                    let _ = timeout(Duration::from_secs(2), session.close()).await;
                    return Ok(());
                }
            }
            life.look_on();
        }
    }

    /// Waits for the control plane, makes the ring if there is none, and follows it.
    async fn follow(&self) -> Result<RingView, String> {
        let name = self.ring.as_str();
        loop {
            let followed = async {
                match self.client.get_ring(name).await {
                    Ok(ring) if ring.hash != RingHash::Crc16 => return Ok(None),
                    Ok(_) => {}
                    Err(error) if error.code() == Some(ErrorCode::NotFound) => {
                        let settings = ConfigureRing {
                            hash: Some(RingHash::Crc16),
                            placement: Some(Placement::Exact),
                            ..ConfigureRing::default()
                        };
                        self.client.configure_ring(name, &settings).await?;
                    }
                    Err(error) => return Err(error),
                }
                self.client.ring(name).follow().await.map(Some)
            };
            match followed.await {
                Ok(Some(view)) => return Ok(view),
                Ok(None) => {
                    return Err(format!(
                        "the ring `{name}` hashes keys by SHA-1; clients of Redis need crc16"
                    ));
                }
                Err(error) => {
                    self.unless_final(&error, "the ring cannot be followed")
                        .await?
                }
            }
        }
    }

    /// Opens a session, joins under it, and waits for a table that knows of it.
    async fn begin(&self, ring: &RingView) -> Result<Session, String> {
        loop {
            let owner = format!("cache {}", self.member);
            let open = self.client.session().ttl(self.ttl).owner(owner).open();
            let session = match open.await {
                Ok(session) => session,
                Err(error) => {
                    self.unless_final(&error, "no session").await?;
                    continue;
                }
            };
            tokio::select! {
                joined = self.join(ring, &session) => match joined {
                    Ok(()) => return Ok(session),
                    Err(error) => self.unless_final(&error, "not joined").await?,
                },
                cause = session.lost() => tracing::warn!(%cause, "lost before it had joined"),
            }
        }
    }

    async fn join(&self, ring: &RingView, session: &Session) -> Result<(), Error> {
        let join = JoinRing {
            session: session.id().to_owned(),
            weight: Some(self.weight),
            zone: (!self.zone.is_empty()).then(|| self.zone.clone()),
            addresses: self.addresses.clone(),
        };
        let name = self.ring.as_str();
        let joined = loop {
            match self
                .client
                .join_ring(name, self.member.as_str(), &join)
                .await
            {
                Ok(joined) => break joined,
                // Our own life before, whose session the cluster still waits for.
                Err(error) if error.code() == Some(ErrorCode::Held) => sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        };
        let mut known = ring.now().epoch();
        while known < joined.epoch {
            known = ring.newer_than(known).await.epoch();
        }
        tracing::info!(ring = name, member = %self.member, epoch = joined.epoch, "joined");
        Ok(())
    }

    /// Pauses after an error that may pass; hands on one that will not.
    async fn unless_final(&self, error: &Error, what: &str) -> Result<(), String> {
        let is_final = matches!(
            error.code(),
            Some(ErrorCode::Invalid | ErrorCode::Unauthenticated | ErrorCode::Forbidden)
        );
        if is_final {
            return Err(format!("{what}: {error}"));
        }
        tracing::warn!(%error, "{what}; trying again");
        sleep(PAUSE).await;
        Ok(())
    }

    fn id(&self) -> String {
        self.member.redis_id(&self.ring)
    }

    /// The ring as one snapshot has it, and our place in it.
    fn table(&self, snapshot: &RingSnapshot, session: Option<&str>) -> (Table, Option<u16>) {
        let mut places = BTreeMap::new();
        let (mut members, mut lost, mut me) = (Vec::new(), Vec::new(), None);
        for member in &snapshot.ring.members {
            let Ok(name) = MemberName::parse(&member.member) else {
                continue;
            };
            let address = |what: &str| member.addresses.get(what).cloned();
            let (Some(resp), Some(peer)) = (address("resp"), address("peer")) else {
                continue;
            };
            // A member that is down is told to nobody: its slots have other owners.
            if matches!(member.state, MemberState::Down | MemberState::Removed) {
                lost.push(peer);
                continue;
            }
            let place = u16::try_from(members.len()).unwrap_or(u16::MAX);
            let is_ours = session.is_some_and(|session| session.starts_with(&member.session));
            if name == self.member && is_ours {
                me = Some(place);
            }
            members.push(Member {
                id: name.redis_id(&self.ring),
                name: member.member.clone(),
                resp,
                peer,
            });
            places.insert(name, place);
        }
        let of = |member: Option<&MemberName>| member.and_then(|name| places.get(name).copied());
        let slots = || (0..SLOTS).map(|slot| u16::try_from(slot).expect("there are 16384 slots"));
        let table = &snapshot.table;
        // A slot that moves away from a member that is down has nobody to release it; the cluster
        // says when it has arrived.
        let from = |slot| match (table.moving_from(slot), of(table.moving_from(slot))) {
            (Some(_), None) => Some(u16::MAX),
            (_, from) => from,
        };
        let made = Table {
            epoch: snapshot.epoch(),
            owner: slots().map(|slot| of(table.owner(slot))).collect(),
            from: slots().map(from).collect(),
            slot_epoch: slots().map(|slot| table.slot_epoch(slot)).collect(),
            members,
            lost,
        };
        (made, me)
    }
}

/// One life on the ring.
struct Run<'a> {
    membership: &'a Membership,
    node: &'a Node,
    ring: Arc<RingView>,
    session: Session,
    /// Releases under way, each with the slots and epochs that it is of.
    releases: JoinSet<Result<(), Vec<(u16, u16)>>>,
    /// Of each slot, the epoch of the move for which it was released last; a release is harmless
    /// to repeat, but not to be repeated with every table.
    released: Vec<u64>,
}

impl Run<'_> {
    async fn run(
        &mut self,
        stage: &watch::Sender<Stage>,
        drain: &mut watch::Receiver<bool>,
    ) -> Ended {
        let mut tick = interval(TICK);
        let mut epoch = self.show();
        stage.send_replace(Stage::Serving);
        let mut drains_until: Option<Instant> = None;
        loop {
            tokio::select! {
                cause = self.session.lost() => {
                    tracing::warn!(%cause, "serving ends");
                    return if drains_until.is_some() { Ended::Drained } else { Ended::Lost };
                }
                _ = self.ring.newer_than(epoch) => epoch = self.show(),
                Some(released) = self.releases.join_next() => self.released(released),
                _ = tick.tick() => self.tick(),
                _ = drain.wait_for(|drain| *drain), if drains_until.is_none() => {
                    stage.send_replace(Stage::Draining);
                    drains_until = Some(Instant::now() + DRAIN_WITHIN);
                    self.drain().await;
                }
            }
            if drains_until.is_some_and(|until| Instant::now() > until || self.is_empty()) {
                return Ended::Drained;
            }
        }
    }

    /// Makes the newest table the picture, and releases what moves away; answers its epoch.
    fn show(&mut self) -> u64 {
        let snapshot = self.ring.now();
        let (table, me) = self.membership.table(&snapshot, Some(self.session.id()));
        let table = Arc::new(table);
        self.node.handover.arrive(&self.node.now(), &table, me);
        let life = Life {
            session: self.session.clone(),
            ring: self.ring.clone(),
        };
        let (id, warm) = (self.membership.id(), self.node.handover.is_warm());
        self.node
            .put_up(View::new(table.clone(), me, id, Arc::new(life), warm));
        self.release(&table, me);
        snapshot.epoch()
    }

    /// Releases what moves away from us. Nobody answers for it any more: the picture that says so
    /// hangs.
    fn release(&mut self, table: &Table, me: Option<u16>) {
        let Some(me) = me else { return };
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in 0..SLOTS {
            let (from, epoch) = (table.from[slot], table.slot_epoch[slot]);
            if from != Some(me) || self.released[slot] == epoch {
                continue;
            }
            self.released[slot] = epoch;
            let slot = u16::try_from(slot).expect("there are 16384 slots");
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        if ranges.is_empty() {
            return;
        }
        let release = ReleaseSlots {
            member: self.membership.member.as_str().to_owned(),
            session: self.session.id().to_owned(),
            ranges,
            epoch: table.epoch,
        };
        let (client, ring) = (self.membership.client.clone(), self.membership.ring.clone());
        self.releases.spawn(async move {
            let released = client.release_slots(ring.as_str(), &release).await;
            released.map(drop).map_err(|error| {
                tracing::warn!(%error, "slots are not released yet");
                release.ranges
            })
        });
    }

    /// A release that failed is tried again with the next look at the table.
    fn released(&mut self, done: Result<Result<(), Vec<(u16, u16)>>, tokio::task::JoinError>) {
        let Ok(Err(ranges)) = done else { return };
        for (first, last) in ranges {
            self.released[usize::from(first)..=usize::from(last)].fill(0);
        }
    }

    fn tick(&mut self) {
        self.node.audit_so_far();
        for slot in self.node.handover.given_up() {
            let kept = self.node.now().epoch_if_mine(slot);
            self.node.store.sweep(slot, kept);
        }
        let view = self.node.now();
        self.release(view.table(), view.me());
        let warm = self.node.handover.is_warm();
        if view.is_warm_otherwise(&warm) {
            self.node
                .put_up(view.renewed(view.standing().clone(), warm));
        }
    }

    async fn drain(&self) {
        let (ring, member) = (
            self.membership.ring.as_str(),
            self.membership.member.as_str(),
        );
        let life = self.ring.now().member(member).map(|row| row.incarnation);
        tracing::info!(ring, member, incarnation = life, "draining");
        // What fails now is tried by nobody: the node then leaves when its time is over.
        if let Err(error) = self
            .membership
            .client
            .drain_member(ring, member, life)
            .await
        {
            tracing::warn!(%error, "not drained");
        }
    }

    /// Whether we have nothing more to hand over.
    fn is_empty(&self) -> bool {
        let view = self.node.now();
        let Some(me) = view.me() else { return true };
        let table = view.table();
        !(table.owner.contains(&Some(me)) || table.from.contains(&Some(me)))
    }

    /// Answers for nothing any more, but goes on to know where to send clients.
    fn look_on(&self) {
        let view = self.node.now();
        let onlooker = Onlooker {
            ring: self.ring.clone(),
        };
        self.node
            .put_up(view.renewed(Arc::new(onlooker), |_| false));
    }

    /// Hands out what new owners still ask for.
    async fn linger(&mut self) {
        let until = Instant::now() + self.membership.linger;
        let mut epoch = self.ring.now().epoch();
        while Instant::now() < until && self.node.handover.is_awaited() {
            tokio::select! {
                _ = self.ring.newer_than(epoch) => {
                    let snapshot = self.ring.now();
                    epoch = snapshot.epoch();
                    let (table, me) = self.membership.table(&snapshot, None);
                    let onlooker = Onlooker { ring: self.ring.clone() };
                    let (table, id) = (Arc::new(table), self.membership.id());
                    let view = View::new(table, me, id, Arc::new(onlooker), |_| false);
                    self.node.put_up(view);
                }
                () = sleep(TICK) => self.node.audit_so_far(),
            }
        }
    }
}
