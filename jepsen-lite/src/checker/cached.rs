//! The cache tier: never older than what was acknowledged, never by who owns it no more, and
//! loaded once.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::regrant::faults;
use super::{Checker, Findings};
use crate::history::{Call, Event, History, Kind, NEMESIS};

/// A value that was replaced does not come back.
pub(super) struct NeverOlder;

/// The nodes' own notes of who answered when do not overlap.
pub(super) struct AnswersDisjoint;

/// However many ask, the origin is asked once.
pub(super) struct OneLoad;

impl Checker for NeverOlder {
    fn name(&self) -> &'static str {
        "never-older"
    }

    fn promise(&self) -> &'static str {
        "a cache may forget, but never answers with less than what was acknowledged or read \
         before, over hand-overs too"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let told = calls.iter().filter(|call| {
            call.is_ok() && ["set", "get"].contains(&call.f.as_str()) && number(call).is_some()
        });
        let mut by_key: HashMap<&str, Vec<&Call>> = HashMap::new();
        for call in told {
            by_key.entry(call.key()).or_default().push(call);
        }
        let mut findings = Findings::default();
        for (key, calls) in by_key {
            let mut by_stop = calls.clone();
            by_stop.sort_by_key(|call| call.stop);
            let mut ended = by_stop.into_iter().peekable();
            let mut newest: Option<&Call> = None;
            // They are in the order of their starts.
            for call in calls {
                while let Some(before) = ended.next_if(|before| before.stop <= call.start) {
                    if newest.is_none_or(|newest| number(before) > number(newest)) {
                        newest = Some(before);
                    }
                }
                if call.f != "get" {
                    continue;
                }
                findings.looked_at += 1;
                if let Some(newest) = newest.filter(|newest| number(call) < number(newest)) {
                    let what = format!(
                        "{key}: {} was answered after {} had been acknowledged",
                        number(call).unwrap_or(0),
                        number(newest).unwrap_or(0)
                    );
                    findings.breaks(what, [newest, call]);
                }
            }
        }
        findings
    }
}

/// The number that was written or read.
fn number(call: &Call) -> Option<u64> {
    call.value.as_ref().and_then(Value::as_u64)
}

impl Checker for OneLoad {
    fn name(&self) -> &'static str {
        "one-load"
    }

    fn promise(&self) -> &'static str {
        "while nothing fails, many who ask for a value that no node has are one question to the \
         origin from whoever owns the key; who owns it after a move may ask again"
    }

    fn check(&self, history: &History) -> Findings {
        let faults = faults(history);
        let calls = history.calls();
        let mut findings = Findings::default();
        for call in calls.iter().filter(|call| call.f == "cold" && call.is_ok()) {
            let calm = faults
                .iter()
                .all(|(from, until)| call.stop < *from || call.start > *until);
            let told = call.value.clone().unwrap_or_default();
            let answers = told["answers"].as_array().into_iter().flatten();
            let answers: HashSet<_> = answers.filter_map(Value::as_str).collect();
            let epochs = told["epochs"].as_array().into_iter().flatten();
            let epochs: Vec<_> = epochs.filter_map(Value::as_u64).collect();
            if !calm {
                continue;
            }
            findings.looked_at += 1;
            let owners = epochs.iter().collect::<HashSet<_>>().len();
            if epochs.len() != owners || answers.is_empty() || answers.len() > owners {
                let what = format!(
                    "{} was loaded under the epochs {epochs:?}: {answers:?}",
                    call.key()
                );
                findings.breaks(what, [call]);
            }
        }
        findings
    }
}

/// One process's answers for one slot under one epoch.
#[derive(Clone, Debug)]
struct Interval<'a> {
    first: u64,
    last: u64,
    epoch: u64,
    who: (&'a str, u64),
    row: &'a Event,
}

impl Checker for AnswersDisjoint {
    fn name(&self) -> &'static str {
        "answers-are-disjoint"
    }

    fn promise(&self) -> &'static str {
        "by the cache nodes' own notes no two answered for one slot at one time, nor an earlier \
         owner after a later one"
    }

    fn check(&self, history: &History) -> Findings {
        let rows = history.events.iter();
        let rows = rows.filter(|event| event.process == NEMESIS && event.f == "answered");
        let mut slots: BTreeMap<u64, Vec<Interval<'_>>> = BTreeMap::new();
        for row in rows {
            let Some(value) = &row.value else { continue };
            let field = |name: &str| value[name].as_u64().unwrap_or(0);
            let who = (value["member"].as_str().unwrap_or_default(), field("pid"));
            for slot in field("first_slot")..=field("last_slot") {
                let of_slot = slots.entry(slot).or_default();
                let new = Interval {
                    first: field("first_ns"),
                    last: field("last_ns"),
                    epoch: field("epoch"),
                    who,
                    row,
                };
                // Lines about the same process and epoch tell of one interval, as it grew.
                let same = |it: &&mut Interval<'_>| it.who == who && it.epoch == new.epoch;
                match of_slot.iter_mut().find(same) {
                    Some(known) => {
                        known.first = known.first.min(new.first);
                        known.last = known.last.max(new.last);
                    }
                    None => of_slot.push(new),
                }
            }
        }
        let mut findings = Findings::default();
        for (slot, intervals) in &mut slots {
            intervals.sort_by_key(|interval| (interval.epoch, interval.first));
            findings.looked_at += intervals.len() as u64;
            for pair in intervals.windows(2) {
                let (before, after) = (&pair[0], &pair[1]);
                if before.last >= after.first || before.epoch == after.epoch {
                    let what = format!(
                        "slot {slot} was answered for by {} until {} under epoch {}, and by {} \
                         from {} under epoch {}",
                        before.who.0,
                        before.last,
                        before.epoch,
                        after.who.0,
                        after.first,
                        after.epoch
                    );
                    let events = vec![before.row.clone(), after.row.clone()];
                    findings.broken.push((what, events));
                }
            }
        }
        findings
    }
}

/// The last word of each node about each run of slots, out of the lines that it noted.
#[must_use]
pub(crate) fn answered(t: u64, notes: &str) -> Vec<Event> {
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for line in notes.lines() {
        // The last line of a process that was killed may be half a line.
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let key = ["pid", "first_slot", "last_slot", "epoch", "first_ns"]
            .map(|name| value[name].to_string());
        last.insert(key.join(" "), value);
    }
    let event = |value| Event {
        t,
        process: NEMESIS,
        kind: Kind::Info,
        f: "answered".to_owned(),
        workload: "cache".to_owned(),
        value: Some(value),
        ..Event::default()
    };
    last.into_values().map(event).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(process: i64, f: &str, from: u64, value: Value) -> [Event; 2] {
        let event = Event {
            t: from,
            process,
            kind: Kind::Invoke,
            f: f.to_owned(),
            key: Some("a".to_owned()),
            ..Event::default()
        };
        let done = Event {
            t: from + 5,
            kind: Kind::Ok,
            value: Some(value),
            ..event.clone()
        };
        [event, done]
    }

    #[test]
    fn an_old_value_is_found_and_a_forgotten_one_is_not() {
        let found = |value: Value| {
            let events = [
                call(1, "set", 0, json!(1)),
                call(1, "set", 10, json!(2)),
                call(2, "get", 20, value),
            ];
            NeverOlder
                .check(&History::new(events.concat()))
                .broken
                .len()
        };
        assert_eq!(found(json!(2)), 0);
        assert_eq!(found(Value::Null), 0);
        assert_eq!(found(json!(1)), 1);
    }

    #[test]
    fn a_second_load_by_one_owner_is_found_unless_something_failed() {
        let cold = |epochs: &[u64], answers: [&str; 2]| {
            let value = json!({"epochs": epochs, "answers": answers});
            call(1, "cold", 100, value)
        };
        let check = |events: Vec<Event>| OneLoad.check(&History::new(events));
        let broken = |epochs, answers| check(cold(epochs, answers).to_vec()).broken.len();
        assert_eq!(broken(&[7], ["x", "x"]), 0);
        assert_eq!(broken(&[7], ["x", "y"]), 1);
        assert_eq!(broken(&[], ["x", "x"]), 1);
        assert_eq!(broken(&[7, 7], ["x", "x"]), 1);
        // The slot moved while the value was under way.
        assert_eq!(broken(&[7, 8], ["x", "x"]), 0);
        assert_eq!(broken(&[7, 8], ["x", "y"]), 0);
        let fault = Event {
            t: 90,
            process: NEMESIS,
            f: "fault".to_owned(),
            value: Some(json!({"until": 110})),
            ..Event::default()
        };
        let hindered = check([cold(&[7, 7], ["x", "x"]).to_vec(), vec![fault]].concat());
        assert_eq!((hindered.broken.len(), hindered.looked_at), (0, 0));
    }

    #[test]
    fn owners_that_overlap_are_found() {
        let line = |member: &str, epoch: u64, first: u64, last: u64| {
            let line = json!({"member": member, "pid": 1, "first_slot": 0, "last_slot": 9,
                "epoch": epoch, "first_ns": first, "last_ns": last});
            format!("{line}\n")
        };
        let check = |notes: &[String]| {
            let events = notes.iter().flat_map(|notes| answered(1, notes));
            AnswersDisjoint.check(&History::new(events.collect()))
        };
        let a = line("a", 1, 10, 20) + &line("a", 1, 10, 30) + "{\"member\":";
        let after = check(&[a.clone(), line("b", 2, 31, 40)]);
        assert_eq!((after.broken.len(), after.looked_at), (0, 20));
        assert_eq!(check(&[a, line("b", 2, 29, 40)]).broken.len(), 10);
    }
}
