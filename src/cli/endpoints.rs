//! Where the cluster is and who we are: what every verb that talks to one needs.

use clap::Args;

/// Where the cluster is and who we are.
#[derive(Clone, Debug, Args)]
pub(super) struct Endpoints {
    /// Nodes of the cluster; one that answers is enough
    #[arg(
        long = "endpoints",
        value_name = "URL,URL",
        value_delimiter = ',',
        env = "LOCKRING_ENDPOINTS",
        default_value = "http://127.0.0.1:7420,http://127.0.0.1:7430,http://127.0.0.1:7440"
    )]
    pub(super) urls: Vec<String>,
    /// The token to show, if the cluster wants one
    #[arg(long, env = "LOCKRING_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
}
