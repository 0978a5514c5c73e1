//! A history in Jepsen's EDN: one map a line, as `jepsen.history` and Elle read it.
//!
//! Jepsen's own checkers know the keys `:process :type :f :value :time :index`, so what a
//! completion knows beside its value (lock, fence, revision, session) goes into `:value`, and a
//! completion repeats what its invocation wrote.

use std::fmt::Write;

use serde_json::Value;

use super::{Event, History, Kind, NEMESIS};

/// The whole history.
#[must_use]
pub fn export(history: &History) -> String {
    let mut out = String::new();
    let mut asked: std::collections::HashMap<i64, Option<Value>> = std::collections::HashMap::new();
    for (index, event) in history.events.iter().enumerate() {
        let mut value = event.value.clone();
        if event.kind == Kind::Invoke {
            asked.insert(event.process, value.clone());
        } else if value.is_none() {
            value = asked.remove(&event.process).flatten();
        }
        line(&mut out, index, event, value.as_ref());
    }
    out
}

fn line(out: &mut String, index: usize, event: &Event, value: Option<&Value>) {
    let process = match event.process {
        NEMESIS => ":nemesis".to_owned(),
        number => number.to_string(),
    };
    let kind = match event.kind {
        Kind::Invoke => "invoke",
        Kind::Ok => "ok",
        Kind::Fail => "fail",
        Kind::Info => "info",
    };
    let (t, f) = (event.t, &event.f);
    let mut fields = String::new();
    let mut field = |name: &str, value: String| {
        let _ = write!(fields, " :{name} {value}");
    };
    if !event.workload.is_empty() {
        field("workload", text(&event.workload));
    }
    for (name, content) in [("key", &event.key), ("session", &event.session)] {
        if let Some(content) = content {
            field(name, text(content));
        }
    }
    let numbers = [
        ("fence", event.fence),
        ("revision", event.revision),
        ("ttl-ms", event.ttl_ms),
        ("node", event.node),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            field(name, number.to_string());
        }
    }
    if let Some(value) = value {
        field("value", edn(value));
    }
    let error = event
        .error
        .as_deref()
        .map(|error| format!(", :error {}", text(error)));
    let error = error.unwrap_or_default();
    let fields = fields.trim_start();
    // A String takes whatever is written.
    let _ = writeln!(
        out,
        "{{:index {index}, :time {t}, :process {process}, :type :{kind}, :f :{f}, \
         :value {{{fields}}}{error}}}"
    );
}

fn text(content: &str) -> String {
    let mut out = String::from("\"");
    for c in content.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn edn(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(content) => text(content),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(edn).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let pairs = map
                .iter()
                .map(|(name, value)| format!("{} {}", text(name), edn(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
        }
    }
}
