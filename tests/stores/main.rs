//! Fences against real stores: `../README.md` says what is here.

mod installed;
mod overslept;
mod postgres;
mod redis;
mod service;
