//! Chunks of a port: how many there are, who has them, and which quirks leave too few.

use std::collections::BTreeSet;

use super::{GROWTHS, LoanedResponse, Model, Port};
use crate::actor::Key;

impl Model {
    /// Whether a client may have no chunk left with the quirk that counts what servers hold, and
    /// not what the client still waits for.
    pub(super) fn may_exceed_counted(&self, client: Key) -> bool {
        self.bereft.contains(&client)
            || self.takes_more_than_counted(client, self.settings.max_active_requests_per_client)
    }

    /// Whether the requests of a client, with one more, take more chunks than iceoryx2
    /// preallocates for so many active ones.
    fn takes_more_than_counted(&self, client: Key, active: usize) -> bool {
        let counted = self.counted_for_client(active);
        let loaned = self.loaned_requests_of(client);
        let most = self.pending.len() + self.messages_in_flight() + self.active.len();
        // Mostly there are too few, whoever they belong to.
        if loaned + most < counted {
            return false;
        }
        self.chunks_of_client(client) >= counted
    }

    /// Chunks iceoryx2 preallocates for a client with so many active requests: each server may
    /// hold as many, and as many may be in its buffer.
    fn counted_for_client(&self, active: usize) -> usize {
        2 * active * self.settings.max_servers + self.settings.max_loaned_requests
    }

    /// Chunks iceoryx2 preallocates for a server.
    fn counted_for_server(&self, server: &Port) -> usize {
        let s = &self.settings;
        let per_request = s.max_response_buffer_size
            + s.max_borrowed_responses_per_pending_response
            + server.loans;
        2 * s.max_clients * s.max_active_requests_per_client * per_request
    }

    /// Whether responses whose active request or client is gone may count against others with the
    /// quirk that grants a server as many loans as the requests of `max_clients` clients need.
    pub(super) fn orphans_may_fill(&self, key: Key, server: &Port) -> bool {
        let loaned = || self.loaned_responses.values().filter(|loan| loan.server == key);
        let is_orphan = |loan: &LoanedResponse| {
            !self.active.contains_key(&loan.active) || !self.clients.contains_key(&loan.client)
        };
        let s = &self.settings;
        loaned().any(is_orphan)
            && loaned().count() >= server.loans * s.max_active_requests_per_client * s.max_clients
    }

    /// Whether a client with a limit of active requests of its own may have no chunk left with
    /// the quirk that preallocates for no more than that.
    pub(super) fn may_exceed_own_limit(&self, client: Key, port: &Port) -> bool {
        port.is_client()
            && port.active < self.settings.max_active_requests_per_client
            && (self.unaware.contains(&client) || self.takes_more_than_counted(client, port.active))
    }

    /// Whether a port may have no chunk for a loan of this length with the quirk that makes each
    /// of its segments, the first one included, a chunk shorter than the one before.
    pub(super) fn may_have_lost_chunks(&self, key: Key, port: &Port, len: usize) -> bool {
        // It also grows when it has none left, up to as many times as it can.
        let growths = port.growths() + usize::from(len > port.longest);
        let is_stuck = self.starved.contains(&key) || self.short_growths.contains(&key);
        port.loses_chunks
            && (port.ran_out
                || is_stuck && self.may_meet_full_segment(key, port)
                || growths + port.full_segments + 1 >= GROWTHS
                || growths + 1 >= self.counted_for(port))
    }

    /// Whether a port with this quirk may find its segment full: it makes another one then.
    pub(super) fn may_meet_full_segment(&self, key: Key, port: &Port) -> bool {
        let lost = port.growths() + 1;
        port.loses_chunks
            && (self.unaware.contains(&key)
                || self.chunks_of(key, port) + lost >= self.counted_for(port))
    }

    fn counted_for(&self, port: &Port) -> usize {
        port.preallocated.unwrap_or_else(|| match port.is_client() {
            true => self.counted_for_client(port.active),
            false => self.counted_for_server(port),
        })
    }

    fn chunks_of(&self, key: Key, port: &Port) -> usize {
        if port.is_client() { self.chunks_of_client(key) } else { self.chunks_of_server(key) }
    }

    /// Chunks that the requests of a client take at most, loaned ones included, as long as no
    /// server it sent some to is gone.
    fn chunks_of_client(&self, client: Key) -> usize {
        let waited_for = self.pending.iter().filter(|(_, pending)| pending.client == client);
        let queued = self.in_flight.iter().filter(|((from, _), _)| *from == client);
        let held = self.active.values().filter(|active| active.client == client);
        let requests: BTreeSet<Key> = waited_for
            .map(|(&key, _)| key)
            .chain(queued.flat_map(|(_, queue)| queue).map(|request| request.pending))
            .chain(held.map(|active| active.pending))
            .collect();
        self.loaned_requests_of(client) + requests.len()
    }

    /// Chunks that the responses of a server take at most, loaned ones included.
    fn chunks_of_server(&self, server: Key) -> usize {
        let targets = self.pending.values().filter_map(|pending| pending.targets.get(&server));
        self.unread_responses(server)
            + self.loaned_responses.values().filter(|loan| loan.server == server).count()
            + self.responses.values().filter(|held| held.server == server).count()
            + targets.map(|target| target.queue.len()).sum::<usize>()
    }

    /// Whether a port that preallocates fewer chunks than it may need, as was asked for, may
    /// have none left. What nobody has any more can be loaned again.
    pub(super) fn may_lack_chunks(&self, key: Key, port: &Port) -> bool {
        let Some(preallocated) = port.preallocated else { return false };
        // What those had who are gone comes back with the next look at who is there.
        self.unaware.contains(&key) || self.chunks_of(key, port) >= preallocated
    }

    /// Responses of a server to pending responses that are gone while their client is not, or
    /// the server has not noticed.
    pub(super) fn unread_responses(&self, server: Key) -> usize {
        self.unread.iter().filter(|((from, _), _)| *from == server).map(|(_, count)| count).sum()
    }

    /// Whether a server may have no chunk left with the quirk that does not count responses that
    /// were never read.
    pub(super) fn may_be_full_of_unread(&self, server: Key, port: &Port) -> bool {
        !port.is_client()
            && (self.bereft.contains(&server)
                || self.chunks_of_server(server) >= self.counted_for_server(port))
    }
}

#[cfg(all(test, iox2_at_least_0_9))]
mod tests {
    use std::collections::BTreeSet;

    use crate::{
        actor::Observation,
        model::{Expected, Model, SHORTEST_IMPOSSIBLE, Switch, ideal::tests::model_after},
        scenario::{LoanForm, OpenMode, Settings, Step, Strategy},
    };

    const LEN: usize = 4;

    fn loan_request(client: i32) -> Step {
        Step::LoanRequest { client, len: LEN, form: LoanForm::Default }
    }

    fn loan_response(active: i32) -> Step {
        Step::LoanResponse { active, len: LEN, form: LoanForm::Default }
    }

    /// Whether `next` may run out of memory after these steps of ports with one chunk each.
    fn may_run_out(steps: &[Step], next: Step) -> bool {
        let mut client = Step::create_client(0, Strategy::Static, 8);
        let mut server = Step::create_server(0, Strategy::Static, 8, 2);
        if let Step::CreateClient { preallocate, .. } = &mut client {
            *preallocate = Some(1);
        }
        if let Step::CreateServer { preallocate, .. } = &mut server {
            *preallocate = Some(1);
        }
        let join = Step::Join { how: OpenMode::Create, require: None };
        let steps = [&[join, client, server], steps].concat();
        let mut model = model_after(Settings::default(), BTreeSet::new(), &steps).expect("a model");
        let action = model.resolve(&next).expect("an action");
        let allowed = model.predict(&action).allowed;
        assert!(allowed.contains(&Expected::Loaned { len: LEN }), "{allowed:?}");
        allowed.contains(&Expected::Refused("OutOfMemory"))
    }

    #[test]
    fn who_has_one_chunk_lacks_it_only_while_somebody_has_it() {
        let loan = || loan_request(0);
        let [send, receive] =
            [Step::SendRequest { request: 0 }, Step::ReceiveRequest { server: 0 }];
        let [forget, end] = [Step::DropPending { pending: 0 }, Step::DropActive { active: 0 }];
        assert!(!may_run_out(&[], loan()));
        assert!(may_run_out(&[loan()], loan()));
        assert!(!may_run_out(&[loan(), Step::DropRequest { request: 0 }], loan()));
        assert!(may_run_out(&[loan(), send], loan()));
        assert!(may_run_out(&[loan(), send, forget], loan()), "the server may have it");
        assert!(may_run_out(&[loan(), send, receive, forget], loan()));
        assert!(!may_run_out(&[loan(), send, receive, forget, end], loan()));

        let asked = [loan(), send, receive];
        let answer = [loan_response(0), Step::SendResponse { response: 0 }];
        let [read, drop] =
            [Step::ReceiveResponse { pending: 0 }, Step::DropResponse { response: 0 }];
        let after = |steps: &[&[Step]]| may_run_out(&steps.concat(), loan_response(0));
        assert!(!after(&[&asked]));
        assert!(after(&[&asked, &answer]));
        assert!(after(&[&asked, &answer, &[read]]));
        assert!(!after(&[&asked, &answer, &[read, drop]]));
    }

    /// Whether a quirk may refuse `next` after these steps of a client and a server.
    fn is_tolerated(quirk: Switch, settings: &Settings, steps: &[Step], next: Step) -> bool {
        let mut client = Step::create_client(0, Strategy::BestFit, 0);
        if let (Step::CreateClient { strategy, active, .. }, Switch::OwnActiveLimitTakesChunks) =
            (&mut client, quirk)
        {
            (*strategy, *active) = (Strategy::Static, Some(1));
        }
        let join = Step::Join { how: OpenMode::Create, require: None };
        let server = Step::create_server(0, Strategy::Static, 8, 1);
        let steps = [&[join, client, server], steps].concat();
        let mut model = model_after(settings.clone(), [quirk].into(), &steps).expect("a model");
        let action = model.resolve(&next).expect("an action");
        model.predict(&action).tolerated.iter().any(|(switch, _)| *switch == quirk)
    }

    #[test]
    fn a_port_that_loses_chunks_has_none_after_as_many_growths_and_not_before() {
        // Two for requests that are sent and one for a loan, of which the first segment lacks one.
        let settings = Settings {
            max_servers: 1,
            max_active_requests_per_client: 1,
            max_loaned_requests: 1,
            request_payload_alignment: 16,
            ..Settings::default()
        };
        let loan = |len| Step::LoanRequest { client: 0, len, form: LoanForm::Default };
        let drop = Step::DropRequest { request: 0 };
        let is = |steps: &[Step], next| {
            is_tolerated(Switch::AlignedPortLosesChunks, &settings, steps, next)
        };
        assert!(!is(&[], loan(100)), "one is left");
        assert!(!is(&[loan(100), drop], loan(50)));
        assert!(is(&[loan(100), drop], loan(200)), "the second growth leaves none");
        assert!(is(&[loan(100), drop, loan(200), drop], loan(50)));
    }

    #[test]
    fn a_client_with_a_limit_of_its_own_runs_out_where_servers_hold_more() {
        let settings = Settings {
            max_servers: 1,
            max_active_requests_per_client: 2,
            max_loaned_requests: 1,
            ..Settings::default()
        };
        let loan = Step::LoanRequest { client: 0, len: 0, form: LoanForm::Default };
        let forgotten = [loan, Step::SendRequest { request: 0 }, Step::DropPending { pending: 0 }];
        let receive = [Step::ReceiveRequest { server: 0 }];
        let is = |steps: &[&[Step]]| {
            is_tolerated(Switch::OwnActiveLimitTakesChunks, &settings, &steps.concat(), loan)
        };
        // It preallocates for one that is active, one in the buffer and one that is loaned.
        assert!(!is(&[&forgotten, &receive]));
        assert!(!is(&[&forgotten, &receive, &forgotten]));
        assert!(is(&[&forgotten, &receive, &forgotten, &forgotten]));
    }

    #[test]
    fn orphaned_loans_count_once_there_are_as_many_as_all_clients_can_need() {
        let settings =
            Settings { max_clients: 1, max_active_requests_per_client: 2, ..Settings::default() };
        let ask = [
            Step::LoanRequest { client: 0, len: 0, form: LoanForm::Default },
            Step::SendRequest { request: 0 },
            Step::ReceiveRequest { server: 0 },
        ];
        let orphan =
            [loan_response(0), Step::DropActive { active: 0 }, Step::DropPending { pending: 0 }];
        for orphans in 0..=2 {
            let steps = [&ask[..], &orphan].concat().repeat(orphans);
            let steps = [&steps[..], &ask].concat();
            let quirk = Switch::OrphanedLoansCount;
            let is = is_tolerated(quirk, &settings, &steps, loan_response(0));
            assert_eq!(is, orphans == 2, "{orphans}");
        }
    }

    #[test]
    fn a_loan_the_limit_refuses_has_not_tried_to_grow() {
        let quirk = Switch::FailedGrowthSticks;
        let steps = [
            Step::Join { how: OpenMode::Create, require: None },
            Step::create_client(0, Strategy::BestFit, 8),
        ];
        for (error, sticks) in [("ExceedsMaxLoans", false), ("OutOfMemory", true)] {
            let mut model =
                model_after(Settings::default(), [quirk].into(), &steps).expect("a model");
            let loan = |len| Step::LoanRequest { client: 0, len, form: LoanForm::Default };
            let impossible = model.resolve(&loan(SHORTEST_IMPOSSIBLE)).expect("an action");
            model.apply(&impossible, &Observation::Refused(error.to_owned()));
            let growth = model.resolve(&loan(100)).expect("an action");
            let tolerated = model.predict(&growth).tolerated;
            assert_eq!(tolerated.iter().any(|(switch, _)| *switch == quirk), sticks, "{error}");
        }
    }

    #[test]
    fn a_loan_the_limit_refuses_does_not_count_as_one_that_failed() {
        let steps = [
            Step::Join { how: OpenMode::Create, require: None },
            Step::create_client(0, Strategy::Static, 8),
            Step::create_server(0, Strategy::Static, 8, 2),
            loan_request(0),
            Step::SendRequest { request: 0 },
            Step::ReceiveRequest { server: 0 },
            loan_response(0),
        ];
        let quirk = Switch::FailedLoanKeepsCount;
        let mut model = model_after(Settings::default(), [quirk].into(), &steps).expect("a model");
        let next = |model: &mut Model| model.resolve(&loan_response(0)).expect("an action");
        let is_tolerated = |model: &mut Model| {
            let action = next(model);
            model.predict(&action).tolerated.iter().any(|(switch, _)| *switch == quirk)
        };
        assert!(!is_tolerated(&mut model), "none has failed");
        for error in ["OutOfMemory", "ExceedsMaxLoans"] {
            let action = next(&mut model);
            model.apply(&action, &Observation::Refused(error.to_owned()));
            assert!(is_tolerated(&mut model), "one failed, one is loaned, which makes two");
        }
        let drop = model.resolve(&Step::DropLoanedResponse { response: 0 }).expect("an action");
        model.apply(&drop, &Observation::Done);
        assert!(!is_tolerated(&mut model), "only one failed for want of memory");
    }

    #[test]
    fn what_the_killed_had_is_tolerated_to_be_missing_until_the_next_look() {
        let quirk = Switch::UndeliveredRequestTakesChunk;
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let steps = [
            join,
            join,
            Step::create_client(0, Strategy::Static, 8),
            Step::create_server(1, Strategy::Static, 8, 1),
            loan_request(0),
            Step::SendRequest { request: 0 },
            Step::ReceiveRequest { server: 0 },
        ];
        let mut model = model_after(Settings::default(), [quirk].into(), &steps).expect("a model");
        model.allow_kills(true);
        let mut take = |step: Step| {
            let action = model.resolve(&step).expect("an action");
            let is_tolerated =
                model.predict(&action).tolerated.iter().any(|(switch, _)| *switch == quirk);
            let observation = model.ideal(&action);
            model.apply(&action, &observation);
            is_tolerated
        };
        let drop = Step::DropRequest { request: 0 };
        assert!(!take(loan_request(0)));
        take(drop);
        take(Step::Kill { participant: 1, by: 0 });
        assert!(take(loan_request(0)));
        take(drop);
        take(Step::UpdateClient { client: 0 });
        assert!(!take(loan_request(0)));
    }

    #[test]
    fn who_has_looked_has_back_what_the_gone_had() {
        let gone = [
            loan_request(0),
            Step::SendRequest { request: 0 },
            Step::DropPending { pending: 0 },
            Step::DropServer { server: 0 },
        ];
        assert!(may_run_out(&gone, loan_request(0)));
        let looks = [Step::UpdateClient { client: 0 }];
        assert!(!may_run_out(&[&gone[..], &looks].concat(), loan_request(0)));
    }
}
