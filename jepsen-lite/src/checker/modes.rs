//! Locks that are shared: who has them together may, several are had together or not at all, and
//! nobody waits in a circle.

use std::collections::{HashMap, HashSet};

use super::early::rows;
use super::fences::waits;
use super::leases::{Lease, Lives, asked, by_key, leases};
use super::sharing::Sharing;
use super::{Checker, Findings};
use crate::clock::MS;
use crate::history::{Call, History};

/// Only leases that get along are certainly in force together.
pub(super) struct Compatible;

/// Many locks are granted in one step.
pub(super) struct AllOrNothing;

/// A circle of waiters is broken when it closes.
pub(super) struct NoDeadlock;

impl Checker for Compatible {
    fn name(&self) -> &'static str {
        "holders-are-compatible"
    }

    fn promise(&self) -> &'static str {
        "leases that are certainly in force together share the lock, and no more permits than \
         there are"
    }

    fn check(&self, history: &History) -> Findings {
        let all = leases(&history.calls());
        let mut findings = Findings::default();
        for of_key in by_key(&all).into_values() {
            let mut held: Vec<&Lease> = Vec::new();
            for lease in of_key {
                held.retain(|before| before.certain.is_some_and(|until| until > lease.from));
                if lease.certain.is_none_or(|until| until <= lease.from) {
                    continue;
                }
                findings.looked_at += 1;
                beside(&held, lease, &mut findings);
                held.push(lease);
            }
        }
        findings
    }
}

fn beside(held: &[&Lease], lease: &Lease, findings: &mut Findings) {
    let excluded = held
        .iter()
        .find(|before| before.session != lease.session && before.sharing.excludes(lease.sharing));
    if let Some(before) = excluded {
        let what = format!(
            "{}: fences {} ({:?}) and {} ({:?}) were both certainly in force",
            lease.key, before.fence, before.sharing, lease.fence, lease.sharing
        );
        findings.breaks(what, [&before.acquired, &lease.acquired]);
    } else if let Some((all, of)) = lease.sharing.overdraws(held.iter().map(|it| it.sharing)) {
        let what = format!(
            "{}: with fence {} {all} permits of {of} were certainly taken",
            lease.key, lease.fence
        );
        let calls = held.iter().map(|before| &before.acquired);
        findings.breaks(what, calls.chain([&lease.acquired]));
    }
}

impl Checker for AllOrNothing {
    fn name(&self) -> &'static str {
        "all-or-nothing"
    }

    fn promise(&self) -> &'static str {
        "of locks that are asked for together all are granted, in one step, or none is"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let mut reads: HashMap<&str, Vec<&Call>> = HashMap::new();
        for call in calls
            .iter()
            .filter(|call| call.f == "holders" && call.is_ok())
        {
            reads.entry(call.key()).or_default().push(call);
        }
        let lives = Lives::of(&calls);
        let mut gives: HashMap<&str, u64> = HashMap::new();
        for call in calls
            .iter()
            .filter(|call| ["release", "close"].contains(&call.f.as_str()))
        {
            let first = gives.entry(call.session()).or_insert(call.start);
            *first = call.start.min(*first);
        }
        let mut findings = Findings::default();
        for call in calls.iter().filter(|call| call.f == "acquire-all") {
            // While its session lives and it has given nothing back, all must be shown.
            let given_up = gives.get(call.session()).copied().unwrap_or(u64::MAX);
            let given_up = given_up.min(lives.until(call.session()).unwrap_or(0));
            let locks = wanted(call);
            let of_locks: Vec<&Call> = locks
                .iter()
                .flat_map(|lock| reads.get(lock.as_str()).into_iter().flatten().copied())
                .collect();
            findings.looked_at += 1;
            whole(call, &locks, &mut findings);
            in_one_step(call, &of_locks, given_up, &mut findings);
        }
        findings
    }
}

/// The locks that a call asked for.
fn wanted(call: &Call) -> Vec<String> {
    let asked = call.asked.as_ref();
    let rows = asked.and_then(|asked| asked["locks"].as_array());
    let names = rows
        .into_iter()
        .flatten()
        .filter_map(|row| row["lock"].as_str());
    names.map(str::to_owned).collect()
}

/// The answer has every lock that was asked for.
fn whole(call: &Call, locks: &[String], findings: &mut Findings) {
    if !call.is_ok() {
        return;
    }
    let value = call.value.as_ref();
    let leases = value.and_then(|value| value["leases"].as_array());
    let got: HashSet<&str> = leases
        .into_iter()
        .flatten()
        .filter_map(|row| row["lock"].as_str())
        .collect();
    if let Some(lock) = locks.iter().find(|lock| !got.contains(lock.as_str())) {
        findings.breaks(
            format!("{lock} is not among what was granted together"),
            [call],
        );
    }
}

/// What reads show of this session: nothing if it was refused; and if it was granted, once one of
/// the locks is shown to be its own, each is at every later revision, until it gives one back.
fn in_one_step(call: &Call, reads: &[&Call], given_up: u64, findings: &mut Findings) {
    let shows = |read: &&&Call| {
        rows(read, "holders").any(|row| row["session"].as_str() == Some(call.session()))
    };
    let refused = ["held", "wait_timeout", "deadlock"];
    if refused.iter().any(|code| call.failed_with(code)) {
        if let Some(read) = reads.iter().find(shows) {
            let what = format!("{}: granted to a wait that was refused", read.key());
            findings.breaks(what, [call, *read]);
        }
        return;
    }
    // Of a call that was not answered with its leases, the node may undo what came of it.
    if !call.is_ok() {
        return;
    }
    let before_release = reads.iter().filter(|read| read.stop <= given_up);
    let in_time: Vec<&&Call> = before_release.collect();
    let first = in_time
        .iter()
        .copied()
        .filter(shows)
        .min_by_key(|read| read.revision);
    let Some(first) = first else { return };
    let mut later = in_time
        .iter()
        .copied()
        .filter(|read| read.revision > first.revision);
    if let Some(without) = later.find(|read| !shows(read)) {
        let what = format!(
            "{} was granted at revision {} and {} not yet at {}",
            first.key(),
            first.revision.unwrap_or(0),
            without.key(),
            without.revision.unwrap_or(0)
        );
        findings.breaks(what, [call, *first, *without]);
    }
}

impl Checker for NoDeadlock {
    fn name(&self) -> &'static str {
        "no-deadlock-stands"
    }

    fn promise(&self) -> &'static str {
        "of two who wait for what the other holds one is refused at once"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let leases = leases(&calls);
        let mut findings = Findings::default();
        let waited = calls
            .iter()
            .filter(|call| call.f == "acquire" && call.asked.as_ref().is_some_and(waits));
        let waited: Vec<&Call> = waited.collect();
        findings.looked_at = waited
            .iter()
            .filter(|call| call.failed_with("deadlock"))
            .count() as u64;
        let timed_out: Vec<&&Call> = waited
            .iter()
            .filter(|call| call.failed_with("wait_timeout"))
            .collect();
        for (nth, one) in timed_out.iter().enumerate() {
            for other in &timed_out[nth + 1..] {
                if other.start >= one.stop {
                    break;
                }
                if other.session() != one.session() {
                    circle(one, other, &leases, &mut findings);
                }
            }
        }
        findings
    }
}

fn wait(call: &Call) -> u64 {
    let asked = call.asked.as_ref();
    asked
        .and_then(|asked| asked["wait_ms"].as_u64())
        .unwrap_or(0)
        * MS
}

/// Two waits that both ran out are no circle unless both were in their queues together, which is
/// certain when the later of them had begun before the earlier could end: a wait begins at the
/// latest as long before its answer as it lasts, and ends at the earliest as long after it was
/// sent.
fn circle(one: &Call, other: &Call, leases: &[Lease], findings: &mut Findings) {
    findings.looked_at += 1;
    let latest = |call: &Call| call.stop.saturating_sub(wait(call));
    let both_began = latest(one).max(latest(other));
    let none_ended = (one.start + wait(one)).min(other.start + wait(other));
    if both_began >= none_ended {
        return;
    }
    let from = one.start.min(other.start);
    let blocks = |holder: &Call, waiter: &Call| {
        leases.iter().find(|lease| {
            lease.key == waiter.key()
                && lease.session == holder.session()
                && lease.from <= from
                && lease.certain.is_some_and(|until| until > both_began)
                && never_together(lease.sharing, asked(waiter))
        })
    };
    if let (Some(first), Some(second)) = (blocks(one, other), blocks(other, one)) {
        let what = format!(
            "sessions {} and {} waited for each other, for {} and {}, until their waits ran out",
            one.session(),
            other.session(),
            one.key(),
            other.key()
        );
        findings.breaks(what, [&first.acquired, &second.acquired, one, other]);
    }
}

/// Of permits others may be given back meanwhile.
fn never_together(held: Sharing, wanted: Sharing) -> bool {
    let counted = |it| matches!(it, Sharing::Permits { .. });
    !counted(held) && !counted(wanted) && held.excludes(wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::history::{Event, Kind};

    /// Calls of processes of their own: `(f, key, session, from, until, kind, asked, told)`.
    type Line<'a> = (
        &'a str,
        &'a str,
        &'a str,
        u64,
        u64,
        Result<Value, &'a str>,
        Value,
    );

    fn history(lines: &[Line<'_>]) -> History {
        let mut events = Vec::new();
        for (process, (f, key, session, from, until, end, asked)) in (1..).zip(lines) {
            let event = Event {
                process,
                f: (*f).to_owned(),
                key: Some((*key).to_owned()),
                session: Some((*session).to_owned()),
                ttl_ms: Some(5_000),
                ..Event::default()
            };
            let told = end.as_ref().ok();
            events.push(Event {
                t: from * MS,
                kind: Kind::Invoke,
                value: Some(asked.clone()),
                ..event.clone()
            });
            events.push(Event {
                t: until * MS,
                kind: if end.is_ok() { Kind::Ok } else { Kind::Fail },
                fence: told.and_then(|told| told["fence"].as_u64()),
                revision: told.and_then(|told| told["revision"].as_u64()),
                value: told.cloned(),
                error: end.as_ref().err().map(|code| (*code).to_owned()),
                ..event
            });
        }
        History::new(events)
    }

    fn open(session: &str) -> Line<'_> {
        ("open", "", session, 0, 1, Ok(Value::Null), Value::Null)
    }

    fn take<'a>(key: &'a str, session: &'a str, at: u64, fence: u64, mode: &Value) -> Line<'a> {
        let told = Ok(json!({"fence": fence}));
        (
            "acquire",
            key,
            session,
            at,
            at + 1,
            told,
            json!({"mode": mode}),
        )
    }

    #[test]
    fn readers_meet_writers_do_not_and_permits_are_counted() {
        let (alone, shared, two) = (
            json!("exclusive"),
            json!("shared"),
            json!({"permits": 2, "of": 3}),
        );
        let found = |one: &Value, other: &Value| {
            let lines = [
                open("s"),
                open("t"),
                take("a", "s", 10, 1, one),
                take("a", "t", 20, 2, other),
            ];
            Compatible.check(&history(&lines)).broken.len()
        };
        assert_eq!(found(&shared, &shared), 0);
        assert_eq!(found(&shared, &alone), 1);
        assert_eq!(found(&two, &two), 1);
        // Who asked for another mode meanwhile has no longer what he had.
        let lines = [
            open("s"),
            open("t"),
            take("a", "s", 10, 1, &alone),
            take("a", "s", 15, 2, &shared),
            take("a", "t", 20, 3, &shared),
        ];
        assert_eq!(Compatible.check(&history(&lines)).broken.len(), 0);
    }

    #[test]
    fn a_part_of_what_was_asked_for_is_found() {
        let asked = json!({"locks": [{"lock": "a"}, {"lock": "b"}], "wait_ms": 100});
        let both = json!({"leases": [{"lock": "a", "fence": 1}, {"lock": "b", "fence": 2}]});
        let read = |key, at, revision, session: &str| -> Line<'_> {
            let told = json!({"revision": revision, "holders": [{"session": session}]});
            ("holders", key, "", at, at + 1, Ok(told), Value::Null)
        };
        let all = |end| ("acquire-all", "", "s", 10, 50, end, asked.clone());
        let right = [
            open("s"),
            all(Ok(both.clone())),
            read("a", 55, 7, "s"),
            read("b", 60, 8, "s"),
        ];
        assert!(AllOrNothing.check(&history(&right)).broken.is_empty());
        for wrong in [
            vec![
                open("s"),
                all(Ok(json!({"leases": [{"lock": "a", "fence": 1}]}))),
            ],
            vec![
                open("s"),
                all(Ok(both)),
                read("a", 20, 7, "s"),
                read("b", 25, 8, "t"),
            ],
            vec![open("s"), all(Err("wait_timeout")), read("a", 20, 7, "s")],
        ] {
            assert_eq!(
                AllOrNothing.check(&history(&wrong)).broken.len(),
                1,
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn two_who_wait_for_each_other_to_the_end_are_found() {
        let alone = json!("exclusive");
        let wait = |key, session, at, ends| -> Line<'_> {
            let asked = json!({"mode": "exclusive", "wait_ms": 100});
            (
                "acquire",
                key,
                session,
                at,
                ends,
                Err("wait_timeout"),
                asked,
            )
        };
        let begun = [
            open("s"),
            open("t"),
            take("a", "s", 10, 1, &alone),
            take("b", "t", 10, 2, &alone),
        ];
        let with = |one, other| NoDeadlock.check(&history(&[&begun[..], &[one, other]].concat()));
        let stands = with(wait("b", "s", 20, 122), wait("a", "t", 50, 152));
        assert_eq!(stands.broken.len(), 1);
        // The first may have been over when the second came.
        let passed = with(wait("b", "s", 20, 122), wait("a", "t", 110, 230));
        assert_eq!(passed.broken.len(), 0);
        let elsewhere = with(wait("b", "s", 20, 122), wait("c", "t", 50, 152));
        assert_eq!(elsewhere.broken.len(), 0);
    }
}
