//! The client against a server that does what the test says: answers, cuts, hangs.

mod calls;
mod events;
mod fake;
mod leases;
mod sessions;
