//! The service's own history of its locks, read after the run, fits together and fits what its
//! users were told.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::sharing::Sharing;
use super::{Checker, Findings};
use crate::history::{Event, History, NEMESIS};

/// Histories of locks are histories of locks.
pub(super) struct HistoriesFit;

impl Checker for HistoriesFit {
    fn name(&self) -> &'static str {
        "histories-fit"
    }

    fn promise(&self) -> &'static str {
        "a lock's history is ordered, never shows two leases at once that exclude each other or a \
         grant to a session that was over, and has every grant that was acknowledged"
    }

    fn check(&self, history: &History) -> Findings {
        let mut locks: HashMap<&str, Vec<&Event>> = HashMap::new();
        let rows = history.events.iter();
        for row in rows.filter(|event| event.process == NEMESIS && event.f == "told") {
            locks
                .entry(row.key.as_deref().unwrap_or_default())
                .or_default()
                .push(row);
        }
        let mut findings = Findings::default();
        for (lock, rows) in &locks {
            findings.looked_at += rows.len() as u64;
            in_order(lock, rows, &mut findings);
            one_at_a_time(lock, rows, &mut findings);
        }
        acknowledged(history, &locks, &mut findings);
        findings
    }
}

fn number(row: &Event, field: &str) -> u64 {
    let value = row.value.as_ref();
    value.and_then(|value| value[field].as_u64()).unwrap_or(0)
}

fn kind(row: &Event) -> &str {
    let value = row.value.as_ref();
    value
        .and_then(|value| value["event"].as_str())
        .unwrap_or_default()
}

fn is_gap(row: &Event) -> bool {
    kind(row) == "gap"
}

fn breaks(findings: &mut Findings, what: String, rows: &[&Event]) {
    let events = rows.iter().map(|row| (*row).clone()).collect();
    findings.broken.push((what, events));
}

fn in_order(lock: &str, rows: &[&Event], findings: &mut Findings) {
    let rows: Vec<&Event> = rows.iter().copied().filter(|row| !is_gap(row)).collect();
    for pair in rows.windows(2) {
        let (before, after) = (number(pair[0], "revision"), number(pair[1], "revision"));
        if after < before {
            let what = format!("{lock}: revision {before} is followed by {after}");
            breaks(findings, what, pair);
        }
    }
}

/// No grant comes while another is held that excludes it, and none ends as it begins.
fn one_at_a_time(lock: &str, rows: &[&Event], findings: &mut Findings) {
    let mut held: Vec<&Event> = Vec::new();
    for row in rows {
        match kind(row) {
            // What is not known may have ended them.
            "gap" => held.clear(),
            "granted" if number(row, "fence") > 0 => {
                gets_along(lock, &held, row, findings);
                held.push(row);
            }
            "expired" | "released" | "broken" | "revoked" | "transferred" | "changed" => {
                let fence = number(row, "fence");
                let Some(at) = held.iter().position(|held| number(held, "fence") == fence) else {
                    continue;
                };
                let grant = held.swap_remove(at);
                let cause = row.value.as_ref().map(|value| value["cause"].clone());
                let by_session = cause.is_none_or(|cause| cause == "expired" || cause.is_null());
                let at_once = number(grant, "at_ms") == number(row, "at_ms");
                if kind(row) == "expired" && by_session && at_once {
                    let what =
                        format!("{lock}: fence {fence} was granted to a session that was over");
                    breaks(findings, what, &[grant, row]);
                }
            }
            _ => {}
        }
    }
}

/// Whether a lock that is held so can be granted so.
fn gets_along(lock: &str, held: &[&Event], grant: &Event, findings: &mut Findings) {
    let fence = number(grant, "fence");
    if let Some(before) = held
        .iter()
        .find(|before| sharing(before).excludes(sharing(grant)))
    {
        let one = number(before, "fence");
        let what = format!("{lock}: fence {fence} is granted while {one} is held");
        breaks(findings, what, &[before, grant]);
    } else if let Some((all, of)) = sharing(grant).overdraws(held.iter().map(|row| sharing(row))) {
        let what = format!("{lock}: with fence {fence} {all} permits of {of} are taken");
        let mut rows = held.to_vec();
        rows.push(grant);
        breaks(findings, what, &rows);
    }
}

fn sharing(row: &Event) -> Sharing {
    let mode = row.value.as_ref().map(|value| &value["mode"]);
    Sharing::read(mode.unwrap_or(&Value::Null))
}

/// Every acknowledged grant of these locks is there, as far back as the history goes.
fn acknowledged(history: &History, locks: &HashMap<&str, Vec<&Event>>, findings: &mut Findings) {
    let fences = |rows: &Vec<&Event>| -> HashSet<u64> {
        rows.iter().map(|row| number(row, "fence")).collect()
    };
    let known: HashMap<&str, HashSet<u64>> = locks
        .iter()
        .filter(|(_, rows)| !rows.iter().any(|row| is_gap(row)))
        .map(|(lock, rows)| (*lock, fences(rows)))
        .collect();
    for call in history
        .calls()
        .iter()
        .filter(|call| call.f == "acquire" && call.is_ok())
    {
        let (Some(known), Some(fence)) = (known.get(call.key()), call.fence) else {
            continue;
        };
        findings.looked_at += 1;
        if !known.contains(&fence) {
            let what = format!("{}: its history does not have fence {fence}", call.key());
            findings.breaks(what, [call]);
        }
    }
}

/// A row of a lock's history as an event of the run's.
#[must_use]
pub(crate) fn row(t: u64, lock: &str, value: Value) -> Event {
    Event {
        t,
        process: NEMESIS,
        f: "told".to_owned(),
        key: Some(lock.to_owned()),
        value: Some(value),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::Kind;

    /// One grant of fence 1 that was acknowledged, and these rows.
    fn told(rows: &[Value]) -> Findings {
        let grant = |t, kind, fence| Event {
            t,
            process: 1,
            kind,
            f: "acquire".to_owned(),
            key: Some("a".to_owned()),
            fence,
            ..Event::default()
        };
        let mut events = vec![grant(1, Kind::Invoke, None), grant(2, Kind::Ok, Some(1))];
        events.extend(
            (100..)
                .zip(rows)
                .map(|(t, value)| row(t, "a", value.clone())),
        );
        HistoriesFit.check(&History::new(events))
    }

    #[test]
    fn leases_that_share_may_meet_and_permits_are_counted() {
        let shared = |fence: u64, mode: Value| {
            let mut row = of("granted", fence, fence, 10 + fence);
            row["mode"] = mode;
            row
        };
        let together = [shared(1, json!("shared")), shared(2, json!("shared"))];
        assert!(told(&together).broken.is_empty());
        let permits = |fence| shared(fence, json!({"permits": 1, "of": 2}));
        assert!(told(&[permits(1), permits(2)]).broken.is_empty());
        for (rows, wrong) in [
            (
                vec![shared(1, json!("shared")), of("granted", 2, 2, 12)],
                "while 1 is held",
            ),
            (
                vec![permits(1), permits(2), permits(3)],
                "3 permits of 2 are taken",
            ),
        ] {
            let findings = told(&rows);
            let (found, _) = findings.broken.first().expect(wrong);
            assert!(found.contains(wrong), "{found}");
        }
    }

    fn of(event: &str, revision: u64, fence: u64, at_ms: u64) -> Value {
        json!({"event": event, "revision": revision, "fence": fence, "at_ms": at_ms})
    }

    #[test]
    fn a_history_that_fits_is_not_complained_of() {
        let right = [
            of("granted", 3, 1, 10),
            of("expired", 4, 1, 11),
            of("granted", 4, 2, 11),
        ];
        let with_a_gap = [of("gap", 0, 0, 0), of("granted", 4, 2, 11)];
        for rows in [&right[..], &with_a_gap] {
            let findings = told(rows);
            assert!(findings.broken.is_empty(), "{:?}", findings.broken);
            assert!(findings.looked_at > 0);
        }
    }

    #[test]
    fn each_way_not_to_fit_is_found() {
        let granted = of("granted", 3, 1, 10);
        for (rows, wrong) in [
            (
                vec![granted.clone(), of("expired", 3, 1, 10)],
                "fence 1 was granted to a session that was over",
            ),
            (
                vec![granted.clone(), of("granted", 4, 2, 11)],
                "fence 2 is granted while 1 is held",
            ),
            (
                vec![granted.clone(), of("released", 2, 1, 11)],
                "revision 3 is followed by 2",
            ),
            (vec![of("granted", 4, 2, 11)], "does not have fence 1"),
        ] {
            let findings = told(&rows);
            let (found, events) = findings.broken.first().expect(wrong);
            assert!(found.contains(wrong) && !events.is_empty(), "{found}");
        }
    }
}
