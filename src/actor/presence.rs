//! Whether a service exists, and which nodes do, seen from outside.

use iceoryx2::{
    node::{NodeListFailure, NodeState, NodeView},
    prelude::*,
};
use serde::{Deserialize, Serialize};

use super::version;

/// What iceoryx2 says exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Presence {
    /// `Service::does_exist()`.
    pub exists: bool,
    /// How often `Service::list()` names it.
    pub listed: usize,
    /// Nodes of the domain that `Node::list()` calls alive, by the name they were given.
    pub nodes: usize,
    /// Nodes of the domain that `Node::list()` calls dead.
    #[serde(default)]
    pub dead: usize,
    /// Nodes of which `Node::state_of()` says something else, where the release has that.
    #[serde(default)]
    pub misstated: usize,
    /// Nodes that the details of the service call alive; `None` if it does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_details: Option<usize>,
    /// Nodes that `PortFactory::nodes()` calls alive; `None` from outside of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_service: Option<usize>,
}

/// What there is once everything was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Aftermath {
    /// What still exists.
    pub presence: Presence,
    /// Why it could not be asked for or created once more, the error as `Debug` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Beside it, what could not be created: an event service of the same name, or a service
    /// whose name begins like its own; or that it exists with another prefix as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crowded_out: Option<String>,
}

/// The prefix of a domain in which there is nothing.
const ELSEWHERE: &[u8] = b"elsewhere_";

/// Bytes of the longest names.
const LONGEST: usize = 255;

/// The name of every node.
const NAME: &str = "gauntlet";

/// A node, named.
///
/// # Errors
/// The error as `Debug` prints it.
pub(super) fn node<S: Service>(config: &Config) -> Result<Node<S>, String> {
    let name = NodeName::new(NAME).map_err(|e| format!("{e:?}"))?;
    NodeBuilder::new().name(&name).config(config).create::<S>().map_err(|e| format!("{e:?}"))
}

fn is_ours<S: Service>(state: &NodeState<S>) -> bool {
    let NodeState::Alive(view) = state else { return false };
    view.details().as_ref().is_some_and(|details| details.name().as_str() == NAME)
}

/// All that a way of listing nodes names.
fn all_of<S: Service>(
    list: impl FnOnce(
        &mut dyn FnMut(NodeState<S>) -> CallbackProgression,
    ) -> Result<(), NodeListFailure>,
) -> Result<Vec<NodeState<S>>, String> {
    let mut states = Vec::new();
    list(&mut |state| {
        states.push(state);
        CallbackProgression::Continue
    })
    .map_err(|e| format!("{e:?}"))?;
    Ok(states)
}

/// What exists in the domain of a config.
///
/// # Errors
/// The error of whatever iceoryx2 refuses to tell, as `Debug` prints it.
pub(super) fn look<S: Service>(config: &Config, name: &ServiceName) -> Result<Presence, String> {
    let pattern = MessagingPattern::RequestResponse;
    let exists = S::does_exist(name, config, pattern).map_err(|e| format!("{e:?}"))?;
    let (mut listed, mut in_details) = (0, None);
    S::list(config, |details| {
        if details.static_details.name() == name {
            listed += 1;
            let nodes = details.dynamic_details.map(|details| details.nodes);
            in_details = nodes.map(|nodes| nodes.iter().filter(|state| is_ours(state)).count());
        }
        CallbackProgression::Continue
    })
    .map_err(|e| format!("{e:?}"))?;
    let states = all_of::<S>(|callback| Node::<S>::list(config, callback))?;
    let dead = states.iter().filter(|state| matches!(state, NodeState::Dead(_))).count();
    let nodes = states.iter().filter(|state| is_ours(state)).count();
    let mut misstated = 0;
    for state in &states {
        misstated += usize::from(!version::state_of_agrees(config, state)?);
    }
    Ok(Presence { exists, listed, nodes, dead, misstated, in_details, at_service: None })
}

/// Creates services that differ from one in the messaging pattern, or in the end of the name, and
/// looks for the one that differs in the prefix of the config.
///
/// # Errors
/// What could not be created, and why, or what there should not be.
pub(super) fn settle_beside<S: Service>(node: &Node<S>, name: &ServiceName) -> Result<(), String> {
    let refused = |what: &str, error: &dyn std::fmt::Debug| format!("{what}: {error:?}");
    let _event = node
        .service_builder(name)
        .event()
        .create()
        .map_err(|e| refused("an event service of the same name", &e))?;
    let create = |suffix: &str| {
        let longer = ServiceName::new(&format!("{name}{suffix}"))
            .map_err(|e| refused("a longer name", &e))?;
        node.service_builder(&longer)
            .request_response::<u8, u8>()
            .create()
            .map_err(|e| refused("a service with a longer name", &e))
    };
    let _longer = create("0")?;
    // Names that differ in nothing but their last byte, as far from the beginning as can be.
    let rest = LONGEST.saturating_sub(name.as_str().len());
    let _left = create(&format!("{:0>rest$}", "l"))?;
    let _right = create(&format!("{:0>rest$}", "r"))?;
    let mut elsewhere = node.config().clone();
    elsewhere.global.prefix = FileName::new(ELSEWHERE).map_err(|e| refused("a prefix", &e))?;
    let pattern = MessagingPattern::RequestResponse;
    match S::does_exist(name, &elsewhere, pattern) {
        Ok(false) => Ok(()),
        Ok(true) => Err("the service with another prefix: it exists already".to_owned()),
        Err(error) => Err(refused("looking for the service with another prefix", &error)),
    }
}

/// Nodes that have opened the service.
///
/// # Errors
/// The error as `Debug` prints it.
pub(super) fn nodes_of<S: Service, F: PortFactory<Service = S>>(
    factory: &F,
) -> Result<usize, String> {
    let states = all_of::<S>(|callback| factory.nodes(callback))?;
    Ok(states.iter().filter(|state| is_ours(state)).count())
}

#[cfg(all(test, iox2_at_least_0_10))]
mod tests {
    use super::*;
    use crate::{actor::config_file, sandbox::Sandbox};

    #[test]
    fn a_node_that_is_gone_has_no_state_and_each_of_several_has_its_own() {
        let sandbox = Sandbox::new().expect("a sandbox");
        let path = sandbox.write_config("states", "").expect("a file");
        let config = config_file::load(&path).expect("a config").config;
        let create = || node::<ipc::Service>(&config).expect("a node");
        let (first, second) = (create(), create());
        let listed = || {
            all_of::<ipc::Service>(|callback| Node::<ipc::Service>::list(&config, callback))
                .expect("a list")
        };
        let agrees = |state| version::state_of_agrees(&config, state).expect("a state");
        let both = listed();
        assert_eq!((both.len(), both.iter().filter(|state| agrees(state)).count()), (2, 2));
        drop(first);
        assert_eq!(both.iter().filter(|state| agrees(state)).count(), 1);
        drop(second);
        assert!(!both.iter().any(agrees) && listed().is_empty());
    }
}
