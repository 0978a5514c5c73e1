//! The calls about rings.

use super::{Query, written};
use crate::client::Client;
use crate::connection::Method;
use crate::error::Error;
use crate::wire::{
    Assignments, ConfigureRing, FreezeRing, JoinRing, Lookup, PlanRing, Planned, ReleaseSlots,
    Ring, RingChanged, RingDiff, RingList, RingTableBody, SlotsReleased, route,
};

impl Client {
    /// Makes a ring, or changes what is said of one.
    ///
    /// # Errors
    /// [`Error`]; `invalid` for another hash while the ring has members.
    pub async fn configure_ring(
        &self,
        ring: &str,
        settings: &ConfigureRing,
    ) -> Result<Ring, Error> {
        self.change(Method::Put, route::ring(ring), written(settings))
            .await
    }

    /// Every ring and its epoch.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list_rings(&self) -> Result<RingList, Error> {
        self.read(route::RINGS.to_owned()).await
    }

    /// One ring: who is on it, and how evenly its slots are spread.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if there is none.
    pub async fn get_ring(&self, ring: &str) -> Result<Ring, Error> {
        self.read(route::ring(ring)).await
    }

    /// One ring's table; [`Client::ring`] follows it.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if there is none.
    pub async fn ring_table(&self, ring: &str) -> Result<RingTableBody, Error> {
        self.read(route::ring_part(ring, "table")).await
    }

    /// Brings a member onto a ring, or changes what it is listed with.
    ///
    /// # Errors
    /// [`Error`]; `held` while another session that is alive has the member's name.
    pub async fn join_ring(
        &self,
        ring: &str,
        member: &str,
        join: &JoinRing,
    ) -> Result<RingChanged, Error> {
        let path = route::ring_member(ring, member);
        self.change(Method::Put, path, written(join)).await
    }

    /// Takes a member's slots away in batches; it has left with the last that it releases.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if the ring has no such member, `fence_stale` if it is not in the
    /// named `incarnation` any more.
    pub async fn drain_member(
        &self,
        ring: &str,
        member: &str,
        incarnation: Option<u64>,
    ) -> Result<RingChanged, Error> {
        let Query(fields) = Query::default().with("incarnation", incarnation);
        let path = route::ring_member(ring, member) + "/drain" + &fields;
        self.change(Method::Post, path, Vec::new()).await
    }

    /// Takes a member off a ring: its slots move at once, as it releases them.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if the ring has no such member, `fence_stale` if it is not in the
    /// named `incarnation` any more.
    pub async fn leave_ring(
        &self,
        ring: &str,
        member: &str,
        incarnation: Option<u64>,
    ) -> Result<RingChanged, Error> {
        let Query(fields) = Query::default().with("incarnation", incarnation);
        let path = route::ring_member(ring, member) + &fields;
        self.change(Method::Delete, path, Vec::new()).await
    }

    /// A member no longer serves slots that move away from it.
    ///
    /// # Errors
    /// [`Error`]; `fence_stale` if the session is not the member's.
    pub async fn release_slots(
        &self,
        ring: &str,
        release: &ReleaseSlots,
    ) -> Result<SlotsReleased, Error> {
        let path = route::ring_part(ring, "release");
        self.change(Method::Post, path, written(release)).await
    }

    /// Whom to ask for a key: `n` members, or as many as the ring has replicas.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if there is no such ring.
    pub async fn look_up(
        &self,
        ring: &str,
        key: &str,
        n: Option<u8>,
    ) -> Result<Assignments, Error> {
        let Query(fields) = Query::default().with("key", Some(key)).with("n", n);
        self.read(route::ring_part(ring, "lookup") + &fields).await
    }

    /// The same for many keys, out of one table.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if there is no such ring.
    pub async fn look_up_all(&self, ring: &str, lookup: &Lookup) -> Result<Assignments, Error> {
        let path = route::ring_part(ring, "lookup");
        self.change(Method::Post, path, written(lookup)).await
    }

    /// What changes would move, without making them.
    ///
    /// # Errors
    /// [`Error`]; `invalid` for changes that cannot be made.
    pub async fn plan_ring(&self, ring: &str, plan: &PlanRing) -> Result<Planned, Error> {
        let path = route::ring_part(ring, "plan");
        self.change(Method::Post, path, written(plan)).await
    }

    /// What moved between two epochs; to the newest, if `to` is not said.
    ///
    /// # Errors
    /// [`Error`]; `invalid` for an epoch that is not kept or not there yet.
    pub async fn diff_ring(
        &self,
        ring: &str,
        from: u64,
        to: Option<u64>,
    ) -> Result<RingDiff, Error> {
        let Query(fields) = Query::default().with("from", Some(from)).with("to", to);
        self.read(route::ring_part(ring, "diff") + &fields).await
    }

    /// Nothing moves on a ring from now on.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if there is no such ring.
    pub async fn freeze_ring(&self, ring: &str, reason: &str) -> Result<RingChanged, Error> {
        self.hold_ring(ring, "freeze", reason).await
    }

    /// Slots move again.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if there is no such ring.
    pub async fn unfreeze_ring(&self, ring: &str, reason: &str) -> Result<RingChanged, Error> {
        self.hold_ring(ring, "unfreeze", reason).await
    }

    async fn hold_ring(&self, ring: &str, part: &str, reason: &str) -> Result<RingChanged, Error> {
        let reason = reason.to_owned();
        let path = route::ring_part(ring, part);
        self.change(Method::Post, path, written(&FreezeRing { reason }))
            .await
    }
}
