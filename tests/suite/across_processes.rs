//! Growing data between real processes: what one program sent is what the others got.

use std::{path::Path, time::Duration};

use iox2_gauntlet::{
    example::{
        driver::{Finished, Programs, Running},
        event::{Event, Occasion, Program, Reason},
        verify::Integrity,
    },
    payload::MessageId,
    sandbox::Sandbox,
};
use proptest::{prelude::*, test_runner::TestRunner};

pub(crate) const SMALL: &str = include_str!("../../fixtures/config/small.toml");

/// 0, 1, the default hint of 16 and its neighbours, a page and its neighbours, a repeat,
/// shrinking after growing.
const SIZES: [usize; 14] = [0, 1, 15, 16, 17, 8, 4095, 4096, 4097, 70_000, 70_000, 3, 0, 65_536];

pub(crate) fn programs() -> Programs {
    Programs {
        client: env!("CARGO_BIN_EXE_client").into(),
        server: env!("CARGO_BIN_EXE_server").into(),
        deadline: Duration::from_secs(20),
    }
}

pub(crate) fn start(program: Program, config: &Path, flags: &str) -> Running {
    let mut running = programs().start(program, config, flags).unwrap();
    running.wait_until_ready().unwrap_or_else(|e| panic!("{e}"));
    running
}

/// Waits for the end of a program that must not have received anything broken.
pub(crate) fn finish(running: Running) -> Finished {
    let finished = running.finish().unwrap_or_else(|e| panic!("{e}"));
    for event in &finished.events {
        if let Event::Received { integrity, .. } = event {
            assert_eq!(*integrity, Integrity::Ok);
        }
    }
    finished
}

pub(crate) fn assert_nothing_left(sandbox: &Sandbox) {
    let census = sandbox.census().unwrap();
    assert!(census.is_clean(), "left behind: {census}");
}

/// Ids and lengths of what reached somebody.
pub(crate) fn sent(events: &[Event]) -> Vec<(MessageId, usize)> {
    let sent = |event: &Event| match event {
        Event::Sent { number_of_servers: Some(0), .. } => None,
        Event::Sent { id, bytes, .. } => Some((*id, *bytes)),
        _ => None,
    };
    events.iter().filter_map(sent).collect()
}

pub(crate) fn received(events: &[Event]) -> Vec<(MessageId, usize)> {
    let received = |event: &Event| match event {
        Event::Received { id, bytes, .. } => Some((id.unwrap(), *bytes)),
        _ => None,
    };
    events.iter().filter_map(received).collect()
}

pub(crate) fn lens(messages: &[(MessageId, usize)]) -> Vec<usize> {
    messages.iter().map(|(_, len)| *len).collect()
}

fn list(sizes: &[usize]) -> String {
    sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// One client sends `requests`, one server answers with `responses`; both must see
/// exactly what the other sent.
fn converse(requests: &[usize], responses: &[usize], client_flags: &str, server_flags: &str) {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    let count = requests.len();
    let flags =
        |sizes, more| format!("--cycle-time 0s --requests {count} --sizes {} {more}", list(sizes));
    let server = start(Program::Server, &config, &flags(responses, server_flags));
    let client = start(Program::Client, &config, &flags(requests, client_flags));
    let (client, server) = (finish(client), finish(server));

    assert_eq!((client.code(), server.code()), (Some(0), Some(0)));
    assert_eq!(lens(&received(&server.events)), requests);
    assert_eq!(lens(&received(&client.events)), responses);
    assert_eq!(sent(&client.events), received(&server.events));
    assert_eq!(sent(&server.events), received(&client.events));
    assert_nothing_left(&sandbox);
}

#[test]
fn any_order_of_sizes_arrives_both_ways_with_every_pair_of_strategies() {
    let strategies = [
        "--allocation-strategy static --initial-max-slice-len 70000",
        "--allocation-strategy best-fit",
        "--allocation-strategy power-of-two",
    ];
    let backwards: Vec<usize> = SIZES.into_iter().rev().collect();
    for client in strategies {
        for server in strategies {
            converse(&SIZES, &backwards, client, server);
        }
    }
}

#[test]
fn random_sizes_arrive_both_ways() {
    let len = prop_oneof![0..70_usize, 4000..4200_usize, 0..200_000_usize];
    let sizes = (1..12_usize).prop_flat_map(move |count| {
        (prop::collection::vec(len.clone(), count), prop::collection::vec(len.clone(), count))
    });
    let strategy = prop::sample::select(vec!["best-fit", "power-of-two"]);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 6,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(
        &(sizes, strategy.clone(), strategy, 0..20_usize),
        |((requests, responses), client, server, hint)| {
            let flags = |strategy| {
                format!("--allocation-strategy {strategy} --initial-max-slice-len {hint}")
            };
            converse(&requests, &responses, &flags(client), &flags(server));
            Ok(())
        },
    );
    outcome.unwrap();
}

#[test]
fn a_client_that_was_there_first_gets_its_answers_once_a_server_comes() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    let mut client =
        start(Program::Client, &config, "--cycle-time 1ms --requests 3 --sizes 5,50000,7");
    client.wait_for_peers(0).unwrap();
    let server = start(Program::Server, &config, "--cycle-time 0s --requests 3 --sizes 60000,1");
    let (client, server) = (finish(client), finish(server));
    assert_eq!((client.code(), server.code()), (Some(0), Some(0)));
    assert_eq!(lens(&received(&server.events)), [5, 50_000, 7]);
    assert_eq!(lens(&received(&client.events)), [60_000, 1, 60_000]);
    assert_nothing_left(&sandbox);
}

#[test]
fn a_server_and_a_client_that_join_after_growth_take_part_at_once() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    let mut server = start(Program::Server, &config, "--cycle-time 0s");
    let mut client = start(Program::Client, &config, "--cycle-time 1ms");
    client.wait_for_received(20).unwrap();

    let mut late_server = start(
        Program::Server,
        &config,
        "--cycle-time 0s --allocation-strategy best-fit --sizes 300000,2",
    );
    late_server.wait_for_received(5).unwrap();
    let late_client =
        start(Program::Client, &config, "--cycle-time 0s --requests 5 --sizes 200000,3");
    let late_client = finish(late_client);
    assert_eq!(late_client.code(), Some(0));
    assert_eq!(received(&late_client.events).len(), 10, "two servers, five requests");

    // The first request the late server got is one of the grown ones.
    client.interrupt().unwrap();
    let client = finish(client);
    server.wait_for_peers(0).unwrap();
    late_server.interrupt().unwrap();
    server.interrupt().unwrap();
    let (late_server, server) = (finish(late_server), finish(server));
    let first = received(&late_server.events)[0];
    assert!(first.1 > 400, "{first:?}");
    let all_sent: Vec<_> =
        [sent(&client.events), sent(&late_client.events)].into_iter().flatten().collect();
    assert!(received(&late_server.events).iter().all(|message| all_sent.contains(message)));
    let mut at_first_server = received(&server.events);
    let mut expected = all_sent;
    // What was under way when the client was interrupted may be lost with its memory.
    let under_way = sent(&client.events).pop();
    expected.retain(|request| at_first_server.contains(request) || Some(*request) != under_way);
    at_first_server.sort();
    expected.sort();
    assert_eq!(at_first_server, expected);
    assert_nothing_left(&sandbox);
}

#[test]
fn several_clients_and_servers_with_mixed_strategies_get_all_answers() {
    const REQUESTS: usize = 30;
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    let servers = [
        start(Program::Server, &config, "--cycle-time 0s --allocation-strategy best-fit"),
        start(
            Program::Server,
            &config,
            "--cycle-time 0s --allocation-strategy static --initial-max-slice-len 9 --sizes 9,0",
        ),
    ];
    let clients = [
        "--allocation-strategy power-of-two --hold 3",
        "--allocation-strategy best-fit --initial-max-slice-len 1",
        "--allocation-strategy static --initial-max-slice-len 1000",
    ]
    .map(|flags| {
        start(Program::Client, &config, &format!("--cycle-time 0s --requests {REQUESTS} {flags}"))
    });
    let clients = clients.map(finish);
    for server in &servers {
        server.interrupt().unwrap();
    }
    let servers = servers.map(finish);

    let mut requests: Vec<_> = clients.iter().flat_map(|c| sent(&c.events)).collect();
    requests.sort();
    assert_eq!(requests.len(), 3 * REQUESTS);
    for server in &servers {
        let mut at_server = received(&server.events);
        at_server.sort();
        assert_eq!(at_server, requests);
    }
    let mut answers: Vec<_> = servers.iter().flat_map(|s| sent(&s.events)).collect();
    let mut at_clients: Vec<_> = clients.iter().flat_map(|c| received(&c.events)).collect();
    answers.sort();
    at_clients.sort();
    assert_eq!(at_clients, answers);
    assert_eq!(clients.map(|c| c.code()), [Some(0); 3]);
    assert_nothing_left(&sandbox);
}

/// The occasions on which held messages were checked, without those after a message.
fn checks(events: &[Event]) -> Vec<(Occasion, usize)> {
    let check = |event: &Event| match event {
        Event::HeldVerified { after: Occasion::Message, .. } => None,
        Event::HeldVerified { after, count } => Some((*after, *count)),
        _ => None,
    };
    events.iter().filter_map(check).collect()
}

#[test]
fn responses_stay_intact_in_the_client_after_their_server_has_gone() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    let server =
        start(Program::Server, &config, "--cycle-time 0s --requests 4 --sizes 10,5000,100000,7");
    let mut client = start(Program::Client, &config, "--cycle-time 1ms --hold 3");
    assert_eq!(finish(server).code(), Some(0));
    client.wait_for_received(4).unwrap();
    client.wait_for_peers(0).unwrap();
    client.interrupt().unwrap();
    let client = finish(client);
    assert_eq!(client.code(), Some(130));
    assert_eq!(lens(&received(&client.events)), [10, 5000, 100_000, 7]);
    assert_eq!(checks(&client.events), [(Occasion::Peers, 3), (Occasion::End, 3)]);
    assert_nothing_left(&sandbox);
}

#[test]
fn requests_stay_intact_in_the_server_after_their_client_has_gone() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    let mut server = start(Program::Server, &config, "--cycle-time 1ms --hold 3");
    let client = start(
        Program::Client,
        &config,
        "--cycle-time 0s --requests 4 --sizes 10,5000,100000,7 --allocation-strategy best-fit",
    );
    assert_eq!(finish(client).code(), Some(0));
    server.wait_for_received(4).unwrap();
    server.wait_for_peers(0).unwrap();
    server.terminate().unwrap();
    let server = finish(server);
    assert_eq!(server.code(), Some(130));
    assert_eq!(checks(&server.events), [(Occasion::Peers, 3), (Occasion::End, 3)]);
    assert_nothing_left(&sandbox);
}

#[test]
fn a_client_goes_on_with_the_next_server_when_one_leaves() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    let mut client = start(Program::Client, &config, "--cycle-time 1ms --hold 2");
    for generation in 1..=3 {
        let server = start(
            Program::Server,
            &config,
            &format!("--cycle-time 0s --requests 4 --sizes {generation},90000"),
        );
        let server = finish(server);
        assert_eq!(server.code(), Some(0), "generation {generation}");
        let last = sent(&server.events)[3].0;
        client
            .wait_for(
                "the last answer",
                |event| matches!(event, Event::Received { id, .. } if *id == Some(last)),
            )
            .unwrap_or_else(|e| panic!("{e}"));
    }
    client.interrupt().unwrap();
    let client = finish(client);
    assert_eq!(
        lens(&received(&client.events)),
        [1, 90_000, 1, 90_000, 2, 90_000, 2, 90_000, 3, 90_000, 3, 90_000]
    );
    let stopped = client.events.last();
    assert!(
        matches!(stopped, Some(Event::Stopped { reason: Reason::Interrupted, received: 12, .. })),
        "{stopped:?}"
    );
    assert_nothing_left(&sandbox);
}

#[test]
fn a_single_flipped_bit_ends_its_reader_with_the_integrity_code_and_the_place() {
    for (bytes, place) in [
        (1, "message #ID of 1 bytes: first wrong byte at offset 0 (1 wrong in all)"),
        (5000, "message #ID of 5000 bytes: first wrong byte at offset 2500 (1 wrong in all)"),
        (0, "holds no message id"),
    ] {
        for (spoiler, reader) in
            [(Program::Client, Program::Server), (Program::Server, Program::Client)]
        {
            let sandbox = Sandbox::new().unwrap();
            let config = sandbox.write_config("small", SMALL).unwrap();
            let reader = start(reader, &config, "--cycle-time 1ms");
            let flags = format!("--cycle-time 1ms --spoil 2 --sizes 9,{bytes}");
            let spoiler = start(spoiler, &config, &flags);
            let reader = reader.finish().unwrap();
            spoiler.interrupt().unwrap();
            let spoilt = sent(&finish(spoiler).events)[1];

            assert_eq!(reader.code(), Some(1), "{}", reader.stderr);
            let place = place.replace("#ID", &spoilt.0.to_string());
            assert!(reader.stderr.contains(&place), "{place:?} is not in {}", reader.stderr);
            assert!(reader.stderr.starts_with("error: integrity violated: "), "{}", reader.stderr);
            let integrities = reader.events.iter().filter_map(|event| match event {
                Event::Received { integrity, .. } => Some(*integrity == Integrity::Ok),
                _ => None,
            });
            assert_eq!(integrities.collect::<Vec<_>>(), [true, false]);
            assert_nothing_left(&sandbox);
        }
    }
}
