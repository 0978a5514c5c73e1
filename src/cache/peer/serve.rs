//! The other side: what members ask of us.

use super::VERSION;
use crate::cache::command::{Done, Pass, Turn};
use crate::cache::resp::{Args, Proto, Replies, integer};
use crate::cache::store::NEVER;

impl Turn<'_> {
    /// Does what another member asks for.
    pub(crate) fn run_for_peer(&mut self, args: Args<'_>, pass: Pass) -> Done {
        match (args.get(0), args.len()) {
            (b"LOCKRING.PEER", 3) if args.get(1) == VERSION.as_bytes() => {
                self.client.is_known = true;
                self.client.name = args.get(2).to_vec();
                Replies::new(self.out, Proto::Resp2).ok();
                Done::Answered
            }
            _ if !self.client.is_known => {
                let message = "ERR members of the ring talk here; say LOCKRING.PEER 1 <member>";
                Replies::new(self.out, Proto::Resp2).error(message);
                Done::Close
            }
            (b"LOCKRING.AS", 5..) => self.act_as_owner(args, pass),
            (b"LOCKRING.EPOCH", 1) => {
                let epoch = i64::try_from(self.view.table().epoch).unwrap_or(i64::MAX);
                Replies::new(self.out, Proto::Resp2).integer(epoch);
                Done::Answered
            }
            (b"LOCKRING.TAKE", 4) => {
                self.hand_out(args);
                Done::Answered
            }
            _ => {
                Replies::new(self.out, Proto::Resp2).error("ERR not a request between members");
                Done::Answered
            }
        }
    }

    fn act_as_owner(&mut self, args: Args<'_>, pass: Pass) -> Done {
        self.client.proto = match args.get(1) {
            b"3" => Proto::Resp3,
            _ => Proto::Resp2,
        };
        let is_current = match (slot(args.get(2)), epoch(args.get(3))) {
            (Some(slot), Some(epoch)) => self.view.epoch_if_mine(slot) == Some(epoch),
            _ => args.get(2) == b"-",
        };
        if !is_current || !self.serves {
            let message = "STALE the slot is not this member's under that epoch";
            Replies::new(self.out, self.client.proto).error(message);
            return Done::Answered;
        }
        self.run(args.from(4), pass)
    }

    fn hand_out(&mut self, args: Args<'_>) {
        let mut replies = Replies::new(self.out, Proto::Resp2);
        let given = slot(args.get(1)).zip(epoch(args.get(2)));
        let given = given.and_then(|(slot, theirs)| {
            let mine = self.node.handover.given(slot, theirs)?;
            let has_moved_on = self.view.epoch_of(slot) != theirs;
            let is_back = self.view.epoch_if_mine(slot).is_some();
            (!has_moved_on && !is_back).then_some((slot, mine))
        });
        let Some((slot, mine)) = given else {
            return replies.error("STALE the slot was not handed over under that epoch");
        };
        let at = self.node.store.at(slot, mine, self.now, args.get(3));
        match self.node.store.shard(slot).take(at) {
            None => replies.null(),
            Some(entry) => {
                replies.array(2);
                replies.bulk(&entry.value);
                replies.integer(match entry.expires {
                    NEVER => -1,
                    expires => i64::try_from(expires - self.now).unwrap_or(-1),
                });
            }
        }
    }
}

fn slot(word: &[u8]) -> Option<u16> {
    let slot = u16::try_from(integer(word)?).ok()?;
    (usize::from(slot) < crate::cache::slot::SLOTS).then_some(slot)
}

fn epoch(word: &[u8]) -> Option<u64> {
    u64::try_from(integer(word)?).ok()
}
