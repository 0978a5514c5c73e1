//! One cache node: doors opened, ring joined, and left in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockring_client::Client;
use lockring_core::{MemberName, RingName};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::Door;
use super::listen::{self, bind};
use super::membership::{Membership, Stage};
use super::metrics;
use super::node::{Node, Settings};
use super::origin::Origin;

/// Everything that a cache node is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to reach the cluster.
    pub client: Client,
    /// The ring; made if there is none.
    pub ring: RingName,
    /// The node's name on it.
    pub member: MemberName,
    /// How much of the ring it takes, compared with others.
    pub weight: u16,
    /// Where it is; may be empty.
    pub zone: String,
    /// The life of its session without renewal: others serve its slots that long after its death.
    pub ttl: Duration,
    /// Where clients of the cluster connect.
    pub listen: String,
    /// Where clients connect that know of one server only.
    pub proxy: String,
    /// Where other members connect.
    pub peer: String,
    /// Where figures are told, if anywhere.
    pub metrics: Option<String>,
    /// The host that others are told to connect to, if not the one that it listens at.
    pub announce: Option<String>,
    /// Bytes that entries may take.
    pub memory: u64,
    /// What clients have to show first.
    pub password: Option<String>,
    /// Where values come from that no node has.
    pub origin: Option<String>,
    /// For how long after a move a slot's owner before is asked for values.
    pub warm_for: Duration,
    /// For how long after its drain a node hands out what it had.
    pub linger: Duration,
    /// Where the audit goes, if anywhere.
    pub audit: Option<PathBuf>,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Clients of the cluster.
    pub resp: SocketAddr,
    /// Clients that know of one server only.
    pub proxy: SocketAddr,
    /// Other members.
    pub peer: SocketAddr,
    /// Figures.
    pub metrics: Option<SocketAddr>,
}

/// A node whose doors are bound, not open yet.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    resp: TcpListener,
    proxy: TcpListener,
    peer: TcpListener,
    metrics: Option<TcpListener>,
    listening: Listening,
}

impl Bound {
    /// Binds the doors.
    ///
    /// # Errors
    /// What could not be bound, in words.
    pub async fn new(config: Config) -> Result<Self, String> {
        let open = async |address: &str| bind(address).await.map_err(|error| error.to_string());
        let at = |listener: &TcpListener| listener.local_addr().map_err(|error| error.to_string());
        let resp = open(&config.listen).await?;
        let (proxy, peer) = (open(&config.proxy).await?, open(&config.peer).await?);
        let metrics = match &config.metrics {
            Some(address) => Some(open(address).await?),
            None => None,
        };
        let listening = Listening {
            resp: at(&resp)?,
            proxy: at(&proxy)?,
            peer: at(&peer)?,
            metrics: metrics.as_ref().map(at).transpose()?,
        };
        Ok(Self {
            config,
            resp,
            proxy,
            peer,
            metrics,
            listening,
        })
    }

    /// Where the doors are.
    #[must_use]
    pub fn listening(&self) -> &Listening {
        &self.listening
    }

    /// What others are told to connect to. An address that means "every one of this machine's" is
    /// none that others can use.
    fn announced(&self, at: SocketAddr) -> Result<String, String> {
        match &self.config.announce {
            Some(host) => Ok(format!("{host}:{}", at.port())),
            None if at.ip().is_unspecified() => Err(format!(
                "the node listens at {at}; say by --announce under which host others reach it"
            )),
            None => Ok(at.to_string()),
        }
    }

    /// Serves until `stop` ends and the node's slots have found new owners.
    ///
    /// `on_ready` is called once, when it serves its first slots.
    ///
    /// # Errors
    /// What no waiting mends, in words.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        on_ready: impl FnOnce(&Listening),
    ) -> Result<(), String> {
        let listening = self.listening.clone();
        let mut addresses = BTreeMap::new();
        for (what, at) in [
            ("resp", listening.resp),
            ("proxy", listening.proxy),
            ("peer", listening.peer),
        ] {
            addresses.insert(what.to_owned(), self.announced(at)?);
        }
        let Config {
            client,
            ring,
            member,
            ..
        } = self.config.clone();
        let config = self.config;
        let settings = Settings {
            memory: config.memory,
            password: config.password,
            warm_for: config.warm_for,
            audit: config.audit,
        };
        let origin = config.origin.as_deref().map(Origin::parse).transpose()?;
        let id = member.redis_id(&ring);
        let node = Node::new(settings, member.as_str(), id, origin);
        let node = Arc::new(node.map_err(|error| format!("the audit: {error}"))?);
        let membership = Membership {
            client,
            ring,
            member,
            ttl: config.ttl,
            weight: config.weight,
            zone: config.zone,
            addresses,
            linger: config.linger,
        };
        // The doors close when this is dropped, and with them every connection.
        let mut doors = JoinSet::new();
        doors.spawn(listen::serve(node.clone(), self.resp, Door::Cluster));
        doors.spawn(listen::serve(node.clone(), self.proxy, Door::Proxy));
        doors.spawn(listen::serve(node.clone(), self.peer, Door::Peer));
        let (stage, staged) = watch::channel(Stage::Joining);
        if let Some(metrics) = self.metrics {
            let told = metrics::Told {
                node: node.clone(),
                stage: staged.clone(),
            };
            doors.spawn(metrics::serve(told, metrics));
        }
        serve_until(membership, node, stage, staged, stop, || {
            on_ready(&listening)
        })
        .await
    }
}

async fn serve_until(
    membership: Membership,
    node: Arc<Node>,
    stage: watch::Sender<Stage>,
    mut staged: watch::Receiver<Stage>,
    stop: impl Future<Output = ()>,
    on_ready: impl FnOnce(),
) -> Result<(), String> {
    let (drain, draining) = watch::channel(false);
    let kept = membership.keep(node, stage, draining);
    tokio::pin!(kept, stop);
    let mut on_ready = Some(on_ready);
    loop {
        tokio::select! {
            done = &mut kept => return done,
            () = &mut stop, if !*drain.borrow() => {
                drain.send_replace(true);
            }
            Ok(_) = staged.wait_for(|stage| *stage == Stage::Serving), if on_ready.is_some() => {
                if let Some(on_ready) = on_ready.take() {
                    on_ready();
                }
            }
        }
    }
}
