//! What messages are made of, and what goes with them: elements, values and user headers.

use std::fmt::Debug;

use bytemuck::{Pod, Zeroable};
use iceoryx2::prelude::*;

use crate::payload::MessageId;

/// One element of a slice, or one value: plain bytes without padding.
pub trait Element: Pod + ZeroCopySend + Default + Debug {
    /// Of messages of such elements.
    type Header: Header;
}

/// A user header that says which message it belongs to, in all of its bytes.
pub trait Header: ZeroCopySend + Default + Debug + Copy + PartialEq {
    /// That of a message.
    fn seal(id: MessageId) -> Self;

    /// The message, unless this is no header of ours or any of it is damaged.
    fn unseal(self) -> Option<MessageId>;
}

impl Header for u64 {
    fn seal(id: MessageId) -> Self {
        id.seal()
    }

    fn unseal(self) -> Option<MessageId> {
        MessageId::unseal(self)
    }
}

/// A user header of a cache line, aligned to one.
#[derive(Debug, Clone, Copy, Default, PartialEq, ZeroCopySend)]
#[repr(C)]
#[repr(align(64))]
pub struct Line {
    words: [u64; 8],
}

impl Header for Line {
    fn seal(id: MessageId) -> Self {
        let turns = [0, 1, 2, 3, 4, 5, 6, 7];
        Self { words: turns.map(|turn| id.seal().rotate_left(turn)) }
    }

    fn unseal(self) -> Option<MessageId> {
        MessageId::unseal(self.words[0]).filter(|id| self == Self::seal(*id))
    }
}

macro_rules! elements {
    ($($element:ty: $header:ty),*) => {
        $(impl Element for $element {
            type Header = $header;
        })*
    };
}

elements! { u8: u64, u16: u64, u64: u64, Record: Line, Triple: Line, Value: u64 }

/// An element of 24 bytes, aligned to 8.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable, ZeroCopySend)]
#[repr(C)]
pub struct Record {
    sequence: u64,
    time: u64,
    kind: u32,
    parts: [u16; 2],
}

/// An element of 3 bytes, aligned to 1.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable, ZeroCopySend)]
#[repr(C)]
pub struct Triple {
    parts: [u8; 3],
}

/// A single value of 40 bytes, aligned to 8.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable, ZeroCopySend)]
#[repr(C)]
pub struct Value {
    head: u64,
    body: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_a_line_notices_damage_in_each_of_its_words() {
        let id = MessageId::new(7);
        let line = Line::seal(id);
        assert_eq!(line.unseal(), Some(id));
        assert_eq!(Line::default().unseal(), None);
        for word in 0..line.words.len() {
            let mut damaged = line;
            damaged.words[word] ^= 1;
            assert_eq!(damaged.unseal(), None, "word {word}");
        }
    }
}
