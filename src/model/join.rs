//! What becomes of a participant who opens or creates the service, as the service is, and as it is
//! required to be.

use smallvec::smallvec;

use super::{Expected, Model, Prediction, Promise, predict::must};
use crate::{
    actor::version,
    scenario::{OpenMode, Requirement},
};

impl Model {
    pub(super) fn predict_join(&self, how: OpenMode, require: Option<Requirement>) -> Prediction {
        let present = self.participants.values().filter(|p| p.present).count();
        let lingering = self
            .participants
            .iter()
            .filter(|(key, p)| !p.present && self.participant_lingers(**key))
            .count();
        let exists = present > 0;
        if !exists {
            return match how {
                OpenMode::Open => must(Promise::CreateAndOpen, Expected::Refused("DoesNotExist")),
                OpenMode::Create | OpenMode::OpenOrCreate => {
                    must(Promise::CreateAndOpen, Expected::Done)
                }
            };
        }
        if how == OpenMode::Create {
            return must(Promise::CreateAndOpen, Expected::Refused("AlreadyExists"));
        }
        if let Some((error, promise)) = require.and_then(|require| self.unmet(require)) {
            return must(promise, Expected::Refused(error));
        }
        let refused = Expected::Refused("ExceedsMaxNumberOfNodes");
        let allowed = if present >= self.settings.max_nodes {
            smallvec![refused]
        } else if present + lingering >= self.settings.max_nodes {
            smallvec![Expected::Done, refused]
        } else if require.is_some() {
            return must(Promise::OpenChecksRequirements, Expected::Done);
        } else {
            smallvec![Expected::Done]
        };
        Prediction { promise: Promise::NodeLimit, allowed, tolerated: Vec::new() }
    }

    /// The error a requirement leads to, `None` if the service meets it.
    fn unmet(&self, require: Requirement) -> Option<(&'static str, Promise)> {
        use Requirement as R;
        let s = &self.settings;
        let unmet = match require {
            R::MaxClients(n) => {
                (n > s.max_clients).then_some("DoesNotSupportRequestedAmountOfClients")
            }
            R::MaxServers(n) => {
                (n > s.max_servers).then_some("DoesNotSupportRequestedAmountOfServers")
            }
            R::MaxNodes(n) => (n > s.max_nodes).then_some("DoesNotSupportRequestedAmountOfNodes"),
            R::MaxActiveRequestsPerClient(n) => (n > s.max_active_requests_per_client)
                .then_some("DoesNotSupportRequestedAmountOfActiveRequestsPerClient"),
            R::MaxLoanedRequests(n) => (n > s.max_loaned_requests)
                .then_some("DoesNotSupportRequestedAmountOfClientRequestLoans"),
            R::MaxResponseBufferSize(n) => (n > s.max_response_buffer_size)
                .then_some("DoesNotSupportRequestedResponseBufferSize"),
            R::MaxBorrowedResponsesPerPendingResponse(n) => (n > s
                .max_borrowed_responses_per_pending_response)
                .then_some("DoesNotSupportRequestedAmountOfBorrowedResponsesPerPendingResponse"),
            R::EnableSafeOverflowForRequests(on) => (on != s.enable_safe_overflow_for_requests)
                .then_some("IncompatibleOverflowBehaviorForRequests"),
            R::EnableSafeOverflowForResponses(on) => (on != s.enable_safe_overflow_for_responses)
                .then_some("IncompatibleOverflowBehaviorForResponses"),
            R::EnableFireAndForgetRequests(on) => (on != s.enable_fire_and_forget_requests)
                .then_some("IncompatibleBehaviorForFireAndForgetRequests"),
            R::RequestPayloadAlignment(n) => {
                let has = s.request_payload_alignment.max(s.payload.request_alignment());
                (n > has).then_some(version::INCOMPATIBLE_REQUEST_TYPE)
            }
            R::ResponsePayloadAlignment(n) => {
                let has = s.response_payload_alignment.max(s.payload.response_alignment());
                (n > has).then_some(version::INCOMPATIBLE_RESPONSE_TYPE)
            }
            R::RequestPayload(_) => Some(version::INCOMPATIBLE_REQUEST_TYPE),
            R::ResponsePayload(_) => Some(version::INCOMPATIBLE_RESPONSE_TYPE),
        };
        unmet.map(|error| (error, Promise::OpenChecksRequirements))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{PayloadType, Settings};

    /// What the service has, what requires so much of it, and how the error ends.
    type Row<T> = (T, fn(T) -> Requirement, &'static str);

    #[test]
    fn a_requirement_is_met_up_to_what_the_service_has_and_not_beyond() {
        use Requirement as R;
        let settings = Settings {
            max_clients: 3,
            max_servers: 4,
            max_nodes: 5,
            max_active_requests_per_client: 6,
            max_loaned_requests: 7,
            max_response_buffer_size: 8,
            max_borrowed_responses_per_pending_response: 9,
            request_payload_alignment: 16,
            response_payload_alignment: 64,
            ..Settings::default()
        };
        let limits: [Row<usize>; 9] = [
            (3, R::MaxClients, "AmountOfClients"),
            (4, R::MaxServers, "AmountOfServers"),
            (5, R::MaxNodes, "AmountOfNodes"),
            (6, R::MaxActiveRequestsPerClient, "AmountOfActiveRequestsPerClient"),
            (7, R::MaxLoanedRequests, "AmountOfClientRequestLoans"),
            (8, R::MaxResponseBufferSize, "ResponseBufferSize"),
            (
                9,
                R::MaxBorrowedResponsesPerPendingResponse,
                "AmountOfBorrowedResponsesPerPendingResponse",
            ),
            (16, R::RequestPayloadAlignment, version::INCOMPATIBLE_REQUEST_TYPE),
            (64, R::ResponsePayloadAlignment, version::INCOMPATIBLE_RESPONSE_TYPE),
        ];
        let model = Model::new(settings.clone(), Default::default());
        let error = |require| model.unmet(require).map(|(error, _)| error);
        for (limit, require, name) in limits {
            for required in [1, limit - 1, limit] {
                assert_eq!(error(require(required)), None, "{required} of {name}");
            }
            for required in [limit + 1, limit + 2, usize::MAX] {
                let error = error(require(required));
                assert!(error.is_some_and(|error| error.ends_with(name)), "{required}: {error:?}");
            }
        }
        let flags: [Row<bool>; 3] = [
            (
                settings.enable_safe_overflow_for_requests,
                R::EnableSafeOverflowForRequests,
                "OverflowBehaviorForRequests",
            ),
            (
                settings.enable_safe_overflow_for_responses,
                R::EnableSafeOverflowForResponses,
                "OverflowBehaviorForResponses",
            ),
            (
                settings.enable_fire_and_forget_requests,
                R::EnableFireAndForgetRequests,
                "BehaviorForFireAndForgetRequests",
            ),
        ];
        for (is_on, require, name) in flags {
            assert_eq!(error(require(is_on)), None);
            assert!(error(require(!is_on)).is_some_and(|error| error.ends_with(name)));
        }
        for payload in [PayloadType::U8, PayloadType::SliceOfI16, PayloadType::SliceOfPairs] {
            let request = error(R::RequestPayload(payload));
            let response = error(R::ResponsePayload(payload));
            assert_eq!(request, Some(version::INCOMPATIBLE_REQUEST_TYPE));
            assert_eq!(response, Some(version::INCOMPATIBLE_RESPONSE_TYPE));
        }
    }
}
