//! Memory that is larger than 32 bits count. Nothing of it is written to: it takes no room.

use std::ops::Range;

use iceoryx2::prelude::{AllocationStrategy, NodeBuilder, ServiceName, ipc};
use iox2_gauntlet::{actor::config_file, sandbox::Sandbox};

use crate::across_processes::assert_nothing_left;

const GIBIBYTE: usize = 1 << 30;

/// Loans at the same time: more than 4 GiB of them.
const LOANS: usize = 6;

fn range<T>(loan: &mut [T]) -> Range<usize> {
    let start = loan.as_ptr().addr();
    start..start + size_of_val(loan)
}

#[track_caller]
fn assert_apart(mut loans: Vec<Range<usize>>) {
    loans.sort_by_key(|loan| loan.start);
    let is_apart = |pair: &[Range<usize>]| pair[0].end <= pair[1].start;
    assert!(loans.windows(2).all(is_apart), "{loans:x?}");
    assert!(loans.iter().all(|loan| loan.len() == GIBIBYTE), "{loans:x?}");
}

/// Clients and servers whose loans lie beyond what 32 bits can tell, for each strategy; what is
/// loaned does not overlap, and can be loaned again.
#[test]
fn loans_beyond_four_gibibytes_do_not_overlap() {
    let sandbox = Sandbox::new().unwrap();
    let path = sandbox.write_config("large", "").unwrap();
    let config = config_file::load(&path).unwrap().config;
    let node = NodeBuilder::new().config(&config).create::<ipc::Service>().unwrap();
    let service = node
        .service_builder(&ServiceName::new("large").unwrap())
        .request_response::<[u8], [u8]>()
        .max_clients(1)
        .max_servers(1)
        .max_active_requests_per_client(1)
        .max_loaned_requests(LOANS)
        .create()
        .unwrap();
    let strategies =
        [AllocationStrategy::Static, AllocationStrategy::BestFit, AllocationStrategy::PowerOfTwo];
    for strategy in strategies {
        // A dynamic port grows into it.
        let hint = if strategy == AllocationStrategy::Static { GIBIBYTE } else { 1 };
        let client = service.client_builder().allocation_strategy(strategy);
        let client = client.initial_max_slice_len(hint).create().unwrap();
        let server = service.server_builder().allocation_strategy(strategy);
        let server = server.initial_max_slice_len(hint).max_loaned_responses_per_request(LOANS);
        let server = server.create().unwrap();
        for _ in 0..2 {
            let mut requests: Vec<_> =
                (0..LOANS).map(|_| client.loan_slice_uninit(GIBIBYTE).unwrap()).collect();
            assert_apart(requests.iter_mut().map(|loan| range(loan.payload_mut())).collect());
        }
        let small = client.loan_slice(1).unwrap().send().unwrap();
        let active = server.receive().unwrap().unwrap();
        for _ in 0..2 {
            let mut responses: Vec<_> =
                (0..LOANS).map(|_| active.loan_slice_uninit(GIBIBYTE).unwrap()).collect();
            assert_apart(responses.iter_mut().map(|loan| range(loan.payload_mut())).collect());
        }
        drop((small, active, client, server));
    }
    drop((service, node));
    assert_nothing_left(&sandbox);
}
