//! `CLUSTER`: what its clients route by. The large answers stand ready in the view.

use super::Turn;
use crate::cache::client::Door;
use crate::cache::resp::{Args, Proto, integer};
use crate::cache::slot::{self, SLOTS};

/// Keys that one `GETKEYSINSLOT` tells at most.
const KEYS_MAX: usize = 100_000;

impl Turn<'_> {
    pub(super) fn cluster(&mut self, args: Args<'_>) {
        if self.client.door == Door::Proxy {
            let message = "ERR This instance has cluster support disabled";
            return self.replies().error(message);
        }
        let topology = self.view.topology();
        let of_proto = match self.client.proto {
            Proto::Resp2 => 0,
            Proto::Resp3 => 1,
        };
        match (args.get(1).to_ascii_lowercase().as_slice(), args.len()) {
            (b"slots" | b"shards" | b"nodes", 2) if !self.view.is_vouched() => {
                self.replies()
                    .error("CLUSTERDOWN the ring has not been heard of for too long");
            }
            (b"slots", 2) => self.replies().raw(&topology.slots[of_proto]),
            (b"shards", 2) => self.replies().raw(&topology.shards[of_proto]),
            (b"nodes", 2) => self.replies().text(&topology.nodes),
            (b"info", 2) => {
                let state = if self.serves { "ok" } else { "fail" };
                let text = format!(
                    "cluster_enabled:1\r\ncluster_state:{state}\r\n{}",
                    topology.info
                );
                self.replies().text(&text);
            }
            (b"myid", 2) => {
                let id = self.view.my_id();
                self.replies().bulk(id.as_bytes());
            }
            (b"keyslot", 3) => {
                let slot = slot::of(args.get(2));
                self.replies().integer(slot.into());
            }
            (b"countkeysinslot", 3) => match slot_of(args.get(2)) {
                Some(slot) => {
                    let keys = match self.view.epoch_if_mine(slot) {
                        Some(_) => self.node.store.keys_in(slot),
                        None => 0,
                    };
                    self.replies().count(keys);
                }
                None => self.replies().error("ERR Invalid slot"),
            },
            (b"getkeysinslot", 4) => match (slot_of(args.get(2)), integer(args.get(3))) {
                (Some(slot), Some(count @ 0..)) => self.keys_in_slot(slot, count),
                _ => self.replies().error("ERR Invalid slot or number of keys"),
            },
            (
                b"slots" | b"shards" | b"nodes" | b"info" | b"myid" | b"keyslot"
                | b"countkeysinslot" | b"getkeysinslot",
                _,
            ) => {
                let verb = args.get(1).to_ascii_lowercase();
                let name = format!("cluster|{}", String::from_utf8_lossy(&verb));
                self.wrong_words(&name);
            }
            _ => self.unknown_verb(args.get(1), "CLUSTER"),
        }
    }

    fn keys_in_slot(&mut self, slot: u16, count: i64) {
        let count = usize::try_from(count).map_or(KEYS_MAX, |count| count.min(KEYS_MAX));
        let mut keys = Vec::new();
        if let Some(epoch) = self.view.epoch_if_mine(slot).filter(|_| count > 0) {
            self.node.store.walk_slot(slot, epoch, self.now, |key| {
                keys.push(key.to_vec());
                keys.len() < count
            });
        }
        let mut replies = self.replies();
        replies.array(keys.len());
        keys.iter().for_each(|key| replies.bulk(key));
    }
}

fn slot_of(word: &[u8]) -> Option<u16> {
    let slot = u16::try_from(integer(word)?).ok()?;
    (usize::from(slot) < SLOTS).then_some(slot)
}
