//! Slots: what a cluster's client computes from a key.

use lockring_core::RingHash;

/// How many there are.
pub(crate) const SLOTS: usize = 16_384;

/// The slot of a key.
pub(crate) fn of(key: &[u8]) -> u16 {
    RingHash::Crc16.slot(key)
}
