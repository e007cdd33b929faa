//! What must happen: the oracle, written from the promises.
//!
//! [`Model::resolve`] turns a step into an action, [`Model::predict`] lists what
//! iceoryx2 may do with it, [`judge`](judge::judge) compares, and [`Model::apply`]
//! follows what was observed. Where a promise exists the model is strict; where
//! nothing is promised the prediction says so instead of guessing.
//!
//! ```
//! use iox2_gauntlet::{
//!     actor::Observation,
//!     model::{Model, Promise, judge::judge},
//!     scenario::{OpenMode, Settings, Step},
//! };
//!
//! let mut model = Model::new(Settings::default(), Default::default());
//! let create = Step::Join { how: OpenMode::Create, require: None };
//!
//! let first = model.resolve(&create).ok_or("nothing is in the way")?;
//! assert_eq!(model.predict(&first).to_string(), "ok");
//! model.apply(&first, &Observation::Done);
//!
//! // Now the service exists: whoever creates it again has to be refused.
//! let second = model.resolve(&create).ok_or("nothing is in the way")?;
//! let prediction = model.predict(&second);
//! assert_eq!(prediction.to_string(), "AlreadyExists");
//! let breach = judge(&second, &prediction, &Observation::Done).unwrap_err();
//! assert_eq!(breach.promise, Promise::CreateAndOpen);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chunks;
pub mod concurrent;
mod counts;
pub(crate) mod death;
mod expected;
mod expired;
mod gone;
mod ideal;
mod join;
pub mod judge;
mod known;
mod left_behind;
mod mapped;
pub(crate) mod overlap;
mod port;
mod predict;
pub mod promise;
mod promises;
pub mod quirk;
mod receive;
mod resolve;
mod responses;
mod send;
pub(crate) mod shortage;
mod stake;
mod steering;
mod update;
pub mod wording;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use litemap::LiteMap;

use crate::{
    actor::{Action, Key, PortId},
    payload::MessageId,
    scenario::{Settings, Strategy},
};

pub use expected::{Candidate, Expected, PortDetails, Ports, Prediction};
use known::Known;
pub use left_behind::LeftBehind;
pub use mapped::MostMapped;
pub use promise::Promise;
pub use promises::Promises;
pub use quirk::{Switch, steered};

/// Growths every dynamic port has: segment ids are 8 bits wide, of 256 values one is
/// the first segment's and one is never used (iceoryx2-cal `resizable_shared_memory`,
/// all releases so far). Fewer would be a regression.
pub const GROWTHS: usize = 254;

/// Longest loan that is carried out, in bytes. Beyond it a step would be limited
/// by the machine's memory and not by iceoryx2.
pub const LONGEST_AFFORDABLE: usize = 64 << 20;

/// Shortest loan no machine can satisfy, in elements: with the chunks of a port it
/// exceeds the 47 bits of user address space.
pub const SHORTEST_IMPOSSIBLE: usize = 1 << 47;

/// Shortest loan that is taken to overflow the size of a segment, in elements: up to it,
/// 2^16 chunks of an element's size fit into a `usize`.
pub const SHORTEST_OVERFLOWING: usize = 1 << 48;

/// The state iceoryx2 must be in.
///
/// What exists at a time is little and looked up at every step: maps of it are sorted
/// vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
    quirks: Known,
    next_key: u32,
    next_message: u64,
    participants: LiteMap<Key, Participant>,
    clients: LiteMap<Key, Port>,
    servers: LiteMap<Key, Port>,
    /// Id and strategy of every port there ever was.
    strategies: LiteMap<Key, (PortId, Strategy)>,
    loaned_requests: LiteMap<Key, LoanedRequest>,
    pending: LiteMap<Key, Pending>,
    /// Requests sent and not yet received, by client and server, oldest first.
    in_flight: LiteMap<(Key, Key), VecDeque<QueuedRequest>>,
    active: LiteMap<Key, Active>,
    loaned_responses: LiteMap<Key, LoanedResponse>,
    responses: LiteMap<Key, HeldResponse>,
    /// Pairs (client, server) in which the client has received a response, and so has
    /// mapped a segment of the server, with the last response it received.
    mapped: BTreeMap<(Key, Key), MessageId>,
    /// Pairs (server, client) in which the server has seen the client.
    server_knows: BTreeSet<(Key, Key)>,
    /// Pairs (client, server) between which a request was delivered.
    acquainted: BTreeSet<(Key, Key)>,
    /// Messages that must not arrive any more, and what forbids it.
    fates: BTreeMap<MessageId, Promise>,
    /// Pairs (client, server) with responses to requests whose pending response is gone.
    stale: BTreeSet<(Key, Key)>,
    /// Per server and client, responses that were never read, until the server notices that the
    /// client is gone.
    unread: BTreeMap<(Key, Key), usize>,
    /// Pending responses that are gone and had hinted that they would be.
    hinted_and_gone: BTreeSet<Key>,
    /// Clients that have outlived a server they had sent requests to.
    outlived: BTreeSet<Key>,
    /// Those of them that had responses of it then.
    haunted: BTreeSet<Key>,
    /// Ports of which a peer has gone since they last looked for their peers.
    unaware: BTreeSet<Key>,
    /// Those of them of which a peer was killed: what it held is not given back before they look.
    bereft: BTreeSet<Key>,
    /// Clients, servers and active requests that have refused a loan.
    refused: BTreeSet<Key>,
    /// Servers and pending responses whose buffers have overflowed.
    overflowed: BTreeSet<Key>,
    /// Requests in the order they were sent.
    sent_requests: Vec<MessageId>,
    /// Servers that were created when requests had been sent already, and how many.
    late: BTreeMap<Key, usize>,
    /// Each response that was sent, and the pending response it was sent to.
    answers: Vec<(MessageId, Key)>,
    /// Servers that have to discard requests nobody waits for, and pending responses
    /// for which a response was discarded.
    discarding: BTreeSet<Key>,
    /// Pairs (server, client) of which the client went away with requests the server has
    /// to discard.
    unreturned: BTreeMap<(Key, Key), Unreturned>,
    /// Per port, peers that are gone and whose connections it may keep.
    expired: BTreeMap<Key, BTreeSet<Key>>,
    /// Per port, those of them whose connections it may keep for ever, with a known quirk.
    forgotten: BTreeMap<Key, BTreeSet<Key>>,
    /// Per server, how many clients are gone whose connections it keeps for ever, with a known
    /// quirk.
    unreleased: BTreeMap<Key, usize>,
    /// Per server, clients that went away with requests it had not received yet.
    forsaken: BTreeMap<Key, usize>,
    /// Ports that were refused a growth for want of memory.
    starved: BTreeSet<Key>,
    /// Participants that have ever joined, and those killed amid it that had a node already.
    joined: usize,
    /// Participants that were killed amid joining.
    half_made_nodes: usize,
    /// Ports that ran short of something when they were to grow.
    short_growths: BTreeSet<Key>,
    /// What known quirks leave behind where somebody ran short of something.
    left_behind: LeftBehind,
    /// A participant or a port exists without its handle.
    has_lingering: bool,
    /// Participants have processes of their own.
    can_kill: bool,
    /// Clients and servers whose process was killed.
    killed: BTreeSet<Key>,
    /// Participants whose process was killed and whom nobody cleaned up after yet.
    dead: BTreeSet<Key>,
}

/// Node and service handle of one participant.
#[derive(Debug, Clone, PartialEq)]
struct Participant {
    /// It still holds its node and its handle.
    present: bool,
}

/// What a server has of a client that went away with requests it has to discard.
#[derive(Debug, Clone, PartialEq)]
struct Unreturned {
    /// Requests of it that it held or had not received.
    borrowed: usize,
    /// Shared-memory objects these may keep mapped with known quirks.
    objects: usize,
    /// Requests it had not received that may be in memory it has not mapped: with a known quirk
    /// each may end a receive.
    unmapped: usize,
}

/// A client or a server.
#[derive(Debug, Clone, PartialEq)]
struct Port {
    participant: Key,
    id: PortId,
    strategy: Strategy,
    hint: usize,
    /// Servers: responses that may be loaned in parallel per active request.
    loans: usize,
    /// Clients: requests that may be active in parallel.
    active: usize,
    /// Chunks it has, if they are fewer than it may need, as was asked for.
    preallocated: Option<usize>,
    /// With a known quirk, it loses a chunk whenever it grows, and grows whenever it has none.
    loses_chunks: bool,
    /// With this quirk, it may have had none.
    ran_out: bool,
    /// With this quirk, loans that may have found a segment full.
    full_segments: usize,
    /// The `Client` or `Server` itself still exists.
    handle: bool,
    /// Longest loan so far, in elements; at least the hint.
    longest: usize,
    /// Loans that were longer than every loan before: no more growths than that.
    grown_for: Vec<MessageId>,
}

#[derive(Debug, Clone, PartialEq)]
struct LoanedRequest {
    client: Key,
    id: MessageId,
    len: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct Pending {
    client: Key,
    /// `number_of_server_connections`, as observed.
    servers: usize,
    hinted: bool,
    /// It was sent after a server had gone of which its client had responses.
    haunted: bool,
    /// A server with a full buffer did not get it.
    discarded: bool,
    /// The servers the request went to.
    targets: LiteMap<Key, Target>,
}

/// What one server can still do for a pending response.
#[derive(Debug, Clone, PartialEq)]
struct Target {
    state: TargetState,
    /// Responses sent and not yet received, oldest first.
    queue: VecDeque<QueuedResponse>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TargetState {
    /// The server may still answer: the request is queued or active.
    Open,
    /// The server can no longer answer.
    Closed,
    /// The server went away before it received the request.
    Abandoned,
    /// Nothing is promised, e.g. because the request was evicted.
    Unspecified,
}

#[derive(Debug, Clone, PartialEq)]
struct QueuedRequest {
    pending: Key,
    id: MessageId,
    len: usize,
    origin: PortId,
    /// Whether it must be received; otherwise it may be lost.
    certain: bool,
    /// Its client is gone altogether.
    orphan: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct QueuedResponse {
    id: MessageId,
    len: usize,
    origin: PortId,
    certain: bool,
    /// What may take it away, although it must not.
    risks: BTreeSet<Switch>,
}

#[derive(Debug, Clone, PartialEq)]
struct Active {
    server: Key,
    client: Key,
    /// Its pending response, whether that still exists or not.
    pending: Key,
    id: MessageId,
    /// Loans within its limit that were refused all the same.
    failed_loans: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct LoanedResponse {
    active: Key,
    server: Key,
    client: Key,
    pending: Key,
    id: MessageId,
    len: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct HeldResponse {
    client: Key,
    server: Key,
    pending: Key,
}

impl Model {
    /// The state before the first step. Quirks that are switched on are tolerated or
    /// steered around, and nothing else is; without any the model is strict.
    #[must_use]
    pub fn new(settings: Settings, quirks: BTreeSet<Switch>) -> Self {
        Self {
            settings: settings.raised(),
            quirks: quirks.into(),
            next_key: 0,
            next_message: 0,
            participants: LiteMap::new(),
            clients: LiteMap::new(),
            servers: LiteMap::new(),
            strategies: LiteMap::new(),
            loaned_requests: LiteMap::new(),
            pending: LiteMap::new(),
            in_flight: LiteMap::new(),
            active: LiteMap::new(),
            loaned_responses: LiteMap::new(),
            responses: LiteMap::new(),
            mapped: BTreeMap::new(),
            server_knows: BTreeSet::new(),
            acquainted: BTreeSet::new(),
            fates: BTreeMap::new(),
            stale: BTreeSet::new(),
            unread: BTreeMap::new(),
            hinted_and_gone: BTreeSet::new(),
            outlived: BTreeSet::new(),
            haunted: BTreeSet::new(),
            unaware: BTreeSet::new(),
            bereft: BTreeSet::new(),
            refused: BTreeSet::new(),
            overflowed: BTreeSet::new(),
            sent_requests: Vec::new(),
            late: BTreeMap::new(),
            answers: Vec::new(),
            discarding: BTreeSet::new(),
            unreturned: BTreeMap::new(),
            expired: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            unreleased: BTreeMap::new(),
            forsaken: BTreeMap::new(),
            starved: BTreeSet::new(),
            joined: 0,
            half_made_nodes: 0,
            short_growths: BTreeSet::new(),
            left_behind: LeftBehind::default(),
            has_lingering: false,
            can_kill: false,
            killed: BTreeSet::new(),
            dead: BTreeSet::new(),
        }
    }

    /// Whether participants have processes of their own, which can be killed; they have not
    /// unless this is called.
    pub fn allow_kills(&mut self, allowed: bool) {
        self.can_kill = allowed;
    }

    /// The settings of the service.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The known quirks it lives with.
    #[must_use]
    pub fn quirks(&self) -> &BTreeSet<Switch> {
        self.quirks.switches()
    }

    /// Those of them without which a step would or might have been another one, or left out.
    pub fn steered(&self) -> impl Iterator<Item = Switch> {
        self.quirks.steered().iter()
    }

    /// Every object that still exists, oldest first, with the action that drops it.
    #[must_use]
    pub fn leftovers(&self) -> Vec<(Key, Action)> {
        let mut all = Vec::new();
        let present = |(key, p): (&Key, &Participant)| p.present.then_some(*key);
        let handle = |(key, p): (&Key, &Port)| p.handle.then_some(*key);
        all.extend(
            self.participants
                .iter()
                .filter_map(present)
                .map(|k| (k, Action::Leave { participant: k })),
        );
        all.extend(
            self.clients.iter().filter_map(handle).map(|k| (k, Action::DropClient { client: k })),
        );
        all.extend(
            self.servers.iter().filter_map(handle).map(|k| (k, Action::DropServer { server: k })),
        );
        all.extend(self.loaned_requests.keys().map(|&k| (k, Action::DropRequest { request: k })));
        all.extend(self.pending.keys().map(|&k| (k, Action::DropPending { pending: k })));
        all.extend(self.active.keys().map(|&k| (k, Action::DropActive { active: k })));
        all.extend(
            self.loaned_responses.keys().map(|&k| (k, Action::DropLoanedResponse { response: k })),
        );
        all.extend(self.responses.keys().map(|&k| (k, Action::DropResponse { response: k })));
        all.sort_by_key(|(key, _)| *key);
        all
    }

    /// Clients that can still loan.
    #[must_use]
    pub fn number_of_clients(&self) -> usize {
        self.clients.values().filter(|port| port.handle).count()
    }

    /// Servers that can still receive.
    #[must_use]
    pub fn number_of_servers(&self) -> usize {
        self.servers.values().filter(|port| port.handle).count()
    }

    /// Requests that were received and are held.
    #[must_use]
    pub fn number_of_active_requests(&self) -> usize {
        self.active.len()
    }

    /// Responses some server may have loaned in parallel for one request.
    #[must_use]
    pub fn most_response_loans(&self) -> usize {
        self.servers.values().map(|port| port.loans).max().unwrap_or(0)
    }

    /// A length that every port can loan: 1, unless one is static and made for less.
    #[must_use]
    pub fn everybodys_length(&self) -> usize {
        let ports = self.clients.values().chain(self.servers.values());
        let fixed = ports.filter(|port| !port.strategy.is_dynamic()).map(|port| port.hint);
        fixed.min().map_or(1, |hint| hint.min(1))
    }

    /// Whether every port is gone, also those that outlived their handle.
    #[must_use]
    pub fn no_port_lives(&self) -> bool {
        self.clients.is_empty() && self.servers.is_empty()
    }

    /// Messages sent and not yet received.
    #[must_use]
    pub fn messages_in_flight(&self) -> usize {
        let responses = |pending: &Pending| {
            pending.targets.values().map(|target| target.queue.len()).sum::<usize>()
        };
        self.in_flight.values().map(VecDeque::len).sum::<usize>()
            + self.pending.values().map(responses).sum::<usize>()
    }
}
