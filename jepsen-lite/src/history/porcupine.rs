//! A history as operations for Porcupine (github.com/anishathalye/porcupine).
//!
//! Porcupine's Go API takes `[]porcupine.Operation{ClientId, Input, Call, Output, Return}`; this
//! is that slice as JSON, so that a Go program needs one `json.Unmarshal` and a model. Failed
//! calls are left out, they had no effect. Calls of unknown outcome return at the end of time
//! with a null output, which a model must take for "anything".

use serde_json::{Value, json};

use super::{Call, End, History};

/// All calls of clients that may have had an effect.
#[must_use]
pub fn export(history: &History) -> String {
    let calls = history.calls();
    let calls = calls.iter().filter(|call| call.end != End::Fail);
    let operations: Vec<Value> = calls.map(operation).collect();
    let mut out = Value::Array(operations).to_string();
    out.push('\n');
    out
}

fn operation(call: &Call) -> Value {
    let returned = i64::try_from(call.stop).unwrap_or(i64::MAX);
    let output = match call.end {
        End::Ok => json!({
            "fence": call.fence,
            "revision": call.revision,
            "session": call.session,
            "value": call.value,
        }),
        End::Fail | End::Info => Value::Null,
    };
    json!({
        "ClientId": call.process,
        "Input": {
            "workload": call.workload,
            "f": call.f,
            "key": call.key,
            "fence": call.events[0].fence,
            "session": call.events[0].session,
            "value": call.asked,
        },
        "Call": call.start,
        "Output": output,
        "Return": returned,
    })
}
