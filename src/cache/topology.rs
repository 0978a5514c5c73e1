//! The ring in the words of Redis Cluster, rendered once for each epoch.

use std::fmt::Write;

use super::resp::{Proto, Replies};
use super::slot::SLOTS;
use super::view::{Member, Table};

/// Ready answers; those that differ by protocol as version 2, then 3.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) slots: [Vec<u8>; 2],
    pub(crate) shards: [Vec<u8>; 2],
    pub(crate) nodes: String,
    /// `CLUSTER INFO` without its first lines, which tell how things stand now.
    pub(crate) info: String,
}

/// Slots that follow each other and have one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) owner: u16,
}

/// The runs of a table, in order. A slot that moves counts as its new owner's.
pub(crate) fn runs(table: &Table) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for slot in 0..SLOTS {
        let Some(owner) = table.owner[slot] else {
            continue;
        };
        let slot = u16::try_from(slot).expect("there are 16384 slots");
        match runs.last_mut() {
            Some(run) if run.owner == owner && run.last + 1 == slot => run.last = slot,
            _ => runs.push(Run {
                first: slot,
                last: slot,
                owner,
            }),
        }
    }
    runs
}

impl Topology {
    pub(crate) fn of(table: &Table, me: Option<u16>) -> Self {
        let runs = runs(table);
        let both = |render: fn(&Table, &[Run], Proto) -> Vec<u8>| {
            [Proto::Resp2, Proto::Resp3].map(|proto| render(table, &runs, proto))
        };
        Self {
            slots: both(slots),
            shards: both(shards),
            nodes: nodes(table, &runs, me),
            info: info(table, &runs),
        }
    }
}

/// Host and port of an address; an address without a port is a mistake that clients will tell of.
fn host_and_port(address: &str) -> (&str, i64) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    (host.trim_matches(['[', ']']), port.parse().unwrap_or(0))
}

fn slots(table: &Table, runs: &[Run], proto: Proto) -> Vec<u8> {
    let mut out = Vec::new();
    let mut replies = Replies::new(&mut out, proto);
    replies.array(runs.len());
    for run in runs {
        let member = &table.members[usize::from(run.owner)];
        let (host, port) = host_and_port(&member.resp);
        replies.array(3);
        replies.integer(run.first.into());
        replies.integer(run.last.into());
        replies.array(4);
        replies.bulk(host.as_bytes());
        replies.integer(port);
        replies.bulk(member.id.as_bytes());
        replies.map(0);
    }
    out
}

fn shards(table: &Table, runs: &[Run], proto: Proto) -> Vec<u8> {
    let mut out = Vec::new();
    let mut replies = Replies::new(&mut out, proto);
    replies.array(table.members.len());
    for (place, member) in (0_u16..).zip(&table.members) {
        let own: Vec<_> = runs.iter().filter(|run| run.owner == place).collect();
        let (host, port) = host_and_port(&member.resp);
        replies.map(2);
        replies.bulk(b"slots");
        replies.array(own.len() * 2);
        for run in own {
            replies.integer(run.first.into());
            replies.integer(run.last.into());
        }
        replies.bulk(b"nodes");
        replies.array(1);
        replies.map(7);
        replies.bulk(b"id");
        replies.bulk(member.id.as_bytes());
        replies.bulk(b"port");
        replies.integer(port);
        for key in ["ip", "endpoint"] {
            replies.bulk(key.as_bytes());
            replies.bulk(host.as_bytes());
        }
        for (key, value) in [("role", "master"), ("health", "online")] {
            replies.bulk(key.as_bytes());
            replies.bulk(value.as_bytes());
        }
        replies.bulk(b"replication-offset");
        replies.integer(0);
    }
    out
}

fn nodes(table: &Table, runs: &[Run], me: Option<u16>) -> String {
    let mut text = String::new();
    for (place, member) in (0_u16..).zip(&table.members) {
        let Member { resp, peer, id, .. } = member;
        let (_, peer_port) = host_and_port(peer);
        let flags = if Some(place) == me {
            "myself,master"
        } else {
            "master"
        };
        let epoch = table.epoch;
        write!(
            text,
            "{id} {resp}@{peer_port} {flags} - 0 0 {epoch} connected"
        )
        .expect("a String takes whatever is written");
        for Run { first, last, .. } in runs.iter().filter(|run| run.owner == place) {
            let written = if first == last {
                write!(text, " {first}")
            } else {
                write!(text, " {first}-{last}")
            };
            written.expect("a String takes whatever is written");
        }
        text.push('\n');
    }
    text
}

fn info(table: &Table, runs: &[Run]) -> String {
    let assigned: usize = runs
        .iter()
        .map(|run| usize::from(run.last - run.first) + 1)
        .sum();
    let mut owners: Vec<_> = runs.iter().map(|run| run.owner).collect();
    owners.sort_unstable();
    owners.dedup();
    let (members, size, epoch) = (table.members.len(), owners.len(), table.epoch);
    format!(
        "cluster_slots_assigned:{assigned}\r\ncluster_slots_ok:{assigned}\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:{members}\r\n\
         cluster_size:{size}\r\ncluster_current_epoch:{epoch}\r\ncluster_my_epoch:{epoch}\r\n"
    )
}
