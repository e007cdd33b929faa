//! Participants who run short of what they take from the system, amid steps that are tried again.

use proptest::{collection::vec, option, prelude::*};

use super::{
    super::{Scenario, Settings, Step},
    phrases::{conversation, create_client, create_server, inspect, join, loan_request, release},
    scenario,
    values::{form, index, length, settings},
};

/// Calls that take something amid a growth, roughly.
const OF_GROWTH: u32 = 4;

/// Amid the creation of a port.
const OF_PORT: u32 = 9;

/// Amid the creation of a port that has a peer to connect to.
const OF_CONNECTION: u32 = 16;

/// Amid the creation of a node and a service.
const OF_JOIN: u32 = 34;

/// Of them, those that only the first node of a domain makes, or a few more.
const OF_FIRST_NODE: u32 = 6;

/// Amid a clean-up.
const OF_CLEAN_UP: u32 = 36;

pub(super) fn shortage() -> impl Strategy<Value = Scenario> {
    let several_nodes = settings().prop_map(|s| Settings { max_nodes: s.max_nodes.max(3), ..s });
    let clients = || vec(create_client(), 1..3);
    let servers = || vec(create_server(), 1..3);
    let ports = prop_oneof![
        4 => (clients(), servers()).prop_map(|(clients, servers)| [clients, servers].concat()),
        1 => clients(),
        1 => servers(),
        1 => Just(Vec::new()),
    ];
    let client = short_of(OF_PORT, create_client());
    let first_port = prop_oneof![client, short_of(OF_PORT, create_server())];
    let first_node = option::weighted(0.3, prop_oneof![2 => 0..OF_JOIN, 1 => 0..OF_FIRST_NODE]);
    let opening = (first_node, 1..3_usize, first_port, ports).prop_map(
        |(first_node, participants, first_port, ports)| {
            let first_node = first_node.map(|after| Step::RunShort { after });
            let joins = vec![join(); participants];
            [Vec::from_iter(first_node), joins, first_port, ports].concat()
        },
    );
    let phrases = vec![
        (4, conversation()),
        (2, release()),
        (1, inspect()),
        (3, short_of(OF_GROWTH, loan_request()).boxed()),
        (3, short_of(OF_GROWTH, loan_response()).boxed()),
        (1, short_of(OF_JOIN, Just(join())).boxed()),
    ];
    let kill = (index(), index()).prop_map(|(participant, by)| Step::Kill { participant, by });
    let last = option::weighted(
        0.7,
        prop_oneof![
            2 => short_of(OF_CONNECTION, connecting()),
            3 => short_of(OF_CLEAN_UP, kill),
        ],
    );
    (scenario(several_nodes, opening, phrases, 3..20), last).prop_map(|(mut scenario, last)| {
        scenario.steps.extend(last.into_iter().flatten());
        scenario
    })
}

fn loan_response() -> impl Strategy<Value = Step> + Clone {
    (index(), length(), form()).prop_map(|(active, len, form)| Step::LoanResponse {
        active,
        len,
        form,
    })
}

/// A step that may connect to somebody, or map what they have grown into.
fn connecting() -> impl Strategy<Value = Step> + Clone {
    prop_oneof![
        2 => create_client(),
        2 => create_server(),
        1 => Just(Step::SendRequest { request: -1 }),
        1 => index().prop_map(|server| Step::ReceiveRequest { server }),
        1 => Just(Step::SendResponse { response: -1 }),
        1 => Just(Step::ReceiveResponse { pending: -1 }),
        1 => index().prop_map(|client| Step::UpdateClient { client }),
        1 => index().prop_map(|server| Step::UpdateServer { server }),
    ]
}

/// A step amid which somebody runs short of something, and the same again.
fn short_of(
    calls: u32,
    step: impl Strategy<Value = Step> + Clone,
) -> impl Strategy<Value = Vec<Step>> + Clone {
    (0..calls, step, any::<bool>()).prop_map(|(after, step, again)| {
        let mut steps = vec![Step::RunShort { after }, step];
        steps.extend(again.then_some(step));
        steps
    })
}
