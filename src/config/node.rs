//! What may differ from node to node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use lockring_core::NodeId;
use serde::Deserialize;

use super::cluster::is_host_and_port;
use super::draft::{Draft, Given, TokenDraft};
use super::{ClusterConfig, ConfigError};

/// This node's own part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Which node this is.
    pub id: NodeId,
    /// Where it listens for clients.
    pub api_listen: SocketAddr,
    /// Where it listens for the other nodes.
    pub peer_listen: SocketAddr,
    /// Where its log, snapshots, history and identity are.
    pub data_dir: PathBuf,
    /// Threads that serve; 0 stands for half of the cores.
    pub workers: usize,
    /// Whether addresses beyond loopback are served without TLS and tokens.
    pub insecure: bool,
    /// Where to connect instead of at the address of a peer.
    pub dial: BTreeMap<String, String>,
    /// Keys and certificates, if connections are to be encrypted.
    pub tls: Option<TlsFiles>,
    /// Who may do what; none means that everybody who reaches the node may do everything.
    pub tokens: Vec<Token>,
    /// How much is taken on.
    pub limits: Limits,
    /// When the log is cut.
    pub snapshots: Snapshots,
    /// How much of what happened is kept.
    pub history: History,
}

/// The PEM files of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// This node's certificate, with the chain up to the authority.
    pub certificate: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
    /// The authority that signed the certificates of all nodes.
    pub authority: PathBuf,
}

/// A bearer token: only its hash is ever written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is, for logs.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it allows.
    pub permissions: Vec<Permission>,
}

/// What a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// To look.
    Read,
    /// To open sessions and to take locks.
    Lock,
    /// To change the cluster and to end what belongs to others.
    Operate,
}

/// How much a node takes on before it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections of clients, in all.
    pub connections_max: usize,
    /// Open connections of clients, from one address.
    pub connections_per_address_max: usize,
    /// How long a client may take to send the head of a request.
    pub header_read_ms_max: u64,
}

/// When the log is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshots {
    /// A snapshot is taken once so many entries have been applied since the last.
    pub every_entries: u64,
    /// So many entries before a snapshot are kept, for nodes that are a little behind.
    pub keep_entries: u64,
}

/// How much is kept of what happened, for people who ask and for watches that resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Events of all locks and sessions together; what is older goes, that of busy locks first.
    pub events_max: u64,
    /// Events that every lock may keep when there are too many, its newest.
    pub lock_events_max: u64,
    /// Events that happened so many hours before the newest go.
    pub hours_max: u64,
}

impl NodeConfig {
    /// Founders of a cluster: more voters than this only make every commit slower.
    pub(super) const FOUNDERS_MAX: usize = 9;
    /// The API port of the first node, where nothing else is said.
    pub const BASE_PORT: u16 = 7420;
}

pub(super) fn resolve(draft: &Draft, cluster: &ClusterConfig) -> Result<NodeConfig, ConfigError> {
    let (said, origin) = (&draft.node, &draft.origin);
    let id = said.id.as_ref().ok_or(ConfigError::Missing {
        field: "node.id",
        flag: "--id",
    })?;
    let id = origin.number("node.id", Some(id), 0, 1..=u64::from(u32::MAX))?;
    let member = cluster.member(id);
    let api = member.map(|member| member.api.rsplit('/').next().unwrap_or_default());
    let peer = member.map(|member| member.peer.as_str());
    let node = NodeConfig {
        id,
        api_listen: listen(
            draft,
            "node.api_listen",
            "--api-listen",
            said.api_listen.as_ref(),
            api,
        )?,
        peer_listen: listen(
            draft,
            "node.peer_listen",
            "--peer-listen",
            said.peer_listen.as_ref(),
            peer,
        )?,
        data_dir: said
            .data_dir
            .as_ref()
            .map(|given| given.value.clone())
            .ok_or(ConfigError::Missing {
                field: "node.data_dir",
                flag: "--data-dir",
            })?,
        workers: origin.number("node.workers", said.workers.as_ref(), 0, 0..=256)?,
        insecure: said.insecure.as_ref().is_some_and(|given| given.value),
        dial: dial(draft)?,
        tls: draft.tls.as_ref().map(|given| TlsFiles {
            certificate: given.value.certificate.clone(),
            key: given.value.key.clone(),
            authority: given.value.authority.clone(),
        }),
        tokens: tokens(draft)?,
        limits: limits(draft)?,
        snapshots: snapshots(draft)?,
        history: history(draft)?,
    };
    refuse_open_doors(draft, &node)?;
    Ok(node)
}

/// An address to listen at: the one that was said, or the node's own among the founders if that
/// is written as an IP address.
fn listen(
    draft: &Draft,
    field: &'static str,
    flag: &'static str,
    given: Option<&Given<String>>,
    founder: Option<&str>,
) -> Result<SocketAddr, ConfigError> {
    if let Some(given) = given {
        return given.value.parse().map_err(|_| {
            let wrong = format!("is `{}`, wants IP:PORT", given.value);
            draft.origin.wrong(field, given, wrong)
        });
    }
    founder
        .and_then(|address| address.parse().ok())
        .ok_or(ConfigError::Missing { field, flag })
}

/// The detours, each from one address to another.
fn dial(draft: &Draft) -> Result<BTreeMap<String, String>, ConfigError> {
    let Some(given) = &draft.node.dial else {
        return Ok(BTreeMap::new());
    };
    let addresses = given.value.iter().flat_map(|(from, to)| [from, to]);
    if let Some(address) = addresses.into_iter().find(|text| !is_host_and_port(text)) {
        let wrong = format!("names `{address}`, wants HOST:PORT");
        return Err(draft.origin.wrong("node.dial", given, wrong));
    }
    Ok(given.value.clone())
}

/// A lock service that strangers can reach is refused unless somebody insists.
fn refuse_open_doors(draft: &Draft, node: &NodeConfig) -> Result<(), ConfigError> {
    let closed = node.tls.is_some() && !node.tokens.is_empty();
    if node.insecure || closed {
        return Ok(());
    }
    let doors = [
        ("node.api_listen", node.api_listen, &draft.node.api_listen),
        (
            "node.peer_listen",
            node.peer_listen,
            &draft.node.peer_listen,
        ),
    ];
    for (field, address, given) in doors {
        if !address.ip().is_loopback() {
            let wrong = format!(
                "is {address}, which is beyond loopback: configure [tls] and [[tokens]], \
                 or insist with `insecure = true` or --insecure"
            );
            let given = given.clone().unwrap_or(Given::by_flag(String::new()));
            return Err(draft.origin.wrong(field, &given, wrong));
        }
    }
    Ok(())
}

fn tokens(draft: &Draft) -> Result<Vec<Token>, ConfigError> {
    let parse = |given: &Given<TokenDraft>| {
        let TokenDraft {
            name,
            sha256,
            permissions,
        } = &given.value;
        let sha256 = parse_sha256(sha256).ok_or_else(|| {
            let wrong = format!(
                "of `{name}` is {} characters, wants 64 hexadecimal digits",
                sha256.len()
            );
            draft.origin.wrong("tokens.sha256", given, wrong)
        })?;
        if permissions.is_empty() {
            let wrong = format!("of `{name}` is empty, wants some of read, lock, operate");
            return Err(draft.origin.wrong("tokens.permissions", given, wrong));
        }
        Ok(Token {
            name: name.clone(),
            sha256,
            permissions: permissions.clone(),
        })
    };
    draft.tokens.iter().map(parse).collect()
}

fn parse_sha256(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn limits(draft: &Draft) -> Result<Limits, ConfigError> {
    let (said, origin) = (&draft.limits, &draft.origin);
    let connections_max = origin.number(
        "limits.connections_max",
        said.connections_max.as_ref(),
        16_384,
        1..=1_000_000,
    )?;
    Ok(Limits {
        connections_max,
        connections_per_address_max: origin.number(
            "limits.connections_per_address_max",
            said.connections_per_address_max.as_ref(),
            connections_max.min(8_192),
            1..=connections_max,
        )?,
        header_read_ms_max: origin.number(
            "limits.header_read_ms_max",
            said.header_read_ms_max.as_ref(),
            10_000,
            100..=120_000,
        )?,
    })
}

fn snapshots(draft: &Draft) -> Result<Snapshots, ConfigError> {
    let (said, origin) = (&draft.snapshots, &draft.origin);
    Ok(Snapshots {
        every_entries: origin.number(
            "snapshots.every_entries",
            said.every_entries.as_ref(),
            50_000,
            10..=100_000_000,
        )?,
        keep_entries: origin.number(
            "snapshots.keep_entries",
            said.keep_entries.as_ref(),
            5_000,
            0..=10_000_000,
        )?,
    })
}

fn history(draft: &Draft) -> Result<History, ConfigError> {
    let (said, origin) = (&draft.history, &draft.origin);
    let events_max = origin.number(
        "history.events_max",
        said.events_max.as_ref(),
        250_000,
        1_000..=100_000_000,
    )?;
    Ok(History {
        events_max,
        lock_events_max: origin.number(
            "history.lock_events_max",
            said.lock_events_max.as_ref(),
            events_max.min(1_000),
            1..=events_max,
        )?,
        hours_max: origin.number(
            "history.hours_max",
            said.hours_max.as_ref(),
            7 * 24,
            1..=100 * 366 * 24,
        )?,
    })
}
