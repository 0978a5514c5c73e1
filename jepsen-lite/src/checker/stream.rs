//! Streams of events are whole.
//!
//! A watcher that comes back behind the last event that it saw, at whatever node, has seen in the
//! end everything that happened between its first event and its last, once each and in order; or
//! it was told of a gap.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::fences::waits;
use super::{Checker, Findings};
use crate::history::{Call, History};

/// Ordered, unique, complete or said not to be, and resumable.
pub(super) struct Whole;

/// Where an event stands: its revision, and its place among those of the same revision. The last
/// of a revision is written without a place.
type Place = (u64, u64);

/// One watcher's view, all its streams together.
#[derive(Default)]
struct View<'a> {
    events: BTreeMap<Place, (&'a Value, &'a Call)>,
    /// Revisions of which it was told that something may be missing.
    gaps: Vec<(u64, u64)>,
    /// The revision behind which it has seen everything.
    from: Option<u64>,
}

impl Checker for Whole {
    fn name(&self) -> &'static str {
        "events-are-whole"
    }

    fn promise(&self) -> &'static str {
        "events come in order and once, all of them or with a word of the gap, also to who comes \
         back at another node"
    }

    fn check(&self, history: &History) -> Findings {
        let calls = history.calls();
        let mut findings = Findings::default();
        let mut views: BTreeMap<&str, View<'_>> = BTreeMap::new();
        for call in calls
            .iter()
            .filter(|call| call.f == "watch" && call.is_ok())
        {
            let view = views.entry(call.session()).or_default();
            view.add(call, &mut findings);
        }
        for view in views.values() {
            told_what_others_were(view, &views, &mut findings);
            told_what_was_acknowledged(view, &calls, &mut findings);
        }
        findings
    }
}

fn place(row: &Value) -> Option<Place> {
    let id = row["id"].as_str()?;
    match id.split_once('.') {
        None => Some((id.parse().ok()?, u64::MAX)),
        Some((revision, place)) => Some((revision.parse().ok()?, place.parse().ok()?)),
    }
}

impl<'a> View<'a> {
    fn add(&mut self, call: &'a Call, findings: &mut Findings) {
        if self.from.is_none() {
            self.from = call.revision;
        }
        let rows = call
            .value
            .as_ref()
            .and_then(|value| value["events"].as_array());
        for row in rows.into_iter().flatten() {
            if row["event"] == "gap" {
                let end = |of: &str| row[of].as_u64().unwrap_or(0);
                self.gaps.push((end("from"), end("to")));
                continue;
            }
            findings.looked_at += 1;
            let Some(place) = place(row) else {
                findings.breaks(format!("an event has no place: {row}"), [call]);
                continue;
            };
            if let Some((last, (_, before))) = self.events.last_key_value()
                && place <= *last
            {
                let what = format!("{}: event {place:?} came after {last:?}", call.session());
                findings.breaks(what, [*before, call]);
            }
            self.events.insert(place, (row, call));
        }
    }

    /// Whether nothing between these revisions can have been kept from it.
    fn has_all(&self, after: u64, to: u64) -> bool {
        let begun = self.from.is_some_and(|from| after >= from);
        let meets = |gap: &(u64, u64)| gap.0 <= to && gap.1 > after;
        begun && !self.gaps.iter().any(meets)
    }

    /// Whether it must have been told of what happened there.
    fn covers(&self, place: Place) -> bool {
        let Some((last, _)) = self.events.last_key_value() else {
            return false;
        };
        let begun = self.from.is_some_and(|from| place.0 > from);
        let gap = self
            .gaps
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&place.0));
        begun && place < *last && !gap
    }
}

/// What one was told, everybody was who watched meanwhile, in the same words.
fn told_what_others_were(view: &View<'_>, all: &BTreeMap<&str, View<'_>>, findings: &mut Findings) {
    for other in all.values() {
        for (place, (row, call)) in &other.events {
            match view.events.get(place) {
                Some((own, first)) if own != row => {
                    let what = format!("event {place:?} is told as {own} and as {row}");
                    findings.breaks(what, [*first, *call]);
                }
                None if view.covers(*place) => {
                    findings.breaks(format!("one watcher is not told of {row}"), [*call]);
                }
                Some(_) | None => {}
            }
        }
    }
}

/// A grant or a release that was acknowledged is among the events.
fn told_what_was_acknowledged(view: &View<'_>, calls: &[Call], findings: &mut Findings) {
    let mut known: HashMap<(&str, u64), ()> = HashMap::new();
    for (row, _) in view.events.values() {
        let kind = row["event"].as_str().unwrap_or_default();
        known.insert((kind, row["fence"].as_u64().unwrap_or(0)), ());
    }
    let mut told: Vec<(u64, u64)> = calls
        .iter()
        .filter(|call| call.is_ok())
        .filter_map(|call| Some((call.stop, call.revision?)))
        .collect();
    told.sort_unstable();
    let mut newest = 0;
    for (_, revision) in &mut told {
        newest = newest.max(*revision);
        *revision = newest;
    }
    let told_by = |at: u64| {
        let before = told.partition_point(|(stop, _)| *stop <= at);
        before.checked_sub(1).map_or(0, |last| told[last].1)
    };
    for call in calls.iter().filter(|call| call.is_ok()) {
        let (Some(revision), Some(fence)) = (call.revision, call.fence) else {
            continue;
        };
        let kind = match call.f.as_str() {
            // One that waited may be told under a later revision than its own.
            "acquire" if !call.asked.as_ref().is_some_and(waits) => "granted",
            "release" => "released",
            _ => continue,
        };
        // A node that repeats a call tells the revision of the repetition. When it was done lies
        // between what had been told before the call and that.
        let earliest = told_by(call.start);
        if !view.covers((revision, 0)) || !view.has_all(earliest, revision) {
            continue;
        }
        findings.looked_at += 1;
        if !known.contains_key(&(kind, fence)) {
            let what = format!("a watcher is not told that fence {fence} was {kind}");
            findings.breaks(what, [call]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::{Event, Kind};

    fn told(process: i64, t: u64, watcher: &str, rows: &[Value]) -> [Event; 2] {
        let event = Event {
            t,
            process,
            kind: Kind::Invoke,
            f: "watch".to_owned(),
            session: Some(watcher.to_owned()),
            ..Event::default()
        };
        let ended = Event {
            t: t + 1,
            kind: Kind::Ok,
            revision: Some(1),
            value: Some(json!({"events": rows})),
            ..event.clone()
        };
        [event, ended]
    }

    fn row(id: &str, fence: u64) -> Value {
        json!({"event": "granted", "id": id, "fence": fence})
    }

    fn broken(streams: &[(&str, &[Value])]) -> Vec<String> {
        let events = (0..).zip(streams).flat_map(|(nth, (watcher, rows))| {
            told(nth, u64::try_from(nth).unwrap() * 10, watcher, rows)
        });
        let grant = |t, kind, fence, revision| Event {
            t,
            process: 99,
            kind,
            f: "acquire".to_owned(),
            fence,
            revision,
            ..Event::default()
        };
        let granted = [
            grant(1, Kind::Invoke, None, None),
            grant(2, Kind::Ok, Some(4), Some(1)),
            grant(3, Kind::Invoke, None, None),
            grant(4, Kind::Ok, Some(5), Some(3)),
        ];
        let history = History::new(events.chain(granted).collect());
        let findings = Whole.check(&history);
        findings.broken.into_iter().map(|(what, _)| what).collect()
    }

    #[test]
    fn streams_that_go_on_behind_their_last_event_are_whole() {
        let first = [row("2.0", 4), row("2", 4), row("3", 5)];
        let second = [row("7", 6)];
        let other = [row("3", 5), row("7", 6)];
        let with_gap = [json!({"event": "gap", "from": 2, "to": 3}), row("7", 6)];
        let late = [row("2.0", 4), row("2", 4), row("3", 5), row("7", 6)];
        let whole: [(&str, &[Value]); 4] = [
            ("a", &first),
            ("a", &second),
            ("b", &with_gap),
            ("c", &late),
        ];
        assert_eq!(broken(&whole), Vec::<String>::new());
        // Who says that it began at revision 1 must have been told of 2.
        assert!(broken(&[("a", &first), ("a", &second), ("b", &other)])[0].contains("not told"));
    }

    /// A paused node sent a release twice and told the revision of the second.
    #[test]
    fn what_was_done_within_a_gap_and_told_behind_it_is_not_missed() {
        let gap = json!({"event": "gap", "from": 2, "to": 2});
        let rows = [gap, row("4", 6)];
        assert_eq!(broken(&[("a", &rows)]), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_twice_or_out_of_order_is_found() {
        let (three, seven) = (row("3", 5), row("7", 6));
        let again = [three.clone(), seven.clone(), three];
        assert!(broken(&[("a", &again)])[0].contains("came after"));
        let missing = [seven];
        assert!(broken(&[("a", &missing)])[0].contains("fence 5 was granted"));
    }
}
