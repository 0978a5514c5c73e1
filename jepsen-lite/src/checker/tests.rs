//! Histories written by hand: for each checker one that is right and one for each way to be wrong.

use serde_json::{Value, json};

use super::*;
use crate::history::{Event, Kind, NEMESIS};

/// A history, call by call; times in milliseconds.
#[derive(Default)]
struct Book {
    events: Vec<Event>,
    next: i64,
}

/// A call as the tests write it: `f key session fence` and what is told.
#[derive(Clone, Default)]
struct Line {
    f: &'static str,
    key: &'static str,
    session: &'static str,
    fence: Option<u64>,
    revision: Option<u64>,
    asked: Option<Value>,
    value: Option<Value>,
    error: Option<&'static str>,
}

fn line(f: &'static str, key: &'static str, session: &'static str) -> Line {
    Line {
        f,
        key,
        session,
        ..Line::default()
    }
}

impl Line {
    fn fence(mut self, fence: u64) -> Self {
        self.fence = Some(fence);
        self
    }

    fn at(mut self, revision: u64) -> Self {
        self.revision = Some(revision);
        self
    }

    fn told(mut self, value: Value) -> Self {
        self.value = Some(value);
        self
    }

    fn asked(mut self, value: Value) -> Self {
        self.asked = Some(value);
        self
    }

    fn error(mut self, error: &'static str) -> Self {
        self.error = Some(error);
        self
    }
}

impl Book {
    fn call(&mut self, start: u64, stop: u64, kind: Kind, line: Line) -> &mut Self {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.next += 1;
        let draft = Event {
            t: start * 1_000_000,
            process: self.next,
            kind: Kind::Invoke,
            f: line.f.to_owned(),
            workload: "lock".to_owned(),
            key: some(line.key),
            session: some(line.session),
            ttl_ms: (line.f == "open").then_some(1_000),
            value: line.asked.clone(),
            // A grant's fence is told, that of other calls is named.
            fence: line.fence.filter(|_| line.f != "acquire"),
            ..Event::default()
        };
        self.events.push(draft.clone());
        self.events.push(Event {
            t: stop * 1_000_000,
            kind,
            fence: line.fence,
            revision: line.revision,
            value: line.value,
            error: line.error.map(str::to_owned),
            ..draft
        });
        self
    }

    fn ok(&mut self, start: u64, stop: u64, line: Line) -> &mut Self {
        self.call(start, stop, Kind::Ok, line)
    }

    fn fail(&mut self, start: u64, stop: u64, line: Line) -> &mut Self {
        self.call(start, stop, Kind::Fail, line)
    }

    fn told(&mut self, t: u64, f: &str, value: Value) -> &mut Self {
        self.events.push(Event {
            t: t * 1_000_000,
            process: NEMESIS,
            f: f.to_owned(),
            value: Some(value),
            ..Event::default()
        });
        self
    }

    fn check(&self, checker: &dyn Checker) -> Findings {
        checker.check(&History::new(self.events.clone()))
    }

    fn holds(&self, checker: &dyn Checker) {
        let findings = self.check(checker);
        assert!(
            findings.broken.is_empty(),
            "{}: {:?}",
            checker.name(),
            findings.broken
        );
        assert!(
            findings.looked_at > 0,
            "{} looked at nothing",
            checker.name()
        );
    }

    fn breaks(&self, checker: &dyn Checker, what: &str) {
        let findings = self.check(checker);
        let first = findings.broken.first();
        let (found, events) = first.unwrap_or_else(|| panic!("{} found nothing", checker.name()));
        assert!(found.contains(what), "{found}");
        assert!(!events.is_empty(), "there is a counterexample");
    }
}

/// Two sessions, one lock, one after the other: everything as it should be.
fn orderly() -> Book {
    let mut book = Book::default();
    book.ok(0, 5, line("open", "", "s1"))
        .ok(1, 6, line("open", "", "s2"))
        .ok(10, 20, line("acquire", "a", "s1").fence(1).at(3))
        .fail(21, 25, line("acquire", "a", "s2").error("held").at(4))
        .ok(
            30,
            40,
            line("check", "a", "").fence(1).told(json!(true)).at(4),
        )
        .ok(
            41,
            45,
            line("holders", "a", "").at(4).told(json!({
                "holders": [{"session": "s1", "fence": 1}], "queue": []
            })),
        )
        .ok(50, 60, line("release", "a", "s1").fence(1).at(5))
        .ok(70, 80, line("acquire", "a", "s2").fence(2).at(6))
        .ok(
            82,
            84,
            line("check", "a", "").fence(1).told(json!(false)).at(6),
        )
        .ok(85, 90, line("release", "a", "s2").fence(2).at(7));
    book
}

#[test]
fn what_is_right_is_not_complained_of() {
    let book = orderly();
    for checker in for_workload(Workload::Lock) {
        book.holds(checker.as_ref());
    }
    book.holds(&fences::Rise);
    book.holds(&fresh::Fresh);
}

#[test]
fn fences_that_fall_along_the_log_or_along_time_are_found() {
    let mut along_the_log = Book::default();
    along_the_log
        .ok(0, 100, line("acquire", "a", "s1").fence(7).at(3))
        .ok(0, 100, line("acquire", "b", "s2").fence(6).at(4));
    along_the_log.breaks(
        &fences::Rise,
        "fence 7 at revision 3 is followed by fence 6",
    );
    // One that was waited for may be told late, under the revision of a look at the lock.
    let mut waited = Book::default();
    let wait = |fence, revision| {
        line("acquire", "b", "s2")
            .fence(fence)
            .at(revision)
            .asked(json!(400))
    };
    waited
        .ok(0, 100, line("acquire", "a", "s1").fence(7).at(3))
        .ok(0, 100, wait(6, 4));
    waited.holds(&fences::Rise);
    waited
        .ok(0, 100, wait(9, 4))
        .ok(0, 100, line("acquire", "c", "s3").fence(8).at(5));
    waited.breaks(
        &fences::Rise,
        "fence 9 at revision 4 is followed by fence 8 at revision 5",
    );
    let mut along_time = Book::default();
    along_time
        .ok(0, 10, line("acquire", "a", "s1").fence(7))
        .ok(20, 30, line("acquire", "b", "s2").fence(6));
    along_time.breaks(&fences::Rise, "fence 6 was granted after fence 7");
    let mut twice = Book::default();
    twice.ok(0, 100, line("acquire", "a", "s1").fence(7)).ok(
        0,
        100,
        line("acquire", "b", "s2").fence(7),
    );
    twice.breaks(&fences::Rise, "fence 7 was granted twice");
}

#[test]
fn holds_that_overlap_are_found_and_those_that_may_have_ended_are_not() {
    let mut book = Book::default();
    book.ok(0, 5, line("open", "", "s1"))
        .ok(0, 5, line("open", "", "s2"))
        .ok(10, 20, line("acquire", "a", "s1").fence(1))
        .ok(900, 980, line("acquire", "a", "s2").fence(2));
    book.breaks(
        &holds::Disjoint,
        "fences 1 and 2 were both certainly in force for 10 ms",
    );
    let mut later = Book::default();
    later
        .ok(0, 5, line("open", "", "s1"))
        .ok(500, 505, line("open", "", "s2"))
        .ok(10, 20, line("acquire", "a", "s1").fence(1))
        .ok(900, 991, line("acquire", "a", "s2").fence(2));
    later.holds(&holds::Disjoint);
    // A renewal that was acknowledged makes it certain again.
    later.ok(400, 410, line("renew", "", "s1"));
    later.breaks(&holds::Disjoint, "both certainly in force");
}

#[test]
fn a_grant_that_is_lost_and_a_session_that_ends_early_are_found() {
    let mut unseen = orderly();
    unseen.ok(
        45,
        48,
        line("holders", "a", "").told(json!({"holders": [], "queue": []})),
    );
    unseen.breaks(&early::NothingLost, "does not show fence 1");
    let mut denied = orderly();
    denied.ok(45, 48, line("check", "a", "").fence(1).told(json!(false)));
    denied.breaks(&early::NothingLost, "the grant of fence 1 is lost");
    let mut early = Book::default();
    early.ok(0, 5, line("open", "", "s1")).fail(
        900,
        980,
        line("renew", "", "s1").error("session_gone"),
    );
    early.breaks(&early::NothingLost, "10 ms before its time");
    let mut stale = Book::default();
    stale
        .ok(0, 5, line("open", "", "s1"))
        .ok(10, 20, line("acquire", "a", "s1").fence(1))
        .fail(
            30,
            40,
            line("release", "a", "s1").fence(1).error("fence_stale"),
        );
    stale.breaks(&early::NothingLost, "could not release it in time");
    let mut late = Book::default();
    late.ok(0, 5, line("open", "", "s1")).fail(
        900,
        1_100,
        line("renew", "", "s1").error("session_gone"),
    );
    late.holds(&early::NothingLost);
}

#[test]
fn what_returns_after_its_end_is_found() {
    let ended = || {
        let mut book = orderly();
        book.fail(2_000, 2_010, line("renew", "", "s1").error("session_gone"));
        book
    };
    ended().holds(&undead::NothingReturns);
    let mut renewed = ended();
    renewed.ok(2_020, 2_030, line("renew", "", "s1"));
    renewed.breaks(&undead::NothingReturns, "renew worked for session s1");
    let mut shown = ended();
    let holder = json!({"holders": [{"session": "s1", "fence": 9}], "queue": []});
    shown.ok(2_020, 2_030, line("holders", "b", "").told(holder));
    shown.breaks(&undead::NothingReturns, "session s1 is among the holders");
    let mut current = ended();
    current.ok(
        2_020,
        2_030,
        line("check", "a", "").fence(1).told(json!(true)),
    );
    current.breaks(
        &undead::NothingReturns,
        "fence 1 is in force after its release",
    );
    let mut waits = orderly();
    waits.ok(0, 5, line("open", "", "s3"));
    waits.fail(100, 200, line("acquire", "c", "s3").error("wait_timeout"));
    let queued = json!({"holders": [], "queue": [{"session": "s3"}]});
    waits.ok(210, 220, line("holders", "c", "").told(queued));
    waits.breaks(&undead::NothingReturns, "s3 is among the queue");
    let mut twice = orderly();
    twice.ok(100, 110, line("release", "a", "s2").fence(2));
    twice.breaks(&undead::NothingReturns, "fence 2 was released twice");
}

#[test]
fn releases_by_strangers_and_under_made_up_fences_are_found() {
    let mut stranger = orderly();
    stranger.ok(86, 88, line("release", "a", "s1").fence(2));
    stranger.breaks(
        &strangers::OwnLeasesOnly,
        "session s1 released fence 2 of session s2",
    );
    let mut made_up = orderly();
    made_up.ok(86, 88, line("release", "a", "s2").fence(77));
    made_up.breaks(&strangers::OwnLeasesOnly, "fence 77, which nobody got");
}

#[test]
fn a_read_that_is_older_than_what_was_known_is_found() {
    let mut book = orderly();
    book.ok(
        100,
        110,
        line("holders", "a", "")
            .at(6)
            .told(json!({"holders": [], "queue": []})),
    );
    book.breaks(&fresh::Fresh, "reflects revision 6 after 7");
}

fn added(element: &str) -> Line {
    line("add", "k", "").fence(1).asked(json!(element))
}

#[test]
fn elements_that_are_lost_or_appear_are_found_and_wanted_where_nobody_checks() {
    let mut book = Book::default();
    book.ok(0, 10, added("one")).ok(20, 30, added("two"));
    book.fail(40, 50, added("three").error("stale: 2 was seen"));
    assert!(
        book.check(&sets::NothingLost).unsure.is_some(),
        "nobody read the set"
    );
    let whole = json!(["one", "two"]);
    book.ok(90, 95, line("final", "k", "").told(whole));
    book.holds(&sets::NothingLost);
    assert!(book.check(&sets::SomethingLost).unsure.is_some());

    let mut lost = Book { ..Book::default() };
    lost.ok(0, 10, added("one")).ok(20, 30, added("two"));
    lost.ok(90, 95, line("final", "k", "").told(json!(["two"])));
    lost.breaks(&sets::NothingLost, "an acknowledged element is lost");
    assert!(lost.check(&sets::SomethingLost).unsure.is_none());
    let mut refused = Book::default();
    refused
        .ok(0, 1, added("one"))
        .fail(40, 50, added("three").error("stale"));
    refused.ok(90, 95, line("final", "k", "").told(json!(["one", "three"])));
    refused.breaks(&sets::NothingLost, "whose write was refused");
}

#[test]
fn who_was_seen_to_wait_is_served_first() {
    let queue = json!({"holders": [], "queue": [{"session": "s1", "ticket": 1}]});
    let seen = |first: u64, second: u64| {
        let mut book = Book::default();
        book.ok(0, 500, line("acquire", "a", "s1").fence(first))
            .ok(10, 20, line("holders", "a", "").told(queue.clone()))
            .ok(30, 600, line("acquire", "a", "s2").fence(second));
        book
    };
    seen(1, 2).holds(&order::FirstComeFirstServed);
    seen(2, 1).breaks(&order::FirstComeFirstServed, "s1 was seen to wait, and s2");
}

#[test]
fn two_outcomes_of_one_key_are_found() {
    let sent = |fence: u64, replayed: bool| {
        let line = line("acquire", "a", "s1")
            .fence(fence)
            .asked(json!("key-1"));
        line.told(json!(replayed))
    };
    let mut book = Book::default();
    book.ok(0, 10, sent(1, false)).ok(20, 30, sent(1, true));
    book.holds(&once::OneEffect);
    let mut other = Book::default();
    other.ok(0, 10, sent(1, false)).ok(20, 30, sent(2, false));
    other.breaks(&once::OneEffect, "key key-1 has two outcomes");
    let mut again = Book::default();
    again.ok(0, 10, sent(1, false)).ok(20, 30, sent(1, false));
    again.breaks(&once::OneEffect, "was served twice");
}

#[test]
fn a_waiter_that_is_served_late_is_found_unless_a_fault_explains_it() {
    let book = |granted: u64| {
        let mut book = Book::default();
        book.ok(0, 5, line("open", "", "s1"))
            .ok(0, 5, line("open", "", "s2"))
            .ok(10, 20, line("acquire", "a", "s1").fence(1))
            .ok(30, granted, line("acquire", "a", "s2").fence(2));
        book
    };
    book(1_500).holds(&regrant::InTime);
    book(4_000).breaks(
        &regrant::InTime,
        "fence 2 was granted 2995 ms after it was due",
    );
    let mut explained = book(4_000);
    explained.told(
        1_000,
        "fault",
        json!({"kind": "kill", "until": 2_000_000_000_u64}),
    );
    explained.holds(&regrant::InTime);
}

#[test]
fn an_acknowledgement_faster_than_the_disk_and_damage_served_are_found() {
    let window = json!({"delay_ns": 400_000_000_u64, "until": 5_000_000_000_u64});
    let book = |took: u64| {
        let mut book = Book::default();
        book.told(0, "slow-sync", window.clone());
        book.ok(500, 500 + took, line("acquire", "a", "s1").fence(1).at(3));
        book
    };
    book(410).holds(&durable::SyncedFirst);
    book(5).breaks(
        &durable::SyncedFirst,
        "acknowledged after 5 ms while each flush took 400",
    );
    let mut served = Book::default();
    served.told(0, "refusal", json!({"damage": "corrupt", "refused": true}));
    served.holds(&durable::DamageRefused);
    served.told(9, "refusal", json!({"damage": "corrupt", "refused": false}));
    served.breaks(&durable::DamageRefused, "served in spite of");
}

#[test]
fn a_history_of_registers_is_judged_key_by_key() {
    let mut book = Book::default();
    book.ok(0, 10, line("write", "x", "").asked(json!(1)))
        .ok(0, 10, line("write", "y", "").asked(json!(2)))
        .ok(20, 30, line("cas", "x", "").told(json!([1, 3])))
        .ok(40, 50, line("read", "x", "").told(json!(3)))
        .ok(40, 50, line("read", "y", "").told(json!(2)));
    book.holds(&linear::Linearizable::default());
    book.ok(60, 70, line("read", "x", "").told(json!(1)));
    book.breaks(
        &linear::Linearizable::default(),
        "x: no order explains more than 3 of 4 calls",
    );
}

#[test]
fn a_verdict_is_the_worst_of_all_and_weakness_is_no_validity() {
    let properties = check(&History::new(orderly().events));
    assert!(
        properties
            .iter()
            .all(|property| property.verdict == Verdict::Valid)
    );
    let weak = strength::check(
        &History::default(),
        &[],
        &["kill".to_owned()],
        &["lock".to_owned()],
    );
    assert_eq!(weak.verdict, Verdict::Unknown);
    assert!(
        weak.found.contains("kill never took hold"),
        "{}",
        weak.found
    );
    assert!(weak.found.contains("lock: only 0 calls"), "{}", weak.found);
}
