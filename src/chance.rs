//! Chance: where the server draws numbers that nobody shall guess or repeat.
//!
//! Ids, the jitter of pauses and election timeouts are drawn here. They come from the operating
//! system, until a simulation asks for a sequence that it can have again: then every draw on that
//! thread follows from its seed, so that one seed is one run, byte for byte.

use std::cell::RefCell;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

thread_local! {
    static SEQUENCE: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// A number that nobody can guess, and nobody has drawn before.
#[must_use]
pub fn draw<T>() -> T
where
    rand::distr::StandardUniform: rand::distr::Distribution<T>,
{
    SEQUENCE.with_borrow_mut(|sequence| match sequence {
        None => rand::random(),
        Some(sequence) => sequence.random(),
    })
}

/// A whole number between two bounds, both included.
#[must_use]
pub fn between(least: u64, most: u64) -> u64 {
    SEQUENCE.with_borrow_mut(|sequence| match sequence {
        None => rand::rng().random_range(least..=most),
        Some(sequence) => sequence.random_range(least..=most),
    })
}

/// From now on whatever this thread draws follows from the seed. For simulations alone: what can
/// be had again can be guessed.
pub fn repeat_from(seed: u64) {
    SEQUENCE.set(Some(StdRng::seed_from_u64(seed)));
}

/// Whether what this thread draws can be had again: it belongs to a simulation.
#[must_use]
pub fn repeats() -> bool {
    SEQUENCE.with_borrow(Option::is_some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_sequence() {
        let drawn = |seed| {
            repeat_from(seed);
            let numbers: Vec<u64> = (0..5).map(|_| draw()).collect();
            (numbers, between(1, 1_000_000))
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }
}
