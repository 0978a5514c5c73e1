//! Rings in scripts.
//!
//! ```text
//! ring configure R [hash=crc16|sha1 placement=points|exact replicas= delay=]
//! ring join R MEMBER S [weight= zone=] · ring drain R MEMBER · ring leave R MEMBER
//! ring release R MEMBER S epoch= [slots=FIRST-LAST,…]        (without slots: all of them)
//! ring freeze R [why=] · ring unfreeze R [why=]
//! see R (members, who owns how much, what moves) · see R slot=N · see R diff=FROM-TO
//! see R plan=+MEMBER*WEIGHT,-MEMBER,MEMBER*WEIGHT            (join, leave, another weight)
//! ```

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::text::name_of;
use super::{Words, session_of};
use crate::*;

fn ring(words: &Words<'_>, at: usize) -> RingName {
    RingName::parse(words.plain[at]).unwrap()
}

fn member(name: &str) -> MemberName {
    MemberName::parse(name).unwrap()
}

fn weight(words: &Words<'_>) -> Weight {
    words
        .number("weight")
        .map_or(Weight::default(), |w| Weight::parse(w).unwrap())
}

pub(super) fn op(words: &Words<'_>, place: &str) -> RingOp {
    let ring = ring(words, 2);
    let who = |at: usize| member(words.plain[at]);
    let reason = words.text("why").unwrap_or("because").to_string();
    match words.plain[1] {
        "configure" => RingOp::Configure {
            ring,
            hash: words.text("hash").map(|hash| match hash {
                "sha1" => RingHash::Sha1,
                "crc16" => RingHash::Crc16,
                other => panic!("{place}: no hash is called {other}"),
            }),
            placement: words.text("placement").map(|placement| match placement {
                "points" => Placement::Points,
                "exact" => Placement::Exact,
                other => panic!("{place}: no placement is called {other}"),
            }),
            replicas: words.number("replicas").map(|n| u8::try_from(n).unwrap()),
            reassign_delay_ms: words.number("delay"),
        },
        "join" => RingOp::Join {
            ring,
            member: who(3),
            session: session_of(words.plain[4]),
            weight: weight(words),
            zone: Zone::parse(words.text("zone").unwrap_or("")).unwrap(),
            addresses: Addresses::default(),
        },
        "drain" => RingOp::Drain {
            ring,
            member: who(3),
            incarnation: words.number("incarnation"),
        },
        "leave" => RingOp::Leave {
            ring,
            member: who(3),
            incarnation: words.number("incarnation"),
        },
        "release" => RingOp::Release {
            ring,
            member: who(3),
            session: session_of(words.plain[4]),
            ranges: words
                .text("slots")
                .map_or(vec![SlotRange::ALL], |s| s.split(',').map(range).collect()),
            epoch: words.number("epoch").unwrap(),
        },
        "freeze" => RingOp::Freeze { ring, reason },
        "unfreeze" => RingOp::Unfreeze { ring, reason },
        other => panic!("{place}: no ring's operation is called {other}"),
    }
}

fn range(text: &str) -> SlotRange {
    let (first, last) = text.split_once('-').unwrap();
    SlotRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
}

pub(super) fn outcome(outcome: &RingOutcome) -> String {
    match outcome.released {
        0 => format!("epoch={}", outcome.epoch),
        released => format!("epoch={} released={released}", outcome.epoch),
    }
}

pub(super) fn refusal(refusal: &RingRefusal) -> String {
    match refusal {
        RingRefusal::NoRing => "refused no_ring".to_string(),
        RingRefusal::NoMember => "refused no_member".to_string(),
        RingRefusal::MemberTaken { session } => {
            format!("refused member_taken by={}", name_of(*session))
        }
        RingRefusal::NotTheMember => "refused not_the_member".to_string(),
        RingRefusal::HashInUse { hash } => format!("refused hash_in_use {hash:?}"),
    }
}

pub(super) fn event(event: &RingEvent) -> String {
    let changes = event.changes.iter().map(|change| match change {
        RingChange::Configured => "configured".to_string(),
        RingChange::Joined(member) => format!("joined {member}"),
        RingChange::Updated(member) => format!("updated {member}"),
        RingChange::Ready(member) => format!("ready {member}"),
        RingChange::Active(member) => format!("active {member}"),
        RingChange::Draining(member) => format!("draining {member}"),
        RingChange::Left(member) => format!("left {member}"),
        RingChange::Down(member) => format!("down {member}"),
        RingChange::Removed(member) => format!("removed {member}"),
        RingChange::Moved(slots) => format!("moved {slots}"),
        RingChange::Arrived(slots) => format!("arrived {slots}"),
        RingChange::Frozen(why) => format!("frozen {why}"),
        RingChange::Unfrozen(why) => format!("unfrozen {why}"),
        RingChange::Braked => "braked".to_string(),
        RingChange::Calm => "calm".to_string(),
    });
    let changes: Vec<_> = changes.collect();
    format!("{}@{} {}", event.ring, event.epoch, changes.join(", "))
}

pub(super) fn see(machine: &Machine, words: &Words<'_>) -> String {
    let name = ring(words, 1);
    let Some(state) = machine.ring(&name) else {
        return "no ring".to_string();
    };
    let view = state.view();
    if let Some(slot) = words.number("slot") {
        return slot_text(&view.table, u16::try_from(slot).unwrap());
    }
    if let Some(epochs) = words.text("diff") {
        let (from, to) = epochs.split_once('-').unwrap();
        let diff = state.diff(from.parse().unwrap(), to.parse().unwrap());
        return match diff {
            Ok(diff) => moves(diff.moved_slots, &diff.moves),
            Err(oldest) => format!("not kept; the oldest is {oldest}"),
        };
    }
    if let Some(changes) = words.text("plan") {
        let changes: Vec<_> = changes.split(',').map(change).collect();
        return match state.plan(&changes) {
            Ok(plan) => format!(
                "{} balance={}>{}",
                moves(plan.moved_slots, &plan.moves),
                plan.before.max_over_mean_milli,
                plan.after.max_over_mean_milli
            ),
            Err(error) => format!("{error:?}"),
        };
    }
    ring_text(&view)
}

fn change(text: &str) -> PlanChange {
    let (sign, text) = match text.as_bytes()[0] {
        sign @ (b'+' | b'-') => (sign, &text[1..]),
        _ => (b'=', text),
    };
    let (name, weight) = text.split_once('*').unwrap_or((text, "1"));
    let (member, weight) = (
        member(name),
        Weight::parse(weight.parse().unwrap()).unwrap(),
    );
    match sign {
        b'+' => PlanChange::Join {
            member,
            weight,
            zone: Zone::default(),
        },
        b'-' => PlanChange::Leave { member },
        _ => PlanChange::Weight { member, weight },
    }
}

fn ring_text(view: &RingView) -> String {
    let mut text = format!("epoch={}", view.epoch);
    for member in &view.members {
        text += &format!(" {}:{:?}={}", member.member, member.state, member.slots);
    }
    let mut moving: BTreeMap<(String, String), usize> = BTreeMap::new();
    for moved in view.table.moving() {
        let to = moved.to.map_or("nobody".to_string(), |to| to.to_string());
        *moving.entry((moved.from.to_string(), to)).or_default() += moved.range.slots();
    }
    for ((from, to), slots) in moving {
        text += &format!(" {from}>{to}={slots}");
    }
    if let Some(why) = &view.frozen {
        text += &format!(" frozen={why}");
    }
    for (on, what) in [(view.braked, " braked"), (view.degraded, " degraded")] {
        if on {
            text += what;
        }
    }
    text
}

fn slot_text(table: &RingTable, slot: u16) -> String {
    let list: Vec<_> = table.list(slot).map(MemberName::as_str).collect();
    let from = table.moving_from(slot);
    let from = from.map_or(String::new(), |from| format!(" from={from}"));
    format!(
        "[{}]{from} epoch={}",
        list.join(","),
        table.slot_epoch(slot)
    )
}

fn moves(slots: usize, moves: &[RingMove]) -> String {
    let mut text = format!("moved={slots}");
    for moved in moves {
        let name = |of: &Option<MemberName>| of.as_ref().map_or("nobody".into(), |m| m.to_string());
        let slots: usize = moved.ranges.iter().map(|range| range.slots()).sum();
        text += &format!(" {}>{}={slots}", name(&moved.from), name(&moved.to));
    }
    text
}
