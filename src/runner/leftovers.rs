//! What is left when everything is dropped, and the known quirks that leave it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::Switch,
    sandbox::{Census, Leftover},
};

/// The known quirks that explain what is left, none if they do not explain everything.
pub(super) fn explain(known: &BTreeMap<Switch, usize>, census: &Census) -> BTreeSet<Switch> {
    let leaves = |switch: Switch, left: &Leftover| match (switch, left) {
        (Switch::HalfMadeNodeStays | Switch::ShortNodeStays, Leftover::File(path)) => {
            path.starts_with("nodes/")
        }
        (Switch::NodeDirectoryStays, Leftover::File(path)) => {
            path.strip_prefix("nodes/").is_some_and(|node| !node.contains('/'))
        }
        (Switch::ShortCleanUpStops, Leftover::File(_) | Leftover::SharedMemory(_)) => true,
        (
            Switch::FailedGrowthSticks | Switch::ShortCreationLeavesMemory,
            Leftover::SharedMemory(_),
        ) => true,
        _ => false,
    };
    let mut more = known.clone();
    let explained: Option<BTreeSet<Switch>> = census
        .leftovers
        .iter()
        .map(|left| {
            let (&switch, more) =
                more.iter_mut().find(|(switch, more)| **more > 0 && leaves(**switch, left))?;
            *more -= 1;
            Some(switch)
        })
        .collect();
    explained.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What explains these files, of which the quirks leave so many at most.
    fn explained(files: &[&str], known: &[(Switch, usize)]) -> Vec<Switch> {
        let leftovers = files.iter().map(|file| Leftover::File((*file).to_owned())).collect();
        explain(&known.iter().copied().collect(), &Census { leftovers }).into_iter().collect()
    }

    #[test]
    fn all_that_is_left_is_explained_or_nothing_is() {
        let (directory, half_made) = (Switch::NodeDirectoryStays, Switch::HalfMadeNodeStays);
        let one = ["nodes/1"];
        let files = ["nodes/1", "nodes/2", "nodes/2/monitor"];
        let other = ["nodes/1", "services/1"];
        assert_eq!(explained(&one, &[]), []);
        assert_eq!(explained(&one, &[(directory, 1)]), [directory]);
        assert_eq!(explained(&files[1..], &[(directory, 5)]), [], "no file stays but by the other");
        assert_eq!(explained(&files, &[(directory, 1), (half_made, 2)]), [directory, half_made]);
        assert_eq!(explained(&files, &[(directory, 1), (half_made, 1)]), [], "one too many");
        assert_eq!(explained(&other, &[(directory, 2), (half_made, 5)]), []);
    }
}
