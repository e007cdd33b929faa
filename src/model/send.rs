//! What becomes of a message that is sent: whether the buffers take it, and what it means that one
//! does not.

use super::{Expected, LoanedResponse, Model, Prediction, Promise, Switch, Target, predict::must};
use crate::actor::Key;

/// The error of a send that a full buffer does not take, where a handler has it fail.
pub(super) const UNDELIVERED: &str = "UnableToDeliver";

/// Whether a buffer takes another message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Yes,
    No,
    Perhaps,
}

impl Model {
    pub(super) fn predict_send_request(&self, request: Key) -> Prediction {
        let client = self.loaned_requests[&request].client;
        if self.pending_of(client) >= self.clients[&client].active {
            return must(
                Promise::ActiveRequestLimit,
                Expected::Refused("ExceedsMaxActiveRequests"),
            );
        }
        let (mut sure, mut possible, mut refuses, mut may_refuse) = (0, 0, false, false);
        let mut all_unaware = true;
        for (&server, port) in &self.servers {
            match self.room_for_request(client, server) {
                Room::No if port.handle => {
                    refuses = true;
                    all_unaware &= !self.server_knows.contains(&(server, client));
                }
                Room::No => may_refuse = true,
                Room::Yes if port.handle => sure += 1,
                Room::Yes => possible += 1,
                Room::Perhaps => {
                    possible += 1;
                    may_refuse = true;
                }
            }
        }
        let sent = Expected::Sent { servers: sure..=sure + possible };
        if !self.settings.client_backpressure.fails() {
            return must(Promise::SendReachesEveryServer, sent);
        }
        let refused = Expected::Refused(UNDELIVERED);
        if refuses {
            let mut prediction = must(Promise::FailedDeliveryIsAnError, refused);
            let switch = Switch::UnawareServerIsPassedOver;
            if all_unaware && self.quirks.contains(switch) {
                prediction.tolerated.push((switch, sent));
            }
            return prediction;
        }
        let mut prediction = must(Promise::SendReachesEveryServer, sent);
        prediction.allowed.extend(may_refuse.then_some(refused));
        prediction
    }

    /// Sending to somebody who is gone is fine, see CT
    /// `responses_can_be_received_when_client_no_longer_exists`.
    pub(super) fn predict_send_response(&self, response: Key) -> Prediction {
        let sent = must(Promise::NeverCrashes, Expected::Done);
        let settings = &self.settings;
        if !settings.server_backpressure.fails() || settings.enable_safe_overflow_for_responses {
            return sent;
        }
        let loan = &self.loaned_responses[&response];
        let refused = Expected::Refused(UNDELIVERED);
        let room = match self.target_of(loan) {
            Some(Target { queue, .. }) if queue.len() >= settings.max_response_buffer_size => {
                let is_sure = self.active.contains_key(&loan.active)
                    && queue.iter().all(|response| response.certain);
                if is_sure { Room::No } else { Room::Perhaps }
            }
            _ => Room::Yes,
        };
        let mut prediction = match room {
            Room::No => must(Promise::FailedDeliveryIsAnError, refused.clone()),
            Room::Yes | Room::Perhaps => sent,
        };
        if room == Room::Perhaps {
            prediction.allowed.push(refused);
        } else if self.quirks.contains(Switch::OldResponsesFillBuffer)
            && self.old_responses_fill(loan)
        {
            prediction.tolerated.push((Switch::OldResponsesFillBuffer, refused));
        }
        prediction
    }

    /// What waits where a response goes, if anybody does.
    pub(super) fn target_of(&self, loan: &LoanedResponse) -> Option<&Target> {
        self.pending.get(&loan.pending)?.targets.get(&loan.server)
    }

    /// Whether there may be no room for a response with the quirk that has those that were never
    /// read share a buffer with those of a later request.
    pub(super) fn old_responses_fill(&self, loan: &LoanedResponse) -> bool {
        let old = self.unread.get(&(loan.server, loan.client)).copied().unwrap_or(0);
        let waiting = match self.target_of(loan) {
            Some(target) if old > 0 => target.queue.len(),
            Some(_) => return false,
            // It goes where those of a later request are, if there is one.
            None => {
                let others = self.pending.values().filter(|pending| pending.client == loan.client);
                let waiting = others.map(|pending| {
                    pending.targets.get(&loan.server).map_or(0, |target| target.queue.len())
                });
                let Some(most) = waiting.max() else { return false };
                most
            }
        };
        old + waiting >= self.settings.max_response_buffer_size
    }

    /// Whether a request fits into a server's buffer; with safe overflow it always does.
    pub(super) fn room_for_request(&self, client: Key, server: Key) -> Room {
        let capacity = self.settings.max_active_requests_per_client;
        let Some(queue) = self.in_flight.get(&(client, server)) else { return Room::Yes };
        if self.settings.enable_safe_overflow_for_requests || queue.len() < capacity {
            return Room::Yes;
        }
        // Requests to be discarded may or may not have been so far.
        let kept = queue.iter().filter(|request| self.pending.contains_key(&request.pending));
        if self.settings.enable_fire_and_forget_requests || kept.count() >= capacity {
            Room::No
        } else {
            Room::Perhaps
        }
    }
}

#[cfg(all(test, iox2_at_least_0_9))]
mod tests {
    use crate::{
        model::{Expected, Prediction, Switch, ideal::tests::model_after},
        scenario::{Backpressure, LoanForm, OpenMode, Settings, Step, Strategy},
    };

    const REFUSED: Expected = Expected::Refused(super::UNDELIVERED);

    /// The room of every buffer.
    const ROOM: usize = 2;

    /// With handlers, and with known quirks.
    fn prediction_of(next: Step, steps: &[Step]) -> Prediction {
        let settings = Settings {
            max_active_requests_per_client: ROOM,
            max_response_buffer_size: ROOM,
            enable_safe_overflow_for_requests: false,
            enable_safe_overflow_for_responses: false,
            client_backpressure: Backpressure::DiscardDataAndFail,
            server_backpressure: Backpressure::DiscardDataAndFail,
            ..Settings::default()
        };
        let join = Step::Join { how: OpenMode::Create, require: None };
        let server = Step::create_server(0, Strategy::Static, 8, 4);
        let client = Step::create_client(0, Strategy::Static, 8);
        let steps = [&[join, server, client], steps].concat();
        let quirks = [Switch::UnawareServerIsPassedOver, Switch::OldResponsesFillBuffer].into();
        let mut model = model_after(settings, quirks, &steps).expect("a model");
        let action = model.resolve(&next).expect("an action");
        model.predict(&action)
    }

    const FORM: LoanForm = LoanForm::WriteFromSlice;
    const LOAN: Step = Step::LoanRequest { client: 0, len: 8, form: FORM };
    const SEND: Step = Step::SendRequest { request: 0 };
    const FORGET: Step = Step::DropPending { pending: 0 };

    #[test]
    fn a_request_fails_where_a_server_is_full_and_a_quirk_excuses_only_one_that_has_not_looked() {
        let look = Step::UpdateServer { server: 0 };
        for (sent, looks) in [(1, false), (1, true), (2, false), (2, true)] {
            let mut steps = [LOAN, SEND, FORGET].repeat(sent);
            steps.extend(looks.then_some(look));
            steps.push(LOAN);
            let prediction = prediction_of(SEND, &steps);
            let is_full = sent == ROOM;
            let expected = if is_full { REFUSED } else { Expected::Sent { servers: 1..=1 } };
            assert_eq!(prediction.allowed.as_slice(), [expected], "{sent} sent");
            assert_eq!(!prediction.tolerated.is_empty(), is_full && !looks, "looked: {looks}");
        }
    }

    #[test]
    fn a_late_answer_may_fail_only_where_a_later_request_may_have_its_channel() {
        let loan = Step::LoanResponse { active: 0, len: 8, form: FORM };
        let send = Step::SendResponse { response: 0 };
        for (answers, goes_on) in [(0, false), (0, true), (ROOM, false), (ROOM, true)] {
            let mut steps = vec![LOAN, SEND, Step::ReceiveRequest { server: 0 }];
            steps.extend([loan, send].repeat(answers));
            steps.extend([loan, FORGET]);
            steps.extend(goes_on.then_some([LOAN, SEND]).into_iter().flatten());
            let prediction = prediction_of(send, &steps);
            assert_eq!(prediction.allowed.as_slice(), [Expected::Done], "{answers}, {goes_on}");
            assert_eq!(!prediction.tolerated.is_empty(), answers == ROOM && goes_on, "{answers}");
        }
    }

    #[test]
    fn a_failed_request_reaches_whoever_has_room_and_counts_for_nothing() {
        let second = Step::create_server(0, Strategy::Static, 8, 4);
        let mut steps = [LOAN, SEND, FORGET].repeat(ROOM);
        steps.push(second);
        steps.extend([LOAN, SEND].repeat(ROOM));
        let receive = Step::ReceiveRequest { server: 1 };
        let of_second = prediction_of(receive, &steps);
        let waits = |expected: &Expected| matches!(expected, Expected::Received { .. });
        assert!(of_second.allowed.iter().all(waits), "{of_second:?}");
        // Nothing is active: as many as may be can be sent once there is room.
        steps.extend([Step::ReceiveRequest { server: 0 }, receive, LOAN]);
        assert_eq!(
            prediction_of(SEND, &steps).allowed.as_slice(),
            [Expected::Sent { servers: 2..=2 }]
        );
    }

    #[test]
    fn a_response_fails_where_the_buffer_is_full_and_its_pending_response_is_there() {
        let receive = Step::ReceiveRequest { server: 0 };
        let loan = Step::LoanResponse { active: 0, len: 8, form: FORM };
        let send = Step::SendResponse { response: 0 };
        for (sent, is_gone, expected) in
            [(1, false, Expected::Done), (2, false, REFUSED), (2, true, Expected::Done)]
        {
            let mut steps = vec![LOAN, SEND, receive];
            steps.extend([loan, send].repeat(sent));
            steps.push(loan);
            steps.extend(is_gone.then_some(FORGET));
            assert_eq!(prediction_of(send, &steps).allowed.as_slice(), [expected], "{sent} sent");
        }
    }
}
