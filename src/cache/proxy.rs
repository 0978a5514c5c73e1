//! For clients that know of one server only: whatever they ask for is done by who owns it.
//!
//! A client of the proxy never hears of slots. While one moves, its request waits and is tried
//! again; if nobody serves the slot for longer than that, it hears `CLUSTERDOWN`. A request that
//! was sent to an owner whose connection then broke is repeated if it only reads; of one that
//! writes nobody knows whether it happened, and the client is told so.
//!
//! Requests of one connection are done one after the other, whoever owns their keys: so a client
//! reads what it has just written.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::client::{Client, Door};
use super::command::{Command, Done, Effect, Keys, Pass, Spec, Turn, Wait, find};
use super::node::{Node, wall_millis};
use super::peer::LinkError;
use super::resp::{Parser, Proto, Replies, Reply, Step, reply_end, reply_of};
use super::slot;
use super::store::Cursor;
use super::view::Place;

/// How long a request waits for somebody to serve its slot: longer than a member's death takes.
const WITHIN: Duration = Duration::from_secs(6);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// The words of a request, as they were sent.
pub(crate) type Words = Vec<Vec<u8>>;

/// A request that its owners answer.
#[derive(Debug)]
pub(crate) struct Proxied<'a> {
    pub(crate) node: &'a Node,
    pub(crate) words: Words,
    pub(crate) proto: Proto,
}

impl Proxied<'_> {
    /// The reply, ready to be sent.
    pub(crate) async fn answer(self) -> Vec<u8> {
        let spec = find(&self.words[0]).expect("it was found before it came here");
        let answered = match spec.command {
            Command::DbSize => self.sum_of_all().await,
            Command::FlushAll => self.all_ok().await,
            Command::Scan => self.scan().await,
            _ => self.keyed(spec).await,
        };
        answered.unwrap_or_else(|message| {
            let mut out = Vec::new();
            Replies::new(&mut out, self.proto).error(&message);
            out
        })
    }

    async fn keyed(&self, spec: &Spec) -> Result<Vec<u8>, String> {
        let mut slots: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for word in spec.key_words(self.words.len()) {
            slots
                .entry(slot::of(&self.words[word]))
                .or_default()
                .push(word);
        }
        if let Some((slot, _)) = slots.first_key_value().filter(|_| slots.len() == 1) {
            return self.ask(*slot, &self.words, spec.effect).await;
        }
        let width = if spec.keys == Keys::Pairs { 2 } else { 1 };
        let parts = slots.iter().map(async |(slot, places)| {
            let mut words = vec![self.words[0].clone()];
            for place in places {
                words.extend_from_slice(&self.words[*place..place + width]);
            }
            self.ask(*slot, &words, spec.effect).await
        });
        let parts = futures_util::future::try_join_all(parts).await?;
        match spec.command {
            Command::MGet => self.in_order(slots.values(), &parts),
            Command::MSet => merged_ok(&parts),
            _ => self.summed(&parts),
        }
    }

    /// The elements of several arrays, each at the place of its key.
    fn in_order<'p>(
        &self,
        places: impl Iterator<Item = &'p Vec<usize>>,
        parts: &[Vec<u8>],
    ) -> Result<Vec<u8>, String> {
        let mut elements: BTreeMap<usize, &[u8]> = BTreeMap::new();
        for (places, part) in places.zip(parts) {
            let Ok(Reply::Array(mut rest)) = reply_of(part) else {
                return Err(said(part));
            };
            for place in places {
                let end = reply_end(rest).ok().flatten().ok_or_else(|| said(part))?;
                elements.insert(*place, &rest[..end]);
                rest = &rest[end..];
            }
        }
        let mut out = Vec::new();
        let mut replies = Replies::new(&mut out, self.proto);
        replies.array(elements.len());
        elements
            .into_values()
            .for_each(|element| replies.raw(element));
        Ok(out)
    }

    fn summed(&self, parts: &[Vec<u8>]) -> Result<Vec<u8>, String> {
        let mut sum = 0;
        for part in parts {
            match reply_of(part) {
                Ok(Reply::Integer(number)) => sum += number,
                _ => return Err(said(part)),
            }
        }
        let mut out = Vec::new();
        Replies::new(&mut out, self.proto).integer(sum);
        Ok(out)
    }

    async fn sum_of_all(&self) -> Result<Vec<u8>, String> {
        self.summed(&self.ask_all().await?)
    }

    async fn all_ok(&self) -> Result<Vec<u8>, String> {
        merged_ok(&self.ask_all().await?)
    }

    async fn ask_all(&self) -> Result<Vec<Vec<u8>>, String> {
        let view = self.node.now();
        let me = view.me();
        let members = (0_u16..)
            .zip(&view.table().members)
            .map(async |(place, member)| {
                if Some(place) == me {
                    return Ok(self.node.run_here(&self.words, self.proto).await);
                }
                let peers = &self.node.peers;
                let asked = peers
                    .act_as_owner(&member.peer, None, &self.words, self.proto)
                    .await;
                asked.map_err(|why| format!("ERR {}: {why}", member.name))
            });
        futures_util::future::try_join_all(members).await
    }

    /// A walk goes from owner to owner: each tells how far its slots reach.
    async fn scan(&self) -> Result<Vec<u8>, String> {
        let cursor = std::str::from_utf8(&self.words[1])
            .ok()
            .and_then(|text| text.parse().ok());
        let cursor = cursor.and_then(Cursor::of_number);
        let cursor = cursor.ok_or_else(|| "ERR invalid cursor".to_owned())?;
        self.ask(cursor.slot, &self.words, Effect::Reads).await
    }

    /// Asks the owner of a slot until one answers.
    async fn ask(&self, slot: u16, words: &Words, effect: Effect) -> Result<Vec<u8>, String> {
        let deadline = Instant::now() + WITHIN;
        while Instant::now() < deadline {
            let view = self.node.now();
            let reply = match view.place(slot) {
                Place::Here { .. } if view.serves() => {
                    Ok(self.node.run_here(words, self.proto).await)
                }
                Place::At(member) => {
                    self.node.figures.forwarded();
                    let peer = &view.member(member).peer;
                    let as_of = Some((slot, view.epoch_of(slot)));
                    self.node
                        .peers
                        .act_as_owner(peer, as_of, words, self.proto)
                        .await
                }
                Place::Here { .. } | Place::Coming | Place::Nowhere => Err(LinkError::NotSent),
            };
            match reply {
                Ok(reply) if !is_not_now(&reply) => return Ok(reply),
                Ok(_) | Err(LinkError::NotSent) => {}
                Err(LinkError::Unanswered) if effect != Effect::Writes => {}
                Err(why @ LinkError::Unanswered) => {
                    return Err(format!("ERR {why}; it may or may not have happened"));
                }
            }
            sleep(PAUSE).await;
        }
        Err("CLUSTERDOWN nobody serves the slot".to_owned())
    }
}

/// Whether the reply says that somebody else, or nobody yet, serves the slot.
fn is_not_now(reply: &[u8]) -> bool {
    let kinds: [&[u8]; 4] = [b"-STALE", b"-MOVED", b"-TRYAGAIN", b"-CLUSTERDOWN"];
    kinds.iter().any(|kind| reply.starts_with(kind))
}

/// What an error says, or that it is not what was asked for.
fn said(reply: &[u8]) -> String {
    match reply_of(reply) {
        Ok(Reply::Error(message)) => String::from_utf8_lossy(message).into_owned(),
        _ => "ERR an owner answered something else than was asked for".to_owned(),
    }
}

fn merged_ok(parts: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let bad = parts.iter().find(|part| *part != b"+OK\r\n");
    bad.map_or_else(|| Ok(b"+OK\r\n".to_vec()), |part| Err(said(part)))
}

impl Node {
    /// Does here what another member would be asked to do.
    async fn run_here(&self, words: &Words, proto: Proto) -> Vec<u8> {
        let mut pass = Pass::First;
        loop {
            let mut out = Vec::new();
            match self.run_here_once(words, proto, pass, &mut out) {
                Done::Answered | Done::Close => return out,
                Done::Wait(Wait::Values(missing)) => {
                    if let Err(message) = self.fetch(missing).await {
                        Replies::new(&mut out, proto).error(&message);
                        return out;
                    }
                    pass = Pass::Second;
                }
                Done::Wait(Wait::Owners | Wait::Arrival(_) | Wait::Hearing { .. }) => {
                    Replies::new(&mut out, proto).error("STALE not here");
                    return out;
                }
            }
        }
    }

    fn run_here_once(&self, words: &Words, proto: Proto, pass: Pass, out: &mut Vec<u8>) -> Done {
        let mut request = Vec::new();
        let mut writer = Replies::new(&mut request, Proto::Resp2);
        writer.array(words.len());
        words.iter().for_each(|word| writer.bulk(word));
        let mut parser = Parser::default();
        let step = parser.step(&request);
        assert!(
            matches!(step, Ok(Step::Command(_))),
            "{step:?} of a request that was one"
        );
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let mut client = Client::new(0, address, Door::Peer, true);
        client.proto = proto;
        let view = self.view.read();
        let mut touched = Vec::new();
        let done = Turn {
            node: self,
            view: &view,
            client: &mut client,
            out,
            touched: &mut touched,
            serves: view.serves(),
            now: wall_millis(),
        }
        .run(parser.args(&request), pass);
        if !self.settle(&view, &mut touched) {
            out.clear();
            Replies::new(out, proto).error("CLUSTERDOWN the right to answer ended");
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_mean_not_now_are_told_from_errors() {
        assert!(is_not_now(b"-MOVED 1 a:1\r\n") && is_not_now(b"-STALE x\r\n"));
        assert!(!is_not_now(b"-ERR x\r\n") && !is_not_now(b"$7\r\n-STALE \r\n"));
        assert_eq!(said(b"-ERR x\r\n"), "ERR x");
        assert_eq!(
            merged_ok(&[b"+OK\r\n".to_vec(), b"-OOM y\r\n".to_vec()]),
            Err("OOM y".into())
        );
    }
}
