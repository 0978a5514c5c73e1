//! The client against a server that does what the test says: answers, cuts, hangs.

mod calls;
mod fake;
mod sessions;
