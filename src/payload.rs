//! Bytes that carry their own identity.
//!
//! A payload is a pure function of a [`MessageId`] and a position, so any reader
//! can check any window of it without state. The payload is a sequence of 8-byte
//! little-endian words; word `i` of message `m` is
//!
//! ```text
//! z = base(m) + i * STRIDE        (mod 2^64)
//! w = z ^ (z >> 31)
//! ```
//!
//! `base` is a bijection that scatters neighbouring ids, `STRIDE` is odd, and the
//! last step is invertible. So a shifted, truncated, stale, torn or foreign window
//! never matches, and one intact word is enough to compute whose byte it is
//! ([`identify`]). The recipe has no multiplication per word and vectorises with
//! plain SSE2.
//!
//! ```
//! use iox2_gauntlet::payload::{self, MessageId};
//!
//! let mut bytes = vec![0; 100];
//! payload::fill(MessageId::new(7), &mut bytes);
//! assert!(payload::check(MessageId::new(7), &bytes).is_ok());
//!
//! bytes[42] ^= 1;
//! let mismatch = payload::check(MessageId::new(7), &bytes).unwrap_err();
//! assert_eq!(mismatch.offset, 42);
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// Identity of one message, unique within a sandbox.
///
/// Ids stay below 2^40 ([`MessageId::LIMIT`]); the unused upper bits are what
/// lets [`identify`] tell an id from noise.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct MessageId(u64);

impl MessageId {
    /// Ids are smaller than this: 2^40.
    pub const LIMIT: u64 = 1 << 40;

    /// Makes an id of `raw`, taken modulo [`MessageId::LIMIT`].
    #[must_use]
    pub const fn new(raw: u64) -> Self {
        Self(raw % Self::LIMIT)
    }

    /// The number this id was made of.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The id as a user header: a `u64` in which a damaged bit is noticed.
    #[must_use]
    pub const fn seal(self) -> u64 {
        base(self) ^ HEADER_SALT
    }

    /// Reads an id back from a user header, `None` if it is not one of ours.
    #[must_use]
    pub const fn unseal(header: u64) -> Option<Self> {
        unbase(header ^ HEADER_SALT)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// 2^64 divided by the golden ratio, made odd: the usual Weyl increment.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;
/// Keeps a user header from looking like the first payload word.
const HEADER_SALT: u64 = 0x6865_6164_6572_2121;
/// Multiplier of `MurmurHash3`'s 64-bit finaliser, and its inverse modulo 2^64.
const SCATTER: u64 = 0xFF51_AFD7_ED55_8CCD;
const GATHER: u64 = 0x4F74_430C_22A5_4005;

/// How many words around a position [`identify`] searches for a shifted payload.
const SHIFT_SEARCH_WORDS: u64 = 4096;

const fn base(id: MessageId) -> u64 {
    let x = id.0.wrapping_add(1).wrapping_mul(SCATTER);
    let x = x ^ (x >> 32);
    x.wrapping_mul(SCATTER)
}

const fn unbase(base: u64) -> Option<MessageId> {
    let x = base.wrapping_mul(GATHER);
    let x = x ^ (x >> 32);
    let id = x.wrapping_mul(GATHER).wrapping_sub(1);
    if id < MessageId::LIMIT { Some(MessageId(id)) } else { None }
}

const fn word(base: u64, index: u64) -> u64 {
    let z = base.wrapping_add(index.wrapping_mul(STRIDE));
    z ^ (z >> 31)
}

const fn unword(word: u64, index: u64) -> u64 {
    let z = word ^ (word >> 31) ^ (word >> 62);
    z.wrapping_sub(index.wrapping_mul(STRIDE))
}

/// Fills `out` with the first `out.len()` bytes of message `id`.
pub fn fill(id: MessageId, out: &mut [u8]) {
    let base = base(id);
    let mut z = base;
    let mut chunks = out.chunks_exact_mut(8);
    for chunk in &mut chunks {
        chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
        z = z.wrapping_add(STRIDE);
    }
    let rest = chunks.into_remainder();
    let last = (z ^ (z >> 31)).to_le_bytes();
    rest.copy_from_slice(&last[..rest.len()]);
}

/// The byte of message `id` at `offset`.
#[must_use]
pub const fn byte_at(id: MessageId, offset: usize) -> u8 {
    word(base(id), (offset / 8) as u64).to_le_bytes()[offset % 8]
}

/// Checks that `bytes` is exactly the beginning of message `id`.
///
/// # Errors
/// The first wrong offset with its surroundings and whose bytes they look like.
#[inline]
pub fn check(id: MessageId, bytes: &[u8]) -> Result<(), Box<Mismatch>> {
    if is_intact(id, bytes) { Ok(()) } else { Err(describe(id, bytes)) }
}

/// Whether [`check`] succeeds: all that it costs where nothing is wrong.
fn is_intact(id: MessageId, bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let (blocks, words) = words.as_chunks::<BLOCK>();
    let mut z = base(id);
    for block in blocks {
        if difference(block, z) != 0 {
            return false;
        }
        z = z.wrapping_add(STRIDE.wrapping_mul(BLOCK as u64));
    }
    // Most payloads end with a block, or with a whole word.
    if words.is_empty() && rest.is_empty() {
        return true;
    }
    let last = z.wrapping_add(STRIDE.wrapping_mul(words.len() as u64));
    let last = (last ^ (last >> 31)).to_le_bytes();
    difference(words, z) == 0 && rest.iter().zip(last).all(|(&found, expected)| found == expected)
}

/// Words compared at once: enough to vectorise. A message of 64 bytes is one block.
const BLOCK: usize = 8;

/// What is added to the first word of a block to get the others.
const STRIDES: [u64; BLOCK] = {
    let mut strides = [0; BLOCK];
    let mut i = 1;
    while i < BLOCK {
        strides[i] = STRIDE.wrapping_mul(i as u64);
        i += 1;
    }
    strides
};

/// The bits in which `words`, at most a block, are not those from `z` on, all in one.
#[inline]
fn difference(words: &[[u8; 8]], z: u64) -> u64 {
    words.iter().zip(STRIDES).fold(0, |difference, (word, stride)| {
        let z = z.wrapping_add(stride);
        difference | (u64::from_le_bytes(*word) ^ z ^ (z >> 31))
    })
}

/// Whose bytes a window looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Part of a message, `shift` bytes away from where it belongs (0: in place).
    Message {
        /// The message the bytes belong to.
        id: MessageId,
        /// Found offset minus the offset the bytes have in their own message.
        shift: i64,
    },
    /// All zero: never written, or wiped.
    Zeroes,
    /// Anything else.
    Unknown,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { id, shift: 0 } => write!(f, "bytes of message {id}"),
            Self::Message { id, shift } => {
                write!(f, "bytes of message {id}, shifted by {shift:+}")
            }
            Self::Zeroes => f.write_str("zeroes"),
            Self::Unknown => f.write_str("nothing the gauntlet wrote"),
        }
    }
}

/// A payload that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mismatch {
    /// The message that should be there.
    pub id: MessageId,
    /// Payload length in bytes.
    pub len: usize,
    /// First wrong offset in bytes.
    pub offset: usize,
    /// Number of wrong bytes in the whole payload.
    pub wrong_bytes: usize,
    /// Offset of the first byte of the two windows.
    pub window_start: usize,
    /// What should be there, at most 16 bytes around `offset`.
    pub expected: Vec<u8>,
    /// What is there.
    pub found: Vec<u8>,
    /// Whose bytes start at `offset`.
    pub owner: Owner,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "message {} of {} bytes: first wrong byte at offset {} ({} wrong in all); from offset {} expected [{}], found [{}]: {}",
            self.id,
            self.len,
            self.offset,
            self.wrong_bytes,
            self.window_start,
            hex(&self.expected),
            hex(&self.found),
            self.owner,
        )
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}

/// Describes the first difference, of which there is one.
#[cold]
fn describe(id: MessageId, bytes: &[u8]) -> Box<Mismatch> {
    let wrong = |i: &usize| bytes[*i] != byte_at(id, *i);
    let offset = (0..bytes.len()).find(wrong).unwrap_or(0);
    let window_start = offset.saturating_sub(4);
    let window_end = (window_start + 16).min(bytes.len());
    Box::new(Mismatch {
        id,
        len: bytes.len(),
        offset,
        wrong_bytes: (0..bytes.len()).filter(wrong).count(),
        window_start,
        expected: (window_start..window_end).map(|i| byte_at(id, i)).collect(),
        found: bytes[window_start..window_end].to_vec(),
        owner: identify(bytes, offset),
    })
}

/// Says whose bytes stand in `bytes` at `offset`, as far as one intact 8-byte word
/// at or after `offset` (within the next 16 bytes) tells.
///
/// A foreign message in its own place is named at any offset; one that is shifted
/// is named within 32 KiB of where it belongs.
#[must_use]
pub fn identify(bytes: &[u8], offset: usize) -> Owner {
    let tail = &bytes[offset.min(bytes.len())..];
    if !tail.is_empty() && tail.iter().take(16).all(|&b| b == 0) {
        return Owner::Zeroes;
    }
    let word_at = |start: usize| {
        let window = bytes.get(start..start + 8)?;
        Some(u64::from_le_bytes(window.try_into().ok()?))
    };
    // Where it belongs first. The 24 spare bits of an id make one word proof enough.
    let aligned = offset.next_multiple_of(8);
    if let Some(id) = word_at(aligned).and_then(|w| unbase(unword(w, (aligned / 8) as u64))) {
        return Owner::Message { id, shift: 0 };
    }
    // A search over thousands of places needs a second word that agrees.
    for start in offset..offset + 8 {
        let (Some(first), Some(second)) = (word_at(start), word_at(start + 8)) else { continue };
        let here = (start / 8) as u64;
        for index in here.saturating_sub(SHIFT_SEARCH_WORDS)..here + SHIFT_SEARCH_WORDS {
            if let Some(id) = unbase(unword(first, index))
                && unbase(unword(second, index + 1)) == Some(id)
            {
                return Owner::Message { id, shift: start as i64 - (index * 8) as i64 };
            }
        }
    }
    Owner::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(id: MessageId, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fill(id, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn a_filled_payload_passes_and_any_flipped_bit_is_located(
            raw in any::<u64>(), len in 1_usize..3000, at in any::<prop::sample::Index>(), bit in 0..8_u32
        ) {
            let id = MessageId::new(raw);
            let mut bytes = filled(id, len);
            prop_assert!(check(id, &bytes).is_ok());
            let at = at.index(len);
            bytes[at] ^= 1 << bit;
            let mismatch = check(id, &bytes).unwrap_err();
            prop_assert_eq!((mismatch.offset, mismatch.wrong_bytes), (at, 1));
        }

        #[test]
        fn fill_and_byte_at_agree(raw in any::<u64>(), len in 0_usize..300) {
            let id = MessageId::new(raw);
            let bytes = filled(id, len);
            prop_assert!(bytes.iter().enumerate().all(|(i, &b)| b == byte_at(id, i)));
        }

        #[test]
        fn a_foreign_payload_is_named(a in 0..1_000_000_u64, b in 0..1_000_000_u64, len in 16_usize..2000) {
            prop_assume!(a != b);
            let (a, b) = (MessageId::new(a), MessageId::new(b));
            let mismatch = check(a, &filled(b, len)).unwrap_err();
            prop_assert_eq!(mismatch.owner, Owner::Message { id: b, shift: 0 });
        }

        #[test]
        fn a_shifted_payload_is_seen_and_its_shift_measured(raw in 0..1_000_000_u64, shift in 1_usize..500) {
            let id = MessageId::new(raw);
            let shifted = filled(id, 2000)[shift..].to_vec();
            let mismatch = check(id, &shifted).unwrap_err();
            prop_assert_eq!(mismatch.owner, Owner::Message { id, shift: -(shift as i64) });
        }

        #[test]
        fn a_user_header_round_trips_and_a_damaged_one_is_refused(raw in any::<u64>(), bit in 0..64_u32) {
            let id = MessageId::new(raw);
            prop_assert_eq!(MessageId::unseal(id.seal()), Some(id));
            prop_assert_ne!(MessageId::unseal(id.seal() ^ (1 << bit)), Some(id));
        }
    }

    #[test]
    fn a_torn_payload_names_both_the_place_and_the_intruder() {
        let (mine, other) = (MessageId::new(3), MessageId::new(4));
        let mut bytes = filled(mine, 4096);
        bytes[1024..].copy_from_slice(&filled(other, 4096)[1024..]);
        let mismatch = check(mine, &bytes).unwrap_err();
        assert!((1024..1032).contains(&mismatch.offset));
        assert_eq!(mismatch.owner, Owner::Message { id: other, shift: 0 });
    }

    #[test]
    fn never_written_memory_is_called_zeroes() {
        let id = MessageId::new(9);
        let mut bytes = filled(id, 64);
        bytes[32..].fill(0);
        assert_eq!(check(id, &bytes).unwrap_err().owner, Owner::Zeroes);
    }
}
