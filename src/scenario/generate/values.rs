//! Single values: lengths, hints, settings.

use proptest::{prelude::*, sample::select};

use super::super::{
    Backpressure, CleanUp, LoanForm, MORE_THAN_NEEDED, Nth, Payloads, Settings, SettingsVia,
    SettleOrder, Strategy as Allocation,
};
use crate::model::{SHORTEST_IMPOSSIBLE, SHORTEST_OVERFLOWING};

/// Any strategy.
pub fn allocation() -> impl Strategy<Value = Allocation> + Clone {
    prop_oneof![
        1 => Just(Allocation::Static),
        2 => Just(Allocation::BestFit),
        2 => Just(Allocation::PowerOfTwo),
    ]
}

/// Any initial hint, in elements.
pub fn hint() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![
        3 => select(vec![0, 1, 2, 8, 9, 16, 64, 100, 256]),
        1 => 0..2048_usize,
        1 => select(vec![4032, 4040, 4096, 65536]),
    ]
}

/// Any length that can be loaned, in elements, with a bias to boundaries.
pub fn length() -> impl Strategy<Value = usize> + Clone {
    let powers = (0..18_u32).prop_map(|exponent| 1_usize << exponent);
    let pages = (1..9_usize).prop_map(|pages| pages * 4096);
    let around = |center: BoxedStrategy<usize>| {
        // 56 and 64 are the sizes of iceoryx2's headers.
        (center, select(vec![-64_i64, -56, -9, -8, -1, 0, 1, 8, 9]))
            .prop_map(|(center, offset)| center.saturating_add_signed(offset as isize))
    };
    prop_oneof![
        4 => select(vec![0_usize, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65]),
        4 => 0..300_usize,
        3 => around(powers.boxed()),
        2 => around(pages.boxed()),
        2 => 0..20_000_usize,
        1 => 0..300_000_usize,
    ]
}

/// A length no machine can provide.
pub fn impossible_length() -> impl Strategy<Value = usize> + Clone {
    let far = |n: usize| usize::MAX - n;
    prop_oneof![
        3 => SHORTEST_IMPOSSIBLE..SHORTEST_OVERFLOWING,
        1 => select(vec![far(0), far(1), far(7), far(8), far(55), far(56), far(63), far(64), far(127)]),
        1 => select(vec![usize::MAX / 2, usize::MAX / 2 + 1, usize::MAX / 2 - 63, usize::MAX / 3]),
        1 => (47..64_u32).prop_map(|exponent| 1_usize << exponent),
        1 => SHORTEST_IMPOSSIBLE..usize::MAX,
    ]
}

pub(super) fn any_length() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![40 => length(), 1 => impossible_length()]
}

pub(super) fn form() -> impl Strategy<Value = LoanForm> + Clone {
    prop_oneof![
        1 => Just(LoanForm::Default),
        1 => Just(LoanForm::WriteFromFn),
        3 => Just(LoanForm::WriteFromSlice),
        1 => Just(LoanForm::AfterUnwritten),
    ]
}

pub(super) fn settle() -> impl Strategy<Value = SettleOrder> {
    prop_oneof![
        Just(SettleOrder::NewestFirst),
        Just(SettleOrder::OldestFirst),
        (0..1000_u32).prop_map(SettleOrder::Shuffled),
    ]
}

fn limit() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![30 => Just(1_usize), 30 => Just(2), 20 => Just(3), 10 => Just(4), 1 => Just(0)]
}

/// A limit below the service's own, now and then.
pub(super) fn reduced() -> impl Strategy<Value = Option<usize>> + Clone {
    prop_oneof![12 => Just(None), 1 => limit().prop_map(Some)]
}

/// Chunks a port preallocates: mostly as many as it may need, also if asked for more.
pub(super) fn preallocated() -> impl Strategy<Value = Option<usize>> + Clone {
    prop_oneof![8 => reduced(), 1 => Just(Some(MORE_THAN_NEEDED))]
}

/// A payload alignment, in bytes.
pub(super) fn alignment() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![
        6 => Just(1_usize),
        2 => (1..7_u32).prop_map(|exponent| 1 << exponent),
        1 => select(vec![128, 256, 512, 1024, 4096]),
    ]
}

/// What messages are made of.
fn payloads() -> impl Strategy<Value = Payloads> + Clone {
    use Payloads as P;
    prop_oneof![
        10 => Just(P::Bytes),
        3 => Just(P::Words),
        3 => Just(P::Records),
        1 => Just(P::Values),
        1 => Just(P::ValueRequests),
        1 => Just(P::ValueResponses),
    ]
}

fn expired_connections() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![6 => Just(Settings::default().client_expired_connection_buffer), 1 => 1..4_usize]
}

/// The strategies of clients and servers that the config file sets, now and then.
fn strategies_by_key() -> impl Strategy<Value = (Option<Allocation>, Option<Allocation>)> + Clone {
    let of_one_side = || prop_oneof![12 => Just(None), 1 => allocation().prop_map(Some)];
    (of_one_side(), of_one_side())
}

fn clean_up() -> impl Strategy<Value = CleanUp> + Clone {
    prop_oneof![
        3 => Just(CleanUp::OnRequest),
        1 => Just(CleanUp::OnCreation),
        1 => Just(CleanUp::OnDestruction),
        1 => Just(CleanUp::OnOpen),
    ]
}

prop_compose! {
    /// Any settings, with limits from 1 to 4, small ones more often: what is full shows more. A
    /// limit of 0, now and then, counts as 1.
    pub fn settings()(
        via in prop_oneof![3 => Just(SettingsVia::Builder), 1 => Just(SettingsVia::ConfigFile)],
        max_clients in limit(),
        max_servers in limit(),
        max_nodes in 1..5_usize,
        max_active_requests_per_client in limit(),
        max_loaned_requests in limit(),
        max_response_buffer_size in limit(),
        max_borrowed_responses_per_pending_response in limit(),
        enable_safe_overflow_for_requests in any::<bool>(),
        enable_safe_overflow_for_responses in any::<bool>(),
        enable_fire_and_forget_requests in any::<bool>(),
        discard in any::<(bool, bool)>(),
        payload in payloads(),
        request_payload_alignment in alignment(),
        response_payload_alignment in alignment(),
        client_expired_connection_buffer in expired_connections(),
        server_expired_connection_buffer in expired_connections(),
        (client_allocation_strategy, server_allocation_strategy) in strategies_by_key(),
        server_max_loaned_responses_per_request in reduced(),
        clean_up in clean_up(),
    ) -> Settings {
        // These are not drawn: what a seed gives is to stay the same.
        let limits = max_clients + max_servers + max_nodes + max_active_requests_per_client
            + max_loaned_requests + max_response_buffer_size;
        let own_suffixes = limits % 6 == 0;
        // Only the config file makes the memory of single values dynamic.
        let by_key = |strategy: Option<Allocation>, is_slice: bool| match strategy {
            None if !is_slice && limits % 3 == 1 => Some(Allocation::BestFit),
            drawn => drawn,
        };
        let backpressure = |discard| match discard {
            true if limits % 2 == 0 => Backpressure::DiscardDataAndFail,
            true => Backpressure::DiscardData,
            false => Backpressure::RetryUntilDelivered,
        };
        Settings {
            via, max_clients, max_servers, max_nodes, max_active_requests_per_client,
            max_loaned_requests, max_response_buffer_size,
            max_borrowed_responses_per_pending_response,
            enable_safe_overflow_for_requests, enable_safe_overflow_for_responses,
            enable_fire_and_forget_requests,
            client_backpressure: backpressure(discard.0),
            server_backpressure: backpressure(discard.1),
            payload,
            request_payload_alignment,
            response_payload_alignment,
            client_expired_connection_buffer,
            server_expired_connection_buffer,
            client_allocation_strategy:
                by_key(client_allocation_strategy, payload.requests_are_slices()),
            server_allocation_strategy:
                by_key(server_allocation_strategy, payload.responses_are_slices()),
            server_max_loaned_responses_per_request,
            clean_up,
            own_suffixes,
        }
    }
}

/// The oldest, the newest, or any of the first few.
pub(super) fn index() -> impl Strategy<Value = Nth> + Clone {
    prop_oneof![3 => Just(0), 2 => Just(-1), 4 => 0..4]
}
