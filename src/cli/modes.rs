//! How a lock shall be shared: what every verb that takes one asks.

use std::str::FromStr;

use clap::Args;
use lockring_client::Mode;

/// How the lock shall be shared; exclusive if nothing is said.
#[derive(Clone, Debug, Args)]
pub(super) struct Modes {
    /// Hold it together with all others that hold it shared
    #[arg(long)]
    shared: bool,
    /// Hold K of the lock's N permits; all that use it at a time must say the same N
    #[arg(long, value_name = "K/N", conflicts_with = "shared")]
    permits: Option<Permits>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Permits {
    permits: u32,
    of: u32,
}

impl FromStr for Permits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wants = || format!("`{text}` are no permits: write them like 2/10, two of ten");
        let (permits, of) = text.split_once('/').ok_or_else(wants)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| wants());
        let (permits, of) = (number(permits)?, number(of)?);
        if permits == 0 || permits > of {
            return Err(wants());
        }
        Ok(Self { permits, of })
    }
}

impl Modes {
    pub(super) const fn mode(&self) -> Mode {
        match self.permits {
            Some(Permits { permits, of }) => Mode::Permits { permits, of },
            None if self.shared => Mode::Shared,
            None => Mode::Exclusive,
        }
    }

    /// For a request: what is not said is not sent.
    pub(super) fn said(&self) -> Option<Mode> {
        Some(self.mode()).filter(|mode| *mode != Mode::Exclusive)
    }
}

/// A mode in as few letters as a table needs.
pub(super) fn short(mode: Mode) -> String {
    match mode {
        Mode::Permits { permits, of } => format!("{permits}/{of}"),
        Mode::Exclusive | Mode::Shared => mode.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_some_of_so_many() {
        let permits = |text: &str| text.parse::<Permits>();
        assert_eq!(permits("2/10"), Ok(Permits { permits: 2, of: 10 }));
        assert_eq!(permits("1/1"), Ok(Permits { permits: 1, of: 1 }));
        for text in ["", "2", "2/", "/2", "0/3", "4/3", "-1/3", "1/3/5", "a/b"] {
            assert!(permits(text).is_err(), "{text}");
        }
    }
}
