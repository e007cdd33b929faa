//! Message ids that no two running programs share, and the check of what arrives.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Serialize};

use crate::payload::{self, MessageId, Mismatch};

/// Hands out the ids of one process' messages.
#[derive(Debug)]
pub(super) struct MessageIds {
    next: u64,
}

impl MessageIds {
    /// Pids are below 2^22 on Linux. Reversed they become the upper bits of the id, so
    /// that programs started one after the other begin far apart.
    const PID_BITS: u32 = 22;
    /// Odd, so that different seeds shift the ids differently.
    const SEED_STEP: u64 = 0x9E_3779_B97F;

    pub(super) fn new(pid: u32, seed: u64) -> Self {
        let start = u64::from(pid.reverse_bits() >> (32 - Self::PID_BITS)) << 18;
        Self { next: start.wrapping_add(seed.wrapping_mul(Self::SEED_STEP)) }
    }

    pub(super) fn next(&mut self) -> MessageId {
        let id = MessageId::new(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }
}

/// What a sender writes: a message, or with `--spoil` one that differs in a bit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing {
    pub(super) id: MessageId,
    pub(super) bytes: usize,
    is_spoilt: bool,
}

impl Outgoing {
    /// The message at `index`, counted from 0; `spoil` counts from 1.
    pub(super) fn new(id: MessageId, bytes: usize, index: u64, spoil: Option<u64>) -> Self {
        Self { id, bytes, is_spoilt: spoil == Some(index + 1) }
    }

    pub(super) fn byte_at(&self, offset: usize) -> u8 {
        let flip = self.is_spoilt && offset == self.bytes / 2;
        payload::byte_at(self.id, offset) ^ u8::from(flip)
    }

    /// An empty payload has no bit to flip, so the header has to do.
    pub(super) fn user_header(&self) -> u64 {
        let flip = self.is_spoilt && self.bytes == 0;
        self.id.seal() ^ u64::from(flip)
    }
}

/// What a received message is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Integrity {
    /// Exactly what its sender wrote.
    Ok,
    /// Not what its sender wrote.
    Broken(Violation),
}

/// How a message differs from what its sender wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Violation {
    /// The user header holds no message id.
    Header {
        /// What it holds.
        found: u64,
    },
    /// iceoryx2's own header announces another length than the payload has.
    Length {
        /// What the header says, in bytes.
        announced: u64,
        /// What the payload has, in bytes.
        found: u64,
    },
    /// The payload differs.
    Payload(Box<Mismatch>),
    /// The sender's previous message was the same or a newer one: a message came twice
    /// or out of order.
    Order {
        /// The message that arrived.
        id: MessageId,
        /// The sender's message that arrived before.
        previous: MessageId,
    },
    /// One server answered a request twice.
    SecondAnswer {
        /// The superfluous message.
        id: MessageId,
    },
    /// More servers answered than the request was delivered to.
    UnexpectedAnswer {
        /// The superfluous message.
        id: MessageId,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { found } => {
                write!(f, "the user header {found:#018x} holds no message id")
            }
            Self::Length { announced, found } => {
                write!(f, "the header announces {announced} bytes, the payload has {found}")
            }
            Self::Payload(mismatch) => mismatch.fmt(f),
            Self::Order { id, previous } => {
                write!(f, "message {id} came after {previous} of the same sender")
            }
            Self::SecondAnswer { id } => {
                write!(f, "message {id} is the second answer of one server to one request")
            }
            Self::UnexpectedAnswer { id } => {
                write!(f, "message {id} is an answer of a server that was not asked")
            }
        }
    }
}

/// Everything about a message that a reader can check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    /// iceoryx2's id of the sending port.
    pub(super) from: u128,
    pub(super) user_header: u64,
    /// Payload length by iceoryx2's header.
    pub(super) announced: u64,
    pub(super) payload: &'a [u8],
}

impl Arrival<'_> {
    /// The id and whether header, length and payload are intact.
    pub(super) fn integrity(&self) -> (Option<MessageId>, Integrity) {
        let Some(id) = MessageId::unseal(self.user_header) else {
            return (None, Integrity::Broken(Violation::Header { found: self.user_header }));
        };
        let found = self.payload.len() as u64;
        let integrity = if self.announced != found {
            Integrity::Broken(Violation::Length { announced: self.announced, found })
        } else if let Err(mismatch) = payload::check(id, self.payload) {
            Integrity::Broken(Violation::Payload(mismatch))
        } else {
            Integrity::Ok
        };
        (Some(id), integrity)
    }
}

/// Remembers the newest message of each sender.
#[derive(Debug, Default)]
pub(super) struct Newest {
    by_sender: HashMap<u128, MessageId>,
}

impl Newest {
    /// The integrity of a message that arrives for the first time.
    pub(super) fn integrity(&mut self, arrival: &Arrival<'_>) -> (Option<MessageId>, Integrity) {
        let (id, integrity) = arrival.integrity();
        let (Some(known), Integrity::Ok) = (id, &integrity) else { return (id, integrity) };
        match self.by_sender.insert(arrival.from, known) {
            Some(previous) if !is_newer(known, previous) => {
                (id, Integrity::Broken(Violation::Order { id: known, previous }))
            }
            _ => (id, Integrity::Ok),
        }
    }
}

/// Whether `id` was handed out after `previous`; ids wrap around.
fn is_newer(id: MessageId, previous: MessageId) -> bool {
    let distance = id.get().wrapping_sub(previous.get()) % MessageId::LIMIT;
    (1..MessageId::LIMIT / 2).contains(&distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(id: MessageId, payload: &[u8]) -> Arrival<'_> {
        Arrival { from: 1, user_header: id.seal(), announced: payload.len() as u64, payload }
    }

    fn payload_of(id: MessageId, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        payload::fill(id, &mut bytes);
        bytes
    }

    #[test]
    fn neighbouring_pids_start_at_least_2_to_the_30_messages_apart() {
        let starts: Vec<_> = (1000..1064).map(|pid| MessageIds::new(pid, 7).next().get()).collect();
        for (i, a) in starts.iter().enumerate() {
            for b in &starts[i + 1..] {
                assert!(a.abs_diff(*b) >= 1 << 30, "{a} {b}");
            }
        }
    }

    #[test]
    fn another_seed_gives_other_ids() {
        assert_ne!(MessageIds::new(5, 0).next(), MessageIds::new(5, 1).next());
    }

    #[test]
    fn a_message_that_comes_twice_is_out_of_order() {
        let id = MessageId::new(9);
        let bytes = payload_of(id, 20);
        let mut newest = Newest::default();
        assert_eq!(newest.integrity(&arrival(id, &bytes)), (Some(id), Integrity::Ok));
        assert_eq!(
            newest.integrity(&arrival(id, &bytes)).1,
            Integrity::Broken(Violation::Order { id, previous: id })
        );
    }

    #[test]
    fn order_survives_the_wrap_of_the_ids() {
        assert!(is_newer(MessageId::new(0), MessageId::new(MessageId::LIMIT - 1)));
        assert!(!is_newer(MessageId::new(MessageId::LIMIT - 1), MessageId::new(0)));
    }

    #[test]
    fn a_truncated_payload_differs_from_the_announced_length() {
        let id = MessageId::new(3);
        let bytes = payload_of(id, 20);
        let shorter = Arrival { payload: &bytes[..19], ..arrival(id, &bytes) };
        assert_eq!(
            shorter.integrity().1,
            Integrity::Broken(Violation::Length { announced: 20, found: 19 })
        );
    }
}
