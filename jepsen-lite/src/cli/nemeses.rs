//! `jepsen-lite nemeses`: what can be done to a cluster.

use super::say;
use crate::nemesis::Nemesis;

pub(super) fn run() {
    for nemesis in Nemesis::ALL {
        say(&format!("{:<12} {}", nemesis.name(), nemesis.about()));
    }
}
