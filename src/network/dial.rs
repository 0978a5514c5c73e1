//! Opening connections to peers.

use std::sync::Arc;

use lockring_core::NodeId;
use tokio::time::timeout;

use super::calls::Calls;
use super::error::CallError;
use super::frame::Limits;
use super::hello::{self, Identity, Purpose, Refusal, Welcome};
use super::stream::FrameStream;
use super::transport::Transport;

/// Whom to dial, and who must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub id: NodeId,
    pub address: String,
    /// The incarnation that the membership knows; `None` takes any.
    pub incarnation: Option<u64>,
}

/// Opens connections as this node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    transport: Arc<dyn Transport>,
    identity: Arc<Identity>,
    limits: Limits,
}

impl Dialer {
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, identity: Arc<Identity>, limits: Limits) -> Self {
        Self {
            transport,
            identity,
            limits,
        }
    }

    /// Asks a peer who it is, and nothing else.
    pub async fn greet(&self, target: &Target) -> Result<Welcome, CallError> {
        let (welcome, _) = self.open(target, Purpose::Greet).await?;
        Ok(welcome)
    }

    /// Opens a connection of its own for ordered frames.
    pub async fn stream(&self, target: &Target, number: u8) -> Result<FrameStream, CallError> {
        let (_, stream) = self.open(target, Purpose::Stream(number)).await?;
        Ok(stream)
    }

    /// A connection for calls, kept open as long as the answer lives. Must be called in a runtime.
    #[must_use]
    pub fn calls(&self, target: Target, number: u8) -> Calls {
        Calls::keep(self.clone(), target, number)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Connects and says hello; both together are bounded by the time for greetings.
    pub(super) async fn open(
        &self,
        target: &Target,
        purpose: Purpose,
    ) -> Result<(Welcome, FrameStream), CallError> {
        let opened = timeout(self.limits.greeting(), self.open_unbounded(target, purpose)).await;
        opened.unwrap_or_else(|_| {
            Err(CallError::Unreachable {
                why: "no hello in time".into(),
            })
        })
    }

    async fn open_unbounded(
        &self,
        target: &Target,
        purpose: Purpose,
    ) -> Result<(Welcome, FrameStream), CallError> {
        let duplex = self.transport.connect(&target.address).await;
        let duplex = duplex.map_err(|why| CallError::Unreachable {
            why: why.to_string(),
        })?;
        let hello = self.identity.hello(target.id, purpose);
        let (welcome, stream) = hello::say(duplex, &hello, &self.limits).await?;
        match target.incarnation {
            Some(expected) if expected != welcome.incarnation => {
                let (id, found) = (target.id, welcome.incarnation);
                Err(CallError::Refused(Refusal::WrongIncarnation {
                    id,
                    expected,
                    found,
                }))
            }
            Some(_) | None => Ok((welcome, stream)),
        }
    }
}
