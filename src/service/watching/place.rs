//! A place among all events.

use std::fmt;
use std::str::FromStr;

/// *All events up to here*: of whole revisions, and perhaps the first few of the next.
///
/// Written as `57` for all of revision 57, and as `57.2` for its events up to number 2, counted
/// from 0. One revision makes many events when a session ends that held many locks, and a reader
/// whose connection breaks among them goes on exactly there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    revision: u64,
    /// The number of the last event; above all others if the revision is whole.
    nth: u32,
}

const WHOLE: u32 = u32::MAX;

impl Place {
    /// Behind all events of this revision.
    #[must_use]
    pub const fn behind(revision: u64) -> Self {
        Self {
            revision,
            nth: WHOLE,
        }
    }

    /// Behind this event of a revision.
    pub(super) fn within(revision: u64, nth: usize) -> Self {
        let nth = u32::try_from(nth).unwrap_or(WHOLE).min(WHOLE - 1);
        Self { revision, nth }
    }

    /// The revision that it is behind, or in.
    pub(super) const fn revision(self) -> u64 {
        self.revision
    }

    /// The last revision of which nothing is left to tell.
    pub(super) const fn last_whole(self) -> u64 {
        match self.nth {
            WHOLE => self.revision,
            _ => self.revision.saturating_sub(1),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nth {
            WHOLE => write!(f, "{}", self.revision),
            nth => write!(f, "{}.{nth}", self.revision),
        }
    }
}

/// It is not a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an event: a revision, or revision.number")]
pub struct PlaceError;

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (revision, nth) = match text.split_once('.') {
            None => (text, None),
            Some((revision, nth)) => (revision, Some(nth)),
        };
        if !digits(revision) || !nth.is_none_or(digits) {
            return Err(PlaceError);
        }
        let revision = revision.parse().map_err(|_| PlaceError)?;
        match nth {
            None => Ok(Self::behind(revision)),
            Some(nth) => match nth.parse() {
                Ok(WHOLE) | Err(_) => Err(PlaceError),
                Ok(nth) => Ok(Self { revision, nth }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written_and_stand_in_order() {
        let places = ["0", "57.0", "57.12", "57", "58.0"];
        let parsed: Vec<Place> = places.iter().map(|text| text.parse().unwrap()).collect();
        assert!(parsed.is_sorted(), "{parsed:?}");
        for (text, place) in places.iter().zip(&parsed) {
            assert_eq!(*text, place.to_string());
        }
        assert_eq!(parsed[1].last_whole(), 56);
        assert_eq!(parsed[3].last_whole(), 57);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for wrong in ["", "+5", "-1", "5.", ".5", "5.5.5", "5.4294967295", "x"] {
            assert_eq!(wrong.parse::<Place>(), Err(PlaceError), "{wrong}");
        }
    }
}
