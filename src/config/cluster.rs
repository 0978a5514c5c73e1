//! What must be equal on all nodes, and the fingerprint that holds them to it.
//!
//! Nodes that disagree about the bounds of a TTL or about who founded the cluster would each do
//! what they believe, and nobody would notice until it hurt. So the fingerprint of this part goes
//! into the first frame between two nodes, and a difference is refused by name.
//!
//! `members` are the founders: who the cluster began with. It is history and stays as it was on
//! the first day, also on nodes that join later; who is a member *now* is in the log.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use lockring_core::{NodeId, limits};
use sha2::{Digest, Sha256};

use super::draft::{Draft, Given, MemberDraft};
use super::{ConfigError, NodeConfig};

/// The part of the configuration that must be equal on all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The name of the cluster, 1–64 visible ASCII characters; nodes of another are refused.
    pub id: String,
    /// The founders, in the order of their ids.
    pub members: Vec<Member>,
    /// The bounds and the default of a session's TTL, within those of the machine.
    pub ttl_ms_min: u64,
    /// See `ttl_ms_min`.
    pub ttl_ms_max: u64,
    /// See `ttl_ms_min`.
    pub ttl_ms_default: u64,
    /// How often a leader says that it leads.
    pub heartbeat: Duration,
    /// A follower that hears nothing for a random time between these two stands for election.
    pub election_min: Duration,
    /// See `election_min`.
    pub election_max: Duration,
}

/// A node and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: NodeId,
    /// Where clients reach it: `http://HOST:PORT`, or `https://` with TLS.
    pub api: String,
    /// Where the other nodes reach it: `HOST:PORT`.
    pub peer: String,
}

/// Why a text is not a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Not of the shape of a flag.
    #[error("is `{0}`, wants ID=API,PEER like 1=http://127.0.0.1:7420,127.0.0.1:7421")]
    Shape(String),
    /// The number.
    #[error("has the id 0, at least 1")]
    Zero,
    /// The address for clients.
    #[error("has the api address `{0}`, wants http://HOST:PORT or https://HOST:PORT")]
    Api(String),
    /// The address for nodes.
    #[error("has the peer address `{0}`, wants HOST:PORT")]
    Peer(String),
}

impl Member {
    /// A member, its addresses checked for their shape.
    ///
    /// # Errors
    /// [`MemberError`] naming the part that is wrong.
    pub fn parse(id: NodeId, api: &str, peer: &str) -> Result<Self, MemberError> {
        if id == 0 {
            return Err(MemberError::Zero);
        }
        let api = api.strip_suffix('/').unwrap_or(api);
        let address = api
            .strip_prefix("http://")
            .or_else(|| api.strip_prefix("https://"));
        if !address.is_some_and(is_host_and_port) {
            return Err(MemberError::Api(api.to_owned()));
        }
        if !is_host_and_port(peer) {
            return Err(MemberError::Peer(peer.to_owned()));
        }
        Ok(Self {
            id,
            api: api.to_owned(),
            peer: peer.to_owned(),
        })
    }
}

impl FromStr for Member {
    type Err = MemberError;

    /// The shape of the flag: `1=http://127.0.0.1:7420,127.0.0.1:7421`.
    fn from_str(text: &str) -> Result<Self, MemberError> {
        let shape = || MemberError::Shape(text.to_owned());
        let (id, addresses) = text.split_once('=').ok_or_else(shape)?;
        let (api, peer) = addresses.split_once(',').ok_or_else(shape)?;
        let id = id.trim().parse().map_err(|_| shape())?;
        Self::parse(id, api.trim(), peer.trim())
    }
}

pub(super) fn is_host_and_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let plain = |c: char| c.is_ascii_graphic() && !"/?#@".contains(c);
    !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

impl ClusterConfig {
    /// One number over all of it, the same in every process and version that means the same.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut text = format!(
            "lockring cluster configuration 1\nid {}\nttl_ms {} {} {}\nheartbeat_ms {}\n\
             election_ms {} {}\n",
            self.id,
            self.ttl_ms_min,
            self.ttl_ms_max,
            self.ttl_ms_default,
            self.heartbeat.as_millis(),
            self.election_min.as_millis(),
            self.election_max.as_millis(),
        );
        for Member { id, api, peer } in &self.members {
            text.push_str(&format!("member {id} {api} {peer}\n"));
        }
        let digest = Sha256::digest(text.as_bytes());
        let first = digest.first_chunk().expect("a SHA-256 has 32 bytes");
        u64::from_be_bytes(*first)
    }

    /// The founder with this number, if it is one.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }
}

/// The shortest heartbeat; below it a busy disk alone would look like a dead leader.
const HEARTBEAT_MS_MIN: u64 = 10;
const HEARTBEAT_MS_MAX: u64 = 10_000;
const ELECTION_MS_MAX: u64 = 60_000;

pub(super) fn resolve(draft: &Draft) -> Result<ClusterConfig, ConfigError> {
    let (said, origin) = (&draft.cluster, &draft.origin);
    let machine = limits::TTL_MS_MIN..=limits::TTL_MS_MAX;
    let ttl_ms_min = origin.number(
        "cluster.ttl_ms_min",
        said.ttl_ms_min.as_ref(),
        limits::TTL_MS_MIN,
        machine,
    )?;
    let ttl_ms_max = origin.number(
        "cluster.ttl_ms_max",
        said.ttl_ms_max.as_ref(),
        limits::TTL_MS_MAX,
        ttl_ms_min..=limits::TTL_MS_MAX,
    )?;
    let ttl_ms_default = origin.number(
        "cluster.ttl_ms_default",
        said.ttl_ms_default.as_ref(),
        limits::TTL_MS_DEFAULT.clamp(ttl_ms_min, ttl_ms_max),
        ttl_ms_min..=ttl_ms_max,
    )?;
    let heartbeat_ms = origin.number(
        "cluster.heartbeat_ms",
        said.heartbeat_ms.as_ref(),
        100,
        HEARTBEAT_MS_MIN..=HEARTBEAT_MS_MAX,
    )?;
    let election_ms_min = origin.number(
        "cluster.election_ms_min",
        said.election_ms_min.as_ref(),
        heartbeat_ms * 3,
        heartbeat_ms * 2..=ELECTION_MS_MAX,
    )?;
    let election_ms_max = origin.number(
        "cluster.election_ms_max",
        said.election_ms_max.as_ref(),
        election_ms_min * 2,
        election_ms_min + heartbeat_ms..=ELECTION_MS_MAX * 2,
    )?;
    Ok(ClusterConfig {
        id: cluster_id(draft)?,
        members: members(draft)?,
        ttl_ms_min,
        ttl_ms_max,
        ttl_ms_default,
        heartbeat: Duration::from_millis(heartbeat_ms),
        election_min: Duration::from_millis(election_ms_min),
        election_max: Duration::from_millis(election_ms_max),
    })
}

fn cluster_id(draft: &Draft) -> Result<String, ConfigError> {
    let given = draft.cluster.id.as_ref().ok_or(ConfigError::Missing {
        field: "cluster.id",
        flag: "--cluster-id",
    })?;
    let id = &given.value;
    let visible = id.bytes().all(|byte| byte.is_ascii_graphic());
    if id.is_empty() || id.len() > 64 || !visible {
        let wrong = format!("is {id:?}, wants 1 to 64 visible ASCII characters");
        return Err(draft.origin.wrong("cluster.id", given, wrong));
    }
    Ok(id.clone())
}

fn members(draft: &Draft) -> Result<Vec<Member>, ConfigError> {
    let field = "cluster.members";
    let given = draft.cluster.members.as_ref().ok_or(ConfigError::Missing {
        field,
        flag: "--member",
    })?;
    let parsed: Result<Vec<_>, _> = given
        .value
        .iter()
        .map(|MemberDraft { id, api, peer }| Member::parse(*id, api, peer))
        .collect();
    let wrong = |wrong: String| draft.origin.wrong(field, given, wrong);
    let mut members = parsed.map_err(|error| wrong(error.to_string()))?;
    if members.is_empty() || members.len() > NodeConfig::FOUNDERS_MAX {
        let most = NodeConfig::FOUNDERS_MAX;
        return Err(wrong(format!(
            "has {} nodes, from 1 to {most}",
            members.len()
        )));
    }
    members.sort_by_key(|member| member.id);
    let ids: BTreeSet<_> = members.iter().map(|member| member.id).collect();
    let addresses: BTreeSet<_> = members.iter().map(|member| &member.peer).collect();
    if ids.len() < members.len() || addresses.len() < members.len() {
        return Err(wrong("names an id or a peer address twice".to_owned()));
    }
    Ok(members)
}

impl From<&Member> for MemberDraft {
    fn from(member: &Member) -> Self {
        Self {
            id: member.id,
            api: member.api.clone(),
            peer: member.peer.clone(),
        }
    }
}

impl Draft {
    /// Founders said by flags, instead of those in the file.
    pub fn found_with(&mut self, members: &[Member]) {
        let members = members.iter().map(MemberDraft::from).collect();
        self.cluster.members = Some(Given::by_flag(members));
    }
}
