//! Values behind a gate.

use std::collections::HashMap;

use serde_json::Value;

use super::{Answer, Request};

/// Whether fences are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checking {
    /// A fence lower than the highest seen is refused.
    Fences,
    /// Everybody is let through.
    Nothing,
}

/// Values under keys, each with the highest fence seen.
#[derive(Debug)]
pub struct Store {
    checking: Checking,
    values: HashMap<String, (u64, Value)>,
}

impl Store {
    /// An empty one.
    #[must_use]
    pub fn new(checking: Checking) -> Self {
        Self {
            checking,
            values: HashMap::new(),
        }
    }

    /// Does what is asked, if the fence allows it.
    pub fn serve(&mut self, request: Request) -> Answer {
        let (key, fence, write) = match request {
            Request::Look { key } => {
                let value = self.values.get(&key).map(|(_, value)| value.clone());
                let value = value.unwrap_or_default();
                return Answer::Done { value };
            }
            Request::Read { key, fence } => (key, fence, None),
            Request::Write { key, fence, value } => (key, fence, Some(value)),
        };
        let (highest, value) = self.values.entry(key).or_default();
        if self.checking == Checking::Fences && fence < *highest {
            return Answer::Stale { highest: *highest };
        }
        *highest = fence.max(*highest);
        if let Some(new) = write {
            *value = new;
        }
        Answer::Done {
            value: value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(fence: u64) -> Request {
        let key = "k".to_owned();
        Request::Read { key, fence }
    }

    fn write(fence: u64, value: u64) -> Request {
        let key = "k".to_owned();
        let value = json!(value);
        Request::Write { key, fence, value }
    }

    #[test]
    fn a_read_shuts_the_gate_behind_it() {
        let mut store = Store::new(Checking::Fences);
        assert_eq!(store.serve(write(3, 30)), Answer::Done { value: json!(30) });
        assert_eq!(store.serve(read(5)), Answer::Done { value: json!(30) });
        assert_eq!(store.serve(write(3, 31)), Answer::Stale { highest: 5 });
        assert_eq!(store.serve(read(4)), Answer::Stale { highest: 5 });
        assert_eq!(store.serve(write(5, 50)), Answer::Done { value: json!(50) });
    }

    #[test]
    fn without_checks_the_last_writer_wins() {
        let mut store = Store::new(Checking::Nothing);
        store.serve(write(5, 50));
        assert_eq!(store.serve(write(3, 30)), Answer::Done { value: json!(30) });
        let key = "k".to_owned();
        assert_eq!(
            store.serve(Request::Look { key }),
            Answer::Done { value: json!(30) }
        );
    }
}
