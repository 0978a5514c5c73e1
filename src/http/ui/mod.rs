//! One page that shows what the cluster is doing: nodes, locks with their holders and queues,
//! sessions, rings, and events as they come.
//!
//! The page asks the same calls as everybody else and has no door of its own, so it can show
//! nothing that a token does not allow; the file itself says nothing about the cluster. It only
//! looks: whoever wants to break a lock is shown the command, for a reason has to be given and a
//! click is too easily made.

use axum::http::{HeaderValue, StatusCode};

use super::ask::Ask;
use super::error::Failure;
use super::reply::Reply;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// One file without a foreign byte, so that it works on a machine without the internet too.
const PAGE: &str = include_str!("page.html");

pub(super) fn page(ask: &Ask) -> Result<Reply, Failure> {
    ask.no_parameters()?;
    Ok(Reply::of(StatusCode::OK, HTML, PAGE))
}

#[cfg(test)]
mod tests {
    use super::PAGE;

    /// What the page shows comes from strangers: owners, values, names of locks.
    #[test]
    fn the_page_writes_text_only_as_text_and_asks_nobody_else() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!PAGE.contains(way), "{way}");
        }
        assert!(PAGE.contains("default-src 'none'"));
        assert!(!PAGE.contains("http://") && !PAGE.contains("https://"));
    }
}
