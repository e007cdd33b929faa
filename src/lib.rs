//! `iox2-gauntlet` judges a release of iceoryx2: does its request-response pattern
//! with dynamic data (`[u8]` slices that outgrow `initial_max_slice_len`) keep its
//! promises?

pub mod actor;
pub mod example;
pub mod payload;
pub mod sandbox;
