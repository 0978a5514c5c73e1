//! How leases of one lock share it, as the contract writes it.

use serde_json::Value;

/// A lease's mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody else.
    #[default]
    Exclusive,
    /// Any number of those who share.
    Shared,
    /// So many of the lock's permits.
    Permits {
        /// How many.
        permits: u64,
        /// Of how many.
        of: u64,
    },
}

impl Sharing {
    /// As it stands in a request or an answer; exclusive if it is not said.
    #[must_use]
    pub fn read(mode: &Value) -> Self {
        if let (Some(permits), Some(of)) = (mode["permits"].as_u64(), mode["of"].as_u64()) {
            return Self::Permits { permits, of };
        }
        match mode.as_str() {
            Some("shared") => Self::Shared,
            _ => Self::Exclusive,
        }
    }

    /// Whether two such leases of one lock can never be in force together, whoever else has it.
    #[must_use]
    pub fn excludes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Shared, Self::Shared) => false,
            (Self::Permits { permits, of }, Self::Permits { permits: more, .. }) => {
                permits + more > of
            }
            (Self::Exclusive | Self::Shared | Self::Permits { .. }, _) => true,
        }
    }

    /// What is wrong with this lease beside all of those, if anything is: how many permits there
    /// would be, of how many.
    #[must_use]
    pub fn overdraws(self, others: impl IntoIterator<Item = Self>) -> Option<(u64, u64)> {
        let Self::Permits { permits, of } = self else {
            return None;
        };
        let taken = others.into_iter().map(|other| match other {
            Self::Permits { permits, .. } => permits,
            Self::Exclusive | Self::Shared => 0,
        });
        let all = permits + taken.sum::<u64>();
        (all > of).then_some((all, of))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_those_who_share_get_along() {
        let [alone, shared] = [json!("exclusive"), json!("shared")].map(|it| Sharing::read(&it));
        let permits = |count: u64| Sharing::read(&json!({"permits": count, "of": 3}));
        assert_eq!(Sharing::read(&Value::Null), alone);
        assert!(alone.excludes(shared) && shared.excludes(alone) && alone.excludes(alone));
        assert!(!shared.excludes(shared) && shared.excludes(permits(1)));
        assert!(!permits(1).excludes(permits(2)) && permits(2).excludes(permits(2)));
        assert_eq!(permits(1).overdraws([permits(1), permits(1)]), None);
        assert_eq!(permits(2).overdraws([permits(1), permits(1)]), Some((4, 3)));
        assert_eq!(shared.overdraws([shared, shared]), None);
    }
}
