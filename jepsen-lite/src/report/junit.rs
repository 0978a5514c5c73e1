//! Results as JUnit XML, which every CI shows: one case for each property.

use std::fmt::Write;

use super::html_text as text;
use crate::checker::Verdict;
use crate::run::Results;

pub(super) fn render(results: &Results) -> String {
    let count = |verdict| {
        let of = results.properties.iter();
        of.filter(|property| property.verdict == verdict).count()
    };
    let (failures, skipped) = (count(Verdict::Invalid), count(Verdict::Unknown));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // A String takes whatever is written.
    let _ = writeln!(
        out,
        "<testsuite name=\"jepsen-lite\" tests=\"{}\" failures=\"{failures}\" \
         skipped=\"{skipped}\" time=\"{}.{:03}\">",
        results.properties.len(),
        results.ran_ms / 1000,
        results.ran_ms % 1000
    );
    let _ = writeln!(out, "  <properties>");
    let pairs = [
        ("seed", results.seed.to_string()),
        ("replay", results.replay.clone()),
    ];
    for (name, value) in pairs.iter().map(|(name, value)| (*name, value.as_str())) {
        let _ = writeln!(
            out,
            "    <property name=\"{name}\" value=\"{}\"/>",
            text(value)
        );
    }
    let _ = writeln!(out, "  </properties>");
    for property in &results.properties {
        let class = match property.workload.as_str() {
            "" => "all",
            workload => workload,
        };
        let name = text(&property.name);
        let _ = write!(out, "  <testcase classname=\"{class}\" name=\"{name}\"");
        let found = text(&property.found);
        let _ = match property.verdict {
            Verdict::Valid => writeln!(out, "/>"),
            Verdict::Invalid => {
                writeln!(out, "><failure message=\"{found}\"/></testcase>")
            }
            Verdict::Unknown => writeln!(out, "><skipped message=\"{found}\"/></testcase>"),
        };
    }
    out.push_str("</testsuite>\n");
    out
}
