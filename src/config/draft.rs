//! What was said, key by key, before defaults and bounds.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::{ConfigError, Permission};

/// A value and where it was said.
#[derive(Clone, Debug)]
pub struct Given<T> {
    /// What was said.
    pub value: T,
    /// Bytes of the file; `None` for a flag.
    span: Option<Range<usize>>,
}

impl<T> Given<T> {
    /// Said by a flag or an environment variable.
    pub fn by_flag(value: T) -> Self {
        Self { value, span: None }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(from)?;
        let span = Some(spanned.span());
        Ok(Self {
            value: spanned.into_inner(),
            span,
        })
    }
}

/// The configuration as it was said; every key may be absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Draft {
    /// Must be equal on all nodes.
    pub cluster: ClusterDraft,
    /// May differ.
    pub node: NodeDraft,
    /// Files of keys and certificates.
    pub tls: Option<Given<TlsDraft>>,
    /// Who may do what.
    pub tokens: Vec<Given<TokenDraft>>,
    /// How much is taken on.
    pub limits: LimitsDraft,
    /// When the log is cut.
    pub snapshots: SnapshotsDraft,
    /// How much of what happened is kept.
    pub history: HistoryDraft,
    #[serde(skip)]
    pub(super) origin: Origin,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterDraft {
    pub id: Option<Given<String>>,
    pub members: Option<Given<Vec<MemberDraft>>>,
    pub ttl_ms_min: Option<Given<u64>>,
    pub ttl_ms_max: Option<Given<u64>>,
    pub ttl_ms_default: Option<Given<u64>>,
    pub heartbeat_ms: Option<Given<u64>>,
    pub election_ms_min: Option<Given<u64>>,
    pub election_ms_max: Option<Given<u64>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberDraft {
    pub id: u64,
    pub api: String,
    pub peer: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeDraft {
    pub id: Option<Given<u64>>,
    pub api_listen: Option<Given<String>>,
    pub peer_listen: Option<Given<String>>,
    pub data_dir: Option<Given<PathBuf>>,
    pub workers: Option<Given<u64>>,
    pub insecure: Option<Given<bool>>,
    pub dial: Option<Given<BTreeMap<String, String>>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsDraft {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub authority: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenDraft {
    pub name: String,
    pub sha256: String,
    pub permissions: Vec<Permission>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsDraft {
    pub connections_max: Option<Given<u64>>,
    pub connections_per_address_max: Option<Given<u64>>,
    pub header_read_ms_max: Option<Given<u64>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotsDraft {
    pub every_entries: Option<Given<u64>>,
    pub keep_entries: Option<Given<u64>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryDraft {
    pub events_max: Option<Given<u64>>,
    pub lock_events_max: Option<Given<u64>>,
    pub hours_max: Option<Given<u64>>,
}

/// The file that a draft came from, as far as messages need it.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    path: PathBuf,
    /// The offset at which each line starts.
    lines: Vec<usize>,
}

impl Origin {
    pub(super) fn of(path: &Path, text: &str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            path: path.to_owned(),
            lines: std::iter::once(0).chain(starts).collect(),
        }
    }

    fn place<T>(&self, given: &Given<T>) -> String {
        match &given.span {
            None => "flag".to_owned(),
            Some(span) => {
                let line = self.lines.partition_point(|start| *start <= span.start);
                format!("{}:{line}", self.path.display())
            }
        }
    }

    /// The error for a value that breaks its bound.
    pub(super) fn wrong<T>(
        &self,
        field: &'static str,
        given: &Given<T>,
        wrong: impl Into<String>,
    ) -> ConfigError {
        ConfigError::Value {
            place: self.place(given),
            field,
            wrong: wrong.into(),
        }
    }

    /// The number that was said, or the default, within its bound.
    pub(super) fn number<N>(
        &self,
        field: &'static str,
        given: Option<&Given<u64>>,
        default: N,
        bound: RangeInclusive<N>,
    ) -> Result<N, ConfigError>
    where
        N: Copy + PartialOrd + Display + TryFrom<u64>,
    {
        let Some(given) = given else {
            return Ok(default);
        };
        let (min, max) = (bound.start(), bound.end());
        match N::try_from(given.value) {
            Ok(number) if bound.contains(&number) => Ok(number),
            _ => {
                let wrong = format!("is {}, from {min} to {max}", given.value);
                Err(self.wrong(field, given, wrong))
            }
        }
    }
}
