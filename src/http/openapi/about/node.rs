//! Calls about one node: how it is, and its pages.

use lockring_client::wire::ErrorCode;

use super::{About, plain};

pub(super) fn health() -> About {
    plain(
        "node",
        "Whether the process lives",
        "A node without a leader is healthy: to restart it would help nobody.",
    )
    .text("text/plain", "It lives.")
}

pub(super) fn ready() -> About {
    plain(
        "node",
        "Whether the node can serve",
        "It asks the leader, as a linearizable read does; the problem tells why not.",
    )
    .text("text/plain", "It can.")
    .problems(&[ErrorCode::Unready])
}

pub(super) fn metrics() -> About {
    plain(
        "node",
        "Figures",
        "In the text format of OpenMetrics, which Prometheus reads.",
    )
    .text("application/openmetrics-text", "The figures.")
}

pub(super) fn openapi() -> About {
    plain(
        "node",
        "This document",
        "It describes every call of this node.",
    )
    .text("application/json", "An OpenAPI document.")
}

pub(super) fn docs() -> About {
    plain(
        "node",
        "This document, for people",
        "One page that needs nothing but this node.",
    )
    .text("text/html", "A page.")
}

pub(super) fn ui() -> About {
    plain(
        "node",
        "What the cluster is doing, for people",
        "One page that needs nothing but this node. It asks the other calls, with a token if \
         they need one.",
    )
    .text("text/html", "A page.")
}
