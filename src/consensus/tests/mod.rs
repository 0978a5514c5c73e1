//! Whole replicas in one process: real logs in temporary directories, peers in memory.

mod cluster;
mod failover;
mod journal;
mod members;
mod poison;
mod work;
