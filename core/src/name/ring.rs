//! What rings, members and zones are called.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt::{self, Write};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::{Digest, Sha1};

use super::{NameError, Parse, check_text};
use crate::limits;

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $bytes_max:expr, $may_be_empty:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses it.
            ///
            /// # Errors
            /// [`NameError`] when it is too long or holds a control character, or is empty and
            /// may not be.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if !($may_be_empty && text.is_empty()) {
                    check_text(text, $bytes_max)?;
                }
                Ok(Self(text.into()))
            }

            /// The text as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(Parse(Self::parse))
            }
        }
    };
}

text_name!(
    /// The name of a ring: 1–128 bytes of UTF-8 without control characters.
    RingName,
    limits::RING_NAME_BYTES_MAX,
    false
);
text_name!(
    /// The name of a ring's member: 1–128 bytes of UTF-8 without control characters. It stays
    /// the same over restarts, so that a member that comes back gets its slots back.
    MemberName,
    limits::MEMBER_NAME_BYTES_MAX,
    false
);
text_name!(
    /// Where a member is, in the operator's own words; at most 64 bytes, empty if not said.
    /// Preference lists spread over zones.
    Zone,
    limits::ZONE_BYTES_MAX,
    true
);

impl RingName {
    /// What sorts before every name: a place to begin a range, never the name of a ring.
    pub(crate) fn floor() -> Self {
        Self("".into())
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self("".into())
    }
}

/// A member's weight: 1 to 1024 units. Twice the weight, twice the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct Weight(u16);

/// A weight outside its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightError {
    /// What was asked for.
    pub weight: u64,
}

impl fmt::Display for WeightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is {}, from 1 to {}", self.weight, limits::WEIGHT_MAX)
    }
}

impl core::error::Error for WeightError {}

impl TryFrom<u16> for Weight {
    type Error = WeightError;
    fn try_from(weight: u16) -> Result<Self, WeightError> {
        Self::parse(u64::from(weight))
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl Weight {
    /// A weight of so many units.
    ///
    /// # Errors
    /// [`WeightError`] outside 1…1024.
    pub fn parse(weight: u64) -> Result<Self, WeightError> {
        match u16::try_from(weight) {
            Ok(units) if (1..=limits::WEIGHT_MAX).contains(&units) => Ok(Self(units)),
            Ok(_) | Err(_) => Err(WeightError { weight }),
        }
    }

    /// How many units.
    #[must_use]
    pub const fn units(self) -> u16 {
        self.0
    }
}

impl MemberName {
    /// The name under which a Redis Cluster's clients know a member of a ring: 40 hexadecimal
    /// digits, those of SHA-1(ring, 0, member). A member that comes back is the same to them.
    ///
    /// ```
    /// use lockring_core::{MemberName, RingName};
    ///
    /// let (ring, member) = (RingName::parse("cache")?, MemberName::parse("a")?);
    /// assert_eq!(member.redis_id(&ring).len(), 40);
    /// assert_eq!(member.redis_id(&ring), member.redis_id(&ring));
    /// # Ok::<(), lockring_core::NameError>(())
    /// ```
    #[must_use]
    pub fn redis_id(&self, ring: &RingName) -> String {
        let mut digest = Sha1::new();
        digest.update(ring.as_str());
        digest.update([0]);
        digest.update(self.as_str());
        let mut id = String::with_capacity(40);
        for byte in digest.finalize() {
            write!(id, "{byte:02x}").expect("a String takes whatever is written");
        }
        id
    }
}

/// Where a member is reached: what for (`resp`, `peer`, …) and at which address. At most eight,
/// each name and address at most 256 bytes without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Addresses(Arc<BTreeMap<String, String>>);

impl Addresses {
    /// Parses them.
    ///
    /// # Errors
    /// [`NameError`] of the first name or address that is empty, too long or not plain text, and
    /// [`NameError::TooLong`] counting addresses when there are too many.
    pub fn parse(addresses: BTreeMap<String, String>) -> Result<Self, NameError> {
        if addresses.len() > limits::ADDRESSES_PER_MEMBER_MAX {
            return Err(NameError::TooLong {
                bytes: addresses.len(),
                bytes_max: limits::ADDRESSES_PER_MEMBER_MAX,
            });
        }
        for (what, address) in &addresses {
            check_text(what, limits::ADDRESS_BYTES_MAX)?;
            check_text(address, limits::ADDRESS_BYTES_MAX)?;
        }
        Ok(Self(Arc::new(addresses)))
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, what: &str) -> Option<&str> {
        self.0.get(what).map(String::as_str)
    }

    /// All, in the order of what they are for.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(what, address)| (what.as_str(), address.as_str()))
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let addresses = BTreeMap::deserialize(from)?;
        Self::parse(addresses).map_err(D::Error::custom)
    }
}
