//! Linearizability of a register, by search (Wing and Gong's, with Lowe's memory of states).
//!
//! For histories without revisions there is no order to sort by; whether some order of the calls
//! explains all answers must be searched for. The search walks the calls in the order of time and
//! takes any that had begun before the first open one ended; a set of calls taken and the state
//! that they led to is never tried twice. It can take for ever, so it has a bound, and beyond the
//! bound the answer is that nobody knows.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Checker, Findings};
use crate::history::{Call, End, History};

/// What a call does to a register.
#[derive(Clone, Debug, PartialEq)]
pub enum Register {
    /// It saw this value.
    Read(Value),
    /// It put this value there.
    Write(Value),
    /// It saw the first and put the second.
    Swap(Value, Value),
}

impl Register {
    /// The state after it, or nothing if it cannot have happened in this one.
    fn after(&self, state: &Value) -> Option<Value> {
        match self {
            Self::Read(seen) => (seen == state).then(|| state.clone()),
            Self::Write(new) => Some(new.clone()),
            Self::Swap(old, new) => (old == state).then(|| new.clone()),
        }
    }

    fn of(call: &Call) -> Option<Self> {
        let value = || {
            call.value
                .clone()
                .or(call.asked.clone())
                .unwrap_or_default()
        };
        match (call.f.as_str(), call.end) {
            (_, End::Fail) | ("read", End::Info) => None,
            ("read", End::Ok) => Some(Self::Read(value())),
            ("write", _) => Some(Self::Write(value())),
            ("cas", End::Ok) => {
                let value = value();
                Some(Self::Swap(value[0].clone(), value[1].clone()))
            }
            // What it saw was not told, so it may have seen anything.
            ("cas", End::Info) => Some(Self::Write(value()[1].clone())),
            _ => None,
        }
    }
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// There is an order.
    Linearizable,
    /// There is none; the calls of the longest that was found, and those that fit nowhere.
    Broken {
        /// By their places among the calls given.
        longest: Vec<usize>,
    },
    /// The time was over first.
    TimedOut,
}

/// A call: when it began, when it ended, what it did.
pub type Timed = (u64, u64, Register);

#[derive(Clone, Copy, Debug)]
struct Entry {
    call: usize,
    is_return: bool,
    /// Where the return of a call stands.
    partner: usize,
    before: usize,
    next: usize,
}

/// The walk: a list of begins and ends in the order of time, out of which calls are lifted.
struct Walk {
    entries: Vec<Entry>,
}

const HEAD: usize = 0;

impl Walk {
    fn of(calls: &[Timed]) -> Self {
        let mut marks: Vec<(u64, bool, usize)> = Vec::with_capacity(calls.len() * 2);
        for (at, (start, stop, _)) in calls.iter().enumerate() {
            marks.push((*start, false, at));
            marks.push((*stop, true, at));
        }
        // At one moment begins come first: then more orders are allowed, never fewer.
        marks.sort_unstable();
        let end = marks.len() + 1;
        let mut entries = vec![Entry {
            call: usize::MAX,
            is_return: true,
            partner: 0,
            before: 0,
            next: 1,
        }];
        let mut begins: HashMap<usize, usize> = HashMap::new();
        for (nth, (_, is_return, call)) in marks.into_iter().enumerate() {
            let at = nth + 1;
            if is_return {
                if let Some(begin) = begins.get(&call) {
                    entries[*begin].partner = at;
                }
            } else {
                begins.insert(call, at);
            }
            entries.push(Entry {
                call,
                is_return,
                partner: 0,
                before: nth,
                next: at + 1,
            });
        }
        entries.push(Entry {
            call: usize::MAX,
            is_return: true,
            partner: 0,
            before: end - 1,
            next: end,
        });
        Self { entries }
    }

    fn unlink(&mut self, at: usize) {
        let Entry { before, next, .. } = self.entries[at];
        self.entries[before].next = next;
        self.entries[next].before = before;
    }

    fn link(&mut self, at: usize) {
        let Entry { before, next, .. } = self.entries[at];
        self.entries[before].next = at;
        self.entries[next].before = at;
    }

    fn lift(&mut self, at: usize) {
        self.unlink(at);
        self.unlink(self.entries[at].partner);
    }

    fn put_back(&mut self, at: usize) {
        self.link(self.entries[at].partner);
        self.link(at);
    }

    fn is_end(&self, at: usize) -> bool {
        at == self.entries.len() - 1
    }
}

/// Searches for an order of these calls, from a register that holds null.
#[must_use]
pub fn linearize(calls: &[Timed], within: Duration) -> Outcome {
    let deadline = Instant::now() + within;
    let mut walk = Walk::of(calls);
    let mut state = Value::Null;
    let mut taken: Vec<(usize, Value)> = Vec::new();
    let mut set = vec![0_u64; calls.len().div_ceil(64)];
    let mut tried: HashSet<(Vec<u64>, String)> = HashSet::new();
    let mut longest: Vec<usize> = Vec::new();
    let mut at = walk.entries[HEAD].next;
    let mut steps = 0_u32;
    loop {
        steps = steps.wrapping_add(1);
        if steps.is_multiple_of(4096) && Instant::now() > deadline {
            return Outcome::TimedOut;
        }
        if walk.is_end(at) {
            return Outcome::Linearizable;
        }
        let entry = walk.entries[at];
        if !entry.is_return {
            let after = calls[entry.call].2.after(&state);
            let new = after.filter(|after| {
                flip(&mut set, entry.call);
                let is_new = tried.insert((set.clone(), after.to_string()));
                if !is_new {
                    flip(&mut set, entry.call);
                }
                is_new
            });
            match new {
                Some(after) => {
                    taken.push((at, std::mem::replace(&mut state, after)));
                    walk.lift(at);
                    at = walk.entries[HEAD].next;
                }
                None => at = entry.next,
            }
            continue;
        }
        // A call ended that fits nowhere before: go back to the last choice.
        if taken.len() > longest.len() {
            longest = taken.iter().map(|(at, _)| walk.entries[*at].call).collect();
        }
        let Some((last, before)) = taken.pop() else {
            return Outcome::Broken { longest };
        };
        state = before;
        flip(&mut set, walk.entries[last].call);
        walk.put_back(last);
        at = walk.entries[last].next;
    }
}

fn flip(set: &mut [u64], call: usize) {
    set[call / 64] ^= 1 << (call % 64);
}

/// Each register of a workload is linearizable.
pub(super) struct Linearizable {
    within: Duration,
}

impl Default for Linearizable {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(30),
        }
    }
}

impl Checker for Linearizable {
    fn name(&self) -> &'static str {
        "registers-are-linearizable"
    }

    fn promise(&self) -> &'static str {
        "a register that is guarded by fences is linearizable, key by key"
    }

    fn check(&self, history: &History) -> Findings {
        let mut keys: HashMap<String, Vec<Call>> = HashMap::new();
        for call in history.calls() {
            if Register::of(&call).is_some() {
                keys.entry(call.key().to_owned()).or_default().push(call);
            }
        }
        let mut findings = Findings::default();
        for (key, calls) in keys {
            findings.looked_at += calls.len() as u64;
            let timed: Vec<Timed> = calls
                .iter()
                .filter_map(|call| Some((call.start, call.stop, Register::of(call)?)))
                .collect();
            match linearize(&timed, self.within) {
                Outcome::Linearizable => {}
                Outcome::TimedOut => {
                    findings.unsure = Some(format!("{key}: the search took too long"));
                }
                Outcome::Broken { longest } => {
                    let what = format!(
                        "{key}: no order explains more than {} of {} calls",
                        longest.len(),
                        calls.len()
                    );
                    findings.breaks(what, first_misfits(&calls, &longest));
                }
            }
        }
        findings
    }
}

/// The last calls that fit, and the first that does not.
fn first_misfits<'a>(calls: &'a [Call], longest: &[usize]) -> Vec<&'a Call> {
    let fitting: HashSet<usize> = longest.iter().copied().collect();
    let misfit = (0..calls.len()).find(|at| !fitting.contains(at));
    let tail = longest.iter().rev().take(4).rev().copied();
    tail.chain(misfit).filter_map(|at| calls.get(at)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn search(calls: &[(u64, u64, Register)]) -> Outcome {
        linearize(calls, Duration::from_secs(20))
    }

    #[test]
    fn a_register_is_searched_for_an_order() {
        let (read, write) = (
            |v: i64| Register::Read(json!(v)),
            |v: i64| Register::Write(json!(v)),
        );
        let swap = |old: i64, new: i64| Register::Swap(json!(old), json!(new));
        // The read that overlaps both writes may see either; the later ones fix the order.
        let right = [
            (0, 10, write(1)),
            (5, 20, write(2)),
            (6, 15, read(1)),
            (30, 40, read(2)),
        ];
        assert_eq!(search(&right), Outcome::Linearizable);
        let wrong = [(0, 10, write(1)), (20, 30, write(2)), (40, 50, read(1))];
        let Outcome::Broken { longest } = search(&wrong) else {
            panic!("a stale read is found");
        };
        assert_eq!(longest, [0, 1]);
        let lost = [
            (0, 10, write(1)),
            (20, 30, swap(1, 2)),
            (40, 50, swap(1, 3)),
        ];
        assert!(matches!(search(&lost), Outcome::Broken { .. }));
        // A write of unknown outcome may happen at any time after it was sent, or never.
        let unknown = [
            (0, 10, write(1)),
            (5, u64::MAX, write(2)),
            (20, 30, read(1)),
            (40, 50, read(2)),
        ];
        assert_eq!(search(&unknown), Outcome::Linearizable);
        let backwards = [
            (0, 10, write(1)),
            (5, u64::MAX, write(2)),
            (20, 30, read(2)),
            (40, 50, read(1)),
        ];
        assert!(matches!(search(&backwards), Outcome::Broken { .. }));
        assert_eq!(search(&[]), Outcome::Linearizable);
    }
}
