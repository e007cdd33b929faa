//! What participants do, step by step.

use serde::{Deserialize, Serialize};

use super::Strategy;

/// Chunks no port ever needs, whatever its settings: who is to preallocate so many asks for
/// twice the worst case, and gets that.
pub const MORE_THAN_NEEDED: usize = 100_000;

/// Responses loaned in parallel per request that generated servers have at most.
pub const MOST_RESPONSE_LOANS: usize = 10;

/// Whether a port that is to preallocate so many chunks may have fewer than the worst case needs.
#[must_use]
pub fn is_reduced(preallocate: Option<usize>) -> bool {
    preallocate.is_some_and(|chunks| chunks < MORE_THAN_NEEDED)
}

/// How a loan is made and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoanForm {
    /// `loan_slice`, checked to be all default, then written in place.
    Default,
    /// `loan_slice_uninit` and `write_from_fn`.
    WriteFromFn,
    /// `loan_slice_uninit` and `write_from_slice`.
    #[default]
    WriteFromSlice,
    /// The same, after a loan of the same length that was dropped unwritten.
    AfterUnwritten,
}

/// How a participant gets hold of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenMode {
    /// `open_or_create`.
    #[default]
    OpenOrCreate,
    /// `create`.
    Create,
    /// `open`.
    Open,
}

/// A requirement on the service stated when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // each variant is the builder method of the same name
pub enum Requirement {
    MaxClients(usize),
    MaxServers(usize),
    MaxNodes(usize),
    MaxActiveRequestsPerClient(usize),
    MaxLoanedRequests(usize),
    MaxResponseBufferSize(usize),
    MaxBorrowedResponsesPerPendingResponse(usize),
    EnableSafeOverflowForRequests(bool),
    EnableSafeOverflowForResponses(bool),
    EnableFireAndForgetRequests(bool),
    RequestPayloadAlignment(usize),
    ResponsePayloadAlignment(usize),
    /// The request payload is taken to be this type.
    RequestPayload(PayloadType),
    /// The response payload is taken to be this type.
    ResponsePayload(PayloadType),
}

impl Requirement {
    /// Whether it can be stated at all: an alignment is a power of two.
    #[must_use]
    pub fn is_meaningful(self) -> bool {
        match self {
            Self::RequestPayloadAlignment(n) | Self::ResponsePayloadAlignment(n) => {
                n.is_power_of_two()
            }
            _ => true,
        }
    }
}

/// Where amid a step its process is killed or held; one that has less to do has done it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before a system call that opens, changes, locks or removes a file, after so many others.
    Call(u32),
    /// The same of those that make, fill, complete, lock or remove a file: what only looks at one
    /// leaves nothing that others could meet.
    Change(u32),
    /// After so many instructions.
    Instruction(u32),
}

/// A payload type no scenario uses itself, see [`Payloads`](super::Payloads).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadType {
    /// One `u8`, not a slice.
    U8,
    /// `[i16]`.
    SliceOfI16,
    /// `[[u8; 2]]`: as large as an `i16`, but another type.
    SliceOfPairs,
}

/// Names one of the objects of a kind that exist: 0 is the oldest, 1 the next, -1 the
/// newest; taken modulo their number.
pub type Nth = i32;

/// One action. The number in a step is an index among the objects of that kind that
/// exist when the step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// A new participant: a node and a handle to the service.
    Join {
        /// How it gets the service.
        #[serde(default)]
        how: OpenMode,
        /// What it demands of it, nothing by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        require: Option<Requirement>,
    },
    /// A participant drops its node and its handle; its ports stay.
    Leave {
        /// Which participant.
        participant: Nth,
    },
    /// The process of a participant is killed, without any notice, and another participant
    /// cleans up after it. Skipped where they share a process, or nobody else is there.
    Kill {
        /// Which participant.
        participant: Nth,
        /// Which of the others cleans up.
        #[serde(default)]
        by: Nth,
    },
    /// The process of a participant is killed, and nobody cleans up until a `clean-up`, a `kill`
    /// or the end of the steps: the others get on as with one that does nothing. Nobody joins or
    /// leaves meanwhile. Skipped where they share a process, or nobody else is there.
    Die {
        /// Which of those that live.
        participant: Nth,
    },
    /// A participant cleans up after those that died.
    CleanUp {
        /// Which of the others.
        #[serde(default)]
        by: Nth,
    },
    /// Whoever performs the next step is killed amid it, and another participant cleans up.
    /// Where they share a process or nobody else is there, nobody is.
    KillAmid {
        /// When.
        at: Moment,
        /// Which of the others cleans up.
        #[serde(default)]
        by: Nth,
        /// If the step is a clean-up: the other one has tried to do it as well, while the first
        /// stood still and was not yet killed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        contested: bool,
    },
    /// Whoever performs the next step is held amid it while another participant performs the one
    /// after. Where they share a process, where one participant does both, and where the second
    /// is not possible before the first or after it, one is simply done after the other.
    HoldAmid {
        /// When the first is held.
        at: Moment,
        /// When the second is held in turn, until the first is done, unless it only asks. Without
        /// it the first goes on when the second is done, or waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        then: Option<Moment>,
    },
    /// Whoever performs the next step finds nothing left of what it takes from the system at one
    /// call: no descriptor, no room for a file, or for a mapping of one. Later calls get what they
    /// take. Where a connection may be missing after it, the scenario ends: nothing is promised of
    /// what comes next. Nobody is short where participants share a process, or where the step is
    /// one that takes nothing.
    RunShort {
        /// Calls that take something and get it, before the one that does not.
        after: u32,
    },
    /// A participant creates a client.
    CreateClient {
        /// Which participant.
        participant: Nth,
        /// Strategy for the requests it loans.
        strategy: Strategy,
        /// `initial_max_slice_len`, in elements.
        hint: usize,
        /// Chunks to preallocate instead of the worst case, at least 1; see
        /// [`MORE_THAN_NEEDED`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preallocate: Option<usize>,
        /// `max_active_requests` of this client alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        active: Option<usize>,
    },
    /// A participant creates a server.
    CreateServer {
        /// Which participant.
        participant: Nth,
        /// Strategy for the responses it loans.
        strategy: Strategy,
        /// `initial_max_slice_len`, in elements.
        hint: usize,
        /// `max_loaned_responses_per_request`.
        #[serde(default = "default_response_loans")]
        loans: usize,
        /// Chunks to preallocate instead of the worst case, at least 1; see
        /// [`MORE_THAN_NEEDED`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preallocate: Option<usize>,
    },
    /// Drops the `Client`; what came out of it stays.
    DropClient {
        /// Which client.
        client: Nth,
    },
    /// Drops the `Server`; what came out of it stays.
    DropServer {
        /// Which server.
        server: Nth,
    },
    /// Loans a request and writes it.
    LoanRequest {
        /// Which client.
        client: Nth,
        /// Length in elements.
        len: usize,
        /// How it is loaned and written.
        #[serde(default)]
        form: LoanForm,
    },
    /// Sends a loaned request.
    SendRequest {
        /// Which loaned request.
        request: Nth,
    },
    /// Drops a loaned request unsent.
    DropRequest {
        /// Which loaned request.
        request: Nth,
    },
    /// `Server::receive`.
    ReceiveRequest {
        /// Which server.
        server: Nth,
    },
    /// Loans a response and writes it.
    LoanResponse {
        /// Which active request.
        active: Nth,
        /// Length in elements.
        len: usize,
        /// How it is loaned and written.
        #[serde(default)]
        form: LoanForm,
    },
    /// Sends a loaned response.
    SendResponse {
        /// Which loaned response.
        response: Nth,
    },
    /// Drops a loaned response unsent.
    DropLoanedResponse {
        /// Which loaned response.
        response: Nth,
    },
    /// `PendingResponse::receive`.
    ReceiveResponse {
        /// Which pending response.
        pending: Nth,
    },
    /// Drops a pending response.
    DropPending {
        /// Which pending response.
        pending: Nth,
    },
    /// Drops an active request.
    DropActive {
        /// Which active request.
        active: Nth,
    },
    /// Drops a received response.
    DropResponse {
        /// Which received response.
        response: Nth,
    },
    /// Asks a pending response for `is_connected`, `has_response` and
    /// `number_of_server_connections`.
    InspectPending {
        /// Which pending response.
        pending: Nth,
    },
    /// Asks an active request for `is_connected` and `has_disconnect_hint`.
    InspectActive {
        /// Which active request.
        active: Nth,
    },
    /// Asks a server for `has_requests`.
    InspectServer {
        /// Which server.
        server: Nth,
    },
    /// Asks the service for the number of its clients and servers and its settings.
    InspectService {
        /// Through which participant's handle.
        participant: Nth,
    },
    /// `UpdateConnections::update_connections` of a client.
    UpdateClient {
        /// Which client.
        client: Nth,
    },
    /// `UpdateConnections::update_connections` of a server.
    UpdateServer {
        /// Which server.
        server: Nth,
    },
    /// `PendingResponse::set_disconnect_hint`.
    HintDisconnect {
        /// Which pending response.
        pending: Nth,
    },
}

impl Step {
    /// Creates a client with every chunk it can need and the service's own limits.
    #[must_use]
    pub fn create_client(participant: Nth, strategy: Strategy, hint: usize) -> Self {
        Self::CreateClient { participant, strategy, hint, preallocate: None, active: None }
    }

    /// Creates a server with every chunk it can need.
    #[must_use]
    pub fn create_server(participant: Nth, strategy: Strategy, hint: usize, loans: usize) -> Self {
        Self::CreateServer { participant, strategy, hint, loans, preallocate: None }
    }

    /// The step with a loan that is longer by so many elements.
    #[must_use]
    pub(super) fn stretched(mut self, by: usize) -> Self {
        if let Self::LoanRequest { len, .. } | Self::LoanResponse { len, .. } = &mut self {
            *len = len.saturating_add(by);
        }
        self
    }
}

fn default_response_loans() -> usize {
    2
}
