//! From a key to one of 16384 slots.
//!
//! Two ways, chosen once for each ring. `sha1` takes the first 14 bits of SHA-1(key), the classic
//! position on a ring. `crc16` takes CRC16(key) mod 16384 with the rule of `{tags}`, which is what
//! every Redis Cluster client computes (<https://redis.io/docs/latest/reference/cluster-spec/>).
//!
//! SHA-1 places here, it does not secure: somebody who wants many keys in one slot can find them,
//! under either hash.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// How many slots every ring has.
pub const SLOTS: usize = 16_384;
/// How far a slot's number lies below the top of a 64-bit position.
pub(crate) const SLOT_SHIFT: u32 = 50;

/// How a key becomes a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RingHash {
    /// The first 14 bits of SHA-1(key).
    #[default]
    Sha1,
    /// CRC16(key or its `{tag}`) mod 16384, as Redis Cluster has it.
    Crc16,
}

impl RingHash {
    /// The slot of a key.
    ///
    /// ```
    /// use lockring_core::RingHash;
    ///
    /// assert_eq!(RingHash::Crc16.slot(b"123456789"), 0x31c3);
    /// assert_eq!(RingHash::Crc16.slot(b"{user}.name"), RingHash::Crc16.slot(b"user"));
    /// // SHA-1("abc") begins a9 99.
    /// assert_eq!(RingHash::Sha1.slot(b"abc"), 0xa999 >> 2);
    /// ```
    #[must_use]
    pub fn slot(self, key: &[u8]) -> u16 {
        match self {
            Self::Sha1 => {
                let digest = Sha1::digest(key);
                u16::from_be_bytes([digest[0], digest[1]]) >> 2
            }
            Self::Crc16 => crc16(tagged(key)) & 0x3fff,
        }
    }
}

/// What is hashed of a key: what stands between its first `{` and the next `}`, unless that is
/// nothing; else all of it.
fn tagged(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else {
        return key;
    };
    let behind = &key[open + 1..];
    match behind.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(close) => &behind[..close],
    }
}

/// CRC-16/XMODEM, eight bytes a step: `TABLES[n][b]` is what a byte does that `n` zeros follow.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 0x8000 != 0;
            crc = (crc << 1) ^ if carry { 0x1021 } else { 0 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = (before << 8) ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let [high, low] = crc.to_be_bytes();
        crc = TABLES[7][usize::from(chunk[0] ^ high)]
            ^ TABLES[6][usize::from(chunk[1] ^ low)]
            ^ TABLES[5][usize::from(chunk[2])]
            ^ TABLES[4][usize::from(chunk[3])]
            ^ TABLES[3][usize::from(chunk[4])]
            ^ TABLES[2][usize::from(chunk[5])]
            ^ TABLES[1][usize::from(chunk[6])]
            ^ TABLES[0][usize::from(chunk[7])];
    }
    for byte in chunks.remainder() {
        crc = (crc << 8) ^ TABLES[0][usize::from((crc >> 8) as u8 ^ byte)];
    }
    crc
}

/// Slots that follow each other, both ends among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u16, u16)", into = "(u16, u16)")]
pub struct SlotRange {
    first: u16,
    last: u16,
}

/// What is no range of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRangeError {
    /// Where it should have begun.
    pub first: u16,
    /// Where it should have ended.
    pub last: u16,
}

impl fmt::Display for SlotRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first, self.last);
        write!(f, "is {first} to {last}, rising and at most {}", SLOTS - 1)
    }
}

impl core::error::Error for SlotRangeError {}

impl TryFrom<(u16, u16)> for SlotRange {
    type Error = SlotRangeError;
    fn try_from((first, last): (u16, u16)) -> Result<Self, SlotRangeError> {
        Self::new(first, last)
    }
}

impl From<SlotRange> for (u16, u16) {
    fn from(range: SlotRange) -> Self {
        (range.first, range.last)
    }
}

impl SlotRange {
    /// Every slot.
    pub const ALL: Self = Self {
        first: 0,
        last: (SLOTS - 1) as u16,
    };

    /// The slots from `first` to `last`.
    ///
    /// # Errors
    /// [`SlotRangeError`] when they fall, or end behind the last slot.
    pub const fn new(first: u16, last: u16) -> Result<Self, SlotRangeError> {
        if first > last || last as usize >= SLOTS {
            return Err(SlotRangeError { first, last });
        }
        Ok(Self { first, last })
    }

    /// Where it begins.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// Where it ends; this slot is of it.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many slots: never none.
    #[must_use]
    pub const fn slots(self) -> usize {
        self.last as usize - self.first as usize + 1
    }

    /// Their numbers, to index tables with.
    #[must_use]
    pub fn indexes(self) -> core::ops::RangeInclusive<usize> {
        usize::from(self.first)..=usize::from(self.last)
    }
}

/// The runs of slots for which `of` says the same, in order, with what it says.
pub(crate) fn runs<T: PartialEq>(of: impl Fn(usize) -> T) -> Vec<(SlotRange, T)> {
    let mut runs: Vec<(SlotRange, T)> = Vec::new();
    for slot in 0..SLOTS {
        let value = of(slot);
        let number = slot as u16;
        match runs.last_mut() {
            Some((range, same)) if *same == value => range.last = number,
            _ => {
                let (first, last) = (number, number);
                runs.push((SlotRange { first, last }, value));
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte at a time, bit for bit, from the definition.
    fn plain(bytes: &[u8]) -> u16 {
        let mut crc = 0u16;
        for byte in bytes {
            crc ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                crc = (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            }
        }
        crc
    }

    #[test]
    fn eight_bytes_a_step_are_the_same_as_one() {
        let bytes: Vec<u8> = (0..300u32).map(|n| (n * 167 + 13) as u8).collect();
        for len in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..len]), plain(&bytes[..len]), "{len} bytes");
        }
    }

    #[test]
    fn a_tag_is_what_stands_between_the_first_brace_and_the_next() {
        for (key, hashed) in [
            ("{user1000}.following", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{bar", "foo{bar"),
            ("}{", "}{"),
            ("", ""),
        ] {
            assert_eq!(tagged(key.as_bytes()), hashed.as_bytes(), "{key}");
        }
    }

    #[test]
    fn a_range_rises_and_ends_within_the_ring() {
        assert_eq!(SlotRange::new(3, 5).unwrap().slots(), 3);
        assert_eq!(SlotRange::ALL.slots(), SLOTS);
        for (first, last) in [(5, 3), (0, 16_384), (16_384, 16_384)] {
            assert!(SlotRange::new(first, last).is_err(), "{first} {last}");
        }
    }

    #[test]
    fn runs_cover_every_slot_once() {
        let runs = runs(|slot| slot / 10_000);
        let spans: Vec<_> = runs.iter().map(|(r, v)| (r.first, r.last, *v)).collect();
        assert_eq!(spans, [(0, 9_999, 0), (10_000, 16_383, 1)]);
    }
}
