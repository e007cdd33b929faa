//! Steps that bring every port to all its limits at once.

use super::{LoanForm, Nth, Settings, Step};

/// The steps for so many clients and servers without any message.
pub(crate) fn steps(settings: &Settings, clients: usize, servers: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for client in 0..count(clients) {
        let loan = Step::LoanRequest { client, len: 1, form: LoanForm::Default };
        steps.extend((0..=settings.max_loaned_requests).map(|_| loan));
        steps.extend((0..settings.max_loaned_requests).map(|_| Step::DropRequest { request: 0 }));
    }
    for server in 0..count(servers) {
        // What was sent to a pending response that is gone is taken out first.
        steps.extend(
            (0..settings.max_active_requests_per_client * (clients + 1))
                .flat_map(|_| [Step::ReceiveRequest { server }, Step::DropActive { active: 0 }]),
        );
    }
    for client in 0..count(clients) {
        for _ in 0..settings.max_active_requests_per_client {
            steps.push(Step::LoanRequest { client, len: 1, form: LoanForm::WriteFromFn });
            steps.push(Step::SendRequest { request: 0 });
        }
        steps.push(Step::LoanRequest { client, len: 1, form: LoanForm::WriteFromSlice });
        steps.push(Step::SendRequest { request: 0 });
    }
    let requests = settings.max_active_requests_per_client * clients;
    for server in 0..count(servers) {
        steps.extend((0..requests).map(|_| Step::ReceiveRequest { server }));
    }
    // Fill every buffer, borrow all of it, fill it again.
    let answers =
        settings.max_response_buffer_size.min(settings.max_borrowed_responses_per_pending_response);
    for active in 0..count(requests * servers) {
        for _ in 0..answers {
            steps.push(Step::LoanResponse { active, len: 1, form: LoanForm::WriteFromFn });
            steps.push(Step::SendResponse { response: 0 });
        }
    }
    for pending in 0..count(requests) {
        // Also without a server: what is kept of those that are gone goes with a receive.
        let receipts = (answers * servers).max(1);
        steps.extend((0..receipts).map(|_| Step::ReceiveResponse { pending }));
        steps.push(Step::InspectPending { pending });
    }
    for active in 0..count(requests * servers) {
        steps.push(Step::LoanResponse { active, len: 1, form: LoanForm::WriteFromFn });
        steps.push(Step::SendResponse { response: 0 });
        steps.push(Step::InspectActive { active });
    }
    // Where nothing could be sent nobody has noticed who is gone.
    steps.extend((0..count(clients)).map(|client| Step::UpdateClient { client }));
    steps.extend((0..count(servers)).map(|server| Step::UpdateServer { server }));
    steps
}

/// The steps that loan as much as so many clients and active requests may, on top of what
/// exists, and one more each.
pub(crate) fn on_top(
    settings: &Settings,
    clients: usize,
    active: usize,
    loans: usize,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for client in 0..count(clients) {
        let loan = Step::LoanRequest { client, len: 1, form: LoanForm::WriteFromSlice };
        steps.extend((0..=settings.max_loaned_requests).map(|_| loan));
    }
    for active in 0..count(active) {
        let loan = Step::LoanResponse { active, len: 1, form: LoanForm::WriteFromSlice };
        steps.extend((0..=loans).map(|_| loan));
    }
    steps
}

fn count(objects: usize) -> Nth {
    Nth::try_from(objects).unwrap_or(Nth::MAX)
}
