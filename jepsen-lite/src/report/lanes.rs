//! Lanes over time: what each process did, who held which lock, whom each node took for leader.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::plot::{self, Axis, label};
use crate::checker::leases::{Lease, leases};
use crate::checker::sharing::Sharing;
use crate::clock::MS;
use crate::history::{Call, End, Event};
use crate::nemesis::Fault;

const LANE: f64 = 13.0;
/// Rows beyond this are left to the history; a page has an end.
const ROWS_MAX: usize = 80;

/// The time around a counterexample: every call of its locks, keys and sessions, with the calls of
/// the counterexample itself framed.
pub(super) fn window(
    calls: &[Call],
    counterexample: &[Event],
    faults: &[Fault],
    axis: Axis,
) -> String {
    let concerns = |call: &&Call| {
        let mut events = counterexample.iter();
        events.any(|event| {
            let same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
            same(&event.key, &call.key) || same(&event.session, &call.session)
        })
    };
    let ends = |call: &Call| call.events.last().map_or(call.start, |event| event.t);
    let within = |call: &&Call| axis.holds(call.start) || axis.holds(ends(call));
    let mut rows: BTreeMap<(&str, i64), Vec<&Call>> = BTreeMap::new();
    for call in calls.iter().filter(within).filter(concerns) {
        let row = (call.key(), call.process);
        rows.entry(row).or_default().push(call);
    }
    let height = rows.len().min(ROWS_MAX) as f64 * LANE * 1.5;
    let mut body = plot::bands(faults, axis, height);
    for (nth, ((key, process), calls)) in rows.iter().take(ROWS_MAX).enumerate() {
        let y = nth as f64 * LANE * 1.5;
        body.push_str(&label(y + 13.0, &format!("{key} {process}")));
        for call in calls {
            let class = match call.end {
                End::Ok => "ok",
                End::Fail => "fail",
                End::Info => "info",
            };
            let (from, until) = (axis.x(call.start), axis.x(ends(call)));
            let broken = call
                .events
                .iter()
                .any(|event| counterexample.contains(event));
            let frame = if broken { " broken" } else { "" };
            let fence = call
                .fence
                .map(|fence| format!(" {fence}"))
                .unwrap_or_default();
            let (x, top, width) = (from, y + 3.0, (until - from).max(2.0));
            let _ = write!(
                body,
                "<rect class=\"{class}\" x={x:.1} y={top:.1} width={width:.1} height=13 />\
                 <rect class=\"none{frame}\" x={x:.1} y={top:.1} width={width:.1} height=13 />\
                 <text class=name x={:.1} y={:.1}>{}{fence}</text>",
                x + width + 2.0,
                y + 13.0,
                super::html_text(&call.f),
            );
        }
    }
    body.push_str(&axis.ticks(height));
    let note = "The calls of the counterexample, framed, among all others that concern the same \
                locks, keys and sessions; one row for each of them and each caller.";
    plot::frame("The violating window", note, height, &body)
}

/// One row for each hand: its calls, one after the other. A hand that retires its process number
/// goes on under one that is `hands` higher.
pub(super) fn processes(calls: &[Call], faults: &[Fault], axis: Axis, hands: i64) -> String {
    let mut rows: BTreeMap<(&str, i64), Vec<&Call>> = BTreeMap::new();
    for call in calls {
        let row = (
            call.workload.as_str(),
            call.process.rem_euclid(hands.max(1)),
        );
        rows.entry(row).or_default().push(call);
    }
    let shown = rows.len().min(ROWS_MAX);
    let height = shown as f64 * LANE;
    let mut body = plot::bands(faults, axis, height);
    for (nth, ((workload, process), calls)) in rows.iter().take(ROWS_MAX).enumerate() {
        let y = nth as f64 * LANE;
        body.push_str(&label(y + 10.0, &format!("{workload} {process}")));
        for call in calls {
            let (class, stop) = match call.end {
                End::Ok => ("ok", call.stop),
                End::Fail => ("fail", call.stop),
                End::Info => (
                    "info",
                    call.events.last().map_or(call.start, |event| event.t),
                ),
            };
            let (from, until) = (axis.x(call.start), axis.x(stop));
            let _ = write!(
                body,
                "<rect class={class} x={from:.1} y={:.1} width={:.1} height=9><title>{} {} {} \
                 ms {}</title></rect>",
                y + 2.0,
                (until - from).max(0.8),
                super::html_text(&call.f),
                super::html_text(call.key()),
                stop.saturating_sub(call.start) / MS,
                super::html_text(call.error.as_deref().unwrap_or_default()),
            );
        }
    }
    body.push_str(&axis.ticks(height));
    let note = format!(
        "One row a user, {shown} of {}; point at a call to read it.",
        rows.len()
    );
    plot::frame("Users", &note, height, &body)
}

/// One row for each lock: leases with their fences, overlaps in red.
pub(super) fn holds(calls: &[Call], faults: &[Fault], axis: Axis) -> String {
    let all = leases(calls);
    let mut rows: BTreeMap<&str, Vec<&Lease>> = BTreeMap::new();
    for lease in &all {
        rows.entry(&lease.key).or_default().push(lease);
    }
    let shown = rows.len().min(ROWS_MAX);
    let row = LANE * 2.0;
    let height = shown as f64 * row;
    let mut body = plot::bands(faults, axis, height);
    for (nth, (key, of_key)) in rows.iter_mut().take(ROWS_MAX).enumerate() {
        let y = nth as f64 * row;
        body.push_str(&label(y + 15.0, key));
        of_key.sort_by_key(|lease| lease.from);
        let mut before: Vec<(u64, u64, Sharing)> = Vec::new();
        for lease in of_key.iter() {
            let until = lease.believed.max(lease.from);
            before.retain(|(reach, _, _)| *reach > lease.from);
            // A lease that is told again is no other lease.
            let excluded = before
                .iter()
                .filter(|(_, fence, held)| *fence != lease.fence && held.excludes(lease.sharing));
            let overlap = excluded.map(|(reach, _, _)| *reach).max();
            let (from, to) = (axis.x(lease.from), axis.x(until));
            let certain = lease
                .certain
                .map_or(lease.from, |certain| certain.max(lease.from));
            let _ = write!(
                body,
                "<rect class=believed x={from:.1} y={:.1} width={:.1} height=20><title>fence {} \
                 of {}, {} ms</title></rect>\
                 <rect class=certain x={from:.1} y={:.1} width={:.1} height=12 />",
                y + 3.0,
                (to - from).max(1.0),
                lease.fence,
                super::html_text(&lease.session),
                (until - lease.from) / MS,
                y + 7.0,
                (axis.x(certain) - from).max(0.5),
            );
            if let Some(reach) = overlap {
                let _ = write!(
                    body,
                    "<rect class=overlap x={from:.1} y={:.1} width={:.1} height=22 />",
                    y + 2.0,
                    (axis.x(reach.min(until)) - from).max(2.0)
                );
            }
            if to - from > 22.0 {
                let _ = write!(
                    body,
                    "<text class=fence x={:.1} y={:.1}>{}</text>",
                    from + 2.0,
                    y + 16.0,
                    lease.fence
                );
            }
            before.push((until, lease.fence, lease.sharing));
        }
    }
    body.push_str(&axis.ticks(height));
    let note = "One row a lock. Dark: the lease was certainly in force; light: its holder acted as \
                if it were. <b class=fail>Red</b>: two holders acted at once, as happens when one \
                was stopped past its TTL; the fence is what keeps that harmless.";
    plot::frame("Leases", note, height, &body)
}

/// One row for each node: whom it took for leader, in which term.
pub(super) fn leaders(events: &[Event], faults: &[Fault], axis: Axis, end: u64) -> String {
    let mut rows: BTreeMap<u64, Vec<(u64, Option<u64>, u64)>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.f == "leader") {
        let Some(value) = &event.value else { continue };
        let node = value["node"].as_u64().unwrap_or(0);
        let term = value["term"].as_u64().unwrap_or(0);
        rows.entry(node)
            .or_default()
            .push((event.t, value["leader"].as_u64(), term));
    }
    let row = LANE * 1.6;
    let height = rows.len() as f64 * row;
    let mut body = plot::bands(faults, axis, height);
    for (nth, (node, changes)) in rows.iter().enumerate() {
        let y = nth as f64 * row;
        body.push_str(&label(y + 14.0, &format!("node {node}")));
        for (at, (from, leader, term)) in changes.iter().enumerate() {
            let until = changes.get(at + 1).map_or(end, |next| next.0);
            let Some(leader) = leader else { continue };
            let (from, to) = (axis.x(*from), axis.x(until));
            let own = if leader == node { "own" } else { "other" };
            let _ = write!(
                body,
                "<rect class=\"leader l{} {own}\" x={from:.1} y={:.1} width={:.1} height=16>\
                 <title>leader {leader} in term {term}</title></rect>",
                leader % 5,
                y + 2.0,
                (to - from).max(1.0)
            );
            if to - from > 30.0 {
                let _ = write!(
                    body,
                    "<text class=fence x={:.1} y={:.1}>n{leader} t{term}</text>",
                    from + 3.0,
                    y + 14.0
                );
            }
        }
    }
    body.push_str(&axis.ticks(height));
    let note = "Whom each node takes for leader, and in which term; bold where it is itself. Gaps: \
                it knew none, or did not answer.";
    plot::frame("Leaders and terms", note, height, &body)
}
