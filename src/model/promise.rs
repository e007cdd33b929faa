//! What iceoryx2 commits to, one entry per promise.
//!
//! Sources: paths are relative to the `iceoryx2` crate 0.10.0 unless they begin with
//! `conformance:` (the published `iceoryx2-conformance-tests`, file and test) or
//! `FAQ:` (a section of the project's FAQ).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How firmly a promise is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// The documentation says so.
    Documented,
    /// The vendor's conformance tests check it.
    ConformanceTested,
    /// Any user would take it for granted.
    Implied,
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Documented => "documented",
            Self::ConformanceTested => "conformance-tested",
            Self::Implied => "implied",
        })
    }
}

macro_rules! promises {
    ($($variant:ident = $id:literal, $strength:ident, $source:literal: $sentence:literal;)*) => {
        /// A promise of iceoryx2; the ids are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Promise {
            $(#[doc = $sentence] #[serde(rename = $id)] $variant,)*
        }

        impl Promise {
            /// All promises, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// What is promised, in one sentence.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// Where it is promised.
            #[must_use]
            pub fn source(self) -> &'static str {
                match self { $(Self::$variant => $source,)* }
            }

            /// How firmly it is promised.
            #[must_use]
            pub fn strength(self) -> Strength {
                match self { $(Self::$variant => Strength::$strength,)* }
            }
        }
    };
}

promises! {
    NeverCrashes = "never-crashes", Implied, "port/mod.rs LoanError, SendError, ReceiveError":
        "every call returns a value or a named error; none panics, aborts or faults";
    NeverHangs = "never-hangs", Documented, "port/backpressure_strategy.rs":
        "no call waits unless a full buffer and RetryUntilDelivered make it wait";
    LoanHasRequestedLength = "loan-has-requested-length", Documented, "port/client.rs Client::loan_slice_uninit, active_request.rs ActiveRequest::loan_slice_uninit":
        "a loan of n elements has exactly n elements, also for n = 0";
    LoanSliceIsDefault = "loan-slice-is-default", Documented, "port/client.rs Client::loan_slice, active_request.rs ActiveRequest::loan_slice":
        "loan_slice initialises every element with its default";
    UserHeaderStartsAsDefault = "user-header-starts-as-default", ConformanceTested, "conformance: client loaned_requests_has_default_constructed_request_header, active_request loan_has_default_constructed_response_header and their siblings for slices and uninitialised loans":
        "the user header of a loan is its default, whatever the memory was used for before";
    LoanWithinLimitsSucceeds = "loan-within-limits-succeeds", Documented, "service/port_factory/client.rs PreallocatedRequestsOverride, FAQ: Run Out-Of-Memory":
        "with the default preallocation a loan within the limits never runs out of memory";
    HintIsOnlyAHint = "hint-is-only-a-hint", Documented, "port/client.rs module example, port/server.rs module example":
        "with BestFit and PowerOfTwo a loan longer than initial_max_slice_len succeeds";
    StaticRefusesLongerThanHint = "static-refuses-longer-than-hint", Documented, "port/mod.rs LoanError::ExceedsMaxLoanSize; conformance: service_request_response send_increasing_requests_with_static_allocation_strategy_fails":
        "with Static a loan longer than initial_max_slice_len is refused with ExceedsMaxLoanSize";
    ImpossibleLoanIsOutOfMemory = "impossible-loan-is-out-of-memory", Documented, "port/mod.rs LoanError::OutOfMemory":
        "a loan the system has no memory for is refused with OutOfMemory";
    GrowthEndsInOutOfMemory = "growth-ends-in-out-of-memory", ConformanceTested, "conformance: service_request_response send_increasing_requests_with_best_fit_finally_leads_to_out_of_memory_error":
        "when no further reallocation is possible a loan that needs one is refused with OutOfMemory";
    LoanLimit = "loan-limit", Documented, "service/static_config/request_response.rs max_loaned_requests, service/port_factory/server.rs max_loaned_responses_per_request, port/mod.rs LoanError::ExceedsMaxLoans":
        "exactly the configured number of loans is possible in parallel, one more is ExceedsMaxLoans";
    RefusedLoanChangesNothing = "refused-loan-changes-nothing", Implied, "port/mod.rs LoanError":
        "a refused loan changes nothing: not the number of remaining loans, not later loans";
    HeldDataStaysIntact = "held-data-stays-intact", Documented, "iceoryx2-cal resizable_shared_memory module documentation":
        "loaned, sent and received data stays readable and unchanged while any port grows, reuses memory or goes away";
    PayloadIsAligned = "payload-is-aligned", Documented, "service/builder/request_response.rs request_payload_alignment, response_payload_alignment":
        "every payload begins at a multiple of its own alignment and of the one the service was created with";
    RequestBytesArrive = "request-bytes-arrive", Documented, "port/client.rs module example":
        "a server reads exactly the bytes and the length the client wrote";
    ResponseBytesArrive = "response-bytes-arrive", Documented, "port/server.rs module example":
        "a client reads exactly the bytes and the length the server wrote";
    UserHeaderArrives = "user-header-arrives", Documented, "active_request.rs user_header, response.rs user_header":
        "the receiver reads the user header the sender wrote";
    OriginNamesSender = "origin-names-sender", Documented, "active_request.rs origin, response.rs origin":
        "origin() is the id of the port that sent the message";
    SendReachesEveryServer = "send-reaches-every-server", Documented, "request_mut.rs send, pending_response.rs number_of_server_connections":
        "a request is delivered to every connected server, and number_of_server_connections says how many those were";
    ActiveRequestLimit = "active-request-limit", Documented, "port/client.rs RequestSendError::ExceedsMaxActiveRequests":
        "exactly the configured number of requests can be active per client, one more is ExceedsMaxActiveRequests";
    RequestsArriveInOrder = "requests-arrive-in-order", ConformanceTested, "conformance: service_request_response sent_requests_from_disconnected_clients_can_be_received":
        "a server receives the requests of one client in the order they were sent, each once";
    ResponsesArriveInOrder = "responses-arrive-in-order", ConformanceTested, "conformance: service_request_response response_buffer_size_with_non_overflow_works":
        "a client receives the responses of one server to one request in the order they were sent, each once";
    NoRequestIsLost = "no-request-is-lost", Documented, "port/server.rs Server::receive":
        "receive returns None only when no request is waiting";
    NoResponseIsLost = "no-response-is-lost", Documented, "pending_response.rs PendingResponse::receive; conformance: service_request_response sent_responses_from_disconnected_servers_can_be_received":
        "receive returns None only when no response is waiting, also when the server is gone";
    ResponseReachesOnlyItsRequest = "response-reaches-only-its-request", ConformanceTested, "conformance: service_request_response pending_response_receives_only_responses_from_sent_request, responses_from_previous_requests_are_filtered_out":
        "a response is received only through the pending response of the request it answers";
    LateServerGetsNoOldRequest = "late-server-gets-no-old-request", ConformanceTested, "conformance: server requests_are_not_delivered_to_late_joiners":
        "a server receives no request that was sent before it existed";
    RequestOverflowEvictsOldest = "request-overflow-evicts-oldest", Documented, "service/static_config/request_response.rs has_safe_overflow_for_requests":
        "with safe overflow a full request buffer gives up its oldest request, and only that";
    ResponseOverflowEvictsOldest = "response-overflow-evicts-oldest", Documented, "service/static_config/request_response.rs has_safe_overflow_for_responses":
        "with safe overflow a full response buffer gives up its oldest response, and only that";
    DiscardKeepsBuffered = "discard-keeps-buffered", Documented, "port/backpressure_strategy.rs":
        "without overflow and with DiscardData a full buffer keeps what it has and the new data is not delivered";
    FailedDeliveryIsAnError = "failed-delivery-is-an-error", Documented, "port/mod.rs BackpressureAction::DiscardDataAndFail":
        "where a handler says so, a send that a full buffer does not take is UnableToDeliver; whoever has room gets the message";
    BorrowLimit = "borrow-limit", Documented, "port/mod.rs ReceiveError::ExceedsMaxBorrows, service/static_config/request_response.rs":
        "exactly the configured number of messages can be held, one more is ExceedsMaxBorrows and nothing is lost";
    FireAndForgetDelivers = "fire-and-forget-delivers", Documented, "config.rs enable_fire_and_forget_requests; conformance: service_request_response sent_requests_from_disconnected_clients_can_be_received":
        "with fire-and-forget a request is received although its pending response or its client is gone";
    NoFireAndForgetDiscards = "no-fire-and-forget-discards", ConformanceTested, "conformance: service_request_response sent_requests_from_out_of_scope_pending_responses_are_discarded_when_fire_and_forget_is_disabled":
        "without fire-and-forget a request whose pending response is gone is not received";
    ActiveRequestConnection = "active-request-connection", Documented, "active_request.rs is_connected":
        "an active request is connected exactly as long as its pending response exists";
    PendingResponseConnection = "pending-response-connection", Documented, "pending_response.rs is_connected":
        "a pending response is connected exactly as long as some server may still answer it";
    DisconnectHintArrives = "disconnect-hint-arrives", Documented, "pending_response.rs set_disconnect_hint, active_request.rs has_disconnect_hint":
        "an active request has the disconnect hint exactly when its pending response has set it";
    HasRequestsIsTrue = "has-requests-is-true", Documented, "port/server.rs has_requests":
        "has_requests says whether a request is waiting";
    HasResponseIsTrue = "has-response-is-true", Documented, "pending_response.rs has_response":
        "has_response says whether a response to this request is waiting";
    ClientLimit = "client-limit", Documented, "service/port_factory/client.rs ClientCreateError::ExceedsMaxSupportedClients":
        "exactly max_clients clients can exist, one more is ExceedsMaxSupportedClients";
    ServerLimit = "server-limit", Documented, "service/port_factory/server.rs ServerCreateError::ExceedsMaxSupportedServers":
        "exactly max_servers servers can exist, one more is ExceedsMaxSupportedServers";
    NodeLimit = "node-limit", Documented, "service/builder/request_response.rs RequestResponseOpenError::ExceedsMaxNumberOfNodes":
        "exactly max_nodes nodes can open the service, one more is ExceedsMaxNumberOfNodes";
    OpenChecksRequirements = "open-checks-requirements", Documented, "service/builder/request_response.rs RequestResponseOpenError":
        "opening with a requirement the service does not meet gives the error named after it, and succeeds otherwise";
    CreateAndOpen = "create-and-open", ConformanceTested, "conformance: service_request_response_builder":
        "create fails with AlreadyExists, open with DoesNotExist, open_or_create does both";
    PortCounts = "port-counts", Documented, "service/dynamic_config/request_response.rs number_of_clients, number_of_servers, list_clients, list_servers":
        "the service counts and lists exactly the clients and servers that exist, each once";
    ListedPortsAreDescribed = "listed-ports-are-described", Documented, "service/dynamic_config/request_response.rs ClientDetails, ServerDetails":
        "list_clients and list_servers describe a port as it is: the current maximum length of a slice, whether it can grow, its active requests";
    ServiceIsListedWithItsNodes = "service-is-listed-with-its-nodes", Documented, "service/mod.rs Service::does_exist, Service::list; service/port_factory/mod.rs PortFactory::nodes; node/mod.rs Node::list, Node::state_of; conformance: node nodes_can_be_listed, client service_and_node_exist_until_client_port_is_dropped":
        "as long as somebody uses a service it exists and is listed once, and so are exactly the nodes that use it";
    ServiceEndsWithItsUsers = "service-ends-with-its-users", ConformanceTested, "conformance: client and server service_and_node_exist_until_..._port_is_dropped, node nodes_can_be_listed":
        "when everything is dropped the service does not exist, no node is listed, and the service can be created again";
    ServicesAreToldApart = "services-are-told-apart", ConformanceTested, "conformance: service same_name_with_different_messaging_pattern_is_allowed; service/service_hash.rs ServiceHash; lib.rs 'multiple service setups to coexist ... without interference'":
        "services of another name, of the same name and another messaging pattern, or of a config with another prefix, are other services";
    DeadNodeIsListed = "dead-node-is-listed", Documented, "node/mod.rs NodeState::Dead, Node::list; config.rs cleanup_dead_nodes_on_creation, _on_destruction, _on_open":
        "the node of a process that died without dropping it is listed as dead until somebody cleans up, which nobody does in passing unless the config says so";
    DeadNodeIsCleanedUp = "dead-node-is-cleaned-up", Documented, "node/mod.rs Node::try_cleanup_dead_nodes; config.rs cleanup_dead_nodes_on_creation, _on_destruction, _on_open":
        "cleaning up removes the dead node with all it had from the system and from its services, and counts it; so does whoever creates or drops a node or opens the service, as the config says";
    SettingsAreKept = "settings-are-kept", Documented, "service/builder/request_response.rs adjust_configuration_to_meaningful_values; service/static_config/request_response.rs; port/client.rs and port/server.rs initial_max_slice_len, backpressure_strategy, max_active_requests; config.rs Config::from_file":
        "a config file is taken, and the service and its ports report the settings they were created with, a limit of 0 as 1";
    FilesStayInTheDomain = "files-stay-in-the-domain", Documented, "config.rs Global::prefix, Global::root_path, the keys that end with -suffix":
        "all files created at runtime have the prefix and a suffix of the config in their names, and lie below its root path unless they are shared memory";
    DataIsWrittenByItsPort = "data-is-written-by-its-port", Implied, "https://github.com/eclipse-iceoryx/iceoryx2/issues/906; lib.rs feature flag dev_permissions":
        "only the port that loans a message has its memory mapped writable, and no file is writable by everybody but the one that all nodes share";
    NothingIsLeftBehind = "nothing-is-left-behind", Documented, "FAQ: How To Define Custom Data Types":
        "when everything is dropped no file, shared memory, descriptor or mapping is left";
    UnusedMemoryIsReleased = "unused-memory-is-released", Documented, "FAQ: How To Define Custom Data Types (the cleanup removes always all unused resources)":
        "memory nobody uses any more is released while the ports live, however often they have grown";
    StrategiesAgree = "strategies-agree", Documented, "iceoryx2-bb-elementary allocation_strategy.rs":
        "BestFit and PowerOfTwo differ in memory only: the same steps give the same observations";
    VariantsAgree = "variants-agree", ConformanceTested, "conformance: every test of service_request_response is instantiated for ipc, local, ipc_threadsafe and local_threadsafe":
        "the service variants differ in reach only: the same steps give the same observations";
}

impl Promise {
    /// Whether it says which message is received, not what is in it.
    #[must_use]
    pub fn is_about_identity(self) -> bool {
        matches!(
            self,
            Self::RequestsArriveInOrder
                | Self::ResponsesArriveInOrder
                | Self::LateServerGetsNoOldRequest
                | Self::ResponseReachesOnlyItsRequest
        )
    }

    /// Whether it says with which error something is refused, not whether it is.
    #[must_use]
    pub fn is_about_refusal(self) -> bool {
        matches!(
            self,
            Self::StaticRefusesLongerThanHint
                | Self::ImpossibleLoanIsOutOfMemory
                | Self::GrowthEndsInOutOfMemory
        )
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A word that is no promise id.
#[derive(Debug, thiserror::Error)]
#[error("no promise is called `{0}`")]
pub struct UnknownPromise(String);

impl FromStr for Promise {
    type Err = UnknownPromise;

    fn from_str(id: &str) -> Result<Self, UnknownPromise> {
        Self::ALL
            .iter()
            .copied()
            .find(|promise| promise.id() == id)
            .ok_or_else(|| UnknownPromise(id.to_owned()))
    }
}
