//! How long calls took, over the run, and how many there were.

use std::fmt::Write;

use super::plot::{self, Axis, LEFT, WIDTH};
use crate::history::{Call, End};
use crate::nemesis::Fault;

const HEIGHT: f64 = 260.0;
const RATE_HEIGHT: f64 = 90.0;
/// Points beyond this are thinned out; nobody can tell them apart.
const POINTS_MAX: usize = 6_000;
/// Slices of time, each with its own p50 and p99.
const SLICES: u64 = 80;
/// The least and the greatest latency shown: 0.1 ms and 30 s.
const SCALE_NS: (f64, f64) = (1e5, 3e10);

fn y(took: u64) -> f64 {
    let (low, high) = (SCALE_NS.0.log10(), SCALE_NS.1.log10());
    let at = (took.max(1) as f64).log10().clamp(low, high);
    HEIGHT - (at - low) / (high - low) * HEIGHT
}

/// Calls as points, with the median and the 99th percentile of each slice of time.
pub(super) fn scatter(calls: &[Call], faults: &[Fault], axis: Axis, end: u64) -> String {
    let mut body = plot::bands(faults, axis, HEIGHT);
    for (took, name) in [
        (1_000_000, "1 ms"),
        (10_000_000, "10 ms"),
        (100_000_000, "100 ms"),
        (1_000_000_000, "1 s"),
        (10_000_000_000, "10 s"),
    ] {
        let y = y(took);
        let _ = write!(
            body,
            "<line class=tick x1={LEFT} y1={y:.1} x2={WIDTH} y2={y:.1} />"
        );
        body.push_str(&plot::label(y + 4.0, name));
    }
    let every = calls.len() / POINTS_MAX + 1;
    for call in calls.iter().step_by(every) {
        let (class, stop) = match call.end {
            End::Ok => ("ok", call.stop),
            End::Fail => ("fail", call.stop),
            End::Info => (
                "info",
                call.events.last().map_or(call.start, |event| event.t),
            ),
        };
        let (x, y) = (axis.x(call.start), y(stop.saturating_sub(call.start)));
        let _ = write!(body, "<circle class={class} cx={x:.1} cy={y:.1} r=1.6 />");
    }
    for (percent, class) in [(50, "p50"), (99, "p99")] {
        let mut points = String::new();
        for slice in 0..SLICES {
            let (from, until) = (end * slice / SLICES, end * (slice + 1) / SLICES);
            let within = calls.iter().filter(|call| call.end == End::Ok);
            let within = within.filter(|call| (from..until).contains(&call.start));
            let mut took: Vec<u64> = within.map(|call| call.stop - call.start).collect();
            took.sort_unstable();
            if !took.is_empty() {
                let x = axis.x((from + until) / 2);
                let _ = write!(points, "{x:.1},{:.1} ", y(plot::percentile(&took, percent)));
            }
        }
        let _ = write!(body, "<polyline class={class} points=\"{points}\" />");
    }
    body.push_str(&axis.ticks(HEIGHT));
    let note = "One point a call, by when it began: <b class=ok>done</b>, \
                <b class=refused>refused</b>, <b class=info>unknown</b>. Lines: median and 99th \
                percentile. Waits for locks are part of it. Bands: faults.";
    plot::frame("Latency", note, HEIGHT, &body)
}

/// Calls done in each slice of time.
pub(super) fn rate(calls: &[Call], faults: &[Fault], axis: Axis, end: u64) -> String {
    let mut counts = vec![0_u64; usize::try_from(SLICES).unwrap_or(1)];
    for call in calls.iter().filter(|call| call.end == End::Ok) {
        let slice = call.stop.saturating_mul(SLICES) / end.max(1);
        if let Some(count) = usize::try_from(slice)
            .ok()
            .and_then(|at| counts.get_mut(at))
        {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let mut body = plot::bands(faults, axis, RATE_HEIGHT);
    for (slice, count) in (0..SLICES).zip(&counts) {
        let (from, until) = (
            axis.x(end * slice / SLICES),
            axis.x(end * (slice + 1) / SLICES),
        );
        let height = *count as f64 / most as f64 * (RATE_HEIGHT - 14.0);
        let _ = write!(
            body,
            "<rect class=bar x={from:.1} y={:.1} width={:.1} height={height:.1} />",
            RATE_HEIGHT - height,
            until - from - 1.0
        );
    }
    let seconds = (end / SLICES) as f64 / 1e9;
    body.push_str(&plot::label(
        12.0,
        &format!("{:.0}/s", most as f64 / seconds.max(1e-9)),
    ));
    body.push_str(&axis.ticks(RATE_HEIGHT));
    plot::frame("Calls done", "All users together.", RATE_HEIGHT, &body)
}
