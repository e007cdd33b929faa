//! Ports and participants that come and go while data is held.

use proptest::{collection::vec, prelude::*};

use super::{
    super::{Payloads, Repeat, Scenario, Settings},
    leavers::{
        answers_to_the_gone, bequest, crowd_leaves, estates, estates_of_clients, overtaken_bequest,
        short_lived_ports, succession,
    },
    phrases::{
        coming_and_going, conversation, create_client, create_server, inspect, join, release,
        traffic, vanishing, watching,
    },
    piles::{few_chunks_left, overtaken_loans},
    scenario, some_ports,
    values::{settings, settle},
};

pub(super) fn churn() -> impl Strategy<Value = Scenario> {
    let phrases = vec![
        (5, traffic()),
        (2, conversation()),
        (2, release()),
        (1, inspect()),
        (1, watching()),
        (3, coming_and_going()),
        (1, vanishing()),
        (1, bequest()),
        (1, overtaken_bequest()),
        (1, prop_oneof![2 => succession(), 1 => answers_to_the_gone()].boxed()),
        (1, few_chunks_left()),
        (1, overtaken_loans()),
        (2, short_lived_ports()),
    ];
    let mixed = scenario(settings(), some_ports(), phrases, 5..60);
    prop_oneof![14 => mixed, 2 => servers_leave(), 6 => clients_leave(), 4 => crowds()]
}

/// Whoever has little room for those who are gone, and reads their messages all the same.
fn little_room() -> impl Strategy<Value = Settings> {
    (settings(), 2..5_usize, 2..5_usize, 1..4_usize, 1..4_usize).prop_map(
        |(settings, max_ports, buffer, of_clients, of_servers)| Settings {
            max_clients: max_ports,
            max_servers: max_ports,
            max_active_requests_per_client: buffer,
            max_response_buffer_size: buffer,
            client_expired_connection_buffer: of_clients,
            server_expired_connection_buffer: of_servers,
            ..settings
        },
    )
}

/// Clients that outlive several servers.
fn servers_leave() -> impl Strategy<Value = Scenario> {
    let clients = vec(create_client(), 1..3)
        .prop_map(|clients| [join()].into_iter().chain(clients).collect::<Vec<_>>());
    let phrases = vec![(3, estates()), (1, overtaken_bequest()), (1, release())];
    scenario(little_room(), clients, phrases, 1..4)
}

/// A server that outlives several clients. Of what is sent as slices known quirks lose much, of
/// single values little.
fn clients_leave() -> impl Strategy<Value = Scenario> {
    let room = (little_room(), any::<bool>()).prop_map(|(settings, has_values)| Settings {
        payload: if has_values { Payloads::ValueRequests } else { settings.payload },
        ..settings
    });
    let server = create_server().prop_map(|server| vec![join(), server]);
    scenario(room, server, vec![(3, estates_of_clients()), (1, release())], 1..4)
}

/// Several peers go together, again and again.
fn crowds() -> impl Strategy<Value = Scenario> {
    let room = (settings(), 3..5_usize, 3..5_usize, 2..5_usize, 2..5_usize).prop_map(
        |(settings, max_clients, max_servers, of_clients, of_servers)| Settings {
            max_clients,
            max_servers,
            client_expired_connection_buffer: of_clients,
            server_expired_connection_buffer: of_servers,
            ..settings
        },
    );
    let one_each = prop_oneof![
        2 => create_client().prop_map(|client| vec![join(), client]),
        2 => create_server().prop_map(|server| vec![join(), server]),
        1 => (create_client(), create_server())
            .prop_map(|(client, server)| vec![join(), client, server]),
    ];
    let phrases = prop_oneof![4 => crowd_leaves(), 1 => conversation(), 1 => release()];
    let turn = vec(phrases, 1..4).prop_map(|phrases| phrases.concat());
    (room, settle(), one_each, turn, 1..20_usize).prop_map(
        |(service, settle, steps, turn, times)| {
            let repeat = Some(Repeat { times, stretch: 0, steps: turn });
            Scenario { settle, service, repeat, ..Scenario::of_steps(steps) }
        },
    )
}
