//! Calls about the cluster.

use lockring_client::wire;

use super::Api;
use super::ask::Ask;
use super::error::Failure;
use super::reply::Reply;
use crate::service::{Answer, ClusterView, MemberRole, NodeView};

pub(super) fn get(api: &Api, ask: &Ask) -> Result<Reply, Failure> {
    ask.no_parameters()?;
    Ok(seen(api.service().cluster()))
}

pub(super) async fn add(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    ask.key()?;
    let wire::AddNode {
        id,
        api: address,
        peer,
    } = ask.json(api.limits().body).await?;
    if id == 0 || id > u64::from(u32::MAX) {
        let bound = format!("from 1 to {}", u32::MAX);
        return Err(Failure::invalid("id", id.to_string(), bound));
    }
    let authority = address
        .strip_prefix("http://")
        .or_else(|| address.strip_prefix("https://"));
    if !authority.is_some_and(has_host_and_port) {
        return Err(Failure::invalid(
            "api",
            address,
            "http://HOST:PORT or https://HOST:PORT",
        ));
    }
    if !has_host_and_port(&peer) {
        return Err(Failure::invalid("peer", peer, "HOST:PORT"));
    }
    Ok(seen(api.service().join(id, address, peer).await?))
}

pub(super) async fn remove(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    ask.key()?;
    let id = ask.node()?;
    ask.no_body(api.limits().body).await?;
    Ok(seen(api.service().remove(id).await?))
}

pub(super) async fn transfer(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    ask.key()?;
    let body: wire::TransferLeader = ask.json(api.limits().body).await?;
    let answer = api.service().transfer(body.to).await?;
    let leader = wire::LeaderIs {
        leader: answer.body,
    };
    Ok(Reply::json(&leader).at(answer.revision))
}

pub(super) async fn digest(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    ask.no_parameters()?;
    let answer = api.service().digest().await;
    let digest = wire::Digest {
        digest: format!("{:016x}", answer.body),
    };
    Ok(Reply::json(&digest).at(answer.revision))
}

fn has_host_and_port(address: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"/?#@".contains(c);
    address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && host.chars().all(plain)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn seen(answer: Answer<ClusterView>) -> Reply {
    let cluster = wire::Cluster {
        cluster: answer.body.cluster,
        leader: answer.body.leader,
        term: answer.body.term,
        nodes: answer.body.nodes.into_iter().map(node).collect(),
    };
    Reply::json(&cluster).at(answer.revision)
}

fn node(NodeView { status, version }: NodeView) -> wire::Node {
    wire::Node {
        id: status.id,
        api: status.api,
        peer: status.peer,
        role: match status.role {
            MemberRole::Leader => wire::NodeRole::Leader,
            MemberRole::Voter => wire::NodeRole::Voter,
            MemberRole::Learner => wire::NodeRole::Learner,
        },
        matched: status.matched,
        lag: status.lag,
        version: version.map(str::to_owned),
    }
}
