//! What was sent and never received: which of it has to be missed, and which a known quirk loses or
//! hides.

use std::collections::{BTreeMap, BTreeSet};

use enumset::EnumSet;

use super::{Found, Trial, broken, is_complete, stated};
use crate::{
    actor::{
        Observation,
        concurrent::{Event, Logs},
    },
    model::{Promise, Switch},
    payload::MessageId,
    scenario::Concurrent,
};

/// Lost responses that a receive passes over with a known quirk, to say that there is none.
const LOST_IN_THE_WAY: usize = 2;

impl Trial<'_> {
    /// Of the responses that evict each other the newest is there in the end.
    pub(super) fn newest(&self, logs: &Logs) -> Found {
        if !self.traffic.overflow || logs.stuck > 0 || !is_complete(self.traffic, logs) {
            return Ok(());
        }
        let lost = never_received(logs, |response| {
            self.traffic.is_newest(response) && !self.traffic.is_of_leaver(response)
        })
        .next();
        lost.map_or(Ok(()), |id| {
            let what = "receive the last of several responses".to_owned();
            let promise = Promise::ResponseOverflowEvictsOldest;
            Err((what, broken(promise, format!("response {id}"), "nothing")))
        })
    }

    /// What a server sends before it goes can be received when it is gone, unless it has grown:
    /// "A sample may be lost if the sender shuts down after reallocating its data segment" (FAQ,
    /// Losing Dynamic Data). Where quirks lose some of the rest nobody knows which.
    pub(super) fn bequests(&mut self, quirks: &BTreeSet<Switch>, logs: &Logs) -> Found {
        let is_dynamic = self.traffic.server_strategy.is_dynamic();
        let may_grow = is_dynamic && self.traffic.longest > self.traffic.hint;
        let is_lossy = self.traffic.overflow || may_grow;
        if is_lossy || logs.stuck > 0 || !is_complete(self.traffic, logs) {
            return Ok(());
        }
        let unmapped = is_dynamic.then_some(Switch::UnmappedSegmentIsLost);
        let losing = unmapped.into_iter().chain([Switch::EmptyReceiveForgetsGoneServer]);
        let known: EnumSet<Switch> = losing.filter(|quirk| quirks.contains(quirk)).collect();
        if !known.is_empty() {
            if (0..self.traffic.servers).any(|server| self.traffic.leaves_early(server)) {
                self.lived_with |= known;
            }
            return Ok(());
        }
        let lost = never_received(logs, |response| self.traffic.is_of_leaver(response)).next();
        lost.map_or(Ok(()), |id| {
            let what = "receive what a server sent before it went".to_owned();
            Err((what, broken(Promise::NoResponseIsLost, format!("response {id}"), "nothing")))
        })
    }
}

/// Responses of this kind that were sent and not received.
fn never_received(
    logs: &Logs,
    kind: impl Fn(MessageId) -> bool,
) -> impl Iterator<Item = MessageId> {
    let all = || logs.threads.iter().flat_map(|(_, events)| events);
    let received: BTreeSet<MessageId> = all()
        .filter_map(|event| match event {
            Event::GotResponse(_, seen) => stated(seen),
            _ => None,
        })
        .collect();
    all().filter_map(move |event| match event {
        Event::Answered { id, observation: Observation::Done, .. }
            if kind(*id) && !received.contains(id) =>
        {
            Some(*id)
        }
        _ => None,
    })
}

/// With the quirk two responses that are lost are in the way of a third one, which `has_response`
/// announces after a receive has returned none: requests with so many unread ones of a server that
/// is gone.
pub(super) fn hiding(
    traffic: &Concurrent,
    quirks: &BTreeSet<Switch>,
    logs: &Logs,
) -> BTreeSet<MessageId> {
    let hides = traffic.server_strategy.is_dynamic()
        && quirks.contains(&Switch::LostResponseHidesLaterOnes);
    let mut unread: BTreeMap<MessageId, usize> = BTreeMap::new();
    for response in never_received(logs, |response| hides && traffic.is_of_leaver(response)) {
        *unread.entry(Concurrent::request_of(response)).or_default() += 1;
    }
    unread.into_iter().filter(|(_, count)| *count > LOST_IN_THE_WAY).map(|(id, _)| id).collect()
}
