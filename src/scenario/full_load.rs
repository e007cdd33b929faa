//! Steps that bring every port to all its limits at once.

use super::{LoanForm, Nth, Settings, Step};

/// The steps for so many clients and servers that hold no message, while so many requests may
/// wait to be received, with loans of a length that every one of them can make, for each active
/// request so many responses in parallel.
pub(crate) fn steps(
    settings: &Settings,
    clients: usize,
    servers: usize,
    waiting: usize,
    loans: usize,
    len: usize,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for client in 0..count(clients) {
        let loan = Step::LoanRequest { client, len, form: LoanForm::Default };
        steps.extend((0..=settings.max_loaned_requests).map(|_| loan));
        steps.extend((0..settings.max_loaned_requests).map(|_| Step::DropRequest { request: 0 }));
    }
    for server in 0..count(servers) {
        // What was sent to a pending response that is gone is taken out first. What is kept of
        // clients that are gone goes with the receive that finds nothing any more.
        let receipts = waiting.max(settings.max_active_requests_per_client * (clients + 1)) + 1;
        steps.extend(
            (0..receipts)
                .flat_map(|_| [Step::ReceiveRequest { server }, Step::DropActive { active: 0 }]),
        );
    }
    // The newest each time: one whose send would wait stays, and is not to be in the way.
    for client in 0..count(clients) {
        for _ in 0..settings.max_active_requests_per_client {
            steps.push(Step::LoanRequest { client, len, form: LoanForm::WriteFromFn });
            steps.push(Step::SendRequest { request: -1 });
        }
        steps.push(Step::LoanRequest { client, len, form: LoanForm::WriteFromSlice });
        steps.push(Step::SendRequest { request: -1 });
    }
    let requests = settings.max_active_requests_per_client * clients;
    for server in 0..count(servers) {
        steps.extend((0..requests).map(|_| Step::ReceiveRequest { server }));
    }
    // Fill every buffer and borrow all of it until no more may be borrowed, then fill it again.
    let mut may_be_borrowed = settings.max_borrowed_responses_per_pending_response;
    while may_be_borrowed > 0 {
        let answers = settings.max_response_buffer_size.min(may_be_borrowed);
        may_be_borrowed -= answers;
        for active in 0..count(requests * servers) {
            steps.extend(answer(active, len).repeat(answers));
        }
        for pending in 0..count(requests) {
            // Also without a server: what is kept of those that are gone goes with a receive.
            let receipts = (answers * servers).max(1);
            steps.extend((0..receipts).map(|_| Step::ReceiveResponse { pending }));
            steps.push(Step::InspectPending { pending });
        }
    }
    for active in 0..count(requests * servers) {
        steps.extend(answer(active, len).repeat(settings.max_response_buffer_size));
        steps.push(Step::InspectActive { active });
    }
    // There is a chunk for each of these as well.
    for active in 0..count(requests * servers) {
        steps.extend((0..loans).map(|_| Step::LoanResponse {
            active,
            len,
            form: LoanForm::Default,
        }));
    }
    // Where nothing could be sent nobody has noticed who is gone.
    steps.extend((0..count(clients)).map(|client| Step::UpdateClient { client }));
    steps
}

fn answer(active: Nth, len: usize) -> [Step; 2] {
    let loan = Step::LoanResponse { active, len, form: LoanForm::WriteFromFn };
    [loan, Step::SendResponse { response: -1 }]
}

/// The steps that loan as much as so many clients and active requests may, on top of what
/// exists, and one more each.
pub(crate) fn on_top(
    settings: &Settings,
    clients: usize,
    active: usize,
    loans: usize,
    len: usize,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for client in 0..count(clients) {
        let loan = Step::LoanRequest { client, len, form: LoanForm::WriteFromSlice };
        steps.extend((0..=settings.max_loaned_requests).map(|_| loan));
    }
    for active in 0..count(active) {
        let loan = Step::LoanResponse { active, len, form: LoanForm::WriteFromSlice };
        steps.extend((0..=loans).map(|_| loan));
    }
    steps
}

fn count(objects: usize) -> Nth {
    Nth::try_from(objects).unwrap_or(Nth::MAX)
}
