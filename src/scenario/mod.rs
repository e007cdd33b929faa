//! What to do: service settings and a list of steps, as plain data.
//!
//! A step names participants and objects by small indices that are resolved
//! *totally*: an index counts among what exists at that moment, oldest first (or, from
//! -1 down, newest first), and is taken modulo their number; a step with nothing to act
//! on is skipped. So every sub-list of a scenario is a valid scenario, and shrinking
//! needs no precondition.
//!
//! [`generate`] draws scenarios, [`mod@file`] reads and writes them, [`mod@shrink`] makes a
//! failing one small. One written by hand is the same whether in Rust or in TOML:
//!
//! ```
//! use iox2_gauntlet::scenario::{LoanForm, OpenMode, Scenario, Step, Strategy};
//!
//! let in_rust = Scenario::of_steps(vec![
//!     Step::Join { how: OpenMode::Create, require: None },
//!     Step::create_client(0, Strategy::BestFit, 8),
//!     Step::LoanRequest { client: 0, len: 4096, form: LoanForm::WriteFromFn },
//!     Step::SendRequest { request: -1 },
//! ]);
//! let in_toml = Scenario::parse(
//!     r#"
//!     schema = 1
//!     steps = [
//!         { join = { how = "create" } },
//!         { create-client = { participant = 0, strategy = "best-fit", hint = 8 } },
//!         { loan-request = { client = 0, len = 4096, form = "write-from-fn" } },
//!         { send-request = { request = -1 } },
//!     ]
//!     "#,
//!     "example.toml".as_ref(),
//! )?;
//! assert_eq!(in_rust, in_toml);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod file;
pub(crate) mod full_load;
pub mod generate;
pub mod shrink;

use serde::{Deserialize, Serialize};

use crate::actor::version;

/// Version of the file format; see [`Scenario::schema`].
pub const SCHEMA: u32 = 1;

/// Everything that is needed to run one experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    /// Format version, [`SCHEMA`].
    pub schema: u32,
    /// One line that says what this is about.
    #[serde(default)]
    pub title: String,
    /// The order in which whatever is left at the end is dropped.
    #[serde(default)]
    pub settle: SettleOrder,
    /// Settings of the one service all participants share.
    #[serde(default)]
    pub service: Settings,
    /// What happens.
    pub steps: Vec<Step>,
    /// What happens then, again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
}

/// Steps that are taken more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Repeat {
    /// How often.
    pub times: usize,
    /// Elements by which every loan is longer than in the repetition before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stretch: usize,
    /// What happens each time.
    pub steps: Vec<Step>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde demands
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Repeat {
    /// The steps of all repetitions.
    fn written_out(&self) -> impl Iterator<Item = Step> {
        (0..self.times).flat_map(move |turn| {
            self.steps.iter().map(move |step| step.stretched(turn.saturating_mul(self.stretch)))
        })
    }
}

impl Scenario {
    /// A scenario with default settings.
    #[must_use]
    pub fn of_steps(steps: Vec<Step>) -> Self {
        Self {
            schema: SCHEMA,
            title: String::new(),
            settle: SettleOrder::default(),
            service: Settings::default(),
            steps,
            repeat: None,
        }
    }

    /// All steps in the order they are taken, repetitions written out.
    pub fn all_steps(&self) -> impl Iterator<Item = Step> {
        let repeated = self.repeat.iter().flat_map(Repeat::written_out);
        self.steps.iter().copied().chain(repeated)
    }

    /// Number of steps a person has to read.
    #[must_use]
    pub fn written_steps(&self) -> usize {
        self.steps.len() + self.repeat.as_ref().map_or(0, |repeat| repeat.steps.len())
    }
}

/// The order in which the objects that outlive the steps are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettleOrder {
    /// Last created first, as local variables would be.
    #[default]
    NewestFirst,
    /// First created first: nodes and ports before what came out of them.
    OldestFirst,
    /// In the order of a permutation drawn from this seed.
    Shuffled(u32),
}

/// How the service settings reach iceoryx2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingsVia {
    /// Through the methods of the service builder.
    #[default]
    Builder,
    /// Through the keys of the config file the process loads.
    ConfigFile,
}

/// What to do when a buffer is full and safe overflow is off. The names are those
/// of iceoryx2 0.9 and newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backpressure {
    /// Wait. A step that would wait for ever in one thread is skipped.
    #[default]
    RetryUntilDelivered,
    /// Drop the new data.
    DiscardData,
}

/// What requests and responses are made of. A length counts elements; a single value has
/// length 1, and its port neither a strategy nor a hint.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    strum::EnumIter,
)]
#[serde(rename_all = "kebab-case")]
pub enum Payloads {
    /// `[u8]` in both directions.
    #[default]
    Bytes,
    /// `[u16]` requests, `[u64]` responses.
    Words,
    /// Slices of structs: requests of 24 bytes aligned to 8, responses of 3 bytes aligned
    /// to 1.
    Records,
    /// One struct of 40 bytes in either direction.
    Values,
    /// One struct of 40 bytes as request, `[u8]` as response.
    ValueRequests,
    /// `[u8]` as request, one struct of 40 bytes as response.
    ValueResponses,
}

impl Payloads {
    /// Whether a request is a slice.
    #[must_use]
    pub fn requests_are_slices(self) -> bool {
        !matches!(self, Self::Values | Self::ValueRequests)
    }

    /// Whether a response is a slice.
    #[must_use]
    pub fn responses_are_slices(self) -> bool {
        !matches!(self, Self::Values | Self::ValueResponses)
    }

    /// Natural alignment of a request, in bytes.
    #[must_use]
    pub fn request_alignment(self) -> usize {
        match self {
            Self::Bytes | Self::ValueResponses => 1,
            Self::Words => 2,
            Self::Records | Self::Values | Self::ValueRequests => 8,
        }
    }

    /// Natural alignment of a response, in bytes.
    #[must_use]
    pub fn response_alignment(self) -> usize {
        match self {
            Self::Bytes | Self::Records | Self::ValueRequests => 1,
            Self::Words | Self::Values | Self::ValueResponses => 8,
        }
    }

    /// Bytes of the larger of both elements.
    #[must_use]
    pub fn largest_element(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Words => 8,
            Self::Records => 24,
            Self::Values | Self::ValueRequests | Self::ValueResponses => 40,
        }
    }
}

/// Settings of the service, named as the builder methods of iceoryx2. Counts are
/// numbers of objects, alignments are powers of two in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[allow(missing_docs)] // each field is the iceoryx2 setting of the same name
pub struct Settings {
    pub via: SettingsVia,
    pub max_clients: usize,
    pub max_servers: usize,
    pub max_nodes: usize,
    pub max_active_requests_per_client: usize,
    pub max_loaned_requests: usize,
    pub max_response_buffer_size: usize,
    pub max_borrowed_responses_per_pending_response: usize,
    pub enable_safe_overflow_for_requests: bool,
    pub enable_safe_overflow_for_responses: bool,
    pub enable_fire_and_forget_requests: bool,
    pub client_backpressure: Backpressure,
    pub server_backpressure: Backpressure,
    pub payload: Payloads,
    pub request_payload_alignment: usize,
    pub response_payload_alignment: usize,
    /// Only a config file can set it.
    pub client_expired_connection_buffer: usize,
    /// Only a config file can set it.
    pub server_expired_connection_buffer: usize,
}

impl Default for Settings {
    /// Small limits: the bookkeeping of a dynamic port grows with their product.
    fn default() -> Self {
        Self {
            via: SettingsVia::Builder,
            max_clients: 2,
            max_servers: 2,
            max_nodes: 4,
            max_active_requests_per_client: 2,
            max_loaned_requests: 2,
            max_response_buffer_size: 2,
            max_borrowed_responses_per_pending_response: 2,
            enable_safe_overflow_for_requests: true,
            enable_safe_overflow_for_responses: true,
            enable_fire_and_forget_requests: true,
            client_backpressure: Backpressure::RetryUntilDelivered,
            server_backpressure: Backpressure::RetryUntilDelivered,
            payload: Payloads::Bytes,
            request_payload_alignment: 1,
            response_payload_alignment: 1,
            client_expired_connection_buffer: DEFAULT_EXPIRED_CONNECTIONS,
            server_expired_connection_buffer: DEFAULT_EXPIRED_CONNECTIONS,
        }
    }
}

/// iceoryx2's own default, `config.rs` of all releases so far.
const DEFAULT_EXPIRED_CONNECTIONS: usize = 128;

impl Settings {
    /// Those of the settings that reach iceoryx2 as keys of its config file; `None` if none
    /// does.
    #[must_use]
    pub fn to_config_fragment(&self) -> Option<String> {
        let default = Self::default();
        let buffers = |settings: &Self| {
            (settings.client_expired_connection_buffer, settings.server_expired_connection_buffer)
        };
        if self.via == SettingsVia::Builder && buffers(self) == buffers(&default) {
            return None;
        }
        let mut fragment = format!(
            "[defaults.request-response]\n\
             client-expired-connection-buffer = {}\n\
             server-expired-connection-buffer = {}\n",
            self.client_expired_connection_buffer, self.server_expired_connection_buffer,
        );
        if self.via == SettingsVia::ConfigFile {
            fragment += &self.limits_as_keys();
        }
        Some(fragment)
    }

    fn limits_as_keys(&self) -> String {
        format!(
            "max-clients = {}\n\
             max-servers = {}\n\
             max-nodes = {}\n\
             max-active-requests-per-client = {}\n\
             max-loaned-requests = {}\n\
             max-response-buffer-size = {}\n\
             max-borrowed-responses-per-pending-response = {}\n\
             enable-safe-overflow-for-requests = {}\n\
             enable-safe-overflow-for-responses = {}\n\
             enable-fire-and-forget-requests = {}\n\
             client-{key} = '{}'\n\
             server-{key} = '{}'\n",
            self.max_clients,
            self.max_servers,
            self.max_nodes,
            self.max_active_requests_per_client,
            self.max_loaned_requests,
            self.max_response_buffer_size,
            self.max_borrowed_responses_per_pending_response,
            self.enable_safe_overflow_for_requests,
            self.enable_safe_overflow_for_responses,
            self.enable_fire_and_forget_requests,
            version::backpressure_value(self.client_backpressure),
            version::backpressure_value(self.server_backpressure),
            key = version::BACKPRESSURE_KEY,
        )
    }
}

/// iceoryx2's `AllocationStrategy`, as plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Never grows.
    Static,
    /// Grows to exactly what is needed.
    BestFit,
    /// Grows to the next power of two.
    PowerOfTwo,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Static, Self::BestFit, Self::PowerOfTwo];

    /// Whether a loan beyond the hint makes the memory grow.
    #[must_use]
    pub fn is_dynamic(self) -> bool {
        self != Self::Static
    }
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

/// A payload type no scenario uses itself, see [`Payloads`].
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
    /// A participant creates a client.
    CreateClient {
        /// Which participant.
        participant: Nth,
        /// Strategy for the requests it loans.
        strategy: Strategy,
        /// `initial_max_slice_len`, in elements.
        hint: usize,
        /// Chunks to preallocate instead of the worst case, at least 1.
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
        /// Chunks to preallocate instead of the worst case, at least 1.
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
    fn stretched(mut self, by: usize) -> Self {
        if let Self::LoanRequest { len, .. } | Self::LoanResponse { len, .. } = &mut self {
            *len = len.saturating_add(by);
        }
        self
    }
}

fn default_response_loans() -> usize {
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretched_repetition_makes_every_loan_longer_than_the_one_before() {
        let form = LoanForm::default();
        let drop = Step::DropRequest { request: 0 };
        let loan = |len| Step::LoanRequest { client: 0, len, form };
        let mut scenario = Scenario::of_steps(vec![loan(7)]);
        scenario.repeat = Some(Repeat { times: 3, stretch: 5, steps: vec![loan(9), drop] });
        let all: Vec<_> = scenario.all_steps().collect();
        assert_eq!(all, [loan(7), loan(9), drop, loan(14), drop, loan(19), drop]);
    }
}
