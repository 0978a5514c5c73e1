//! Where the cluster is and who we are: what every verb that talks to one needs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lockring_client::{Client, Error, Tls};

/// Where the cluster is and who we are.
#[derive(Clone, Debug, Args)]
pub(super) struct Endpoints {
    /// Nodes of the cluster; one that answers is enough
    #[arg(
        long = "endpoints",
        visible_alias = "servers",
        value_name = "URL,URL",
        value_delimiter = ',',
        env = "LOCKRING_ENDPOINTS",
        default_value = "http://127.0.0.1:7420,http://127.0.0.1:7430,http://127.0.0.1:7440"
    )]
    pub(super) urls: Vec<String>,
    /// The token to show, if the cluster wants one
    #[arg(long, env = "LOCKRING_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    /// Whose certificates the nodes show (PEM); https:// endpoints need it
    #[arg(long, value_name = "FILE", env = "LOCKRING_AUTHORITY")]
    pub(super) authority: Option<PathBuf>,
}

/// How long a call is tried; a call that changes the membership copies a machine's whole state.
const CALL_WITHIN: Duration = Duration::from_secs(10);
const CHANGE_WITHIN: Duration = Duration::from_secs(120);

impl Endpoints {
    /// A client for these nodes.
    pub(super) fn client(&self) -> Result<Client, Error> {
        self.with_times(CALL_WITHIN, Duration::from_secs(3))
    }

    /// A client that is patient enough for changes of the membership.
    pub(super) fn patient_client(&self) -> Result<Client, Error> {
        self.with_times(CHANGE_WITHIN, CHANGE_WITHIN)
    }

    fn with_times(&self, call: Duration, attempt: Duration) -> Result<Client, Error> {
        let mut builder = Client::builder().timeout(call).attempt_timeout(attempt);
        for url in &self.urls {
            builder = builder.endpoint(url.as_str());
        }
        if let Some(token) = &self.token {
            builder = builder.token(token.as_str());
        }
        if let Some(path) = &self.authority {
            builder = builder.tls(trusting(path)?);
        }
        builder.build()
    }
}

fn trusting(path: &Path) -> Result<Tls, Error> {
    let authority = std::fs::read(path).map_err(|error| Error::Invalid {
        what: "the authority",
        why: format!("cannot be read: {}: {error}", path.display()),
    })?;
    Tls::trusting(&authority)
}

/// Runs a verb that makes calls.
pub(super) fn run_calls(verb: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(verb)
}
