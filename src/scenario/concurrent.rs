//! Traffic that threads make at the same time.
//!
//! Steps are taken one after the other, so that the model can say what each must give. Here
//! clients and servers run freely: which of them is first is left to the machine, and only
//! what holds in every order can be judged
//! ([`model::concurrent`](crate::model::concurrent)).

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Backpressure, Payloads, Settings, Strategy};
use crate::payload::MessageId;

/// Requests a thread waits for at the same time.
pub const WINDOW: usize = 2;

/// Responses to one request that a server may have loaned at the same time.
pub const RESPONSE_LOANS: usize = 4;

/// What the identity of a message has room for: its request's number among those of its
/// thread, the server that answers, and the number of the answer.
const MOST_REQUESTS: usize = 1 << 16;
const MOST_SERVERS: usize = 1 << 5;
const MOST_RESPONSES: usize = 1 << 6;

/// The last value of each field that a file may have.
mod last {
    pub(super) const CLIENTS: usize = 32;
    pub(super) const SERVERS: usize = super::MOST_SERVERS - 1;
    pub(super) const THREADS: usize = 8;
    pub(super) const REQUESTS: usize = super::MOST_REQUESTS - 1;
    pub(super) const RESPONSES: usize = super::MOST_RESPONSES - 1;
    pub(super) const HOLD: usize = 16;
    pub(super) const TURNS: usize = REQUESTS;
    pub(super) const RUSHES: usize = 1000;
    pub(super) const VISITS: usize = 1000;
    pub(super) const LONGEST: usize = 1 << 20;
}

/// A number in a file, from `FIRST` to `LAST`.
fn within<'de, D: Deserializer<'de>, const FIRST: usize, const LAST: usize>(
    deserializer: D,
) -> Result<usize, D::Error> {
    let n = usize::deserialize(deserializer)?;
    if (FIRST..=LAST).contains(&n) {
        return Ok(n);
    }
    Err(D::Error::custom(format!("{n} is not from {FIRST} to {LAST}")))
}

/// Clients that send, servers that answer, all at once. Every client sends a number of
/// requests, every server answers each of them with a number of responses, and both check
/// and hold on to what they get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Concurrent {
    /// Of the lengths of all messages.
    pub seed: u32,
    /// Client ports.
    #[serde(deserialize_with = "within::<_, 1, { last::CLIENTS }>")]
    pub clients: usize,
    /// Server ports.
    #[serde(deserialize_with = "within::<_, 1, { last::SERVERS }>")]
    pub servers: usize,
    /// Threads that share each port, where the service variant lets them; elsewhere 1.
    #[serde(deserialize_with = "within::<_, 1, { last::THREADS }>")]
    pub threads: usize,
    /// Requests of each thread of a client.
    #[serde(deserialize_with = "within::<_, 0, { last::REQUESTS }>")]
    pub requests: usize,
    /// Responses of each server to each request.
    #[serde(deserialize_with = "within::<_, 0, { last::RESPONSES }>")]
    pub responses: usize,
    /// Messages each thread holds on to after it is done with them.
    #[serde(deserialize_with = "within::<_, 0, { last::HOLD }>")]
    pub hold: usize,
    /// How often every client is dropped and created anew, with its share of the requests
    /// each time; at least 1.
    #[serde(deserialize_with = "within::<_, 1, { last::TURNS }>")]
    pub turns: usize,
    /// How often, once a turn is over, the threads of a client loan together as many requests
    /// as there may be, and one more each; and how many responses every thread of a server
    /// loans, at most and for a moment, for another one to drop at the same time.
    #[serde(deserialize_with = "within::<_, 0, { last::RUSHES }>")]
    pub rushes: usize,
    /// How often, before all else, threads open the service at the same time and let it go
    /// again: one with a node of its own for each port, which creates that and drops it as well;
    /// and how often these do so afterwards while they have the service open.
    #[serde(deserialize_with = "within::<_, 0, { last::VISITS }>")]
    pub visits: usize,
    /// Further threads that do, with a node they share where the service variant lets them;
    /// elsewhere 1.
    #[serde(deserialize_with = "within::<_, 1, { last::THREADS }>")]
    pub visitors: usize,
    /// Whether the last of several servers comes when a part of the requests has been sent.
    pub late_server: bool,
    /// Whether the last of several servers goes when a part of the requests has been sent.
    pub early_leave: bool,
    /// Whether responses may evict older ones while these are received.
    pub overflow: bool,
    /// Longest message, in elements.
    #[serde(deserialize_with = "within::<_, 1, { last::LONGEST }>")]
    pub longest: usize,
    /// `initial_max_slice_len` of dynamic ports; that of static ones is `longest`.
    pub hint: usize,
    /// Of the clients.
    pub client_strategy: Strategy,
    /// Of the servers.
    pub server_strategy: Strategy,
}

impl Default for Concurrent {
    fn default() -> Self {
        Self {
            seed: 0,
            clients: 1,
            servers: 1,
            threads: 1,
            requests: 64,
            responses: 1,
            hold: 0,
            turns: 1,
            rushes: 0,
            visits: 0,
            visitors: 1,
            late_server: false,
            early_leave: false,
            overflow: false,
            longest: 4096,
            hint: 16,
            client_strategy: Strategy::BestFit,
            server_strategy: Strategy::BestFit,
        }
    }
}

impl Concurrent {
    /// The same with every number as near as it may be: a file is refused instead.
    #[must_use]
    pub fn bounded(&self) -> Self {
        Self {
            clients: self.clients.clamp(1, last::CLIENTS),
            servers: self.servers.clamp(1, last::SERVERS),
            threads: self.threads.clamp(1, last::THREADS),
            requests: self.requests.min(last::REQUESTS),
            responses: self.responses.min(last::RESPONSES),
            hold: self.hold.min(last::HOLD),
            turns: self.turns.clamp(1, last::TURNS),
            rushes: self.rushes.min(last::RUSHES),
            visits: self.visits.min(last::VISITS),
            visitors: self.visitors.clamp(1, last::THREADS),
            longest: self.longest.clamp(1, last::LONGEST),
            ..self.clone()
        }
    }

    /// The settings of a service that has room for all of it: limits are raised where they are
    /// too low, and nothing is ever discarded but what responses evict, if they may.
    #[must_use]
    pub fn settings(&self, base: &Settings) -> Settings {
        // What threads hold and what they have at hand; no more, as the creation of a dynamic
        // port takes time for each.
        let held = self.threads * (self.hold + 1);
        let active = held.max(self.threads * WINDOW);
        Settings {
            max_clients: base.max_clients.max(self.clients),
            max_servers: base.max_servers.max(self.servers),
            // One keeps the service open; visitors that share a node come before.
            max_nodes: base.max_nodes.max(self.clients + self.servers + 1),
            max_active_requests_per_client: base.max_active_requests_per_client.max(active),
            max_loaned_requests: base.max_loaned_requests.max(self.threads),
            max_response_buffer_size: base.max_response_buffer_size.max(1),
            max_borrowed_responses_per_pending_response: base
                .max_borrowed_responses_per_pending_response
                .max(held),
            enable_safe_overflow_for_requests: false,
            enable_safe_overflow_for_responses: self.overflow,
            client_backpressure: Backpressure::RetryUntilDelivered,
            server_backpressure: Backpressure::RetryUntilDelivered,
            // The lengths of values say nothing, and the strategy is that of the ports. Nothing
            // that grows is aligned to more than a word, by its user header neither: all would
            // be about one known quirk.
            payload: match base.payload {
                Payloads::Values | Payloads::ValueRequests | Payloads::ValueResponses => {
                    Payloads::Bytes
                }
                Payloads::Records if self.has_dynamic_ports() => Payloads::Words,
                slices => slices,
            },
            request_payload_alignment: 1,
            response_payload_alignment: 1,
            client_allocation_strategy: None,
            server_allocation_strategy: None,
            server_max_loaned_responses_per_request: None,
            ..base.clone()
        }
    }

    /// The identity of the `sequence`-th request of a thread, threads counted over all clients.
    #[must_use]
    pub fn request(thread: usize, sequence: usize) -> MessageId {
        let raw = (thread * MOST_REQUESTS + sequence) * MOST_SERVERS * MOST_RESPONSES;
        MessageId::new(raw as u64)
    }

    /// The identity of a server's `nth` response to a request, both counted from 0.
    #[must_use]
    pub fn response(request: MessageId, server: usize, nth: usize) -> MessageId {
        MessageId::new(request.get() + ((server + 1) * MOST_RESPONSES + nth) as u64)
    }

    /// The thread that sends a message or its request, and the sequence number of that.
    #[must_use]
    pub fn sender_of(id: MessageId) -> (usize, usize) {
        let raw = usize::try_from(id.get()).unwrap_or(usize::MAX) / (MOST_SERVERS * MOST_RESPONSES);
        (raw / MOST_REQUESTS, raw % MOST_REQUESTS)
    }

    /// The request a message answers; itself, if it is one.
    #[must_use]
    pub fn request_of(id: MessageId) -> MessageId {
        let answer = id.get() % (MOST_SERVERS * MOST_RESPONSES) as u64;
        MessageId::new(id.get() - answer)
    }

    /// The server whose response this is, counted from 1; 0 for a request.
    #[must_use]
    pub fn answered_by(id: MessageId) -> usize {
        let answer = id.get() % (MOST_SERVERS * MOST_RESPONSES) as u64;
        usize::try_from(answer).unwrap_or(0) / MOST_RESPONSES
    }

    /// The length of a message, in elements: short ones among ever longer ones.
    #[must_use]
    pub fn len_of(&self, id: MessageId) -> usize {
        let (_, sequence) = Self::sender_of(id);
        let x = scatter(id.get() ^ u64::from(self.seed) << 40);
        let longest = if x.is_multiple_of(4) {
            self.longest * (sequence + 1) / self.requests.max(1)
        } else {
            self.hint.min(self.longest)
        };
        // What is drawn is smaller than what it is drawn from.
        usize::try_from((x >> 8) % (longest as u64 + 1)).unwrap_or(longest).min(self.longest)
    }

    /// `initial_max_slice_len` of a port with this strategy, in elements.
    #[must_use]
    pub fn hint_of(&self, strategy: Strategy) -> usize {
        if strategy.is_dynamic() { self.hint } else { self.longest }
    }

    /// The last response to a request: with room for one it is there when all have been sent.
    #[must_use]
    pub fn is_newest(&self, response: MessageId) -> bool {
        let nth = response.get() % MOST_RESPONSES as u64;
        nth + 1 == self.responses as u64
    }

    /// Whether a server comes when a part of the requests has been sent.
    #[must_use]
    pub fn comes_late(&self, server: usize) -> bool {
        self.late_server && self.servers > 1 && server == self.servers - 1
    }

    /// Whether a server goes when a part of the requests has been sent.
    #[must_use]
    pub fn leaves_early(&self, server: usize) -> bool {
        self.early_leave && self.servers > 1 && server == self.servers - 1
    }

    /// Whether this is a response of a server that goes when a part of the requests has been
    /// sent.
    #[must_use]
    pub fn is_of_leaver(&self, response: MessageId) -> bool {
        Self::answered_by(response).checked_sub(1).is_some_and(|server| self.leaves_early(server))
    }

    fn has_dynamic_ports(&self) -> bool {
        self.client_strategy.is_dynamic() || self.server_strategy.is_dynamic()
    }

    /// Servers that are there until the end.
    #[must_use]
    pub fn staying_servers(&self) -> usize {
        self.servers - usize::from(self.leaves_early(self.servers - 1))
    }

    /// One line for a person.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { clients, servers, threads, requests, responses, visits, visitors, .. } = self;
        let visits = match visits {
            0 => String::new(),
            _ => {
                let alone = clients + servers;
                format!(
                    "{visits} visits each of {alone} node(s) and of {visitors} thread(s) of one, "
                )
            }
        };
        format!(
            "{visits}{clients} client(s) and {servers} server(s) of {threads} thread(s), \
             {requests} requests each, {responses} response(s) to each"
        )
    }

    /// Simpler ones to try instead, simplest first.
    #[must_use]
    pub fn simpler(&self) -> Vec<Self> {
        let mut simpler = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut candidate = self.clone();
            change(&mut candidate);
            if candidate != *self {
                simpler.push(candidate);
            }
        };
        with(&|c| c.clients = 1);
        with(&|c| c.servers = 1);
        with(&|c| c.threads = 1);
        with(&|c| c.threads = c.threads.min(2));
        with(&|c| c.clients = c.clients.min(2));
        with(&|c| c.turns = 1);
        with(&|c| c.rushes = 0);
        with(&|c| c.rushes /= 2);
        with(&|c| c.visits = 0);
        with(&|c| c.visitors = 1);
        with(&|c| c.visitors = c.visitors.min(2));
        with(&|c| c.visits /= 2);
        with(&|c| c.late_server = false);
        with(&|c| c.early_leave = false);
        with(&|c| c.overflow = false);
        with(&|c| c.hold = 0);
        with(&|c| c.responses = c.responses.min(1));
        with(&|c| c.client_strategy = Strategy::Static);
        with(&|c| c.server_strategy = Strategy::Static);
        with(&|c| c.longest = c.longest.min(64));
        with(&|c| c.requests /= 8);
        with(&|c| c.requests /= 2);
        with(&|c| c.requests -= c.requests / 4);
        simpler
    }
}

/// A fixed pseudo-random function: the finaliser of `MurmurHash3`.
fn scatter(x: u64) -> u64 {
    let x = (x ^ x >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    let x = (x ^ x >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    x ^ x >> 33
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_message_has_an_identity_of_its_own_that_names_its_request() {
        let mut ids = BTreeSet::new();
        for thread in [0, 1, last::CLIENTS * last::THREADS - 1] {
            for sequence in [0, 1, MOST_REQUESTS - 1] {
                let request = Concurrent::request(thread, sequence);
                assert!(ids.insert(request));
                assert_eq!(Concurrent::sender_of(request), (thread, sequence));
                assert_eq!(Concurrent::request_of(request), request);
                for server in [0, MOST_SERVERS - 2] {
                    for nth in [0, MOST_RESPONSES - 1] {
                        let response = Concurrent::response(request, server, nth);
                        assert!(ids.insert(response));
                        assert_eq!(Concurrent::sender_of(response), (thread, sequence));
                        assert_eq!(Concurrent::request_of(response), request);
                        assert_eq!(Concurrent::answered_by(response), server + 1);
                    }
                }
            }
        }
    }

    #[test]
    fn lengths_grow_to_the_longest_and_beyond_the_hint() {
        let traffic = Concurrent { requests: 400, ..Concurrent::default() };
        let lens: Vec<usize> =
            (0..400).map(|i| traffic.len_of(Concurrent::request(0, i))).collect();
        assert!(lens.iter().all(|&len| len <= traffic.longest));
        assert!(lens.iter().filter(|&&len| len > traffic.hint).count() > 50);
        assert!(lens[300..].iter().max() > lens[..100].iter().max());
        assert!(lens.contains(&0));
    }
}
