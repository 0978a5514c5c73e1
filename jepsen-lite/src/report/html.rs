//! The report: one file that needs no network, no scripts and no other file.

use std::fmt::Write;

use super::plot::{self, Axis, LEFT, WIDTH};
use super::{html_text as text, lanes, latency};
use crate::checker::{Property, Verdict, strength};
use crate::clock::MS;
use crate::history::{Call, Event, History};
use crate::nemesis::{Fault, Status};
use crate::run::{HANDS_EACH, Results};

const STYLE: &str = include_str!("report.css");

pub(super) fn render(history: &History, results: &Results) -> String {
    let calls = history.calls();
    let end = history.events.last().map_or(1, |event| event.t);
    let axis = Axis::until(end);
    let mut faults = results.faults.clone();
    let window = violation(results, end);
    faults.extend(window.clone());
    let faults = &faults;
    let hands = i64::try_from(history.workloads().len() as u64 * HANDS_EACH).unwrap_or(1);
    let parts = [
        verdict(results),
        first_counterexample(results),
        around(results, &calls, faults, window.as_ref()),
        properties(&results.properties),
        grid(history, results),
        latency::scatter(&calls, faults, axis, end),
        latency::rate(&calls, faults, axis, end),
        lanes::leaders(&history.events, faults, axis, end),
        lanes::holds(&calls, faults, axis),
        failovers(&results.failovers_ms),
        lanes::processes(&calls, faults, axis, hands),
        versions(results),
    ];
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\">\
         <title>jepsen-lite, seed {}</title><style>{STYLE}</style></head>\
         <body><main>{}</main></body></html>\n",
        results.seed,
        parts.concat()
    )
}

const fn sign(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Valid => ("valid", "no violation"),
        Verdict::Unknown => ("unknown", "nothing can be said"),
        Verdict::Invalid => ("invalid", "violated"),
    }
}

fn verdict(results: &Results) -> String {
    let [ok, fail, info] = results.calls;
    let (class, said) = sign(results.verdict);
    let headline = match results.verdict {
        Verdict::Valid => "No violation found",
        Verdict::Unknown => "Too weak to say anything",
        Verdict::Invalid => "A promise is broken",
    };
    format!(
        "<header class={class}><h1>{headline}</h1><p>in {ok} calls done, {fail} refused, {info} \
         of unknown outcome, under {} faults, in {} s, by seed {} <span class=sr>({said})</span>\
         </p></header><p class=replay>Again: <code>{}</code></p>",
        results.faults.len(),
        results.ran_ms / 1_000,
        results.seed,
        text(&results.replay)
    )
}

/// What broke first, if anything did.
fn broken(results: &Results) -> Option<&Property> {
    let mut properties = results.properties.iter();
    properties.find(|property| property.verdict == Verdict::Invalid)
}

/// The time of the first counterexample, to be shown among the faults.
fn violation(results: &Results, end: u64) -> Option<Fault> {
    let property = broken(results)?;
    // What the service told of its locks was read after the run, and has no time within it.
    let times = property
        .counterexample
        .iter()
        .filter(|event| event.f != "told");
    let times: Vec<u64> = times.map(|event| event.t).filter(|t| *t <= end).collect();
    Some(Fault {
        kind: plot::VIOLATION.to_owned(),
        what: format!("{}: {}", property.name, property.found),
        status: Status::Installed,
        from: *times.iter().min()?,
        until: *times.iter().max()?,
    })
}

/// The time around the counterexample, on an axis of its own.
fn around(results: &Results, calls: &[Call], faults: &[Fault], window: Option<&Fault>) -> String {
    let (Some(window), Some(property)) = (window, broken(results)) else {
        return String::new();
    };
    let margin = ((window.until - window.from) / 4).max(200 * MS);
    let axis = Axis::between(window.from.saturating_sub(margin), window.until + margin);
    lanes::window(calls, &property.counterexample, faults, axis)
}

fn first_counterexample(results: &Results) -> String {
    let Some(first) = broken(results) else {
        return String::new();
    };
    let mut rows = String::new();
    for event in &first.counterexample {
        rows.push_str(&event_row(event));
    }
    format!(
        "<section class=counter><h2>The first counterexample</h2><p><b>{}</b> {}: {}</p>\
         <table><tr><th>ms<th>process<th>type<th>f<th>key<th>session<th>fence<th>revision<th>\
         value<th>error</tr>{rows}</table></section>",
        text(&first.name),
        text(&first.workload),
        text(&first.found)
    )
}

fn event_row(event: &Event) -> String {
    let number = |number: Option<u64>| number.map(|it| it.to_string()).unwrap_or_default();
    let value = event
        .value
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let kind = format!("{:?}", event.kind).to_lowercase();
    format!(
        "<tr><td>{:.3}<td>{}<td>{kind}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
        event.t as f64 / 1e6,
        event.process,
        text(&event.f),
        text(event.key.as_deref().unwrap_or_default()),
        text(event.session.as_deref().unwrap_or_default()),
        number(event.fence),
        number(event.revision),
        text(&value),
        text(event.error.as_deref().unwrap_or_default()),
    )
}

fn properties(properties: &[Property]) -> String {
    let mut rows = String::new();
    let mut worst_first: Vec<&Property> = properties.iter().collect();
    worst_first.sort_by_key(|property| std::cmp::Reverse(property.verdict));
    for property in worst_first {
        let (class, said) = sign(property.verdict);
        let _ = write!(
            rows,
            "<tr><td class={class}>{said}<td>{}<td><b>{}</b><br>{}<td class=num>{}<td>{}</tr>",
            text(&property.workload),
            text(&property.name),
            text(&property.promise),
            property.looked_at,
            text(&property.found)
        );
    }
    format!(
        "<h2>Properties</h2><table><tr><th>verdict<th>workload<th>property<th>looked at<th>found\
         </tr>{rows}</table>"
    )
}

fn grid(history: &History, results: &Results) -> String {
    let rows = strength::grid(history, &results.faults, &results.kinds);
    let mut out = String::from(
        "<h2>Faults</h2><table><tr><th>nemesis<th class=num>planned<th class=num>installed\
         <th class=num>not<th class=num>calls done in its windows<th>why not</tr>",
    );
    for row in &rows {
        let class = if row.installed == 0 {
            "unknown"
        } else {
            "valid"
        };
        let _ = write!(
            out,
            "<tr><td>{}<td class=num>{}<td class=\"num {class}\">{}<td class=num>{}<td class=num>\
             {}<td>{}</tr>",
            text(&row.kind),
            row.planned,
            row.installed,
            row.skipped,
            row.calls,
            text(&row.why)
        );
    }
    out.push_str("</table><details><summary>each of them</summary><table>");
    for fault in &results.faults {
        let _ = write!(
            out,
            "<tr><td class=num>{:.1}–{:.1} s<td>{}<td>{}<td>{}</tr>",
            fault.from as f64 / 1e9,
            fault.until as f64 / 1e9,
            text(&fault.kind),
            text(&fault.what),
            text(fault.status.why().unwrap_or("installed"))
        );
    }
    out.push_str("</table></details>");
    out
}

/// How long nothing was acknowledged after the leader went away, as a histogram.
fn failovers(gaps: &[u64]) -> String {
    if gaps.is_empty() {
        return String::new();
    }
    const BUCKETS: [u64; 8] = [100, 200, 400, 700, 1_000, 1_500, 2_500, u64::MAX];
    const HEIGHT: f64 = 110.0;
    let mut sorted = gaps.to_vec();
    sorted.sort_unstable();
    let mut body = String::new();
    let width = (WIDTH - LEFT) / BUCKETS.len() as f64;
    let mut low = 0;
    let most = sorted.len() as f64;
    for (nth, high) in BUCKETS.into_iter().enumerate() {
        let count = sorted
            .iter()
            .filter(|gap| (low..high).contains(*gap))
            .count();
        let height = count as f64 / most * (HEIGHT - 20.0);
        let x = LEFT + nth as f64 * width;
        let name = if high == u64::MAX {
            format!("≥ {low} ms")
        } else {
            format!("< {high} ms")
        };
        let _ = write!(
            body,
            "<rect class=bar x={x:.1} y={:.1} width={:.1} height={height:.1} />\
             <text class=axis x={:.1} y={:.1} text-anchor=middle>{name}</text>\
             <text class=axis x={:.1} y={:.1} text-anchor=middle>{count}</text>",
            HEIGHT - height,
            width - 6.0,
            x + width / 2.0,
            HEIGHT + 13.0,
            x + width / 2.0,
            HEIGHT - height - 4.0
        );
        low = high;
    }
    let note = format!(
        "From the fault to the first change acknowledged after it: {} of them, median {} ms, \
         worst {} ms.",
        sorted.len(),
        plot::percentile(&sorted, 50),
        plot::percentile(&sorted, 100)
    );
    plot::frame("Failovers", &note, HEIGHT, &body)
}

fn versions(results: &Results) -> String {
    let pairs = results.versions.iter();
    let pairs = pairs.map(|(name, version)| format!("{} {}", text(name), text(version)));
    format!("<footer>{}</footer>", pairs.collect::<Vec<_>>().join(" · "))
}
