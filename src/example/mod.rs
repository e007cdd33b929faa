//! The example programs `client` and `server`, and what it takes to drive them.
//!
//! A client sends requests of growing size, every server answers each with data that
//! grows by its own count, and both print how many bytes they received. It is
//! iceoryx2's own request-response example with dynamic data, except that every
//! payload carries its identity ([`crate::payload`]) and every reader checks it.

pub mod client;
pub mod driver;
pub mod event;
pub mod exit_code;
pub mod failure;
pub mod flags;
pub mod participant;
pub mod server;
pub mod sizes;
pub mod verify;
