//! Which nodes are talked to: a voter that forgot must not vote.
//!
//! **Problem.** Raft counts a node's vote and its acknowledgements because they are on its disk.
//! A node whose directory was lost, swapped or restored answers to the same name and address, but
//! has forgotten what it promised; counting it could elect two leaders, or lose what a majority
//! has acknowledged.
//!
//! **Answer.** The membership records a random number of each node's data directory, its
//! *incarnation*. Whoever dials a member demands that the number in the reply is the recorded one.
//! So no acknowledgement and no vote of another incarnation is ever counted. That is the check
//! that safety rests on, and it is made by the dialer, with the membership that it acts upon.
//!
//! **The other direction** serves people: a node that comes back with another directory is told so
//! when it asks, rather than left waiting. It is asked only on connections that a node without a
//! membership would open. For connections that only a member in good standing opens (the log, the
//! votes) the listener may be the one that is behind: it may not have heard yet that the node was
//! replaced, and it hears of it only through such a connection.

use super::raft::Member;
use super::wire;
use crate::network::{Hello, Purpose, Refusal};

/// Judges a hello by what this node's membership records of the one who says it.
pub(super) fn judge(hello: &Hello, member: Option<&Member>) -> Result<(), Refusal> {
    match hello.purpose {
        Purpose::Calls(wire::CONTROL) | Purpose::Stream(_) => Ok(()),
        Purpose::Greet | Purpose::Calls(_) => match member {
            Some(member) if member.incarnation != hello.from_incarnation => {
                Err(Refusal::WrongIncarnation {
                    id: hello.from,
                    expected: member.incarnation,
                    found: hello.from_incarnation,
                })
            }
            Some(_) | None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(from_incarnation: u64, purpose: Purpose) -> Hello {
        Hello {
            cluster: "test".into(),
            fingerprint: 1,
            from: 2,
            from_incarnation,
            to: 1,
            purpose,
        }
    }

    #[test]
    fn a_node_with_another_directory_is_told_so_when_it_asks() {
        let member = Member {
            incarnation: 7,
            ..Member::default()
        };
        let asked = hello(8, Purpose::Greet);
        let refused = judge(&asked, Some(&member)).unwrap_err();
        assert!(matches!(
            refused,
            Refusal::WrongIncarnation {
                id: 2,
                expected: 7,
                found: 8
            }
        ));
        assert!(judge(&hello(8, Purpose::Calls(wire::WORK)), Some(&member)).is_err());
        assert!(judge(&hello(7, Purpose::Greet), Some(&member)).is_ok());
        assert!(judge(&hello(8, Purpose::Greet), None).is_ok());
    }

    #[test]
    fn a_listener_that_is_behind_still_hears_the_leader() {
        let member = Member {
            incarnation: 7,
            ..Member::default()
        };
        assert!(judge(&hello(8, Purpose::Stream(wire::APPEND)), Some(&member)).is_ok());
        assert!(judge(&hello(8, Purpose::Calls(wire::CONTROL)), Some(&member)).is_ok());
    }
}
