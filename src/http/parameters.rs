//! What a query says, read strictly.

use axum::extract::Query;
use axum::http::Uri;
use lockring_core::limits;

use super::ask::number;
use super::error::Failure;
use crate::service::{Consistency, Freshness};

/// The parameters of a query, taken one by one; what is left at the end was not known.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of this address.
    pub(super) fn of(uri: &Uri) -> Result<Self, Failure> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(Parameters(Vec::new()));
        }
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Failure::Malformed(error.to_string()))?;
        Ok(Parameters(pairs))
    }

    /// A parameter's text, if it was given.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Failure> {
        let Some(at) = self.0.iter().position(|(given, _)| given == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.swap_remove(at);
        match self.0.iter().any(|(given, _)| given == name) {
            true => Err(Failure::invalid(name, value, "given once")),
            false => Ok(Some(value)),
        }
    }

    /// A parameter's number within its bounds, if it was given.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Failure> {
        let text = self.text(name)?;
        text.map(|text| number(name, &text, bounds)).transpose()
    }

    /// How many rows a page may have.
    pub(super) fn rows(&mut self) -> Result<usize, Failure> {
        let rows = self.number("limit", 1..=limits::PAGE_ROWS_MAX as u64)?;
        Ok(rows.map_or(limits::PAGE_ROWS_DEFAULT, |rows| {
            usize::try_from(rows).expect("it is within the bound")
        }))
    }

    /// How fresh a read must be.
    pub(super) fn freshness(&mut self) -> Result<Freshness, Failure> {
        let consistency = match self.text("consistency")?.as_deref() {
            None | Some("linearizable") => Consistency::Linearizable,
            Some("stale") => Consistency::Stale,
            Some(other) => {
                return Err(Failure::invalid(
                    "consistency",
                    other,
                    "one of linearizable, stale",
                ));
            }
        };
        Ok(Freshness {
            consistency,
            min_revision: self.number("min_revision", 0..=u64::MAX)?,
        })
    }

    /// Refuses what was not taken.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, value)) => Err(Failure::invalid(name, value, "no such parameter")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ask::tests::invalid;

    #[test]
    fn a_query_is_read_strictly() {
        let of = |query: &str| Parameters::of(&format!("/x?{query}").parse().unwrap()).unwrap();
        let mut all = of("limit=7&consistency=stale&min_revision=3");
        assert_eq!(all.rows().unwrap(), 7);
        assert_eq!(
            all.freshness().unwrap(),
            Freshness {
                consistency: Consistency::Stale,
                min_revision: Some(3)
            }
        );
        all.end().unwrap();
        assert_eq!(of("").rows().unwrap(), limits::PAGE_ROWS_DEFAULT);
        assert_eq!(
            of("prefix=a%2Fb+c").text("prefix").unwrap().unwrap(),
            "a/b c"
        );
        assert_eq!(invalid(of("limit=0").rows()).2, "a number from 1 to 1000");
        assert_eq!(invalid(of("limit=1&limit=2").rows()).2, "given once");
        assert_eq!(invalid(of("colour=red").end()).0, "colour");
        assert_eq!(invalid(of("consistency=x").freshness()).1, "x");
    }
}
