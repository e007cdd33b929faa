//! When the dead are cleaned up, and when not.

use iceoryx2::{
    config::Config,
    node::NodeState,
    prelude::{CallbackProgression, Node, NodeBuilder, PortFactory as _, ServiceName, ipc},
};
use iox2_gauntlet::{
    actor::{config_file, iox},
    example::event::Program,
    sandbox::Sandbox,
};

use crate::{
    across_processes::{SMALL, assert_nothing_left, finish, start},
    waiting::Service,
};

fn node(config: &Config) -> Node<ipc::Service> {
    NodeBuilder::new().config(config).create().unwrap()
}

fn open(node: &Node<ipc::Service>) -> Service {
    node.service_builder(&ServiceName::new("gauntlet/example").unwrap())
        .request_response::<[u8], [u8]>()
        .request_user_header::<u64>()
        .response_user_header::<u64>()
        .open_or_create()
        .unwrap()
}

/// Whether this set of keys has the one of an occasion.
fn has(keys: usize, occasion: usize) -> bool {
    (keys >> occasion) & 1 == 1
}

fn number_of_dead_nodes(config: &Config) -> usize {
    let mut dead = 0;
    Node::<ipc::Service>::list(config, |state| {
        dead += usize::from(matches!(state, NodeState::Dead(_)));
        CallbackProgression::Continue
    })
    .unwrap();
    dead
}

/// "Whenever an existing Service is opened", "whenever a new Node is created", "whenever an
/// existing Node is going out of scope" (`config.rs`, `cleanup_dead_nodes_on_open`, `_on_creation`
/// and `_on_destruction`): each where its own key says so, whatever the others say.
///
/// A process cleans up after one dead node at a time and passes over the others: no other test of
/// this binary cleans up in its own process.
#[test]
fn the_dead_are_cleaned_up_on_the_occasions_that_the_config_names_and_on_no_other() {
    const OCCASIONS: [&str; 3] = ["a node is created", "a node is dropped", "a service is opened"];
    iox::silence();
    let sandbox = Sandbox::new().unwrap();
    let path = sandbox.write_config("small", SMALL).unwrap();
    let never = config_file::load(&path).unwrap().config;
    let with_keys = |keys: usize| {
        let mut config = never.clone();
        config.global.node.cleanup_dead_nodes_on_creation = has(keys, 0);
        config.global.node.cleanup_dead_nodes_on_destruction = has(keys, 1);
        config.global.service.cleanup_dead_nodes_on_open = has(keys, 2);
        config
    };
    for keys in 0..8 {
        for first in 0..3 {
            let config = with_keys(keys);
            let witness = node(&never);
            let witnessed = open(&witness);
            let (opener, leaver) = (node(&config), node(&config));
            let victim = start(Program::Server, &path, "");
            victim.kill().unwrap();
            assert_eq!(finish(victim).code(), None, "it was killed");

            let (mut created, mut opened, mut leaver) = (None, None, Some(leaver));
            let mut dead = 1;
            for occasion in [first, (first + 1) % 3, (first + 2) % 3] {
                match occasion {
                    0 => created = Some(node(&config)),
                    1 => drop(leaver.take()),
                    _ => opened = Some(open(&opener)),
                }
                if has(keys, occasion) {
                    dead = 0;
                }
                let what = format!("{} with keys {keys:#05b}", OCCASIONS[occasion]);
                assert_eq!(number_of_dead_nodes(&never), dead, "dead nodes, {what}");
                let servers = witnessed.dynamic_config().number_of_servers();
                assert_eq!(servers, dead, "servers, {what}");
            }
            let last = node(&with_keys(0b111));
            assert_eq!(number_of_dead_nodes(&never), 0);
            drop((created, opened, opener, witnessed, witness, last));
        }
    }
    assert_nothing_left(&sandbox);
}
