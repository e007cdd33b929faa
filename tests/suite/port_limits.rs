//! Limits of a service and its ports: exactly as many as configured, one more is the
//! documented error, and one that is released makes room for another.
//!
//! What happens stands in `fixtures/scenarios`, which every `gauntlet run` replays as
//! well; what each step must give stands here, in iceoryx2's words and without the
//! model. The limits differ from iceoryx2's defaults, so a setting that does not arrive
//! shows.

use std::{fs, path::Path};

use iox2_gauntlet::{
    actor::{Action, Host, Key, Observation, iox, variant::Variant, version},
    campaign,
    model::Promise,
    payload::MessageId,
    runner::{Layout, Runner},
    sandbox::{Owner, Sandbox},
    scenario::{LoanForm, OpenMode, Payloads, Scenario, Settings, SettingsVia, Strategy},
};
use strum::IntoEnumIterator as _;

use crate::jury::{keeps_its_promises, observed, shrunk_and_saved, strict_runner, traced};

/// A limit, and what the steps that run into it must give, in order.
struct Limit {
    /// Name of the file in `fixtures/scenarios`.
    fixture: &'static str,
    /// The kind of step, as it stands in the file.
    step: &'static str,
    given: &'static [&'static str],
    /// The promise that must have been at stake wherever the participants live.
    promise: Promise,
}

const PORT: &str = "a port with initial_max_slice_len 8, RetryUntilDelivered";
const SENT: &str = "sent to 1 server(s)";

const LIMITS: &[Limit] = &[
    Limit {
        fixture: "limit-of-clients",
        step: "create-client",
        given: &[
            PORT,
            PORT,
            PORT,
            "ExceedsMaxSupportedClients",
            PORT,
            "ExceedsMaxSupportedClients",
        ],
        promise: Promise::ClientLimit,
    },
    Limit {
        fixture: "limit-of-servers",
        step: "create-server",
        given: &[
            PORT,
            PORT,
            PORT,
            "ExceedsMaxSupportedServers",
            PORT,
            "ExceedsMaxSupportedServers",
        ],
        promise: Promise::ServerLimit,
    },
    Limit {
        fixture: "limit-of-nodes",
        step: "join",
        given: &[
            "ok",
            "ok",
            "ok",
            "RequestResponseOpenError(ExceedsMaxNumberOfNodes)",
            "ok",
            "RequestResponseOpenError(ExceedsMaxNumberOfNodes)",
        ],
        promise: Promise::NodeLimit,
    },
    Limit {
        fixture: "limit-of-active-requests",
        step: "send-request",
        given: &[SENT, SENT, SENT, "ExceedsMaxActiveRequests", SENT, "ExceedsMaxActiveRequests"],
        promise: Promise::ActiveRequestLimit,
    },
    Limit {
        fixture: "limit-of-held-requests",
        step: "receive-request",
        given: &[
            "message #1 of 100",
            "message #2 of 100",
            "ExceedsMaxBorrows",
            "ExceedsMaxBorrows",
            "message #3 of 300",
        ],
        promise: Promise::BorrowLimit,
    },
    Limit {
        fixture: "limit-of-loaned-requests",
        step: "loan-request",
        given: &[
            "a loan of 8",
            "a loan of 100",
            "a loan of 5000",
            "ExceedsMaxLoans",
            "a loan of 6000",
            "ExceedsMaxLoans",
            "a loan of 7000",
            "ExceedsMaxLoans",
        ],
        promise: Promise::LoanLimit,
    },
    Limit {
        fixture: "limit-of-loaned-responses",
        step: "loan-response",
        given: &[
            "a loan of 8",
            "a loan of 100",
            "a loan of 5000",
            "ExceedsMaxLoans",
            "a loan of 10",
            "a loan of 6000",
            "ExceedsMaxLoans",
            "a loan of 7000",
            "ExceedsMaxLoans",
        ],
        promise: Promise::LoanLimit,
    },
    Limit {
        fixture: "limit-of-borrowed-responses",
        step: "receive-response",
        given: &[
            "message #2 of 100",
            "message #3 of 200",
            "message #4 of 300",
            "ExceedsMaxBorrows",
            "ExceedsMaxBorrows",
            "message #5 of 400",
            "nothing to receive",
        ],
        promise: Promise::BorrowLimit,
    },
    Limit {
        fixture: "limit-of-response-buffer-with-overflow",
        step: "receive-response",
        given: &[
            "message #3 of 200",
            "message #4 of 300",
            "message #5 of 400",
            "nothing to receive",
        ],
        promise: Promise::ResponsesArriveInOrder,
    },
    Limit {
        fixture: "limit-of-response-buffer-with-discard",
        step: "receive-response",
        given: &[
            "message #2 of 100",
            "message #3 of 200",
            "message #4 of 300",
            "message #6 of 500",
            "nothing to receive",
        ],
        promise: Promise::ResponsesArriveInOrder,
    },
    Limit {
        fixture: "requirements",
        step: "join",
        given: &[
            "DoesNotExist",
            "ok",
            "AlreadyExists",
            "DoesNotSupportRequestedAmountOfClients",
            "ok",
            "DoesNotSupportRequestedAmountOfServers",
            "ok",
            "DoesNotSupportRequestedAmountOfNodes",
            "ok",
            "DoesNotSupportRequestedAmountOfActiveRequestsPerClient",
            "ok",
            "DoesNotSupportRequestedAmountOfClientRequestLoans",
            "ok",
            "DoesNotSupportRequestedResponseBufferSize",
            "ok",
            "DoesNotSupportRequestedAmountOfBorrowedResponsesPerPendingResponse",
            "ok",
            "IncompatibleOverflowBehaviorForRequests",
            "ok",
            "IncompatibleOverflowBehaviorForResponses",
            "ok",
            "IncompatibleBehaviorForFireAndForgetRequests",
            "ok",
        ],
        promise: Promise::OpenChecksRequirements,
    },
    Limit {
        fixture: "payload-types",
        step: "join",
        given: &[
            "ok",
            version::INCOMPATIBLE_REQUEST_TYPE,
            version::INCOMPATIBLE_REQUEST_TYPE,
            version::INCOMPATIBLE_REQUEST_TYPE,
            version::INCOMPATIBLE_RESPONSE_TYPE,
            version::INCOMPATIBLE_RESPONSE_TYPE,
            version::INCOMPATIBLE_RESPONSE_TYPE,
            "ok",
        ],
        promise: Promise::OpenChecksRequirements,
    },
];

fn fixture(name: &str, via: SettingsVia) -> Scenario {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/scenarios")
        .join(format!("{name}.toml"));
    let scenario = Scenario::load(&file).unwrap_or_else(|e| panic!("{e}"));
    Scenario { service: Settings { via, ..scenario.service.clone() }, ..scenario }
}

/// Every limit, set this way.
fn every_limit_holds(via: SettingsVia) {
    let mut runner = strict_runner();
    for limit in LIMITS {
        let scenario = fixture(limit.fixture, via);
        let trace = traced(&mut runner, &scenario);
        let given = observed(&scenario, &trace, |step| {
            step.to_line().starts_with(&format!("{{ {} = ", limit.step))
        });
        assert_eq!(given, limit.given, "{} of {}", limit.step, limit.fixture);
    }
}

#[test]
fn every_limit_of_the_builder_is_reached_refused_beyond_and_free_again() {
    every_limit_holds(SettingsVia::Builder);
}

#[test]
fn every_limit_of_a_config_file_is_reached_refused_beyond_and_free_again() {
    every_limit_holds(SettingsVia::ConfigFile);
}

fn holds_between_processes(runner: &mut Runner, limit: &Limit, via: SettingsVia) {
    let scenario = fixture(limit.fixture, via);
    let outcome = keeps_its_promises(runner, &scenario, Layout::Apart.into());
    if !outcome.end.is_kept() {
        let why = shrunk_and_saved(runner, &scenario, Layout::Apart, keeps_its_promises);
        panic!("{} between processes: {why}", limit.fixture);
    }
    // Judged by the model here, which must have come to the same as above.
    assert_eq!(outcome.performed, scenario.steps.len(), "{}: {outcome:?}", limit.fixture);
    let checked = outcome.checks.get(&limit.promise).copied().unwrap_or(0);
    assert!(checked > 0, "{}: {} was not at stake", limit.fixture, limit.promise);
}

#[test]
fn every_limit_holds_between_processes_however_it_is_set() {
    let mut runner = strict_runner();
    for limit in LIMITS {
        holds_between_processes(&mut runner, limit, SettingsVia::Builder);
        holds_between_processes(&mut runner, limit, SettingsVia::ConfigFile);
    }
}

#[test]
fn every_fixture_about_limits_is_judged_here() {
    let fixtures = campaign::fixtures().unwrap();
    let of_limits = fixtures.iter().filter(|(name, _)| name.contains("limit-of-"));
    for (name, scenario) in of_limits.clone() {
        assert!(!scenario.title.is_empty(), "{name} says not what it is about");
        let file = Path::new(name).file_stem().unwrap().to_string_lossy();
        assert!(LIMITS.iter().any(|limit| limit.fixture == file), "{name} has no row in LIMITS");
    }
    assert_eq!(of_limits.count(), LIMITS.len() - 2);
}

/// A participant of a domain, and its client.
const PARTICIPANT: Key = Key(1);
const CLIENT: Key = Key(2);
const SERVER: Key = Key(3);

fn perform(host: &mut dyn Host, action: Action) -> Observation {
    host.perform(PARTICIPANT, &action).unwrap()
}

fn create_service(sandbox: &Sandbox, variant: Variant) -> Box<dyn Host> {
    let settings = Settings { max_clients: 1, max_servers: 1, ..Settings::default() };
    let config = sandbox.config_path();
    let mut host = iox::host(variant, &config, "the same name", settings).unwrap();
    let how = OpenMode::Create;
    let join = Action::Join { new: PARTICIPANT, how, require: None, creates: true };
    let joined = perform(host.as_mut(), join);
    assert_eq!(joined, Observation::Done, "created, so no other domain's is in the way");
    host
}

#[test]
fn two_domains_with_one_service_name_do_not_see_each_other() {
    Variant::iter().for_each(two_domains_do_not_see_each_other);
}

fn two_domains_do_not_see_each_other(variant: Variant) {
    let (here, there) = (Sandbox::new().unwrap(), Sandbox::new().unwrap());
    let (mut near, mut far) = (create_service(&here, variant), create_service(&there, variant));
    let (near, far) = (near.as_mut(), far.as_mut());
    let (strategy, hint) = (Strategy::BestFit, 8);
    let create = Action::CreateClient {
        participant: PARTICIPANT,
        new: CLIENT,
        strategy,
        hint,
        preallocate: None,
        active: None,
    };
    for host in [&mut *near, &mut *far] {
        let created = perform(host, create.clone());
        assert!(matches!(created, Observation::PortCreated { hint: 8, .. }), "{created:?}");
    }
    let create = Action::CreateServer {
        participant: PARTICIPANT,
        new: SERVER,
        strategy,
        hint,
        loans: 1,
        preallocate: None,
    };
    perform(far, create);

    let counts = |host: &mut dyn Host| match perform(
        host,
        Action::InspectService { participant: PARTICIPANT },
    ) {
        Observation::Service { clients, servers, .. } => (clients, servers),
        other => panic!("{other:?}"),
    };
    assert_eq!((counts(near), counts(far)), ((1, 0), (1, 1)));

    let (request, pending, id) = (Key(4), Key(5), MessageId::new(1));
    let form = LoanForm::Default;
    let loan = Action::LoanRequest { client: CLIENT, new: request, id, len: 100, form };
    let send = |host: &mut dyn Host| {
        perform(host, loan.clone());
        perform(host, Action::SendRequest { request, new: pending })
    };
    assert_eq!(send(near), Observation::Sent { servers: 0 });
    let receive = Action::ReceiveRequest { server: SERVER, new: Key(6) };
    assert_eq!(perform(far, receive.clone()), Observation::Nothing);
    assert_eq!(send(far), Observation::Sent { servers: 1 });
    let received = perform(far, receive);
    assert!(matches!(received, Observation::Received(_)), "{received:?}");
    if matches!(variant, Variant::Ipc | Variant::IpcThreadsafe) {
        assert_confined();
    }
}

/// What iceoryx2 maps in this process belongs to the domain of some sandbox: not only services
/// and ports, also what connects them.
fn assert_confined() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let names: Vec<&str> = maps.lines().filter_map(|line| line.split("/dev/shm/").nth(1)).collect();
    assert!(
        names.iter().any(|name| name.ends_with(".connection")),
        "connections are mapped: {names:?}"
    );
    let is_ours = |name: &&str| Owner::of_file_name(name).is_some();
    let others: Vec<_> = names.iter().filter(|name| !is_ours(name)).collect();
    assert!(others.is_empty(), "outside of every domain: {others:?}");
}

/// "Setting the maximum number of clients to 0 is not supported. Adjust it to 1, the smallest
/// supported value", iceoryx2 says of each of them. With slices `create` does not: those are the
/// quirks zero-limit-of-created-service-panics and zero-limit-of-created-service-stays.
#[test]
fn a_limit_of_zero_is_raised_to_one() {
    let limits: [fn(&mut Settings) -> &mut usize; 7] = [
        |s| &mut s.max_clients,
        |s| &mut s.max_servers,
        |s| &mut s.max_nodes,
        |s| &mut s.max_active_requests_per_client,
        |s| &mut s.max_loaned_requests,
        |s| &mut s.max_response_buffer_size,
        |s| &mut s.max_borrowed_responses_per_pending_response,
    ];
    let with_slices = Payloads::iter().map(|payload| (payload, OpenMode::OpenOrCreate));
    let cases = with_slices.chain([(Payloads::Values, OpenMode::Create)]);
    for (payload, how) in cases {
        for via in [SettingsVia::Builder, SettingsVia::ConfigFile] {
            for (nth, limit) in limits.iter().enumerate() {
                let mut settings = Settings { payload, via, ..Settings::default() };
                *limit(&mut settings) = 0;
                let mut expected = settings.clone();
                *limit(&mut expected) = 1;
                assert_eq!(settings.raised(), expected);
                let reported = limits_reported(settings, how);
                assert_eq!(reported[nth], 1, "{payload:?}, {how:?}, {via:?}: {reported:?}");
                let others = |limits: &[usize; 7]| limits.iter().sum::<usize>() - limits[nth];
                let stated = limits.map(|limit| *limit(&mut expected));
                assert_eq!(others(&reported), others(&stated), "{reported:?}");
            }
        }
    }
}

/// The limits that a service made like this reports.
fn limits_reported(settings: Settings, how: OpenMode) -> [usize; 7] {
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.config_for("zeros", &settings).unwrap();
    let mut host = iox::host(Variant::Ipc, &config, "zeros", settings).unwrap();
    let join = Action::Join { new: PARTICIPANT, how, require: None, creates: true };
    assert_eq!(perform(host.as_mut(), join), Observation::Done);
    let seen = perform(host.as_mut(), Action::InspectService { participant: PARTICIPANT });
    let Observation::Service { settings, .. } = seen else { panic!("{seen:?}") };
    settings.limits
}
