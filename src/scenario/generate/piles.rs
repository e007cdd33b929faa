//! Phrases in which something piles up: what is sent and forgotten, answered and not read,
//! held over, or left behind by ports that are soon gone.

use proptest::prelude::*;

use super::{
    super::{LoanForm, Nth, Step},
    phrases::{create_client, create_server},
    values::{index, length},
};

fn request(client: Nth, len: usize) -> [Step; 2] {
    let form = LoanForm::WriteFromSlice;
    [Step::LoanRequest { client, len, form }, Step::SendRequest { request: -1 }]
}

fn answer(active: Nth, len: usize) -> [Step; 2] {
    let form = LoanForm::WriteFromSlice;
    [Step::LoanResponse { active, len, form }, Step::SendResponse { response: -1 }]
}

/// Requests nobody waits for any more, of which a server takes some; then as many loans as
/// there may be.
pub(super) fn forgotten_requests() -> BoxedStrategy<Vec<Step>> {
    let turns = proptest::collection::vec(any::<bool>(), 2..9);
    (index(), index(), length(), turns, any::<bool>())
        .prop_map(|(client, server, len, turns, waits)| {
            let mut steps = Vec::new();
            for taken in turns {
                steps.extend(request(client, len));
                steps.push(Step::DropPending { pending: -1 });
                steps.extend(taken.then_some(Step::ReceiveRequest { server }));
            }
            if waits {
                steps.extend(request(client, len));
            }
            let form = LoanForm::WriteFromSlice;
            steps.extend([Step::LoanRequest { client, len, form }; 4]);
            steps.extend([Step::DropRequest { request: -1 }; 4]);
            steps
        })
        .boxed()
}

/// Answers that are never read: the pending response is dropped first, or the answer comes
/// too late.
pub(super) fn unread_answers() -> BoxedStrategy<Vec<Step>> {
    (index(), index(), length(), any::<bool>(), 2..13_usize)
        .prop_map(|(client, server, len, too_late, times)| {
            let forget = Step::DropPending { pending: -1 };
            let mut turn = request(client, len).to_vec();
            turn.push(Step::ReceiveRequest { server });
            if too_late {
                turn.push(forget);
                turn.extend(answer(-1, len));
            } else {
                turn.extend(answer(-1, len));
                turn.push(forget);
            }
            turn.push(Step::DropActive { active: -1 });
            turn.repeat(times)
        })
        .boxed()
}

/// A response is held on to while the next request, and its responses, take the place of
/// the one it answered.
pub(super) fn held_over() -> BoxedStrategy<Vec<Step>> {
    (index(), index(), length(), 1..4_usize)
        .prop_map(|(client, server, len, answers)| {
            let exchange = |steps: &mut Vec<Step>| {
                steps.extend(request(client, len));
                steps.push(Step::ReceiveRequest { server });
                (0..answers).for_each(|_| steps.extend(answer(-1, len)));
                steps.extend(vec![Step::ReceiveResponse { pending: -1 }; answers]);
            };
            let mut steps = Vec::new();
            exchange(&mut steps);
            steps.extend([Step::DropPending { pending: -1 }, Step::DropActive { active: -1 }]);
            exchange(&mut steps);
            steps
        })
        .boxed()
}

/// Ports that come, send something and go, one after the other, while the other side holds
/// or does not read what they sent.
pub(super) fn short_lived_ports() -> BoxedStrategy<Vec<Step>> {
    let clients = (create_client(), index(), length(), any::<bool>(), 2..6_usize).prop_map(
        |(create, server, len, taken, times)| {
            let mut turn = vec![create];
            turn.extend(request(-1, len));
            turn.extend(taken.then_some(Step::ReceiveRequest { server }));
            turn.extend([Step::DropPending { pending: -1 }, Step::DropClient { client: -1 }]);
            turn.push(Step::InspectServer { server });
            turn.repeat(times)
        },
    );
    let servers = (create_server(), index(), length(), any::<bool>(), 2..6_usize).prop_map(
        |(create, client, len, read, times)| {
            let mut turn = vec![create];
            turn.extend(request(client, len));
            turn.push(Step::ReceiveRequest { server: -1 });
            turn.extend(answer(-1, len));
            turn.extend(read.then_some(Step::ReceiveResponse { pending: -1 }));
            turn.extend([Step::DropActive { active: -1 }, Step::DropServer { server: -1 }]);
            turn.push(Step::ReceiveResponse { pending: 0 });
            turn.repeat(times)
        },
    );
    prop_oneof![clients, servers].boxed()
}
