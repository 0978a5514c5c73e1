//! Pictures of a run, as SVG: everything over the same axis of time.

use std::fmt::Write;

use crate::nemesis::Fault;

/// The width of every picture, and of the column of names left of it.
pub(super) const WIDTH: f64 = 1_160.0;
pub(super) const LEFT: f64 = 130.0;

/// The axis of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// The run's length in nanoseconds.
    end: u64,
}

impl Axis {
    pub(super) fn until(end: u64) -> Self {
        Self { end: end.max(1) }
    }

    /// Where a moment lies.
    pub(super) fn x(self, t: u64) -> f64 {
        let part = t.min(self.end) as f64 / self.end as f64;
        LEFT + part * (WIDTH - LEFT)
    }

    /// Seconds below a picture.
    pub(super) fn ticks(self, height: f64) -> String {
        let seconds = self.end / 1_000_000_000;
        let step = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800];
        let step = step
            .into_iter()
            .find(|step| seconds / step <= 14)
            .unwrap_or(3_600);
        let mut out = String::new();
        for second in (0..=seconds).step_by(usize::try_from(step).unwrap_or(1)) {
            let x = self.x(second * 1_000_000_000);
            let _ = write!(
                out,
                "<line class=tick x1={x:.1} y1=0 x2={x:.1} y2={height:.1} />\
                 <text x={x:.1} y={:.1} class=axis text-anchor=middle>{second} s</text>",
                height + 13.0
            );
        }
        out
    }
}

/// The times of faults, as bands behind a picture.
pub(super) fn bands(faults: &[Fault], axis: Axis, height: f64) -> String {
    let mut out = String::new();
    for fault in faults {
        let (from, until) = (axis.x(fault.from), axis.x(fault.until));
        let class = if fault.status.why().is_none() {
            "band"
        } else {
            "band weak"
        };
        let kind = super::html_text(&fault.kind);
        let what = super::html_text(&fault.what);
        let _ = write!(
            out,
            "<rect class=\"{class}\" x={from:.1} y=0 width={:.1} height={height:.1}>\
             <title>{kind}: {what}</title></rect>\
             <text class=bandname x={:.1} y=10>{kind}</text>",
            (until - from).max(1.5),
            from + 2.0
        );
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
