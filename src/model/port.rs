//! What follows from how a port was made and what it has loaned so far.

use super::Port;
use crate::{
    actor::{Key, PortId},
    payload::MessageId,
    scenario::Strategy,
};

impl Port {
    pub(super) fn new(participant: Key, id: PortId, strategy: Strategy, hint: usize) -> Self {
        Self {
            participant,
            id,
            strategy,
            hint,
            loans: 0,
            active: 0,
            preallocated: None,
            loses_chunks: false,
            ran_out: false,
            full_segments: 0,
            handle: true,
            longest: hint,
            grown_for: Vec::new(),
        }
    }

    /// Whether it is a client; a server has no requests of its own.
    pub(super) fn is_client(&self) -> bool {
        self.active > 0
    }

    pub(super) fn growths(&self) -> usize {
        self.grown_for.len()
    }

    /// After how many growths a message was loaned.
    pub(super) fn growths_before(&self, id: MessageId) -> usize {
        self.grown_for.partition_point(|&grown_for| grown_for <= id)
    }

    pub(super) fn note_loan(&mut self, id: MessageId, len: usize) {
        if len > self.longest {
            self.longest = len;
            self.grown_for.push(id);
        }
    }

    /// "A sample may be lost if the sender shuts down after reallocating its data
    /// segment" (FAQ, Losing Dynamic Data), and only then.
    pub(super) fn keeps_data_when_gone(&self) -> bool {
        let may_grow_all_the_time = self.preallocated.is_some() || self.loses_chunks;
        !self.strategy.is_dynamic() || self.growths() == 0 && !may_grow_all_the_time
    }
}
