//! The configuration: what must be equal on all nodes, and what may differ from node to node.
//!
//! One TOML file holds both, `[cluster]` and the rest; flags of `lockring serve` and their
//! environment variables override single keys. A [`Draft`] is what was said, key by key, with the
//! place where it was said; [`Draft::resolve`] fills in the defaults and checks every bound, so
//! that a [`Config`] is valid for ever after. An error names the place, the key, the value and the
//! bound. Every key with its default is explained in `cluster/node.toml`, which a test parses.

mod cluster;
mod draft;
mod node;

use std::path::{Path, PathBuf};

pub use cluster::{ClusterConfig, Member, MemberError};
pub use draft::{Draft, Given};
pub use node::{History, Limits, NodeConfig, Permission, Snapshots, TlsFiles, Token};

/// A whole configuration, valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Must be equal on all nodes.
    pub cluster: ClusterConfig,
    /// This node's own.
    pub node: NodeConfig,
}

/// Why there is no valid configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not TOML, or not of this shape; the parser's text shows the line.
    #[error("{}: {error}", path.display())]
    Shape {
        /// Which file.
        path: PathBuf,
        /// With the line, the column and the text around it.
        error: Box<toml::de::Error>,
    },
    /// A value outside its bound.
    #[error("{place}: `{field}` {wrong}")]
    Value {
        /// The file and line, or that it was a flag.
        place: String,
        /// The key, from the top of the file.
        field: &'static str,
        /// The value and the bound: ``is 5, from 10 to 5000``.
        wrong: String,
    },
    /// A key that has no default and was not said.
    #[error("`{field}` is not said: set it in the file or by {flag}")]
    Missing {
        /// The key, from the top of the file.
        field: &'static str,
        /// The flag that sets it.
        flag: &'static str,
    },
}

impl Draft {
    /// What a file says.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or has a key that does not exist.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read {
            path: path.to_owned(),
            error,
        })?;
        Self::parse(path, &text)
    }

    /// What this text says; `path` is only for messages.
    ///
    /// # Errors
    /// When it is not TOML, or has a key that does not exist.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut draft: Self = toml::from_str(text).map_err(|error| ConfigError::Shape {
            path: path.to_owned(),
            error: Box::new(error),
        })?;
        draft.origin = draft::Origin::of(path, text);
        Ok(draft)
    }

    /// Fills in the defaults and checks every bound.
    ///
    /// # Errors
    /// The first key that is missing or out of its bound.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let cluster = cluster::resolve(self)?;
        let node = node::resolve(self, &cluster)?;
        Ok(Config { cluster, node })
    }
}

#[cfg(test)]
mod tests;
