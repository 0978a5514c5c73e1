//! One number for many bytes: what replicas compare, and what tells one call from another.
//!
//! FNV-1a over 64 bits, the last step mixed with the finalizer of SplitMix64 so that a change in
//! the last bytes reaches every bit. It finds divergence and accidents; it is no defence against
//! somebody who wants two inputs with the same number.

use crate::name::SessionId;

/// Takes bytes, gives a number. Only the bytes count, not how they were cut into pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Writes text behind its length, so that two texts in a row cannot trade bytes.
    pub(crate) fn write_text(&mut self, text: &str) {
        self.write_number(text.len() as u64);
        self.write(text.as_bytes());
    }

    pub(crate) fn write_session(&mut self, session: SessionId) {
        self.write(&session.to_bits().to_le_bytes());
    }

    pub(crate) fn write_number(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    pub(crate) const fn finish(self) -> u64 {
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
