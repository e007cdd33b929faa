//! `iox2-gauntlet` judges a release of iceoryx2: does its request-response pattern
//! with dynamic data (`[u8]` slices that outgrow `initial_max_slice_len`) keep its
//! promises?
//!
//! The command line is `gauntlet`; this is the library below it, for those who want to
//! judge scenarios of their own.
//!
//! ```text
//!   scenario::generate        fixtures/*.toml, your own steps
//!                  \            /
//!                   v          v
//!              scenario::Scenario   what to do
//!                        |
//!                  lockstep::run
//!                   /         \
//!      model::Model            actor::Host   what does happen: iceoryx2 in
//!      what must happen        |             this process or in children
//!                   \         /
//!               lockstep::Outcome   what was checked, how often, how it ended
//! ```
//!
//! Data flows one way: a scenario knows nothing of iceoryx2, the model never calls it, an
//! actor never judges. Of traffic that threads make at the same time nothing can be predicted:
//! [`actor::concurrent`] logs it, [`model::concurrent`] judges the logs.
//!
//! | module | has |
//! | --- | --- |
//! | [`scenario`] | service settings and steps; their generators, files and shrinking |
//! | [`model`] | the promises, the known quirks, and the oracle |
//! | [`actor`] | everything that calls iceoryx2, here or in a child process |
//! | [`lockstep`] | scenario in, outcome out |
//! | [`runner`] | the same in child processes, which may crash and hang |
//! | [`sandbox`] | a domain of iceoryx2's own for every run, and what was left in it |
//! | [`payload`] | bytes that tell whose they are |
//! | [`coverage`] | in which situations the promises were checked |
//! | [`languages`] | participants in Python |
//! | [`gate`] | two releases side by side: what changes |
//! | [`campaign`], [`report`] | whole runs, as `gauntlet run` does them, and what they found |
//!
//! A property test of a promise iceoryx2 makes, over generated scenarios:
//!
//! ```
//! use iox2_gauntlet::{
//!     actor::iox::{self, Ipc}, campaign, lockstep, model, sandbox::Sandbox,
//!     scenario::generate::Family,
//! };
//! use proptest::{prelude::*, test_runner::RngSeed};
//!
//! proptest! {
//!     #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::with_cases(8) })]
//!
//!     fn growing_payloads_arrive(scenario in Family::Growth.scenarios()) {
//!         let quirks = campaign::switches(&campaign::active_quirks()?);
//!         let scenario = model::steered(&scenario, &quirks);
//!         let sandbox = Sandbox::new()?;
//!         let config = sandbox.config_for("growth", &scenario.service)?;
//!         let mut host = Ipc::new(&config, "growth", scenario.service.clone())?;
//!         let outcome = lockstep::run(&scenario, &quirks, &mut host, &mut lockstep::Silent);
//!         prop_assert!(outcome.end.is_kept(), "{:?}", outcome.end);
//!     }
//! }
//!
//! iox::silence(); // iceoryx2 warns of every limit that is reached on purpose
//! growing_payloads_arrive(); // in a test file, `#[test]` does this
//! ```
//!
//! It lives with the quirks this iceoryx2 is known to have, so that the next problem is
//! found; `Default::default()` instead of `quirks` judges strictly. In this process a crash
//! of iceoryx2 ends the test, and a test that hangs hangs: [`runner::Runner`] judges in
//! children and makes both an outcome.

pub mod actor;
pub mod campaign;
pub mod coverage;
pub mod example;
pub mod exit;
pub mod gate;
pub mod languages;
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
mod workers;

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
