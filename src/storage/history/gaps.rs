//! Spans of revisions of which events may be missing.

use serde::{Deserialize, Serialize};

/// Events of the revisions `after + 1 ..= upto` may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last revision before it.
    pub after: u64,
    /// The last revision in it.
    pub upto: u64,
}

/// More than this are told as fewer, wider ones.
const GAPS_MAX: usize = 64;

/// Gaps in the order of revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gaps(Vec<Gap>);

impl Gaps {
    /// Adds one behind all the others.
    pub(super) fn push(&mut self, after: u64, upto: u64) {
        if after >= upto {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.upto >= after => last.upto = last.upto.max(upto),
            _ => self.0.push(Gap { after, upto }),
        }
        if self.0.len() > GAPS_MAX {
            self.0[0].upto = self.0.remove(1).upto;
        }
    }

    /// Everything up to this revision is gone: one gap from the beginning.
    pub(super) fn swallow(&mut self, floor: u64) {
        let upto = self
            .0
            .iter()
            .filter(|gap| gap.after <= floor)
            .map(|gap| gap.upto)
            .max()
            .unwrap_or(0);
        self.0.retain(|gap| gap.after > floor);
        self.0.insert(
            0,
            Gap {
                after: 0,
                upto: upto.max(floor),
            },
        );
    }

    /// The revision up to which everything is gone.
    pub(super) fn floor(&self) -> u64 {
        self.0
            .first()
            .filter(|gap| gap.after == 0)
            .map_or(0, |gap| gap.upto)
    }

    /// Those that reach behind a revision.
    pub(super) fn behind(&self, revision: u64) -> Vec<Gap> {
        self.0
            .iter()
            .filter(|gap| gap.upto > revision)
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(spans: &[(u64, u64)]) -> Gaps {
        let mut gaps = Gaps::default();
        for (after, upto) in spans {
            gaps.push(*after, *upto);
        }
        gaps
    }

    #[test]
    fn neighbours_are_one_and_the_empty_is_none() {
        let gaps = gaps(&[(3, 3), (5, 8), (8, 9), (12, 13)]);
        assert_eq!(
            gaps.0,
            [
                Gap { after: 5, upto: 9 },
                Gap {
                    after: 12,
                    upto: 13
                }
            ]
        );
        assert_eq!(
            gaps.behind(9),
            [Gap {
                after: 12,
                upto: 13
            }]
        );
        assert_eq!(gaps.behind(8).len(), 2);
    }

    #[test]
    fn what_is_given_up_swallows_the_gaps_that_it_touches() {
        let mut gaps = gaps(&[(5, 8), (12, 20), (30, 40)]);
        gaps.swallow(13);
        assert_eq!(
            gaps.0,
            [
                Gap { after: 0, upto: 20 },
                Gap {
                    after: 30,
                    upto: 40
                }
            ]
        );
        gaps.swallow(25);
        assert_eq!(
            gaps.0,
            [
                Gap { after: 0, upto: 25 },
                Gap {
                    after: 30,
                    upto: 40
                }
            ]
        );
    }

    #[test]
    fn many_gaps_become_fewer_and_wider_and_cover_the_same() {
        let spans: Vec<_> = (0..200).map(|nth| (nth * 10, nth * 10 + 5)).collect();
        let gaps = gaps(&spans);
        assert_eq!(gaps.0.len(), GAPS_MAX);
        for (after, upto) in spans {
            assert!(
                gaps.0
                    .iter()
                    .any(|gap| gap.after <= after && gap.upto >= upto)
            );
        }
    }
}
