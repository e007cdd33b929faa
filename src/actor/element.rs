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

/// User headers of several words.
macro_rules! headers {
    ($($(#[$attribute:meta])* $name:ident: $words:literal),*) => {
        $($(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, ZeroCopySend)]
        #[repr(C)]
        pub struct $name {
            words: [u64; $words],
        }

        // Not zero: who forgets to write it is told from who writes zeros.
        impl Default for $name {
            fn default() -> Self {
                Self { words: [DEFAULT; $words] }
            }
        }

        impl Header for $name {
            fn seal(id: MessageId) -> Self {
                let mut words = [id.seal(); $words];
                (0_u32..).zip(&mut words).for_each(|(turn, word)| *word = word.rotate_left(turn));
                Self { words }
            }

            fn unseal(self) -> Option<MessageId> {
                MessageId::unseal(self.words[0]).filter(|id| self == Self::seal(*id))
            }
        })*
    };
}

headers! {
    /// A user header of 16 bytes.
    Pair: 2,
    /// A user header of a cache line, aligned to one.
    #[repr(align(64))]
    Line: 8,
    /// A user header of two cache lines, aligned to one.
    #[repr(align(64))]
    Lines: 16
}

/// A word of what is default.
const DEFAULT: u64 = 0x0102_0304_0506_0708;

macro_rules! elements {
    ($($element:ty: $header:ty),*) => {
        $(impl Element for $element {
            type Header = $header;
        })*
    };
}

elements! { u8: u64, u16: u64, u64: Pair, Record: Line, Triple: Lines, Value: u64 }

/// An element of 24 bytes, aligned to 8.
#[derive(Debug, Clone, Copy, Pod, Zeroable, ZeroCopySend)]
#[repr(C)]
pub struct Record {
    sequence: u64,
    time: u64,
    kind: u32,
    parts: [u16; 2],
}

impl Default for Record {
    fn default() -> Self {
        Self { sequence: DEFAULT, time: !DEFAULT, kind: 9, parts: [10, 11] }
    }
}

/// An element of 3 bytes, aligned to 1.
#[derive(Debug, Clone, Copy, Pod, Zeroable, ZeroCopySend)]
#[repr(C)]
pub struct Triple {
    parts: [u8; 3],
}

impl Default for Triple {
    fn default() -> Self {
        Self { parts: [1, 2, 3] }
    }
}

/// A single value of 40 bytes, aligned to 8.
#[derive(Debug, Clone, Copy, Pod, Zeroable, ZeroCopySend)]
#[repr(C)]
pub struct Value {
    head: u64,
    body: [u8; 32],
}

impl Default for Value {
    fn default() -> Self {
        Self { head: DEFAULT, body: [12; 32] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! notices_damage_in_each_word {
        ($header:ty) => {
            let id = MessageId::new(7);
            let header = <$header>::seal(id);
            assert_eq!(header.unseal(), Some(id));
            assert_eq!(<$header>::default().unseal(), None);
            for word in 0..header.words.len() {
                let mut damaged = header;
                damaged.words[word] ^= 1;
                assert_eq!(damaged.unseal(), None, "word {word}");
            }
        };
    }

    #[test]
    fn a_header_notices_damage_in_each_of_its_words() {
        notices_damage_in_each_word!(Pair);
        notices_damage_in_each_word!(Line);
        notices_damage_in_each_word!(Lines);
    }

    #[test]
    fn a_default_is_told_from_zeros() {
        let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
        assert!(!is_zero(bytemuck::bytes_of(&Record::default())));
        assert!(!is_zero(bytemuck::bytes_of(&Triple::default())));
        assert!(!is_zero(bytemuck::bytes_of(&Value::default())));
    }
}
