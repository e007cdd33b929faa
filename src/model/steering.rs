//! Steps that are not taken: what a known quirk would make of them ruins the process or the run,
//! they would wait for ever, or only the machine could refuse them.

use super::{
    GROWTHS, LONGEST_AFFORDABLE, Model, Port, SHORTEST_IMPOSSIBLE, SHORTEST_OVERFLOWING, Switch,
};
use crate::{
    actor::Key,
    scenario::{Backpressure, MOST_RESPONSE_LOANS, is_reduced},
};

/// Unread responses at which the quirk is steered around: the smallest server that can
/// have it preallocates six chunks.
const UNREAD_TO_STEER_AT: usize = 4;

/// Bytes of heap one segment of a local port may have.
const AFFORDABLE_HEAP: usize = 2 << 30;

/// Whether a loan of this length says something about iceoryx2 and not about the
/// machine.
fn is_telling(len: usize, element: usize) -> bool {
    len.saturating_mul(element) <= LONGEST_AFFORDABLE || len >= SHORTEST_IMPOSSIBLE
}

impl Model {
    /// Whether a known quirk loses what clients with so many chunks send.
    pub(super) fn loses_data_of_clients_with(&self, chunks: usize) -> bool {
        is_reduced(Some(chunks)) && self.quirks.steers(Switch::ReducedClientPreallocationLosesData)
    }

    /// The length of a loan, `None` if it would say something about the machine and not
    /// about iceoryx2; a single value has length 1.
    pub(super) fn telling_length(&self, len: usize, is_slice: bool) -> Option<usize> {
        let len = if is_slice { len } else { 1 };
        Some(len).filter(|&len| is_telling(len, self.settings.payload.largest_element()))
    }

    /// Whether a known quirk makes this loan ruin the process.
    pub(super) fn steers_around(&self, len: usize, port: &Port) -> bool {
        let steers = |switch| self.quirks.steers(switch);
        let may_overflow = || len >= SHORTEST_OVERFLOWING || self.largest_segment(len).is_none();
        let may_be_the_last_growth = port.growths() >= GROWTHS && len > port.longest;
        port.strategy.is_dynamic()
            && (may_overflow() && steers(Switch::ImpossibleLoanOverflows)
                || may_be_the_last_growth && steers(Switch::GrowthPastLimitCrashes)
                || self.needs_too_much_heap(len) && steers(Switch::ImpossibleLocalLoanPanics))
    }

    /// Whether a segment with chunks of this length might be more than this machine has as
    /// heap; shared memory takes no room before it is written to.
    pub(super) fn needs_too_much_heap(&self, len: usize) -> bool {
        self.largest_segment(len).is_none_or(|size| size > AFFORDABLE_HEAP)
    }

    /// Bytes of a segment with chunks of this length at most, with `PowerOfTwo` twice as long;
    /// `None` if that is no `usize`.
    fn largest_segment(&self, len: usize) -> Option<usize> {
        let s = &self.settings;
        let alignment = s.request_payload_alignment.max(s.response_payload_alignment);
        // iceoryx2 pads every element, not only the first.
        let element = s.payload.largest_element().next_multiple_of(alignment);
        let chunk = len.checked_add(1)?.checked_mul(element)?;
        let per_request = s.max_response_buffer_size
            + s.max_borrowed_responses_per_pending_response
            + MOST_RESPONSE_LOANS;
        let responses = 2 * s.max_clients * s.max_active_requests_per_client * per_request;
        let requests = 2 * s.max_servers * s.max_active_requests_per_client + s.max_loaned_requests;
        chunk.checked_mul(2 * responses.max(requests))
    }

    /// Whether a known quirk may make the server's next loan ruin the process.
    pub(super) fn is_about_to_exhaust_chunks(&self, server: Key) -> bool {
        self.servers[&server].strategy.is_dynamic()
            && self.unread_responses(server) >= UNREAD_TO_STEER_AT
            && self.quirks.steers(Switch::OldResponsesExhaustChunks)
    }

    /// Whether a server holds a request of a client that is gone, or a response to one.
    pub(super) fn holds_of_gone_client(&self) -> bool {
        let active = self.active.values().map(|active| active.client);
        let loaned = self.loaned_responses.values().map(|loan| loan.client);
        active.chain(loaned).any(|client| !self.clients.contains_key(&client))
    }

    /// Without overflow and with `RetryUntilDelivered` a send waits for room, which
    /// nobody would make: steps are taken one at a time.
    pub(super) fn send_would_wait(&self, request: Key) -> bool {
        let settings = &self.settings;
        !settings.enable_safe_overflow_for_requests
            && settings.client_backpressure == Backpressure::RetryUntilDelivered
            && self.loaned_requests.get(&request).is_some_and(|loan| {
                self.in_flight.iter().any(|((client, _), queue)| {
                    *client == loan.client && queue.len() >= settings.max_active_requests_per_client
                })
            })
    }

    pub(super) fn response_would_wait(&self, response: Key) -> bool {
        let settings = &self.settings;
        let Some(loan) = self.loaned_responses.get(&response) else { return false };
        if settings.enable_safe_overflow_for_responses
            || settings.server_backpressure != Backpressure::RetryUntilDelivered
        {
            return false;
        }
        let pending = self.pending.get(&loan.pending);
        let is_full = pending
            .and_then(|pending| pending.targets.get(&loan.server))
            .is_some_and(|target| target.queue.len() >= settings.max_response_buffer_size);
        // Without a pending response it goes nowhere, or where those of another one go.
        let shares_room = match pending {
            Some(_) => self.stale.contains(&(loan.client, loan.server)),
            None => self.pending.values().any(|other| other.client == loan.client),
        };
        is_full || shares_room && self.quirks.steers(Switch::OldResponsesFillBuffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actor::{Action, Observation},
        model::ideal::tests::model_after,
        scenario::{LoanForm, OpenMode, Settings, Step, Strategy},
    };

    /// The action of a loan by a dynamic client, living with the quirk of overflowing loans.
    fn loan_of(len: usize, alignment: usize) -> Option<Action> {
        let settings = Settings { request_payload_alignment: alignment, ..Settings::default() };
        let mut model = Model::new(settings, [Switch::ImpossibleLoanOverflows].into());
        let join = model.resolve(&Step::Join { how: OpenMode::Create, require: None })?;
        model.apply(&join, &Observation::Done);
        let create = model.resolve(&Step::create_client(0, Strategy::BestFit, 8))?;
        let (hint, backpressure, active) = (8, None, None);
        let id = Default::default();
        model.apply(&create, &Observation::PortCreated { id, hint, backpressure, active });
        model.resolve(&Step::LoanRequest { client: 0, len, form: LoanForm::Default })
    }

    /// What comes of a step after these, as if each of them had gone well.
    fn after(settings: Settings, quirk: Switch, steps: &[Step], next: &Step) -> Option<Action> {
        model_after(settings, [quirk].into(), steps)?.resolve(next)
    }

    #[test]
    fn a_server_holds_requests_of_no_more_clients_than_its_expired_buffer_has_room_for() {
        let ask = |client| {
            let form = LoanForm::Default;
            [Step::LoanRequest { client, len: 8, form }, Step::SendRequest { request: 0 }]
        };
        let receive = Step::ReceiveRequest { server: 0 };
        let mut steps = vec![
            Step::Join { how: OpenMode::Create, require: None },
            Step::create_server(0, Strategy::Static, 8, 1),
            Step::create_client(0, Strategy::Static, 8),
            Step::create_client(0, Strategy::Static, 8),
        ];
        steps.extend(ask(0).into_iter().chain(ask(0)));
        let quirk = Switch::FullExpiredBufferPanics;
        for (room, is_steered) in [(1, true), (2, false)] {
            let settings =
                Settings { server_expired_connection_buffer: room, ..Settings::default() };
            let of_one: Vec<Step> = steps.iter().copied().chain([receive]).collect();
            assert!(after(settings.clone(), quirk, &of_one, &receive).is_some());
            let of_two: Vec<Step> = of_one.iter().copied().chain(ask(1)).collect();
            let next = after(settings.clone(), quirk, &of_two, &receive);
            assert_eq!(next.is_none(), is_steered, "room for {room}");
            let other = Switch::FailedGrowthSticks;
            assert!(after(settings, other, &of_two, &receive).is_some());
        }
    }

    #[test]
    fn a_server_that_has_received_all_of_a_gone_client_looks_for_more() {
        let form = LoanForm::Default;
        let ask = [Step::LoanRequest { client: 0, len: 8, form }, Step::SendRequest { request: 0 }];
        let receive = Step::ReceiveRequest { server: 0 };
        let mut steps = vec![
            Step::Join { how: OpenMode::Create, require: None },
            Step::create_server(0, Strategy::Static, 8, 1),
            Step::create_client(0, Strategy::Static, 8),
        ];
        steps.extend(ask.repeat(2));
        let forget = Step::DropPending { pending: 0 };
        steps.extend([receive, forget, forget, Step::DropClient { client: 0 }]);
        let goes_on = |steps: &[Step]| {
            let settings = Settings { server_expired_connection_buffer: 1, ..Settings::default() };
            after(settings, Switch::FullExpiredBufferPanics, steps, &receive).is_some()
        };
        steps.push(receive);
        assert!(goes_on(&steps), "it holds both");
        steps.extend([Step::DropActive { active: 0 }; 2]);
        assert!(goes_on(&steps), "what is kept of the client goes with this receive");
    }

    #[test]
    fn a_port_that_has_grown_as_often_as_it_can_grows_no_more_where_that_crashes() {
        let loan = |len| Step::LoanRequest { client: 0, len, form: LoanForm::Default };
        let growths = |count| {
            let mut steps = vec![
                Step::Join { how: OpenMode::Create, require: None },
                Step::create_client(0, Strategy::BestFit, 0),
            ];
            steps.extend((1..=count).flat_map(|len| [loan(len), Step::DropRequest { request: 0 }]));
            steps
        };
        let next = |quirk, grown, len| {
            after(Settings::default(), quirk, &growths(grown), &loan(len)).is_some()
        };
        let crashes = Switch::GrowthPastLimitCrashes;
        assert!(next(crashes, GROWTHS - 1, GROWTHS));
        assert!(next(crashes, GROWTHS, GROWTHS), "it has that much");
        assert!(!next(crashes, GROWTHS, GROWTHS + 1));
        assert!(next(Switch::FailedGrowthSticks, GROWTHS, GROWTHS + 1));
    }

    #[test]
    fn no_client_comes_any_more_that_a_server_might_never_forget() {
        let [create, leave] =
            [Step::create_client(0, Strategy::Static, 8), Step::DropClient { client: 0 }];
        let turnover = |times| {
            let mut steps = vec![
                Step::Join { how: OpenMode::Create, require: None },
                Step::create_server(0, Strategy::Static, 8, 1),
            ];
            steps.extend((0..times).flat_map(|_| [create, leave]));
            steps
        };
        let comes = |quirk, fire_and_forget, times| {
            let settings = Settings {
                server_expired_connection_buffer: 8,
                enable_fire_and_forget_requests: fire_and_forget,
                ..Settings::default()
            };
            after(settings, quirk, &turnover(times), &create).is_some()
        };
        let unforgotten = Switch::GoneClientIsNeverForgotten;
        assert!(comes(unforgotten, false, 3));
        assert!(!comes(unforgotten, false, 4));
        assert!(comes(unforgotten, true, 4));
        assert!(comes(Switch::FailedGrowthSticks, false, 4));
    }

    #[test]
    fn a_late_answer_is_sent_unless_a_later_request_may_have_its_channel() {
        let form = LoanForm::Default;
        let ask = [Step::LoanRequest { client: 0, len: 8, form }, Step::SendRequest { request: 0 }];
        let mut steps = vec![
            Step::Join { how: OpenMode::Create, require: None },
            Step::create_server(0, Strategy::Static, 8, 1),
            Step::create_client(0, Strategy::Static, 8),
        ];
        steps.extend(ask);
        steps.extend([
            Step::ReceiveRequest { server: 0 },
            Step::LoanResponse { active: 0, len: 8, form },
            Step::DropPending { pending: 0 },
        ]);
        let is_sent = |quirk, steps: &[Step]| {
            let settings =
                Settings { enable_safe_overflow_for_responses: false, ..Settings::default() };
            after(settings, quirk, steps, &Step::SendResponse { response: 0 }).is_some()
        };
        assert!(is_sent(Switch::OldResponsesFillBuffer, &steps));
        steps.extend(ask);
        assert!(!is_sent(Switch::OldResponsesFillBuffer, &steps));
        assert!(is_sent(Switch::FailedGrowthSticks, &steps));
    }

    #[test]
    fn only_what_changes_a_step_counts_as_steered_around() {
        let quirk = Switch::GrowthPastLimitCrashes;
        let steered = |grown: usize, len| {
            let loan = |len| Step::LoanRequest { client: 0, len, form: LoanForm::Default };
            let mut steps = vec![
                Step::Join { how: OpenMode::Create, require: None },
                Step::create_client(0, Strategy::BestFit, 0),
            ];
            steps.extend((1..=grown).flat_map(|len| [loan(len), Step::DropRequest { request: 0 }]));
            let known = [quirk, Switch::ImpossibleLoanOverflows].into();
            let mut model = model_after(Settings::default(), known, &steps)?;
            let action = model.resolve(&loan(len));
            let steered = Vec::from_iter(model.steered());
            (action.is_none() != steered.is_empty()).then_some(steered)
        };
        assert_eq!(steered(GROWTHS, GROWTHS), Some(vec![]));
        assert_eq!(steered(GROWTHS, GROWTHS + 1), Some(vec![quirk]));
        assert_eq!(steered(0, SHORTEST_OVERFLOWING), Some(vec![Switch::ImpossibleLoanOverflows]));
    }

    #[test]
    fn a_loan_that_overflows_only_with_its_padding_is_steered_around_as_well() {
        assert!(loan_of(SHORTEST_IMPOSSIBLE, 1).is_some());
        assert!(loan_of(SHORTEST_IMPOSSIBLE, 4096).is_none());
        assert!(loan_of(SHORTEST_OVERFLOWING, 1).is_none());
    }
}
