//! Traffic that threads make at the same time.

use proptest::{prelude::*, sample::select};

use super::{
    super::{Concurrent, Scenario, Settings, Strategy as Allocation},
    values::settings,
};

/// Requests of a thread where they are many.
const MANY_REQUESTS: usize = 400;

pub(super) fn concurrency() -> impl Strategy<Value = Scenario> {
    let strategy = || select(Allocation::ALL.to_vec());
    let few = || prop_oneof![3 => Just(1_usize), 3 => Just(2_usize), 1 => Just(3_usize)];
    let ports = (few(), few(), few(), strategy(), strategy());
    let rushes = select(vec![0, 100, 1000]);
    let visits = (select(vec![0, 0, 20, 200]), select(vec![1, 2, 3, 8]));
    let often = (rushes, visits);
    let churn = (1..4_usize, any::<bool>(), any::<bool>());
    let requests = prop_oneof![3 => 16..80_usize, 1 => Just(MANY_REQUESTS)];
    let responses = prop_oneof![3 => (1..5_usize, Just(false)), 1 => (2..40_usize, Just(true))];
    let traffic = (requests, responses, 0..3_usize, churn, often);
    let lengths = (any::<u32>(), select(vec![64, 1000, 4096, 20_000]), select(vec![0, 1, 16, 100]));
    (settings(), ports, traffic, lengths).prop_map(|(service, ports, traffic, lengths)| {
        let (clients, servers, threads, client_strategy, server_strategy) = ports;
        let (requests, (responses, overflow), hold, churn, often) = traffic;
        let (rushes, (visits, visitors)) = often;
        let (turns, late_server, early_leave) = churn;
        let (seed, longest, hint) = lengths;
        let concurrent = Concurrent {
            seed,
            clients,
            servers,
            threads,
            requests,
            responses,
            hold,
            turns,
            rushes,
            visits,
            visitors,
            late_server,
            early_leave,
            overflow,
            longest,
            hint,
            client_strategy,
            server_strategy,
        };
        let service = Settings {
            enable_fire_and_forget_requests: service.enable_fire_and_forget_requests,
            max_response_buffer_size: service.max_response_buffer_size,
            payload: service.payload,
            max_clients: 1,
            max_servers: 1,
            max_active_requests_per_client: 1,
            max_loaned_requests: 1,
            max_borrowed_responses_per_pending_response: 1,
            ..Settings::default()
        };
        let service = concurrent.settings(&service);
        Scenario { service, concurrent: Some(concurrent), ..Scenario::of_steps(Vec::new()) }
    })
}
