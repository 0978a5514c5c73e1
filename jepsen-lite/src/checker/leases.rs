//! From when to when a lease was certainly in force.
//!
//! A holder certainly has its lease from the answer that told it so until the first of two
//! moments: it sends a release, or its session may have ended. The session certainly lives until
//! the last acknowledged renewal was *sent*, plus the TTL, less one in a hundred for clocks that
//! run at different rates. Before that answer and after those moments it may still have had it,
//! or not; no checker relies on either.

use std::collections::HashMap;

use serde_json::Value;

use super::sharing::Sharing;
use crate::clock::MS;
use crate::history::{Call, End};

/// One grant as its holder knew it.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Of which lock.
    pub key: String,
    /// Whose.
    pub session: String,
    /// Its number.
    pub fence: u64,
    /// How it shares the lock.
    pub sharing: Sharing,
    /// From the answer on.
    pub from: u64,
    /// Until when it was certainly in force; `None` where the session's renewals are not in the
    /// history.
    pub certain: Option<u64>,
    /// Until when its holder acted as if it had it.
    pub believed: u64,
    /// The call that got it.
    pub acquired: Call,
}

/// Until when each session certainly lived, as far as renewals tell.
#[derive(Debug, Default)]
pub struct Lives {
    until: HashMap<String, u64>,
    /// When a close was sent.
    closing: HashMap<String, u64>,
}

impl Lives {
    /// Of all sessions of these calls.
    #[must_use]
    pub fn of(calls: &[Call]) -> Self {
        let mut ttls: HashMap<&str, u64> = HashMap::new();
        let mut lives = Self::default();
        for call in calls {
            let session = call.session();
            match call.f.as_str() {
                "open" if call.is_ok() => {
                    ttls.insert(session, call.ttl_ms.unwrap_or(0) * MS);
                }
                "renew" if call.is_ok() => {}
                "close" => {
                    let closing = lives
                        .closing
                        .entry(session.to_owned())
                        .or_insert(call.start);
                    *closing = call.start.min(*closing);
                    continue;
                }
                _ => continue,
            }
            let Some(ttl) = ttls.get(session) else {
                continue;
            };
            let until = lives.until.entry(session.to_owned()).or_default();
            *until = (call.start + ttl - ttl / 100).max(*until);
        }
        lives
    }

    /// Until when this session certainly lived; `None` if nobody can say.
    #[must_use]
    pub fn until(&self, session: &str) -> Option<u64> {
        let until = *self.until.get(session)?;
        let closing = self.closing.get(session).copied();
        Some(until.min(closing.unwrap_or(u64::MAX)))
    }
}

/// Every acknowledged grant.
#[must_use]
pub fn leases(calls: &[Call]) -> Vec<Lease> {
    let lives = Lives::of(calls);
    let mut releases: HashMap<(&str, &str, u64), u64> = HashMap::new();
    for call in calls.iter().filter(|call| call.f == "release") {
        let lease = (call.key(), call.session(), call.fence.unwrap_or(0));
        let sent = releases.entry(lease).or_insert(call.start);
        *sent = call.start.min(*sent);
    }
    let mut asks: HashMap<(&str, &str), Vec<&Call>> = HashMap::new();
    for call in calls.iter().filter(|call| call.f == "acquire") {
        let of = (call.key(), call.session());
        asks.entry(of).or_default().push(call);
    }
    let granted = calls.iter().filter(|call| call.end == End::Ok);
    let grants = granted.flat_map(|call| grants_of(call).into_iter().map(move |row| (call, row)));
    let leases = grants.map(|(call, (key, fence, sharing))| {
        let released = releases
            .get(&(key.as_str(), call.session(), fence))
            .copied();
        let of_holder = asks.get(&(key.as_str(), call.session()));
        let changed = of_holder.and_then(|asks| changed(asks, call, sharing));
        let given_up = [released, changed].into_iter().flatten().min();
        let lived = lives.until(call.session());
        let certain = lived.map(|until| until.min(given_up.unwrap_or(u64::MAX)));
        Lease {
            key,
            session: call.session().to_owned(),
            fence,
            sharing,
            from: call.stop,
            certain,
            believed: given_up.or(lived).unwrap_or(call.stop),
            acquired: call.clone(),
        }
    });
    leases.collect()
}

/// The locks, fences and modes that a call was granted.
fn grants_of(call: &Call) -> Vec<(String, u64, Sharing)> {
    if call.f == "acquire-all" {
        let leases = call.value.as_ref().map(|value| &value["leases"]);
        let leases = leases.and_then(Value::as_array).into_iter().flatten();
        let lease = |row: &Value| {
            let (lock, fence) = (row["lock"].as_str()?, row["fence"].as_u64()?);
            Some((lock.to_owned(), fence, Sharing::read(&row["mode"])))
        };
        return leases.filter_map(lease).collect();
    }
    match call.fence.filter(|_| call.f == "acquire") {
        Some(fence) => vec![(call.key().to_owned(), fence, asked(call))],
        None => Vec::new(),
    }
}

/// The mode that an acquire asked for.
pub(super) fn asked(call: &Call) -> Sharing {
    let asked = call.asked.as_ref();
    asked.map_or(Sharing::Exclusive, |asked| Sharing::read(&asked["mode"]))
}

/// When the holder asked for the same lock in another mode, which puts another lease in the place
/// of this one.
fn changed(asks: &[&Call], grant: &Call, sharing: Sharing) -> Option<u64> {
    let later = asks
        .iter()
        .filter(|ask| ask.start >= grant.stop && ask.end != End::Fail);
    let other = later.filter(|ask| asked(ask) != sharing);
    other.map(|ask| ask.start).min()
}

/// The leases that are certainly in force for a while, key by key in the order of their begins.
#[must_use]
pub fn by_key(leases: &[Lease]) -> HashMap<&str, Vec<&Lease>> {
    let mut keys: HashMap<&str, Vec<&Lease>> = HashMap::new();
    for lease in leases {
        keys.entry(&lease.key).or_default().push(lease);
    }
    for of_key in keys.values_mut() {
        of_key.sort_by_key(|lease| lease.from);
    }
    keys
}
