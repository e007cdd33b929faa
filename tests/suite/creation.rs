//! Services of which others are in the making or on their way out: who comes meanwhile waits for
//! as long as the config says, and leaves nothing.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Barrier, thread, time::Duration};

use iceoryx2::prelude::{MessagingPattern, Node, Service, ServiceName, ipc, local};
use iox2_gauntlet::sandbox::{Leftover, Sandbox};

use crate::{
    identity::{Domain, assert_refused, builder},
    waiting::DEADLINE,
};

/// How often each of two comes and goes: enough that an `open_or_create` that gives up early shows
/// in most runs.
const TURNS: usize = 1500;

/// How often a domain is new.
const ROUNDS: usize = 100;

/// How many are there first.
const STARTERS: usize = 6;

/// "Defines the time how long the process will wait until an entity, that shares inter-process
/// resources with others, is opened or created" (`Global::creation_timeout`): who opens or creates
/// a service is not turned away earlier because somebody else removes it.
fn who_opens_or_creates_outwaits_who_leaves<S: Service>() {
    let mut domain = Domain::new();
    domain.config.global.creation_timeout = DEADLINE;
    let start = Barrier::new(2);
    let comes_and_goes = |name: &str| {
        let node: Node<S> = domain.node(name);
        start.wait();
        for turn in 0..TURNS {
            let service = builder(&node, "a").open_or_create();
            drop(service.unwrap_or_else(|error| panic!("{name} in turn {turn}: {error:?}")));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| comes_and_goes("one"));
        comes_and_goes("two");
    });
    domain.close();
}

#[test]
fn who_opens_or_creates_outwaits_who_leaves_ipc() {
    who_opens_or_creates_outwaits_who_leaves::<ipc::Service>();
}

#[test]
fn who_opens_or_creates_outwaits_who_leaves_local() {
    who_opens_or_creates_outwaits_who_leaves::<local::Service>();
}

/// Who starts at the same time on a machine where nothing of iceoryx2 has been yet gets their node:
/// whoever needs a directory or the file of all nodes makes it, or finds that somebody else just did.
#[test]
fn nodes_that_are_first_in_their_domain_at_the_same_time_are_all_created() {
    for round in 0..ROUNDS {
        let mut domain = Domain::new();
        domain.config.global.creation_timeout = DEADLINE;
        fs::remove_dir(domain.sandbox.root()).unwrap();
        let start = Barrier::new(STARTERS);
        let nodes: Vec<Node<ipc::Service>> = thread::scope(|scope| {
            let starters = (0..STARTERS).map(|starter| {
                let (domain, start) = (&domain, &start);
                scope.spawn(move || {
                    start.wait();
                    domain.node(&format!("{starter} of round {round}"))
                })
            });
            let starters: Vec<_> = starters.collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect()
        });
        drop(nodes);
        domain.close();
    }
}

/// A file its owner may still write is one that somebody has yet to complete: "Can be caused by a
/// process that crashed during Service creation" (`HangsInCreation`). Whoever asks for such a
/// service is told so, finds the others, and keeps nothing open.
#[test]
fn a_service_in_the_making_is_told_and_costs_nothing() {
    let mut domain = Domain::new();
    domain.config.global.creation_timeout = Duration::from_millis(20);
    let node = domain.node::<ipc::Service>("one");
    let services = ["a", "b"].map(|name| builder(&node, name).create().unwrap());
    let other = domain.node::<ipc::Service>("two");
    let is_description =
        |path: &std::path::PathBuf| path.extension().is_some_and(|s| s == "service");
    for path in domain.files().into_iter().filter(is_description) {
        let complete = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let before = descriptors(&domain.sandbox);
        let found = domain.services::<ipc::Service>(usize::MAX);
        assert_eq!(found.len(), 1, "{found:?}");
        let hidden = if found == ["a"] { "b" } else { "a" };
        for _ in 0..3 {
            assert_refused(builder(&other, hidden).open(), "HangsInCreation");
            assert_refused(builder(&other, hidden).open_or_create(), "HangsInCreation");
            assert_refused(builder(&other, hidden).create(), "AlreadyExists");
            domain.services::<ipc::Service>(usize::MAX);
            let name = ServiceName::new(hidden).unwrap();
            let pattern = MessagingPattern::RequestResponse;
            let details = ipc::Service::details(&name, &domain.config, pattern);
            assert!(!matches!(details, Ok(Some(_))), "{details:?}");
            let exists = ipc::Service::does_exist(&name, &domain.config, pattern);
            assert!(!matches!(exists, Ok(true)), "{exists:?}");
        }
        assert_eq!(descriptors(&domain.sandbox), before);
        fs::set_permissions(&path, complete).unwrap();
        drop(builder(&other, hidden).open().unwrap());
    }
    drop((services, node, other));
    domain.close();
}

/// How many descriptors of what is there this process has open.
fn descriptors(sandbox: &Sandbox) -> usize {
    let leftovers = sandbox.census().unwrap().leftovers;
    let is_descriptor = |leftover: &&Leftover| matches!(leftover, Leftover::Descriptor(_));
    leftovers.iter().filter(is_descriptor).count()
}
