//! An ordered map that can be copied in a blink: the tables behind a snapshot.
//!
//! *The problem.* A snapshot of a million locks takes seconds to write, and the machine must go
//! on applying meanwhile; yet the snapshot must show one revision and nothing of the next.
//!
//! *The answer.* Rows live in pages of bounded size, each behind an [`Arc`], under an index from
//! a key to the page that begins at or after it. Cloning the map clones the index and shares the
//! pages: some thousand reference counts for a million rows. Whoever writes afterwards copies the
//! one page it writes to, once, and leaves the old one to the clone.
//!
//! *Page keys are lower bounds.* Removing a page's first row leaves the page where it is, so an
//! index key may name a row that is gone; lookups only need that every row of a page is at or
//! after its key and before the next page's.
//!
//! *Size.* A page splits when it would exceed `ROWS`: in the middle, except at the end of the map,
//! where a new page begins, so that rising keys fill pages whole. A page that falls below a
//! quarter joins a neighbour if both fit in three quarters. An empty page goes.
//!
//! What it is not: a persistent tree (a clone costs one step a page, not one in all), and not
//! shared between writers.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::ops::Bound;

/// The map; see the module's text. `ROWS` bounds a page.
#[derive(Clone, Debug)]
pub(crate) struct Paged<K, V, const ROWS: usize> {
    pages: BTreeMap<K, Arc<Vec<(K, V)>>>,
    rows: usize,
}

impl<K, V, const ROWS: usize> Default for Paged<K, V, ROWS> {
    fn default() -> Self {
        Self {
            pages: BTreeMap::new(),
            rows: 0,
        }
    }
}

impl<K: Ord + Clone, V: Clone, const ROWS: usize> Paged<K, V, ROWS> {
    /// How many rows there are.
    pub(crate) const fn len(&self) -> usize {
        self.rows
    }

    /// One row's value.
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (_, page) = self.pages.range::<Q, _>(up_to(key)).next_back()?;
        let at = find(page, key).ok()?;
        Some(&page[at].1)
    }

    /// One row's value to change; copies its page if a clone of the map still shows it.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (_, page) = self.pages.range_mut::<Q, _>(up_to(key)).next_back()?;
        let at = find(page, key).ok()?;
        Some(&mut Arc::make_mut(page)[at].1)
    }

    /// The first row.
    pub(crate) fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// The last row's key.
    pub(crate) fn last_key(&self) -> Option<&K> {
        let (_, page) = self.pages.last_key_value()?;
        page.last().map(|(key, _)| key)
    }

    /// Every row, in the order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.pages
            .values()
            .flat_map(|page| page.iter().map(|(key, value)| (key, value)))
    }

    /// The rows from a bound on, in the order of the keys.
    pub(crate) fn from<'a, Q: Ord + ?Sized>(
        &'a self,
        bound: Bound<&'a Q>,
    ) -> impl Iterator<Item = (&'a K, &'a V)>
    where
        K: Borrow<Q>,
    {
        let page_bound = match bound {
            Bound::Included(key) | Bound::Excluded(key) => self
                .pages
                .range::<Q, _>(up_to(key))
                .next_back()
                .map_or(Bound::Unbounded, |(first, _)| {
                    Bound::Included(first.borrow())
                }),
            Bound::Unbounded => Bound::Unbounded,
        };
        self.pages
            .range::<Q, _>((page_bound, Bound::Unbounded))
            .enumerate()
            .flat_map(move |(n, (_, page))| {
                // Only the first page can hold rows before the bound.
                let skip = if n == 0 { before(page, bound) } else { 0 };
                page[skip..].iter().map(|(key, value)| (key, value))
            })
    }

    /// Puts a row in, and returns the value that it replaces.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.pages.first_key_value().is_none_or(|(k, _)| key < *k) {
            self.lower_first_page(&key);
        }
        let last = self
            .pages
            .range((Bound::Excluded(&key), Bound::Unbounded))
            .next()
            .is_none();
        let (_, page) = self
            .pages
            .range_mut(..=&key)
            .next_back()
            .expect("the first page begins at or before every key");
        let rows = Arc::make_mut(page);
        let at = match find(rows, &key) {
            Ok(at) => return Some(core::mem::replace(&mut rows[at].1, value)),
            Err(at) => at,
        };
        self.rows += 1;
        if rows.len() < ROWS {
            rows.insert(at, (key, value));
            return None;
        }
        let cut = if last && at == rows.len() {
            at
        } else {
            ROWS / 2
        };
        let mut upper = rows.split_off(cut);
        if at <= cut && cut < ROWS {
            rows.insert(at, (key, value));
        } else {
            upper.insert(at - cut, (key, value));
        }
        let first = upper[0].0.clone();
        self.pages.insert(first, Arc::new(upper));
        None
    }

    /// Takes a row out.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (page_key, page) = self.pages.range_mut::<Q, _>(up_to(key)).next_back()?;
        let at = find(page, key).ok()?;
        let rows = Arc::make_mut(page);
        let (_, value) = rows.remove(at);
        self.rows -= 1;
        if rows.len() < ROWS / 4 {
            let page_key = page_key.clone();
            self.join_neighbour(&page_key);
        }
        Some(value)
    }

    /// Lets the first page begin at `key`; makes one if there is none.
    fn lower_first_page(&mut self, key: &K) {
        let page = self.pages.pop_first().map_or_else(Arc::default, |(_, p)| p);
        self.pages.insert(key.clone(), page);
    }

    /// Removes the page if it is empty, else joins it with a neighbour if both are small enough.
    fn join_neighbour(&mut self, key: &K) {
        let len = self.pages[key].len();
        if len == 0 {
            self.pages.remove(key);
            return;
        }
        let fits = |other: &Arc<Vec<(K, V)>>| len + other.len() <= ROWS / 4 * 3;
        let after = (Bound::Excluded(key), Bound::Unbounded);
        let next = self.pages.range(after).next();
        let before = self.pages.range(..key).next_back();
        let (lower, upper) = match (next, before) {
            (Some((next, page)), _) if fits(page) => (key.clone(), next.clone()),
            (_, Some((before, page))) if fits(page) => (before.clone(), key.clone()),
            _ => return,
        };
        let moved = self.pages.remove(&upper).expect("it was just found");
        let moved = Arc::try_unwrap(moved).unwrap_or_else(|still_shown| (*still_shown).clone());
        let page = self.pages.get_mut(&lower).expect("it was just found");
        Arc::make_mut(page).extend(moved);
    }

    /// Checks the promises of the module's text.
    pub(crate) fn audit(&self) -> Result<(), &'static str> {
        let mut rows = 0;
        let mut newest: Option<&K> = None;
        for (key, page) in &self.pages {
            if page.is_empty() || page.len() > ROWS {
                return Err("a page is empty or too long");
            }
            if page[0].0 < *key {
                return Err("a row is before its page's key");
            }
            for (row, _) in page.iter() {
                if newest.is_some_and(|newest| newest >= row) {
                    return Err("rows are out of order");
                }
                newest = Some(row);
            }
            rows += page.len();
        }
        let first_of_next = self.pages.keys().skip(1);
        for (page, next) in self.pages.values().zip(first_of_next) {
            if page.last().is_some_and(|(row, _)| row >= next) {
                return Err("a row is not before the next page's key");
            }
        }
        if rows == self.rows {
            Ok(())
        } else {
            Err("rows are miscounted")
        }
    }
}

fn up_to<Q: ?Sized>(key: &Q) -> (Bound<&Q>, Bound<&Q>) {
    (Bound::Unbounded, Bound::Included(key))
}

fn find<K: Borrow<Q>, V, Q: Ord + ?Sized>(page: &[(K, V)], key: &Q) -> Result<usize, usize> {
    page.binary_search_by(|(row, _)| row.borrow().cmp(key))
}

fn before<K: Borrow<Q>, V, Q: Ord + ?Sized>(page: &[(K, V)], bound: Bound<&Q>) -> usize {
    match bound {
        Bound::Included(key) => page.partition_point(|(row, _)| row.borrow() < key),
        Bound::Excluded(key) => page.partition_point(|(row, _)| row.borrow() <= key),
        Bound::Unbounded => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;
    use std::vec::Vec;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::Paged;

    type Small = Paged<u16, u64, 8>;

    fn rows(map: &Small) -> Vec<(u16, u64)> {
        map.iter().map(|(key, value)| (*key, *value)).collect()
    }

    /// Against a `BTreeMap`, with clones taken on the way that must not move.
    #[test]
    fn is_an_ordered_map_whose_clones_stay() {
        for seed in 0..40 {
            let mut chance = StdRng::seed_from_u64(seed);
            let (mut map, mut plain) = (Small::default(), BTreeMap::new());
            let mut clones = Vec::new();
            let keys = chance.random_range(1..400);
            for step in 0..3_000u64 {
                // Long spells of growth and of decline, so that pages split, join and go.
                let grows = (step / 500) % 2 == 0;
                let key = chance.random_range(0..keys);
                if chance.random_bool(if grows { 0.8 } else { 0.2 }) {
                    assert_eq!(map.insert(key, step), plain.insert(key, step));
                } else {
                    assert_eq!(map.remove(&key), plain.remove(&key));
                }
                let key = chance.random_range(0..keys);
                if let Some(value) = map.get_mut(&key) {
                    *value += 1;
                    *plain.get_mut(&key).expect("both have it") += 1;
                }
                assert_eq!(map.get(&key), plain.get(&key));
                assert_eq!(map.len(), plain.len());
                if step % 100 == 0 {
                    assert_eq!(map.audit(), Ok(()), "seed {seed} step {step}");
                    clones.push((map.clone(), plain.clone()));
                }
                if step % 50 == 0 {
                    let from = Bound::Excluded(&key);
                    let after: Vec<_> = map.from(from).map(|(k, v)| (*k, *v)).collect();
                    let plain = plain.range((from, Bound::Unbounded));
                    assert!(after.into_iter().eq(plain.map(|(k, v)| (*k, *v))));
                }
            }
            for (map, plain) in clones {
                assert_eq!(rows(&map), Vec::from_iter(plain), "seed {seed}");
            }
        }
    }

    /// Rising keys fill pages whole; what is left after a decline lies in few pages.
    #[test]
    fn pages_stay_full() {
        let mut map = Small::default();
        for key in 0..800 {
            map.insert(key, 0);
        }
        assert_eq!(map.pages.len(), 100);
        for key in (0..800).filter(|key| key % 8 != 0) {
            map.remove(&key);
        }
        assert_eq!(map.len(), 100);
        assert!(map.pages.len() <= 50, "{} pages", map.pages.len());
        for key in 0..800 {
            map.remove(&key);
        }
        assert_eq!(map.pages.len(), 0);
    }
}
