//! The example programs as a person meets them: flags, output, limits, signals.

use std::time::Duration;

use assert_cmd::Command;
use iox2_gauntlet::{
    example::{
        driver::Running,
        event::{Event, GaveUp, Program},
    },
    sandbox::Sandbox,
};
use predicates::prelude::*;

use crate::across_processes::{assert_nothing_left, finish, programs, start};

const SMALL: &str = include_str!("../../fixtures/config/small.toml");
const SMALL_LIMITS: &str = include_str!("../../fixtures/config/small-limits.toml");
const FEW_NODES: &str = include_str!("../../fixtures/config/few-nodes.toml");

pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(match name {
        "client" => env!("CARGO_BIN_EXE_client"),
        "server" => env!("CARGO_BIN_EXE_server"),
        other => panic!("no program `{other}`"),
    });
    command.timeout(Duration::from_secs(20));
    command
}

#[test]
fn a_malformed_flag_is_refused_with_what_is_wrong_about_it() {
    for (flags, explanation) in [
        (
            "--sizes 1,2,3k",
            "'--sizes <LIST>': element 3 of 3, `3k`, is no number of bytes: invalid digit",
        ),
        (
            "--sizes 1,,3",
            "element 2 of 3, ``, is no number of bytes: cannot parse integer from empty",
        ),
        (
            "--sizes 99999999999999999999",
            "element 1 of 1, `99999999999999999999`, is no number of bytes: number too large",
        ),
        ("--sizes=-1", "element 1 of 1, `-1`, is no number of bytes: invalid digit"),
        ("--cycle-time 5", "'--cycle-time <DURATION>': time unit needed"),
        ("--requests 0", "'--requests <N>': 0 is not in 1.."),
        ("--allocation-strategy grow", "[possible values: static, best-fit, power-of-two]"),
        ("--alocation-strategy static", "a similar argument exists: '--allocation-strategy'"),
    ] {
        for name in ["client", "server"] {
            program(name)
                .args(flags.split(' '))
                .assert()
                .code(2)
                .stdout("")
                .stderr(predicate::str::contains(explanation));
        }
    }
}

#[test]
fn an_impossible_service_name_or_hold_is_bad_usage() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    program("client")
        .arg("--config")
        .arg(&config)
        .args(["--service", ""])
        .assert()
        .code(2)
        .stderr("error: --service `` is no service name (InvalidContent)\n");
    program("server")
        .arg("--config")
        .arg(&config)
        .args(["--hold", "4"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("max-active-requests-per-client`), so hold at most 3"));
    assert_nothing_left(&sandbox);
}

#[test]
fn by_default_both_sides_print_squares_and_that_they_are_intact() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    let server = start(Program::Server, &config, "--cycle-time 0s --requests 4");
    program("client")
        .arg("--config")
        .arg(&config)
        .args(["--cycle-time", "0s", "--requests", "4"])
        .assert()
        .code(0)
        .stderr("")
        .stdout(predicate::str::ends_with(
            "has room for messages of 16 bytes, grows to powers of two\n1 server there\n\
             sent 1 byte\nreceived 1 byte (ok)\nsent 4 bytes\nreceived 4 bytes (ok)\n\
             sent 9 bytes\nreceived 9 bytes (ok)\nsent 16 bytes\nreceived 16 bytes (ok)\n\
             done: sent 4, received 4\n",
        ));
    assert_eq!(finish(server).code(), Some(0));
    assert_nothing_left(&sandbox);
}

#[test]
fn a_loan_beyond_a_static_hint_names_the_hint_the_strategy_and_the_way_out() {
    const EXPLANATION: &str = "failed to loan 17 bytes: ExceedsMaxLoanSize; the port was created with \
        --initial-max-slice-len 16 and --allocation-strategy static, which never grows: raise the hint \
        to at least 17, or choose best-fit or power-of-two";
    const STATIC: &str = "--cycle-time 0s --allocation-strategy static --sizes 16,17";
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();

    let server = start(Program::Server, &config, STATIC);
    let mut client = start(Program::Client, &config, "--cycle-time 1ms");
    let server = finish(server);
    client.wait_for_peers(0).unwrap();
    client.interrupt().unwrap();
    assert_eq!(server.code(), Some(4));
    assert_eq!(server.stderr, format!("error: {EXPLANATION}\n"));
    let error = server.events.iter().find(|event| matches!(event, Event::Error { .. }));
    let name = Some("ExceedsMaxLoanSize".to_owned());
    assert_eq!(error, Some(&Event::Error { name, message: EXPLANATION.to_owned() }));
    // The second request, which the server could not answer.
    let client = finish(client);
    assert_eq!(unanswered(&client.events), [(0, 1, GaveUp::Disconnected)]);

    let server = start(Program::Server, &config, "--cycle-time 0s");
    let client = finish(start(Program::Client, &config, STATIC));
    assert_eq!(client.code(), Some(4));
    assert_eq!(client.stderr, format!("error: {EXPLANATION}\n"));
    server.interrupt().unwrap();
    finish(server);
    assert_nothing_left(&sandbox);
}

/// Answers, servers asked and the reason, of each request that was not fully answered.
fn unanswered(events: &[Event]) -> Vec<(usize, usize, GaveUp)> {
    let unanswered = |event: &Event| match event {
        Event::Unanswered { answers, servers, because, .. } => Some((*answers, *servers, *because)),
        _ => None,
    };
    events.iter().filter_map(unanswered).collect()
}

#[test]
fn a_client_gives_up_waiting_for_a_server_that_does_not_look() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    let mut asleep = start(Program::Server, &config, "--cycle-time 1h");
    asleep.wait_for_peers(0).unwrap();
    let awake = start(Program::Server, &config, "--cycle-time 0s");
    let client =
        start(Program::Client, &config, "--cycle-time 0s --requests 1 --response-timeout 1s");
    let client = finish(client);
    assert_eq!(client.code(), Some(0));
    assert_eq!(unanswered(&client.events), [(1, 2, GaveUp::Timeout)]);
    for server in [asleep, awake] {
        server.interrupt().unwrap();
        assert_eq!(finish(server).code(), Some(130));
    }
    assert_nothing_left(&sandbox);
}

#[test]
fn waiting_for_what_an_ended_program_cannot_tell_any_more_says_what_it_told() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("small", SMALL).unwrap();
    let mut client = start(Program::Client, &config, "--allocation-strategy static --sizes 17");
    let error = client.wait_for_peers(7).unwrap_err().to_string();
    let expected = "`client --allocation-strategy static --sizes 17` ended while waiting for 7 peers; it told:";
    assert!(error.starts_with(expected) && error.contains("ExceedsMaxLoanSize"), "{error}");
    assert_nothing_left(&sandbox);
}

/// Starts one program more than `fragment` allows; it must say so. After `first` has
/// left, a new one must fit.
#[track_caller]
fn one_too_many(
    sandbox: &Sandbox,
    fragment: &str,
    program: Program,
    mut there: Vec<Running>,
    (noun, count, error): (&str, &str, &str),
) {
    let config = sandbox.write_config("limits", fragment).unwrap();
    let refused = programs().start(program, &config, "").unwrap();
    let refused = finish(refused);
    assert_eq!(refused.code(), Some(3), "{}", refused.stderr);
    let more: usize = count.split(' ').next().unwrap().parse::<usize>().unwrap() + 1;
    for part in [
        format!("no room for another {noun}: its limit of {count} is reached ({error})\n"),
        format!("`defaults.request-response.max-{noun}s = {more}`"),
        format!(".max_{noun}s({more})`"),
        "An existing service keeps the limit it was created with".to_owned(),
    ] {
        assert!(refused.stderr.contains(&part), "{part:?} is not in {}", refused.stderr);
    }

    let first = there.remove(0);
    first.interrupt().unwrap();
    assert_eq!(finish(first).code(), Some(130));
    there.push(start(program, &config, ""));
    for running in &there {
        running.interrupt().unwrap();
    }
    for running in there {
        assert_eq!(finish(running).code(), Some(130));
    }
    assert_nothing_left(sandbox);
}

#[test]
fn one_client_too_many_is_told_the_limit_and_fits_after_another_left() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("limits", SMALL_LIMITS).unwrap();
    let there = (0..2).map(|_| start(Program::Client, &config, "")).collect();
    let expected = ("client", "2 clients", "ExceedsMaxSupportedClients");
    one_too_many(&sandbox, SMALL_LIMITS, Program::Client, there, expected);
}

#[test]
fn one_server_too_many_is_told_the_limit_and_fits_after_another_left() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("limits", SMALL_LIMITS).unwrap();
    let there = vec![start(Program::Server, &config, "")];
    let expected = ("server", "1 server", "ExceedsMaxSupportedServers");
    one_too_many(&sandbox, SMALL_LIMITS, Program::Server, there, expected);
}

#[test]
fn one_node_too_many_is_told_the_limit_and_fits_after_another_left() {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.write_config("limits", FEW_NODES).unwrap();
    let there = vec![start(Program::Client, &config, ""), start(Program::Server, &config, "")];
    let expected = ("node", "2 nodes", "RequestResponseOpenError(ExceedsMaxNumberOfNodes)");
    one_too_many(&sandbox, FEW_NODES, Program::Client, there, expected);
}

/// The last line a program printed.
fn exit_code_told(events: &[Event]) -> Option<u8> {
    match events.last() {
        Some(Event::Stopped { exit_code, .. }) => Some(*exit_code),
        _ => None,
    }
}

#[test]
fn sigint_and_sigterm_end_idle_programs_and_leave_nothing() {
    for signal in [Running::interrupt, Running::terminate] {
        for program in [Program::Client, Program::Server] {
            let sandbox = Sandbox::new().unwrap();
            let config = sandbox.write_config("small", SMALL).unwrap();
            let mut running = start(program, &config, "--cycle-time 1h");
            running.wait_for_peers(0).unwrap();
            signal(&running).unwrap();
            let finished = finish(running);
            assert_eq!((finished.code(), finished.stderr.as_str()), (Some(130), ""));
            assert_eq!(exit_code_told(&finished.events), Some(130));
            assert_nothing_left(&sandbox);
        }
    }
}

#[test]
fn sigint_and_sigterm_end_busy_programs_and_leave_nothing() {
    for signal in [Running::interrupt, Running::terminate] {
        let sandbox = Sandbox::new().unwrap();
        let config = sandbox.write_config("small", SMALL).unwrap();
        let mut server = start(Program::Server, &config, "--cycle-time 0s --hold 2");
        let mut client = start(Program::Client, &config, "--cycle-time 0s --hold 2");
        client.wait_for_received(30).unwrap();
        server.wait_for_received(30).unwrap();
        signal(&server).unwrap();
        signal(&client).unwrap();
        for running in [server, client] {
            let finished = finish(running);
            assert_eq!((finished.code(), finished.stderr.as_str()), (Some(130), ""));
            assert_eq!(exit_code_told(&finished.events), Some(130));
        }
        assert_nothing_left(&sandbox);
    }
}
