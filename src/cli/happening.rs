//! What happened, as a row for people: the same in a history and in a watch.

use lockring_client::wire::Event;

use super::{modes, moment};

/// The columns of [`row`], behind the lock's name if that is shown.
pub(super) const HEAD: [&str; 7] = ["WHEN", "EVENT", "FENCE", "MODE", "OWNER", "SESSION", "WHY"];

/// An event's cells, one for each of [`HEAD`].
pub(super) fn row(event: &Event) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    vec![
        moment::show(event.wall_ms),
        event.event.as_str().to_owned(),
        event
            .fence
            .map(|fence| fence.to_string())
            .unwrap_or_default(),
        event.mode.map(modes::short).unwrap_or_default(),
        text(&event.owner),
        text(&event.session),
        why(event),
    ]
}

/// What there is to say beside the kind.
fn why(event: &Event) -> String {
    let cause = event.cause.map(|cause| cause.in_words().to_owned());
    let gone = event.gone.map(|gone| gone.to_string());
    let to = event.to.as_ref().map(|to| format!("to {to}"));
    let code = event.code.map(|code| code.to_string());
    let reason = event.reason.as_ref().map(|reason| format!("{reason:?}"));
    let parts = [cause, gone, to, code, reason];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
