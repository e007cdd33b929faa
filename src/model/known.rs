//! The known quirks a run lives with, and which of them it was steered around.

use std::{cell::Cell, collections::BTreeSet, rc::Rc};

use enumset::EnumSet;

use super::Switch;

/// What a run lives with. Two are equal if they know the same; of those that are cloned from each
/// other all note what any was steered around, whichever of them a run goes on with.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    switches: BTreeSet<Switch>,
    /// The same, to be asked at every step.
    set: EnumSet<Switch>,
    /// Those without which a step would have been another one, or the state taken for another.
    steered: Rc<Cell<EnumSet<Switch>>>,
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.switches == other.switches
    }
}

impl From<BTreeSet<Switch>> for Known {
    fn from(switches: BTreeSet<Switch>) -> Self {
        let set = switches.iter().copied().collect();
        Self { switches, set, steered: Rc::default() }
    }
}

impl Known {
    /// All of them.
    pub(super) fn switches(&self) -> &BTreeSet<Switch> {
        &self.switches
    }

    /// Whether to tolerate what this one makes of an observation, or to keep an account of it.
    pub(super) fn contains(&self, switch: Switch) -> bool {
        self.set.contains(switch)
    }

    /// Whether to steer around this one. To be asked last, as it is noted if so.
    pub(super) fn steers(&self, switch: Switch) -> bool {
        let steers = self.contains(switch);
        if steers {
            let steered = self.steered.get();
            self.steered.set(steered | EnumSet::only(switch));
        }
        steers
    }

    /// Those that were steered around so far.
    pub(super) fn steered(&self) -> EnumSet<Switch> {
        self.steered.get()
    }
}
