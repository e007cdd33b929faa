//! Who is killed cleans up nothing: others do it for them, and go on.

use iox2_gauntlet::{
    actor::{Action, Host as _, Key, Observation, iox::Ipc},
    example::event::{Event, Occasion, Program},
    sandbox::Sandbox,
    scenario::{OpenMode, Settings},
};

use crate::across_processes::{SMALL, assert_nothing_left, finish, lens, received, sent, start};

/// Ports that never grow, and ports that have grown twice when they are killed.
const PORTS: [&str; 3] = [
    "--allocation-strategy static --initial-max-slice-len 100000",
    "--allocation-strategy best-fit",
    "--allocation-strategy power-of-two",
];

/// Sandboxes leave the dead alone unless told otherwise.
const CLEAN_UP: &str = "[global.node]\ncleanup-dead-nodes-on-creation = true\n";

const SIZES: &str = "--sizes 10,5000,100000,7";

/// How often what is held was checked after a peer had gone or at the end, and how much it was.
fn last_check(events: &[Event]) -> Option<usize> {
    events.iter().rev().find_map(|event| match event {
        Event::HeldVerified { after: Occasion::End, count } => Some(*count),
        _ => None,
    })
}

#[test]
fn a_server_goes_on_with_the_next_client_when_one_is_killed_and_nothing_of_it_stays() {
    for ports in PORTS {
        let sandbox = Sandbox::new().unwrap();
        let config = sandbox.write_config("small", &format!("{SMALL}\n{CLEAN_UP}")).unwrap();
        let flags = format!("--cycle-time 1ms --hold 3 {SIZES} {ports}");
        let mut server = start(Program::Server, &config, &flags);
        let mut victim = start(Program::Client, &config, &flags);
        // Its sizes have been sent twice: it grows no more.
        victim.wait_for_received(8).unwrap_or_else(|e| panic!("{e}"));
        victim.kill().unwrap();
        let victim = finish(victim);
        assert_eq!(victim.code(), None, "{ports}: it was killed");
        let census = sandbox.census().unwrap();
        assert!(!census.is_clean(), "{ports}: the server is still there");

        // Creating its node cleans up after the dead one.
        let next = start(
            Program::Client,
            &config,
            &format!("--cycle-time 0s --requests 4 {SIZES} {ports}"),
        );
        let next = finish(next);
        assert_eq!(next.code(), Some(0), "{ports}: {}", next.stderr);
        assert_eq!(lens(&sent(&next.events)), [10, 5000, 100_000, 7], "{ports}");
        assert_eq!(received(&next.events).len(), 4, "{ports}");
        server.wait_for_peers(0).unwrap_or_else(|e| panic!("{e}"));
        server.terminate().unwrap();
        let server = finish(server);
        assert_eq!(server.code(), Some(130), "{ports}: {}", server.stderr);
        let of_next = sent(&next.events);
        assert!(
            received(&server.events).ends_with(&of_next),
            "{ports}: the last requests are the next client's"
        );
        assert_eq!(last_check(&server.events), Some(3), "{ports}");
        assert_nothing_left(&sandbox);
    }
}

#[test]
fn a_client_goes_on_with_the_next_server_when_one_is_killed_and_nothing_of_it_stays() {
    for ports in PORTS {
        let sandbox = Sandbox::new().unwrap();
        let config = sandbox.write_config("small", &format!("{SMALL}\n{CLEAN_UP}")).unwrap();
        let mut client = start(
            Program::Client,
            &config,
            &format!("--cycle-time 1ms --response-timeout 50ms --hold 3 {SIZES} {ports}"),
        );
        let victim = start(Program::Server, &config, &format!("{SIZES} {ports}"));
        client.wait_for_received(8).unwrap_or_else(|e| panic!("{e}"));
        victim.kill().unwrap();
        assert_eq!(finish(victim).code(), None, "{ports}: it was killed");

        let next = start(
            Program::Server,
            &config,
            &format!("--cycle-time 0s --requests 4 {SIZES} {ports}"),
        );
        let next = finish(next);
        assert_eq!(next.code(), Some(0), "{ports}: {}", next.stderr);
        let of_next = sent(&next.events);
        assert_eq!(lens(&of_next), [10, 5000, 100_000, 7], "{ports}");
        let last = of_next[3].0;
        let is_last =
            |event: &Event| matches!(event, Event::Received { id, .. } if *id == Some(last));
        client.wait_for("the last answer", is_last).unwrap_or_else(|e| panic!("{e}"));
        client.interrupt().unwrap();
        let client = finish(client);
        assert_eq!(client.code(), Some(130), "{ports}: {}", client.stderr);
        assert!(received(&client.events).ends_with(&of_next), "{ports}");
        assert_eq!(last_check(&client.events), Some(3), "{ports}");
        assert_nothing_left(&sandbox);
    }
}

#[test]
fn whoever_comes_after_everybody_was_killed_finds_the_house_in_order() {
    for ports in PORTS {
        let sandbox = Sandbox::new().unwrap();
        let config = sandbox.write_config("small", &format!("{SMALL}\n{CLEAN_UP}")).unwrap();
        let flags = format!("--cycle-time 1ms --hold 3 {SIZES} {ports}");
        let server = start(Program::Server, &config, &flags);
        let mut client = start(Program::Client, &config, &flags);
        client.wait_for_received(8).unwrap_or_else(|e| panic!("{e}"));
        for victim in [client, server] {
            victim.kill().unwrap();
            assert_eq!(finish(victim).code(), None);
        }
        let flags = format!("--cycle-time 0s --requests 4 {SIZES} {ports}");
        let server = start(Program::Server, &config, &flags);
        let client = finish(start(Program::Client, &config, &flags));
        let server = finish(server);
        assert_eq!((client.code(), server.code()), (Some(0), Some(0)), "{ports}");
        assert_eq!(sent(&client.events), received(&server.events), "{ports}");
        assert_eq!(sent(&server.events), received(&client.events), "{ports}");
        assert_nothing_left(&sandbox);
    }
}

#[test]
fn a_client_that_is_killed_after_a_hundred_growths_leaves_no_segment() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", &format!("{SMALL}\n{CLEAN_UP}")).unwrap();
    let sizes: Vec<_> = (1..=130).map(|nth| (nth * 64).to_string()).collect();
    let flags = format!(
        "--cycle-time 1ms --hold 3 --sizes {} --allocation-strategy best-fit",
        sizes.join(",")
    );
    let server = start(Program::Server, &config, "--cycle-time 0s --hold 3 --sizes 8");
    let mut victim = start(Program::Client, &config, &flags);
    // Each was longer than the one before.
    victim.wait_for_received(sizes.len()).unwrap_or_else(|e| panic!("{e}"));
    victim.kill().unwrap();
    assert_eq!(finish(victim).code(), None, "it was killed");

    let flags = "--cycle-time 0s --requests 4 --sizes 7";
    let next = finish(start(Program::Client, &config, flags));
    assert_eq!(next.code(), Some(0), "{}", next.stderr);
    server.terminate().unwrap();
    let server = finish(server);
    assert_eq!(server.code(), Some(130), "{}", server.stderr);
    assert!(received(&server.events).ends_with(&sent(&next.events)));
    assert_nothing_left(&sandbox);
}

/// The service aside is not counted: it has to be one object, or others are counted wrongly.
#[test]
fn a_service_aside_maps_one_object_and_goes_with_its_participant() {
    let sandbox = Sandbox::new().unwrap();
    let mapped = |aside: bool| {
        let mut host = Ipc::new(&sandbox.config_path(), "aside", Settings::default()).unwrap();
        if aside {
            host.open_aside();
        }
        let participant = Key(1);
        let how = OpenMode::Create;
        let join = Action::Join { new: participant, how, require: None, creates: true };
        assert_eq!(host.perform(participant, &join).unwrap(), Observation::Done);
        let mapped = host.mapped_objects().unwrap();
        let leave = Action::Leave { participant };
        assert_eq!(host.perform(participant, &leave).unwrap(), Observation::Done);
        assert_nothing_left(&sandbox);
        mapped
    };
    let alone = mapped(false);
    assert!(alone > 0);
    assert_eq!(mapped(true), alone);
}
