//! The settings of the service all participants share.

use serde::{Deserialize, Serialize};

use super::Strategy;
use crate::actor::version;

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
    /// The same, and a handler has the delivery retried some times, and then that the send fails,
    /// `BackpressureAction::DiscardDataAndFail`. Before iceoryx2 0.9 there are no handlers, and it
    /// does not.
    DiscardDataAndFail,
}

impl Backpressure {
    /// What the port has as its strategy, whatever its handler does.
    #[must_use]
    pub fn strategy(self) -> Self {
        match self {
            Self::DiscardDataAndFail => Self::DiscardData,
            strategy => strategy,
        }
    }

    /// Whether a send that some buffer does not take fails.
    #[must_use]
    pub fn fails(self) -> bool {
        self == Self::DiscardDataAndFail && crate::actor::version::HAS_BACKPRESSURE_HANDLERS
    }
}

/// When iceoryx2 cleans up after the dead in passing, as a config file says. Where it does not,
/// somebody has to ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CleanUp {
    /// Never.
    #[default]
    OnRequest,
    /// When somebody creates a node.
    OnCreation,
    /// When somebody drops a node.
    OnDestruction,
    /// When somebody opens the service, in releases that have such a key.
    OnOpen,
}

/// What requests and responses are made of. A length counts elements; a single value has
/// length 1, its port no hint, and a strategy only if the config file sets one.
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
    /// `[u16]` requests, `[u64]` responses. The user headers of responses are of 16 bytes.
    Words,
    /// Slices of structs: requests of 24 bytes aligned to 8, responses of 3 bytes aligned
    /// to 1. User headers are of 64 bytes, those of responses of 128, aligned to 64; all others
    /// are `u64`.
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

    /// Alignment of the user headers, in bytes.
    #[must_use]
    pub fn header_alignment(self) -> usize {
        if self == Self::Records { 64 } else { 8 }
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
    /// The strategy of every client, set by the config file and by no port; in releases that
    /// have such a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_allocation_strategy: Option<Strategy>,
    /// As [`Self::client_allocation_strategy`], for servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_allocation_strategy: Option<Strategy>,
    /// The `max_loaned_responses_per_request` of every server, set by the config file and by
    /// no port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_max_loaned_responses_per_request: Option<usize>,
    /// Of consequence only where a participant is killed.
    pub clean_up: CleanUp,
    /// Whether files have other suffixes than iceoryx2's own, set by the config file.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub own_suffixes: bool,
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
            client_allocation_strategy: None,
            server_allocation_strategy: None,
            server_max_loaned_responses_per_request: None,
            clean_up: CleanUp::OnRequest,
            own_suffixes: false,
        }
    }
}

/// How all suffixes begin that are not iceoryx2's own.
pub const OWN_SUFFIX: &str = ".own-";

/// Sections of the config file, and their keys that say how the names of files end.
const SUFFIXES: [(&str, &[&str]); 2] = [
    (
        "service",
        &[
            "connection-suffix",
            "data-segment-suffix",
            "dynamic-config-storage-suffix",
            "static-config-storage-suffix",
        ],
    ),
    ("node", &["monitor-suffix", "static-config-suffix", "service-tag-suffix", "port-tag-suffix"]),
];

/// iceoryx2's own default, `config.rs` of all releases so far.
const DEFAULT_EXPIRED_CONNECTIONS: usize = 128;

impl Settings {
    /// Those of the settings that reach iceoryx2 as keys of its config file; `None` if none
    /// does.
    #[must_use]
    pub fn to_config_fragment(&self) -> Option<String> {
        let default = Self::default();
        // What the builders of services and ports do not set.
        let others = |settings: &Self| {
            (
                settings.client_expired_connection_buffer,
                settings.server_expired_connection_buffer,
                settings.strategy_of_clients(),
                settings.strategy_of_servers(),
                settings.server_max_loaned_responses_per_request,
                settings.clean_up_key(),
                settings.own_suffixes,
            )
        };
        if self.via == SettingsVia::Builder && others(self) == others(&default) {
            return None;
        }
        let mut fragment = format!(
            "[defaults.request-response]\n\
             client-expired-connection-buffer = {}\n\
             server-expired-connection-buffer = {}\n",
            self.client_expired_connection_buffer, self.server_expired_connection_buffer,
        );
        let strategies =
            [("client", self.strategy_of_clients()), ("server", self.strategy_of_servers())];
        for (side, strategy) in strategies {
            if let Some(strategy) = strategy {
                fragment += &format!("{side}-allocation-strategy = '{strategy:?}'\n");
            }
        }
        if let Some(loans) = self.server_max_loaned_responses_per_request {
            // The method of the builder does not take 0 either.
            let loans = loans.max(1);
            fragment += &format!("server-max-loaned-responses-per-request = {loans}\n");
        }
        if self.via == SettingsVia::ConfigFile {
            fragment += &self.limits_as_keys();
        }
        let clean_up = self.clean_up_key();
        for (section, keys) in SUFFIXES {
            let clean_up = clean_up.filter(|(of, _)| *of == section);
            if !self.own_suffixes && clean_up.is_none() {
                continue;
            }
            fragment += &format!("[global.{section}]\n");
            if let Some((_, key)) = clean_up {
                fragment += &format!("{key} = true\n");
            }
            for key in keys.iter().filter(|_| self.own_suffixes) {
                fragment += &format!("{key} = '{OWN_SUFFIX}{key}'\n");
            }
        }
        Some(fragment)
    }

    /// The same with every limit of 0 raised to 1, as iceoryx2 says it does: "Adjust it to 1, the
    /// smallest supported value" (`service/builder/request_response.rs`).
    #[must_use]
    pub fn raised(&self) -> Self {
        let raised = |limit: usize| limit.max(1);
        Self {
            max_clients: raised(self.max_clients),
            max_servers: raised(self.max_servers),
            max_nodes: raised(self.max_nodes),
            max_active_requests_per_client: raised(self.max_active_requests_per_client),
            max_loaned_requests: raised(self.max_loaned_requests),
            max_response_buffer_size: raised(self.max_response_buffer_size),
            max_borrowed_responses_per_pending_response: raised(
                self.max_borrowed_responses_per_pending_response,
            ),
            ..self.clone()
        }
    }

    /// Section below `global` and name of the key that lets iceoryx2 clean up in passing, if
    /// one does.
    #[must_use]
    pub fn clean_up_key(&self) -> Option<(&'static str, &'static str)> {
        match self.clean_up {
            CleanUp::OnCreation => Some(("node", "cleanup-dead-nodes-on-creation")),
            CleanUp::OnDestruction => Some(("node", "cleanup-dead-nodes-on-destruction")),
            CleanUp::OnOpen if version::HAS_CLEAN_UP_ON_OPEN => {
                Some(("service", "cleanup-dead-nodes-on-open"))
            }
            CleanUp::OnOpen | CleanUp::OnRequest => None,
        }
    }

    /// The strategy of every client, where the config file sets it.
    #[must_use]
    pub fn strategy_of_clients(&self) -> Option<Strategy> {
        self.client_allocation_strategy.filter(|_| version::HAS_STRATEGY_KEYS)
    }

    /// The strategy of every server, where the config file sets it.
    #[must_use]
    pub fn strategy_of_servers(&self) -> Option<Strategy> {
        self.server_allocation_strategy.filter(|_| version::HAS_STRATEGY_KEYS)
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
