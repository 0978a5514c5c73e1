//! Pictures of a run, as SVG: everything over the same axis of time.

use std::fmt::Write;

use crate::clock::MS;
use crate::nemesis::Fault;

/// The width of every picture, and of the column of names left of it.
pub(super) const WIDTH: f64 = 1_160.0;
pub(super) const LEFT: f64 = 130.0;

/// The axis of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Nanoseconds of the run.
    begin: u64,
    end: u64,
}

impl Axis {
    pub(super) fn until(end: u64) -> Self {
        Self::between(0, end)
    }

    pub(super) fn between(begin: u64, end: u64) -> Self {
        let end = end.max(begin + 1);
        Self { begin, end }
    }

    /// Whether a moment is on it.
    pub(super) fn holds(self, t: u64) -> bool {
        (self.begin..=self.end).contains(&t)
    }

    /// Where a moment lies.
    pub(super) fn x(self, t: u64) -> f64 {
        let since = t.clamp(self.begin, self.end) - self.begin;
        let part = since as f64 / (self.end - self.begin) as f64;
        LEFT + part * (WIDTH - LEFT)
    }

    /// Seconds below a picture.
    pub(super) fn ticks(self, height: f64) -> String {
        let (first, last) = (self.begin.div_ceil(MS), self.end / MS);
        let steps = [
            10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 300_000,
        ];
        let most = |step: &u64| (last - first.min(last)) / step <= 14;
        let step = steps.into_iter().find(most).unwrap_or(3_600_000);
        let mut out = String::new();
        let mut at = first.next_multiple_of(step);
        while at <= last {
            let (x, seconds) = (self.x(at * MS), at as f64 / 1_000.0);
            let _ = write!(
                out,
                "<line class=tick x1={x:.1} y1=0 x2={x:.1} y2={height:.1} />\
                 <text x={x:.1} y={:.1} class=axis text-anchor=middle>{seconds} s</text>",
                height + 13.0
            );
            at += step;
        }
        out
    }
}

/// What the time of the first counterexample is called among the bands.
pub(super) const VIOLATION: &str = "violation";
/// Of one letter of a band's name.
const NAME_WIDTH: f64 = 4.8;

/// The times of faults, as bands behind a picture.
pub(super) fn bands(faults: &[Fault], axis: Axis, height: f64) -> String {
    let mut out = String::new();
    for fault in faults {
        let (from, until) = (axis.x(fault.from), axis.x(fault.until));
        if fault.until < axis.begin || fault.from > axis.end {
            continue;
        }
        let class = match fault.status.why() {
            _ if fault.kind == VIOLATION => "band violation",
            None => "band",
            Some(_) => "band weak",
        };
        let kind = super::html_text(&fault.kind);
        let what = super::html_text(&fault.what);
        let _ = write!(
            out,
            "<rect class=\"{class}\" x={from:.1} y=0 width={:.1} height={height:.1}>\
             <title>{kind}: {what}</title></rect>",
            (until - from).max(1.5),
        );
        // A name that is longer than its band would run into the next one's.
        if until - from > kind.len() as f64 * NAME_WIDTH || fault.kind == VIOLATION {
            let (x, y) = (from + 2.0, if fault.kind == VIOLATION { 20 } else { 10 });
            let _ = write!(out, "<text class=bandname x={x:.1} y={y}>{kind}</text>");
        }
    }
    out
}

/// A picture with its title.
pub(super) fn frame(title: &str, note: &str, height: f64, body: &str) -> String {
    format!(
        "<h2>{title}</h2><p class=note>{note}</p><svg viewBox=\"0 0 {WIDTH} {:.0}\" \
         width=\"{WIDTH}\" height=\"{:.0}\" role=img aria-label=\"{title}\">{body}</svg>",
        height + 20.0,
        height + 20.0
    )
}

/// A name left of a row.
pub(super) fn label(y: f64, name: &str) -> String {
    let name = super::html_text(name);
    format!(
        "<text class=name x={:.1} y={y:.1} text-anchor=end>{name}</text>",
        LEFT - 8.0
    )
}

/// The share of values, in percent, that a value of this rank is at; nearest rank.
pub(super) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}
