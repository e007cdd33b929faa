//! What to do: service settings and a list of steps, as plain data.
//!
//! A step names participants and objects by small indices that are resolved
//! *totally*: an index counts among what exists at that moment, oldest first (or, from
//! -1 down, newest first), and is taken modulo their number; a step with nothing to act
//! on is skipped. So every sub-list of a scenario is a valid scenario, and shrinking
//! needs no precondition.
//!
//! [`generate`] draws scenarios, [`mod@file`] reads and writes them, [`mod@shrink`] makes a
//! failing one small. One written by hand is the same whether in Rust or in TOML:
//!
//! ```
//! use iox2_gauntlet::scenario::{LoanForm, OpenMode, Scenario, Step, Strategy};
//!
//! let in_rust = Scenario::of_steps(vec![
//!     Step::Join { how: OpenMode::Create, require: None },
//!     Step::create_client(0, Strategy::BestFit, 8),
//!     Step::LoanRequest { client: 0, len: 4096, form: LoanForm::WriteFromFn },
//!     Step::SendRequest { request: -1 },
//! ]);
//! let in_toml = Scenario::parse(
//!     r#"
//!     schema = 1
//!     steps = [
//!         { join = { how = "create" } },
//!         { create-client = { participant = 0, strategy = "best-fit", hint = 8 } },
//!         { loan-request = { client = 0, len = 4096, form = "write-from-fn" } },
//!         { send-request = { request = -1 } },
//!     ]
//!     "#,
//!     "example.toml".as_ref(),
//! )?;
//! assert_eq!(in_rust, in_toml);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod concurrent;
pub mod file;
pub(crate) mod full_load;
pub mod generate;
mod object;
mod settings;
pub mod shrink;
mod step;

use serde::{Deserialize, Serialize};

pub use concurrent::Concurrent;
pub use settings::{Backpressure, CleanUp, OWN_SUFFIX, Payloads, Settings, SettingsVia};
pub use step::{
    LoanForm, MORE_THAN_NEEDED, MOST_RESPONSE_LOANS, Moment, Nth, OpenMode, PayloadType,
    Requirement, Step, is_reduced,
};

/// Version of the file format; see [`Scenario::schema`].
pub const SCHEMA: u32 = 1;

/// Everything that is needed to run one experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    /// Format version, [`SCHEMA`].
    pub schema: u32,
    /// One line that says what this is about.
    #[serde(default)]
    pub title: String,
    /// The order in which whatever is left at the end is dropped.
    #[serde(default)]
    pub settle: SettleOrder,
    /// Settings of the one service all participants share.
    #[serde(default)]
    pub service: Settings,
    /// Traffic that threads make at the same time, before the steps and without the
    /// participants of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<Concurrent>,
    /// What happens.
    pub steps: Vec<Step>,
    /// What happens then, again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
}

/// Steps that are taken more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Repeat {
    /// How often.
    pub times: usize,
    /// Elements by which every loan is longer than in the repetition before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stretch: usize,
    /// What happens each time.
    pub steps: Vec<Step>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde demands
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Repeat {
    /// The steps of all repetitions.
    fn written_out(&self) -> impl Iterator<Item = Step> {
        (0..self.times).flat_map(move |turn| {
            self.steps.iter().map(move |step| step.stretched(turn.saturating_mul(self.stretch)))
        })
    }
}

impl Scenario {
    /// A scenario with default settings.
    #[must_use]
    pub fn of_steps(steps: Vec<Step>) -> Self {
        Self {
            schema: SCHEMA,
            title: String::new(),
            settle: SettleOrder::default(),
            service: Settings::default(),
            concurrent: None,
            steps,
            repeat: None,
        }
    }

    /// All steps in the order they are taken, repetitions written out.
    pub fn all_steps(&self) -> impl Iterator<Item = Step> {
        let repeated = self.repeat.iter().flat_map(Repeat::written_out);
        self.steps.iter().copied().chain(repeated)
    }

    /// Whether a participant is killed, which only has an effect where each has a process of
    /// its own.
    #[must_use]
    pub fn kills(&self) -> bool {
        self.has(|step| {
            matches!(step, Step::Kill { .. } | Step::Die { .. } | Step::KillAmid { .. })
        })
    }

    /// Whether somebody is killed amid a step.
    #[must_use]
    pub fn kills_amid(&self) -> bool {
        self.has(|step| matches!(step, Step::KillAmid { .. }))
    }

    /// Whether somebody is held amid a step.
    #[must_use]
    pub fn holds_amid(&self) -> bool {
        self.has(|step| matches!(step, Step::HoldAmid { .. }))
    }

    /// Whether somebody runs short of something amid a step.
    #[must_use]
    pub fn runs_short(&self) -> bool {
        self.has(|step| matches!(step, Step::RunShort { .. }))
    }

    /// Whether the first who joins may run short of something.
    #[must_use]
    pub fn begins_short(&self) -> bool {
        let first = |step: &Step| matches!(step, Step::RunShort { .. } | Step::Join { .. });
        matches!(self.all_steps().find(first), Some(Step::RunShort { .. }))
    }

    /// Whether more than one participant may join.
    #[must_use]
    pub fn has_company(&self) -> bool {
        let joins = self.all_steps().filter(|step| matches!(step, Step::Join { .. }));
        joins.take(2).count() > 1
    }

    /// Whether one of its steps is such a one.
    pub(crate) fn has(&self, is_one: impl Fn(&Step) -> bool) -> bool {
        let repeated = self.repeat.iter().flat_map(|repeat| &repeat.steps);
        self.steps.iter().chain(repeated).any(is_one)
    }

    /// Number of steps a person has to read.
    #[must_use]
    pub fn written_steps(&self) -> usize {
        self.steps.len() + self.repeat.as_ref().map_or(0, |repeat| repeat.steps.len())
    }
}

/// The order in which the objects that outlive the steps are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettleOrder {
    /// Last created first, as local variables would be.
    #[default]
    NewestFirst,
    /// First created first: nodes and ports before what came out of them.
    OldestFirst,
    /// In the order of a permutation drawn from this seed.
    Shuffled(u32),
}

/// iceoryx2's `AllocationStrategy`, as plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Never grows.
    Static,
    /// Grows to exactly what is needed.
    BestFit,
    /// Grows to the next power of two.
    PowerOfTwo,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Static, Self::BestFit, Self::PowerOfTwo];

    /// Whether a loan beyond the hint makes the memory grow.
    #[must_use]
    pub fn is_dynamic(self) -> bool {
        self != Self::Static
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretched_repetition_makes_every_loan_longer_than_the_one_before() {
        let form = LoanForm::default();
        let drop = Step::DropRequest { request: 0 };
        let loan = |len| Step::LoanRequest { client: 0, len, form };
        let mut scenario = Scenario::of_steps(vec![loan(7)]);
        scenario.repeat = Some(Repeat { times: 3, stretch: 5, steps: vec![loan(9), drop] });
        let all: Vec<_> = scenario.all_steps().collect();
        assert_eq!(all, [loan(7), loan(9), drop, loan(14), drop, loan(19), drop]);
    }
}
