//! Rings: the number of a table says which table it is, nobody serves what another serves, and
//! what was planned is what comes.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::leases::Lives;
use super::{Checker, Findings};
use crate::history::{Call, End, History};

/// The epoch rises with every change.
pub(super) struct EpochsRise;

/// Who joined is there.
pub(super) struct JoinsShow;

/// One owner at a time.
pub(super) struct OneOwner;

/// Plans come true, and are even.
pub(super) struct AsPlanned;

fn number(call: &Call, field: &str) -> Option<u64> {
    call.value.as_ref()?[field].as_u64()
}

impl Checker for EpochsRise {
    fn name(&self) -> &'static str {
        "epochs-rise"
    }

    fn promise(&self) -> &'static str {
        "a ring's epoch rises along revisions, and to all observers one epoch is one table"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let reads = calls.iter().filter(|call| {
            call.is_ok() && call.revision.is_some() && ["table", "ring"].contains(&call.f.as_str())
        });
        let mut reads: Vec<&Call> = reads
            .filter(|call| number(call, "epoch").is_some())
            .collect();
        reads.sort_by_key(|call| (call.revision, number(call, "epoch")));
        let mut findings = Findings {
            looked_at: reads.len() as u64,
            ..Findings::default()
        };
        for pair in reads.windows(2) {
            let (before, after) = (number(pair[0], "epoch"), number(pair[1], "epoch"));
            if after < before || (pair[0].revision == pair[1].revision && after != before) {
                let what = format!(
                    "epoch {} at revision {} is followed by {} at {}",
                    before.unwrap_or(0),
                    pair[0].revision.unwrap_or(0),
                    after.unwrap_or(0),
                    pair[1].revision.unwrap_or(0)
                );
                findings.breaks(what, [pair[0], pair[1]]);
            }
        }
        for field in ["table", "digest"] {
            let mut known: HashMap<u64, &Call> = HashMap::new();
            for read in &reads {
                let of = |call: &Call| call.value.as_ref().map(|value| value[field].clone());
                let (Some(epoch), Some(told)) = (number(read, "epoch"), of(read)) else {
                    continue;
                };
                if told.is_null() {
                    continue;
                }
                let first = known.entry(epoch).or_insert(read);
                if of(first) != Some(told) {
                    let what = format!("epoch {epoch} is two tables");
                    findings.breaks(what, [*first, *read]);
                }
            }
        }
        findings
    }
}

impl Checker for JoinsShow {
    fn name(&self) -> &'static str {
        "joins-show"
    }

    fn promise(&self) -> &'static str {
        "who was told to have joined is on the ring in every view of that revision or a later one, \
         in its own epoch, until it goes or its session may be over"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let lives = Lives::of(&calls);
        let goes = calls
            .iter()
            .filter(|call| ["leave", "drain", "close"].contains(&call.f.as_str()));
        let mut gone: HashMap<&str, u64> = HashMap::new();
        for call in goes {
            let first = gone.entry(call.session()).or_insert(call.start);
            *first = call.start.min(*first);
        }
        let looks: Vec<&Call> = calls
            .iter()
            .filter(|call| call.f == "ring" && call.is_ok())
            .collect();
        let mut findings = Findings::default();
        for join in calls.iter().filter(|call| call.f == "join" && call.is_ok()) {
            let lives = lives.until(join.session()).unwrap_or(0);
            let until = lives.min(gone.get(join.session()).copied().unwrap_or(u64::MAX));
            let name = join.asked.as_ref().and_then(|asked| asked["join"].as_str());
            let epoch = number(join, "epoch");
            for look in looks.iter().filter(|look| {
                look.start >= join.stop && look.stop <= until && look.revision >= join.revision
            }) {
                findings.looked_at += 1;
                let shown = lives_on(look).get(name.unwrap_or_default()).copied();
                if shown.is_none() || shown > epoch {
                    let what = format!("{} joined and is not shown", name.unwrap_or_default());
                    findings.breaks(what, [join, *look]);
                    break;
                }
            }
        }
        findings
    }
}

/// What one member served from one table on.
struct Served<'a> {
    from: u64,
    until: u64,
    slots: Vec<(u64, u64)>,
    read: &'a Call,
}

impl Checker for OneOwner {
    fn name(&self) -> &'static str {
        "one-owner-a-slot"
    }

    fn promise(&self) -> &'static str {
        "of members that obey the table and stop when their sessions may be over no two serve one \
         slot at one time"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let mut served = served(&calls);
        served.sort_by_key(|it| it.from);
        let mut findings = Findings {
            looked_at: served.len() as u64,
            ..Findings::default()
        };
        let mut open: Vec<&Served<'_>> = Vec::new();
        for next in &served {
            open.retain(|before| before.until > next.from);
            for before in &open {
                if before.read.session() == next.read.session() {
                    continue;
                }
                if let Some(slot) = common(&before.slots, &next.slots) {
                    let what = format!(
                        "slot {slot} was served by {} and by {} at one time",
                        before
                            .read
                            .asked
                            .as_ref()
                            .map_or(&Value::Null, |it| &it["member"]),
                        next.read
                            .asked
                            .as_ref()
                            .map_or(&Value::Null, |it| &it["member"])
                    );
                    findings.breaks(what, [before.read, next.read]);
                }
            }
            open.push(next);
        }
        findings
    }
}

/// From the reading of a table until the next one is asked for, the member goes, or its session
/// may be over.
fn served(calls: &[Call]) -> Vec<Served<'_>> {
    let lives = Lives::of(calls);
    let mut by_session: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        let obeyed = call.f == "table"
            && call.is_ok()
            && call
                .value
                .as_ref()
                .is_some_and(|value| value["serves"].is_array());
        if obeyed || call.f == "leave" {
            by_session.entry(call.session()).or_default().push(call);
        }
    }
    let mut served = Vec::new();
    for (session, of_session) in by_session {
        let Some(lives) = lives.until(session) else {
            continue;
        };
        for pair in of_session.windows(2) {
            let slots = slots(pair[0]);
            let until = pair[1].start.min(lives);
            if !slots.is_empty() && until > pair[0].stop {
                served.push(Served {
                    from: pair[0].stop,
                    until,
                    slots,
                    read: pair[0],
                });
            }
        }
    }
    served
}

fn slots(read: &Call) -> Vec<(u64, u64)> {
    let value = read.value.as_ref();
    let rows = value.and_then(|value| value["serves"].as_array());
    let ends = |row: &Value| Some((row[0].as_u64()?, row[1].as_u64()?));
    rows.into_iter().flatten().filter_map(ends).collect()
}

/// A slot that is in both.
fn common(one: &[(u64, u64)], other: &[(u64, u64)]) -> Option<u64> {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    let meet = pairs.filter(|(a, b)| a.0 <= b.1 && b.0 <= a.1);
    meet.map(|(a, b)| a.0.max(b.0)).min()
}

impl Checker for AsPlanned {
    fn name(&self) -> &'static str {
        "moves-as-planned"
    }

    fn promise(&self) -> &'static str {
        "where nothing moves every member is within one slot of its share, and after a join that \
         nothing came between the ring is what the plan said"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let mut findings = Findings::default();
        let reads: Vec<&Call> = calls
            .iter()
            .filter(|call| call.f == "ring" && call.is_ok() && settled(call))
            .collect();
        for read in &reads {
            findings.looked_at += 1;
            for row in members(read) {
                let slots = row["slots"].as_u64().unwrap_or(0) as f64;
                let share = row["share"].as_f64().unwrap_or(0.0) * SLOTS;
                if (slots - share).abs() >= 1.0 {
                    let what = format!("{} has {slots} slots of {share}", row["member"]);
                    findings.breaks(what, [*read]);
                }
            }
        }
        for plan in calls.iter().filter(|call| call.f == "plan" && call.is_ok()) {
            came_true(plan, &calls, &reads, &mut findings);
        }
        findings
    }
}

const SLOTS: f64 = 16_384.0;

fn members(read: &Call) -> impl Iterator<Item = &Value> {
    let value = read.value.as_ref();
    let rows = value.and_then(|value| value["members"].as_array());
    rows.into_iter().flatten()
}

/// Nothing moves, and everybody has what the plan gives it.
fn settled(read: &Call) -> bool {
    number(read, "moving") == Some(0)
        && members(read).next().is_some()
        && members(read).all(|row| row["state"] == "active")
}

/// Who is on a ring, each with the number of its present life.
fn lives_on(read: &Call) -> BTreeMap<String, u64> {
    let rows = members(read).map(|row| {
        let name = row["member"].as_str().unwrap_or_default().to_owned();
        (name, row["incarnation"].as_u64().unwrap_or(0))
    });
    rows.collect()
}

/// Compares a plan with the ring as it was first seen settled after the join, where it was settled
/// before, too, and nobody else came or went meanwhile.
fn came_true(plan: &Call, calls: &[Call], reads: &[&Call], findings: &mut Findings) {
    let join = calls
        .iter()
        .find(|call| call.f == "join" && call.is_ok() && call.session() == plan.session());
    let base = number(plan, "epoch");
    let before = reads.iter().find(|read| number(read, "epoch") == base);
    let (Some(join), Some(before)) = (join, before) else {
        return;
    };
    let joined = number(join, "epoch");
    let name = plan.asked.as_ref().and_then(|asked| asked["join"].as_str());
    let mut wanted = lives_on(before);
    let Some(name) = name.filter(|name| !wanted.contains_key(*name)) else {
        return;
    };
    let with_it = |read: &&&Call| {
        let on = lives_on(read);
        let new = on.get(name).copied();
        number(read, "epoch") >= joined && new.is_some() && new == joined
    };
    let Some(after) = reads
        .iter()
        .filter(with_it)
        .min_by_key(|read| number(read, "epoch"))
    else {
        return;
    };
    wanted.insert(name.to_owned(), joined.unwrap_or(0));
    let others = calls.iter().any(|call| {
        let comes_or_goes = ["join", "leave", "drain", "close"].contains(&call.f.as_str());
        let meanwhile = call.start < after.stop && call.stop > plan.start;
        comes_or_goes && meanwhile && call.end != End::Fail && call.session() != plan.session()
    });
    if others || lives_on(after) != wanted {
        return;
    }
    findings.looked_at += 1;
    let digest = |call: &Call| call.value.as_ref().map(|value| value["digest"].clone());
    if digest(plan) != digest(after) {
        findings.breaks(
            format!("{name} joined, and not as planned"),
            [plan, *before, *after],
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::MS;
    use crate::history::{Event, Kind};

    fn call(
        process: i64,
        f: &str,
        session: &str,
        at: u64,
        asked: Value,
        told: Value,
    ) -> [Event; 2] {
        let event = Event {
            t: at * MS,
            process,
            kind: Kind::Invoke,
            f: f.to_owned(),
            session: Some(session.to_owned()),
            ttl_ms: Some(5_000),
            value: Some(asked),
            ..Event::default()
        };
        let done = Event {
            t: (at + 1) * MS,
            kind: Kind::Ok,
            revision: told["revision"].as_u64(),
            value: Some(told),
            ..event.clone()
        };
        [event, done]
    }

    fn history(calls: &[[Event; 2]]) -> History {
        History::new(calls.iter().flatten().cloned().collect())
    }

    fn table(process: i64, session: &str, at: u64, epoch: u64, serves: Value) -> [Event; 2] {
        let told = json!({"revision": at, "epoch": epoch, "table": epoch * 7, "serves": serves});
        call(
            process,
            "table",
            session,
            at,
            json!({"member": session}),
            told,
        )
    }

    fn open(process: i64, session: &str) -> [Event; 2] {
        call(process, "open", session, 0, Value::Null, Value::Null)
    }

    #[test]
    fn one_epoch_is_one_table_and_epochs_rise() {
        let read = |at, epoch, table| {
            let told = json!({"revision": at, "epoch": epoch, "table": table});
            call(1, "table", "s", at, Value::Null, told)
        };
        let found = |reads: &[[Event; 2]]| EpochsRise.check(&history(reads)).broken.len();
        assert_eq!(found(&[read(10, 1, 5), read(20, 2, 6), read(30, 2, 6)]), 0);
        assert_eq!(found(&[read(10, 1, 5), read(20, 1, 6)]), 1);
        assert_eq!(found(&[read(10, 2, 5), read(20, 1, 6)]), 1);
    }

    #[test]
    fn a_join_that_does_not_show_is_found() {
        let found = |members: Value| {
            let joined = json!({"epoch": 3, "revision": 7});
            let calls = [
                open(1, "s"),
                call(1, "join", "s", 10, json!({"join": "a"}), joined),
                call(
                    2,
                    "ring",
                    "",
                    20,
                    Value::Null,
                    json!({"revision": 8, "members": members}),
                ),
            ];
            JoinsShow.check(&history(&calls)).broken.len()
        };
        assert_eq!(found(json!([{"member": "a", "incarnation": 3}])), 0);
        assert_eq!(found(json!([])), 1);
        assert_eq!(found(json!([{"member": "a", "incarnation": 4}])), 1);
    }

    #[test]
    fn two_who_serve_one_slot_are_found() {
        let found = |second_at| {
            let calls = [
                open(1, "s"),
                open(2, "t"),
                table(1, "s", 10, 1, json!([[0, 99]])),
                table(1, "s", 50, 2, json!([[0, 49]])),
                table(2, "t", second_at, 2, json!([[50, 99]])),
                table(2, "t", 90, 2, json!([[50, 99]])),
            ];
            OneOwner.check(&history(&calls)).broken.len()
        };
        assert_eq!(found(60), 0);
        assert_eq!(found(30), 1);
        assert_eq!(common(&[(0, 9), (20, 29)], &[(10, 19), (25, 40)]), Some(25));
    }

    #[test]
    fn what_is_uneven_or_not_as_planned_is_found() {
        let ring = |at, epoch, digest: &str, of: &[(&str, u64, u64)]| {
            let share = 1.0 / of.len() as f64;
            let rows: Vec<Value> = of
                .iter()
                .map(|(name, since, slots)| {
                    json!({"member": name, "state": "active", "incarnation": since,
                        "slots": slots, "share": share})
                })
                .collect();
            let told = json!({"revision": at, "epoch": epoch, "digest": digest, "moving": 0,
                "members": rows});
            call(9, "ring", "", at, Value::Null, told)
        };
        let plan = json!({"epoch": 1, "digest": "d"});
        let planned = call(2, "plan", "t", 20, json!({"join": "b"}), plan);
        let joined = call(
            2,
            "join",
            "t",
            30,
            json!({"join": "b"}),
            json!({"epoch": 2}),
        );
        let before = ring(10, 1, "c", &[("a", 1, 16_384)]);
        let begun = [before, planned, joined];
        let with = |after| AsPlanned.check(&history(&[&begun[..], &[after]].concat()));
        let even = [("a", 1, 8_192), ("b", 2, 8_192)];
        let right = with(ring(50, 3, "d", &even));
        assert_eq!((right.broken.len(), right.looked_at), (0, 3));
        assert_eq!(with(ring(50, 3, "e", &even)).broken.len(), 1);
        let uneven = [("a", 1, 9_000), ("b", 2, 7_384)];
        assert_eq!(with(ring(50, 3, "d", &uneven)).broken.len(), 2);
    }
}
