//! What known quirks leave behind when everything is dropped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Model, Switch};

/// Files and directories a node has before it uses a service.
pub(super) const FILES_OF_A_NODE: usize = 5;

/// What known quirks may leave behind: files, directories and shared-memory objects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeftBehind {
    /// So many at most, of what the quirk leaves.
    pub most: BTreeMap<Switch, usize>,
    /// Those whose name contains this.
    pub named: BTreeMap<String, Switch>,
}

impl LeftBehind {
    /// Whether nothing may be left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.most.is_empty() && self.named.is_empty()
    }

    /// What may be left here or in another state iceoryx2 may be in.
    pub(crate) fn extend(&mut self, other: Self) {
        self.named.extend(other.named);
        for (switch, count) in other.most {
            let most = self.most.entry(switch).or_default();
            *most = count.max(*most);
        }
    }

    pub(super) fn add(&mut self, switch: Switch, count: usize) {
        *self.most.entry(switch).or_default() += count;
    }
}

impl Model {
    /// What known quirks leave behind when everything is dropped.
    #[must_use]
    pub fn known_leftovers(&self) -> LeftBehind {
        let mut all = self.left_behind.clone();
        all.add(Switch::FailedGrowthSticks, self.starved.len());
        all.add(Switch::NodeDirectoryStays, self.joined);
        all.add(Switch::HalfMadeNodeStays, self.half_made_nodes * FILES_OF_A_NODE);
        all.most.retain(|switch, count| *count > 0 && self.quirks.contains(*switch));
        all.named.retain(|_, switch| self.quirks.contains(*switch));
        all
    }
}
