//! How to start a cluster.

use std::path::{Path, PathBuf};

use crate::api::Api;

/// How to start a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// The lockring binary.
    pub binary: PathBuf,
    /// How many nodes found the cluster.
    pub nodes: u64,
    /// More lines for the section `[cluster]` of every node.
    pub cluster: String,
    /// More sections for every node, such as `[snapshots]`.
    pub sections: String,
    /// The certificate (PEM) of the authority, if the sections configure TLS.
    pub authority: Option<String>,
    /// What lies between the nodes, and between them and their callers.
    pub wiring: Wiring,
    /// The first of the ports to use, one after the other; any that are free if not said.
    pub first_port: Option<u16>,
    /// Set for each node's process; `{node}` in a value stands for the node's id, `{dir}` for
    /// the directory of the cluster.
    pub environment: Vec<(String, String)>,
}

/// What lies between the nodes, and between them and their callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// Nothing.
    Direct,
    /// A proxy on each directed link.
    Proxied {
        /// Callers that have links of their own, from 1 up.
        workers: u64,
        /// Nodes that may be started beyond the founders.
        spares: u64,
    },
}

impl Options {
    /// Three nodes with everything as it comes.
    #[must_use]
    pub fn new(binary: impl AsRef<Path>) -> Self {
        Self {
            binary: binary.as_ref().to_owned(),
            nodes: 3,
            cluster: String::new(),
            sections: String::new(),
            authority: None,
            wiring: Wiring::Direct,
            first_port: None,
            environment: Vec::new(),
        }
    }

    /// How many links there are, each with a port of its own.
    pub(crate) fn links(&self) -> usize {
        let links = match self.wiring {
            Wiring::Direct => 0,
            Wiring::Proxied { workers, spares } => {
                let nodes = self.nodes + spares;
                nodes * (workers + 1 + nodes - 1)
            }
        };
        usize::try_from(links).unwrap_or(usize::MAX)
    }

    /// The API of a node that serves clients at this port.
    pub(crate) fn api(&self, port: u16) -> anyhow::Result<Api> {
        match &self.authority {
            None => Ok(Api::new(&format!("http://127.0.0.1:{port}"))),
            Some(pem) => Api::trusting(&format!("https://127.0.0.1:{port}"), pem),
        }
    }
}
