//! Chance that can be repeated: everything random in a run comes from its one seed.
//!
//! Each part of a run draws from a stream of its own, named after it, so that one more draw in
//! one part does not change what happens in all the others. What the seed decides is the *plan*:
//! which operations, which faults, where and for how long. It does not decide how real processes
//! are scheduled, so the same seed twice means the same treatment, not the same history.

/// A stream of random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The stream of this name under this seed.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        let mut state = seed ^ 0x6a09_e667_f3bc_c909;
        for byte in name.bytes() {
            state = mix(state.wrapping_add(u64::from(byte)).wrapping_add(STEP));
        }
        Self { state }
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of a remainder is far below what any plan could notice.
        self.number().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Whether something happens that does in `percent` of all cases.
    pub fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these, if there is one.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(of.len() as u64)).ok()?;
        of.get(at)
    }

    /// These in random order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            let other = usize::try_from(self.below(at as u64 + 1)).unwrap_or(at);
            all.swap(at, other);
        }
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_names_differ() {
        let draw = |seed, name| {
            let mut dice = Dice::new(seed, name);
            [dice.number(), dice.number(), dice.number()]
        };
        assert_eq!(draw(7, "nemesis"), draw(7, "nemesis"));
        assert_ne!(draw(7, "nemesis"), draw(8, "nemesis"));
        assert_ne!(draw(7, "nemesis"), draw(7, "worker 1"));
    }

    #[test]
    fn bounds_hold_and_everything_within_is_drawn() {
        let mut dice = Dice::new(1, "bounds");
        let drawn: Vec<u64> = (0..200).map(|_| dice.between(3, 6)).collect();
        assert!((3..=6).all(|wanted| drawn.contains(&wanted)));
        assert!(drawn.iter().all(|number| (3..=6).contains(number)));
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.pick::<u8>(&[]), None);
        let mut order: Vec<u64> = (0..20).collect();
        dice.shuffle(&mut order);
        assert_ne!(order, (0..20).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..20).collect::<Vec<_>>());
    }
}
