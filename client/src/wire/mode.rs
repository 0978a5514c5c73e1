//! How leases of one lock share it.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How the leases of a lock share it: `"exclusive"`, `"shared"`, or `{"permits":k,"of":n}`.
///
/// ```
/// use lockring_client::wire::Mode;
///
/// let mode: Mode = serde_json::from_str(r#"{"permits":2,"of":5}"#).unwrap();
/// assert_eq!(mode, Mode::Permits { permits: 2, of: 5 });
/// assert_eq!(serde_json::to_string(&Mode::Shared).unwrap(), r#""shared""#);
/// assert!(serde_json::from_str::<Mode>(r#""permits""#).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One holder at a time.
    #[default]
    Exclusive,
    /// Any number of holders that are all shared.
    Shared,
    /// A part of a capacity: the permits of all holders together are at most `of`.
    Permits {
        /// How many of the lock's permits, from 1 to `of`.
        permits: u32,
        /// How many there are; the same for all that use the lock at a time.
        of: u32,
    },
}

const EXCLUSIVE: &str = "exclusive";
const SHARED: &str = "shared";
const FIELDS: &[&str] = &["permits", "of"];

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exclusive => f.write_str(EXCLUSIVE),
            Self::Shared => f.write_str(SHARED),
            Self::Permits { permits, of } => write!(f, "{permits} of {of} permits"),
        }
    }
}

impl From<lockring_core::Mode> for Mode {
    fn from(mode: lockring_core::Mode) -> Self {
        match mode {
            lockring_core::Mode::Exclusive => Self::Exclusive,
            lockring_core::Mode::Shared => Self::Shared,
            lockring_core::Mode::Permits { count, of } => Self::Permits { permits: count, of },
        }
    }
}

/// Its numbers are the caller's to check, with [`lockring_core::Mode::fits`].
impl From<Mode> for lockring_core::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Exclusive => Self::Exclusive,
            Mode::Shared => Self::Shared,
            Mode::Permits { permits, of } => Self::Permits { count: permits, of },
        }
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exclusive => to.serialize_str(EXCLUSIVE),
            Self::Shared => to.serialize_str(SHARED),
            Self::Permits { permits, of } => {
                let mut fields = to.serialize_struct("Permits", 2)?;
                fields.serialize_field("permits", permits)?;
                fields.serialize_field("of", of)?;
                fields.end()
            }
        }
    }
}

/// By hand, because an untagged enum says of a wrong value only that it fits no variant.
impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Mode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#""exclusive", "shared" or {"permits":k,"of":n}"#)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Mode, E> {
        match text {
            EXCLUSIVE => Ok(Mode::Exclusive),
            SHARED => Ok(Mode::Shared),
            _ => Err(E::unknown_variant(text, &[EXCLUSIVE, SHARED])),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Mode, A::Error> {
        let (mut permits, mut of) = (None, None);
        while let Some(field) = map.next_key::<String>()? {
            let (name, number) = match field.as_str() {
                "permits" => ("permits", &mut permits),
                "of" => ("of", &mut of),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(A::Error::unknown_field(&field, FIELDS));
                }
            };
            if number.replace(map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field(name));
            }
        }
        Ok(Mode::Permits {
            permits: permits.ok_or_else(|| A::Error::missing_field("permits"))?,
            of: of.ok_or_else(|| A::Error::missing_field("of"))?,
        })
    }
}

#[cfg(feature = "openapi")]
mod schema {
    use std::borrow::Cow;

    use lockring_core::limits::PERMITS_MAX;
    use utoipa::openapi::schema::{
        AdditionalProperties, ObjectBuilder, OneOfBuilder, Schema, Type,
    };
    use utoipa::openapi::{RefOr, schema::SchemaType};
    use utoipa::{PartialSchema, ToSchema};

    use super::{EXCLUSIVE, Mode, SHARED};

    impl PartialSchema for Mode {
        fn schema() -> RefOr<Schema> {
            let named = ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::String))
                .enum_values(Some([EXCLUSIVE, SHARED]));
            let number = || {
                ObjectBuilder::new()
                    .schema_type(SchemaType::new(Type::Integer))
                    .minimum(Some(1))
                    .maximum(Some(PERMITS_MAX))
            };
            let permits = ObjectBuilder::new()
                .description(Some("A part of a capacity; `permits` is at most `of`."))
                .property("permits", number())
                .property("of", number())
                .required("permits")
                .required("of")
                .additional_properties(Some(AdditionalProperties::FreeForm(false)));
            let one = OneOfBuilder::new()
                .description(Some("How the leases of a lock share it."))
                .item(named)
                .item(permits);
            RefOr::T(Schema::OneOf(one.build()))
        }
    }

    impl ToSchema for Mode {
        fn name() -> Cow<'static, str> {
            Cow::Borrowed("Mode")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_they_are_written() {
        let permits = Mode::Permits { permits: 3, of: 3 };
        for mode in [Mode::Exclusive, Mode::Shared, permits] {
            let written = serde_json::to_string(&mode).unwrap();
            assert_eq!(serde_json::from_str::<Mode>(&written).unwrap(), mode);
        }
    }

    #[test]
    fn what_is_no_mode_is_told_with_what_would_be() {
        for (wrong, told) in [
            (r#""Shared""#, "expected `exclusive` or `shared`"),
            (r#"{"permits":1}"#, "missing field `of`"),
            (r#"{"permits":1,"off":2}"#, "unknown field `off`"),
            (r#"{"permits":1,"permits":2,"of":2}"#, "duplicate field"),
            (r#"{"permits":-1,"of":2}"#, "expected u32"),
            ("7", r#"{"permits":k,"of":n}"#),
        ] {
            let error = serde_json::from_str::<Mode>(wrong).unwrap_err().to_string();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }
}
