//! How widely the promises were put to the test: not how often, but in how many
//! different situations.
//!
//! Every [`Outcome`](crate::lockstep::Outcome) carries its [`Coverage`]; merged over many
//! scenarios, [`Reach`] says how much of what is possible was met, and names the rest.
//!
//! ```
//! use iox2_gauntlet::{
//!     actor::ActionKind,
//!     coverage::{Cell, Coverage, InFlight, Occasion, Reach},
//!     model::Promise,
//!     runner::Layout,
//!     scenario::Strategy,
//! };
//!
//! let mut coverage = Coverage::default();
//! coverage.note(Cell {
//!     promise: Promise::RequestBytesArrive,
//!     step: Occasion::Step(ActionKind::ReceiveRequest),
//!     strategy: Some(Strategy::BestFit),
//!     in_flight: InFlight::One,
//! });
//! let reach = Reach::of(&[(Layout::Together, coverage)].into());
//! assert_eq!(reach.reached, 1);
//! assert_eq!(reach.unreached.len(), reach.possible - 1);
//! ```

mod checks;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator as _;

use crate::{actor::ActionKind, model::Promise, runner::Layout, scenario::Strategy};

pub(crate) use checks::{Checks, Situation};

/// When a promise was held against iceoryx2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Occasion {
    /// At a step of this kind.
    Step(ActionKind),
    /// At something that looks at the whole.
    Whole(Whole),
}

/// What looks at the whole rather than at one step.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumCount,
    strum::EnumIter,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Whole {
    /// The count of mapped shared memory while the ports live.
    MappedMemory,
    /// The search for what there is once everything was dropped.
    Aftermath,
    /// The census after everything was dropped.
    Census,
    /// The comparison with a second run.
    Comparison,
    /// The logs of threads that made traffic at the same time.
    Concurrent,
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(kind) => kind.fmt(f),
            Self::Whole(whole) => whole.fmt(f),
        }
    }
}

/// How many messages were sent and not yet received, over all connections.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumCount,
    strum::EnumIter,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum InFlight {
    /// 0.
    None,
    /// 1.
    One,
    /// 2 or 3.
    Few,
    /// 4 or more.
    Many,
}

impl From<usize> for InFlight {
    fn from(count: usize) -> Self {
        match count {
            0 => Self::None,
            1 => Self::One,
            2 | 3 => Self::Few,
            _ => Self::Many,
        }
    }
}

/// One kind of situation in which a promise can be put to the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cell {
    /// What was promised.
    pub promise: Promise,
    /// At what it was checked.
    pub step: Occasion,
    /// Strategy of the port whose memory was used; `None` where no memory is.
    pub strategy: Option<Strategy>,
    /// What was on its way at that moment.
    pub in_flight: InFlight,
}

/// How often each situation was met.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Cell, u64)>", into = "Vec<(Cell, u64)>")]
pub struct Coverage(BTreeMap<Cell, u64>);

impl Coverage {
    /// Counts a check.
    pub fn note(&mut self, cell: Cell) {
        *self.0.entry(cell).or_default() += 1;
    }

    /// Adds what another run has met.
    pub fn merge(&mut self, other: &Self) {
        for (cell, count) in &other.0 {
            *self.0.entry(*cell).or_default() += count;
        }
    }

    /// All situations that were met, with how often.
    pub fn cells(&self) -> impl Iterator<Item = (&Cell, u64)> {
        self.0.iter().map(|(cell, count)| (cell, *count))
    }

    /// How often a promise was put to the test.
    #[must_use]
    pub fn checks(&self) -> BTreeMap<Promise, u64> {
        let mut checks = BTreeMap::new();
        for (cell, count) in &self.0 {
            *checks.entry(cell.promise).or_default() += count;
        }
        checks
    }
}

impl From<Vec<(Cell, u64)>> for Coverage {
    fn from(cells: Vec<(Cell, u64)>) -> Self {
        Self(cells.into_iter().collect())
    }
}

impl From<Coverage> for Vec<(Cell, u64)> {
    fn from(coverage: Coverage) -> Self {
        coverage.0.into_iter().collect()
    }
}

/// Where a run has been, out of where it could have been.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Situations that were met.
    pub reached: usize,
    /// Situations there are.
    pub possible: usize,
    /// Situations that were never met.
    pub unreached: Vec<(Layout, Cell)>,
}

/// Generated scenarios from which on a run is expected to get around.
pub const LONG_RUN: usize = 1000;

/// Share of the possible situations, in percent, a long run must meet; one that does not
/// has judged less than it seems. Runs of a thousand scenarios meet about 95, and the fixtures and
/// proofs with twenty scenarios about 75.
pub const FLOOR: usize = 85;

impl Reach {
    /// How far these checks reached.
    #[must_use]
    pub fn of(coverage: &BTreeMap<Layout, Coverage>) -> Self {
        let is_met = |layout: &Layout, cell: &Cell| {
            coverage.get(layout).is_some_and(|coverage| coverage.0.contains_key(cell))
        };
        let mut reach = Self::default();
        for (layout, cell) in situations() {
            reach.possible += 1;
            if is_met(&layout, &cell) {
                reach.reached += 1;
            } else {
                reach.unreached.push((layout, cell));
            }
        }
        reach
    }

    /// Situations of one promise that were met and that there are, as in `3/8`.
    #[must_use]
    pub fn of_promise(&self, promise: Promise) -> String {
        let possible = situations().filter(|(_, cell)| cell.promise == promise).count();
        let missing = self.unreached.iter().filter(|(_, cell)| cell.promise == promise).count();
        format!("{}/{possible}", possible - missing)
    }

    /// Share of the possible situations that were met, in percent.
    #[must_use]
    pub fn percent(&self) -> usize {
        100 * self.reached / self.possible.max(1)
    }

    /// Whether a run of so many generated scenarios got around as little as none should.
    #[must_use]
    pub fn is_below_floor(&self, scenarios: usize) -> bool {
        scenarios >= LONG_RUN && self.percent() < FLOOR
    }
}

/// All situations in which some promise can be put to the test.
pub fn situations() -> impl Iterator<Item = (Layout, Cell)> {
    let of_promise = |promise: Promise| {
        occasions(promise).into_iter().flat_map(move |step| {
            let layouts = match step {
                // Runs are compared within one process, and threads have one.
                Occasion::Whole(Whole::Comparison | Whole::Concurrent) => vec![Layout::Together],
                // Whoever is killed takes nobody along.
                Occasion::Step(ActionKind::Die | ActionKind::Kill | ActionKind::KillAmid) => {
                    vec![Layout::Apart]
                }
                _ => vec![Layout::Together, Layout::Apart],
            };
            layouts.into_iter().flat_map(move |layout| {
                strategies(promise, step).into_iter().flat_map(move |strategy| {
                    loads(promise, step)
                        .into_iter()
                        .map(move |in_flight| (layout, Cell { promise, step, strategy, in_flight }))
                })
            })
        })
    };
    Promise::ALL.iter().copied().flat_map(of_promise)
}

/// Promises that hold whoever is first.
pub(crate) const HOLDS_IN_ANY_ORDER: [Promise; 25] = [
    Promise::NeverCrashes,
    Promise::NeverHangs,
    Promise::LoanHasRequestedLength,
    Promise::LoanSliceIsDefault,
    Promise::UserHeaderStartsAsDefault,
    Promise::LoanWithinLimitsSucceeds,
    Promise::LoanLimit,
    Promise::HeldDataStaysIntact,
    Promise::PayloadIsAligned,
    Promise::RequestBytesArrive,
    Promise::ResponseBytesArrive,
    Promise::UserHeaderArrives,
    Promise::OriginNamesSender,
    Promise::SendReachesEveryServer,
    Promise::RequestsArriveInOrder,
    Promise::ResponsesArriveInOrder,
    Promise::NoRequestIsLost,
    Promise::NoResponseIsLost,
    Promise::ResponseReachesOnlyItsRequest,
    Promise::HasResponseIsTrue,
    Promise::ActiveRequestConnection,
    Promise::PendingResponseConnection,
    Promise::CreateAndOpen,
    Promise::ServiceIsListedWithItsNodes,
    Promise::PortCounts,
];

/// When a promise can be put to the test.
fn occasions(promise: Promise) -> Vec<Occasion> {
    let at_once = HOLDS_IN_ANY_ORDER.contains(&promise);
    let at_once = at_once.then_some(Occasion::Whole(Whole::Concurrent));
    occasions_in_order(promise).into_iter().chain(at_once).collect()
}

/// When it can while one step is taken after the other.
fn occasions_in_order(promise: Promise) -> Vec<Occasion> {
    use ActionKind as K;
    use Promise as P;
    let steps: &[ActionKind] = match promise {
        P::NeverCrashes | P::NeverHangs => return K::iter().map(Occasion::Step).collect(),
        P::HeldDataStaysIntact => {
            let quiet = [
                K::Join,
                K::InspectPending,
                K::InspectActive,
                K::InspectServer,
                K::InspectService,
                K::HintDisconnect,
            ];
            let moving = K::iter().filter(|kind| !quiet.contains(kind));
            return moving.map(Occasion::Step).collect();
        }
        P::UnusedMemoryIsReleased | P::FilesStayInTheDomain | P::DataIsWrittenByItsPort => {
            return vec![Occasion::Whole(Whole::MappedMemory)];
        }
        P::ServiceEndsWithItsUsers | P::ServicesAreToldApart => {
            return vec![Occasion::Whole(Whole::Aftermath)];
        }
        P::NothingIsLeftBehind => return vec![Occasion::Whole(Whole::Census)],
        P::StrategiesAgree | P::VariantsAgree => return vec![Occasion::Whole(Whole::Comparison)],
        P::LoanHasRequestedLength
        | P::LoanSliceIsDefault
        | P::UserHeaderStartsAsDefault
        | P::LoanWithinLimitsSucceeds
        | P::HintIsOnlyAHint
        | P::StaticRefusesLongerThanHint
        | P::ImpossibleLoanIsOutOfMemory
        | P::GrowthEndsInOutOfMemory
        | P::LoanLimit
        | P::RefusedLoanChangesNothing => &[K::LoanRequest, K::LoanResponse],
        P::RequestBytesArrive
        | P::RequestsArriveInOrder
        | P::NoRequestIsLost
        | P::LateServerGetsNoOldRequest
        | P::RequestOverflowEvictsOldest
        | P::FireAndForgetDelivers
        | P::NoFireAndForgetDiscards => &[K::ReceiveRequest],
        P::ResponseBytesArrive
        | P::ResponsesArriveInOrder
        | P::NoResponseIsLost
        | P::ResponseReachesOnlyItsRequest
        | P::ResponseOverflowEvictsOldest
        | P::DiscardKeepsBuffered => &[K::ReceiveResponse],
        P::PayloadIsAligned => {
            &[K::LoanRequest, K::LoanResponse, K::ReceiveRequest, K::ReceiveResponse]
        }
        P::UserHeaderArrives | P::OriginNamesSender | P::BorrowLimit => {
            &[K::ReceiveRequest, K::ReceiveResponse]
        }
        P::SendReachesEveryServer => &[K::SendRequest, K::InspectPending],
        P::FailedDeliveryIsAnError => &[K::SendRequest, K::SendResponse],
        P::ActiveRequestLimit => &[K::SendRequest, K::CreateClient],
        P::ActiveRequestConnection | P::DisconnectHintArrives => &[K::InspectActive],
        P::PendingResponseConnection | P::HasResponseIsTrue => &[K::InspectPending],
        P::HasRequestsIsTrue => &[K::InspectServer],
        P::ClientLimit => &[K::CreateClient],
        P::ServerLimit => &[K::CreateServer],
        P::NodeLimit | P::OpenChecksRequirements | P::CreateAndOpen => &[K::Join],
        P::PortCounts | P::ListedPortsAreDescribed | P::ServiceIsListedWithItsNodes => {
            &[K::InspectService]
        }
        P::SettingsAreKept => &[K::InspectService, K::CreateClient, K::CreateServer],
        P::DeadNodeIsListed | P::DeadNodeIsCleanedUp => &[K::Kill, K::KillAmid],
    };
    steps.iter().copied().map(Occasion::Step).collect()
}

/// Strategies with which it can.
fn strategies(promise: Promise, step: Occasion) -> Vec<Option<Strategy>> {
    use ActionKind as K;
    let uses_no_memory = matches!(
        step,
        Occasion::Whole(_)
            | Occasion::Step(
                K::Join | K::Leave | K::Die | K::Kill | K::KillAmid | K::InspectService
            )
    );
    if uses_no_memory {
        return vec![None];
    }
    let is_tested_with = |strategy: &Strategy| match promise {
        Promise::StaticRefusesLongerThanHint => !strategy.is_dynamic(),
        Promise::HintIsOnlyAHint | Promise::ImpossibleLoanIsOutOfMemory => strategy.is_dynamic(),
        Promise::GrowthEndsInOutOfMemory => *strategy == Strategy::BestFit,
        _ => true,
    };
    Strategy::ALL.into_iter().filter(is_tested_with).map(Some).collect()
}

/// How much can be in flight then.
fn loads(promise: Promise, step: Occasion) -> Vec<InFlight> {
    use Promise as P;
    let everything_is_dropped =
        matches!(step, Occasion::Whole(Whole::Aftermath | Whole::Census | Whole::Comparison));
    if everything_is_dropped {
        return vec![InFlight::None];
    }
    if step == Occasion::Whole(Whole::Concurrent) {
        return vec![InFlight::Many];
    }
    let is_a_receipt =
        matches!(step, Occasion::Step(ActionKind::ReceiveRequest | ActionKind::ReceiveResponse));
    let is_about_a_message = promise == P::PayloadIsAligned && is_a_receipt
        || matches!(
            promise,
            P::RequestBytesArrive
                | P::ResponseBytesArrive
                | P::UserHeaderArrives
                | P::OriginNamesSender
                | P::ResponsesArriveInOrder
                | P::NoRequestIsLost
                | P::NoResponseIsLost
                | P::RequestOverflowEvictsOldest
                | P::ResponseOverflowEvictsOldest
                | P::FailedDeliveryIsAnError
                | P::BorrowLimit
                | P::FireAndForgetDelivers
        );
    InFlight::iter().filter(|load| !is_about_a_message || *load != InFlight::None).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_but(missing: usize) -> BTreeMap<Layout, Coverage> {
        let mut coverage = BTreeMap::<Layout, Coverage>::new();
        for (layout, cell) in situations().skip(missing) {
            coverage.entry(layout).or_default().note(cell);
        }
        coverage
    }

    #[test]
    fn every_promise_can_be_put_to_the_test_in_some_situation() {
        for &promise in Promise::ALL {
            assert!(situations().any(|(_, cell)| cell.promise == promise), "{promise}");
        }
    }

    #[test]
    fn situations_are_counted_once_and_the_missing_ones_are_named() {
        let all = Reach::of(&all_but(0));
        assert_eq!((all.reached, all.unreached.len()), (all.possible, 0));
        assert_eq!(all.possible, situations().collect::<std::collections::BTreeSet<_>>().len());
        let some = Reach::of(&all_but(3));
        assert_eq!(some.reached + 3, some.possible);
        assert_eq!(some.unreached, situations().take(3).collect::<Vec<_>>());
    }

    #[test]
    fn only_a_long_run_that_gets_around_little_is_below_the_floor() {
        let little = Reach::of(&all_but(situations().count() * (100 - FLOOR) / 100 + 30));
        assert!(little.is_below_floor(LONG_RUN));
        assert!(!little.is_below_floor(LONG_RUN - 1));
        let enough = Reach::of(&all_but(situations().count() * (100 - FLOOR) / 100 - 30));
        assert!(!enough.is_below_floor(LONG_RUN));
    }
}
