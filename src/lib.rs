//! `iox2-gauntlet` judges a release of iceoryx2: does its request-response pattern
//! with dynamic data (`[u8]` slices that outgrow `initial_max_slice_len`) keep its
//! promises?

pub mod actor;
pub mod campaign;
pub mod coverage;
pub mod example;
pub mod exit;
pub mod lockstep;
pub mod model;
pub mod payload;
pub mod position;
pub mod report;
pub mod runner;
pub mod sandbox;
pub mod scenario;
pub mod teeth;
pub mod trial;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
