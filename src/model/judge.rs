//! Compares an observation with a prediction and names the promise that is broken.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::{
    Candidate, Expected, Prediction, Promise, Promises, Switch, send::UNDELIVERED, wording,
};
use crate::{
    actor::{Action, Observation, Received, ReportedSettings, presence::Aftermath},
    payload::{Mismatch, Owner},
    sandbox::exposure::Exposure,
    scenario::Settings,
};

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// Which promise.
    pub promise: Promise,
    /// What was allowed.
    pub expected: String,
    /// What happened.
    pub observed: String,
}

/// What became of an observation that is allowed or known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// These promises were at stake and kept.
    Kept(Promises),
    /// A known quirk showed.
    Sighted(Switch),
}

/// Errors that may only be given for a reason of their own, whatever is attempted.
const BEHIND_ERROR: [(&str, Promise); 8] = [
    (UNDELIVERED, Promise::FailedDeliveryIsAnError),
    ("ExceedsMaxBorrows", Promise::BorrowLimit),
    ("ExceedsMaxLoans", Promise::LoanLimit),
    ("ExceedsMaxActiveRequests", Promise::ActiveRequestLimit),
    ("ExceedsMaxNumberOfNodes", Promise::NodeLimit),
    ("DoesNotExist", Promise::CreateAndOpen),
    ("AlreadyExists", Promise::CreateAndOpen),
    ("ServiceInCorruptedState", Promise::CreateAndOpen),
];

/// Judges one observation.
///
/// # Errors
/// The promise that is broken, unless a tolerated quirk breaks it.
pub fn judge(
    action: &Action,
    prediction: &Prediction,
    observation: &Observation,
) -> Result<Judged, Breach> {
    hold_against(action, prediction, observation).map(Judged::Kept).or_else(|breach| {
        prediction
            .tolerated
            .iter()
            .find(|(_, expected)| {
                let only = Prediction {
                    promise: breach.promise,
                    allowed: smallvec![expected.clone()],
                    tolerated: Vec::new(),
                };
                hold_against(action, &only, observation).is_ok()
            })
            .map(|(switch, _)| Judged::Sighted(*switch))
            .ok_or(breach)
    })
}

fn hold_against(
    action: &Action,
    prediction: &Prediction,
    observation: &Observation,
) -> Result<Promises, Breach> {
    let breach =
        |promise, observed: String| Breach { promise, expected: prediction.to_string(), observed };
    let always = Promises::of(&[Promise::NeverCrashes, Promise::NeverHangs]);
    let mut checked = always.with(&[prediction.promise]);
    match observation {
        Observation::Received(received) => {
            let candidate = matching_candidate(action, prediction, received)
                .map_err(|promise| breach(promise, wording::of_message(received)))?;
            let (bytes, order) = match action {
                Action::ReceiveRequest { .. } => {
                    (Promise::RequestBytesArrive, Promise::RequestsArriveInOrder)
                }
                _ => (Promise::ResponseBytesArrive, Promise::ResponsesArriveInOrder),
            };
            check_message(received, candidate, bytes)
                .map_err(|(promise, observed)| breach(promise, observed))?;
            checked = checked.with(&[
                bytes,
                order,
                Promise::PayloadIsAligned,
                Promise::UserHeaderArrives,
                Promise::OriginNamesSender,
            ]);
            if bytes == Promise::ResponseBytesArrive {
                checked = checked.with(&[Promise::ResponseReachesOnlyItsRequest]);
            }
        }
        Observation::Loaned { len, not_default, mismatch, misaligned, used_header } => {
            if !allows(prediction, observation) {
                let asked = prediction.allowed.iter().any(|e| matches!(e, Expected::Loaned { .. }));
                let promise =
                    if asked { Promise::LoanHasRequestedLength } else { prediction.promise };
                return Err(breach(promise, format!("a loan of {len}")));
            }
            if let Some(offset) = not_default {
                let observed = format!("element {offset} is not its default");
                return Err(breach(Promise::LoanSliceIsDefault, observed));
            }
            if let Some(mismatch) = mismatch {
                return Err(breach(Promise::HeldDataStaysIntact, mismatch.to_string()));
            }
            if *used_header {
                let observed = "a loan with a user header that was written before".to_owned();
                return Err(breach(Promise::UserHeaderStartsAsDefault, observed));
            }
            if *misaligned {
                let observed = "a loan at an address that is no multiple of its alignment";
                return Err(breach(Promise::PayloadIsAligned, observed.to_owned()));
            }
            checked = checked.with(&[
                Promise::LoanHasRequestedLength,
                Promise::PayloadIsAligned,
                Promise::UserHeaderStartsAsDefault,
            ]);
            if let Action::LoanRequest { form, .. } | Action::LoanResponse { form, .. } = action
                && *form == crate::scenario::LoanForm::Default
            {
                checked = checked.with(&[Promise::LoanSliceIsDefault]);
            }
        }
        Observation::Pending { .. } => {
            let promise = inspected_promise(prediction, observation);
            if let Some(promise) = promise {
                return Err(breach(promise, wording::summary(observation)));
            }
            checked = checked.with(&[Promise::HasResponseIsTrue, Promise::SendReachesEveryServer]);
        }
        Observation::Active { .. } => {
            if let Some(promise) = inspected_promise(prediction, observation) {
                return Err(breach(promise, wording::summary(observation)));
            }
            checked = checked.with(&[Promise::DisconnectHintArrives]);
        }
        Observation::Service { settings, listed, presence, .. } => {
            if let Some(promise) = inspected_promise(prediction, observation) {
                if promise == Promise::ListedPortsAreDescribed {
                    return Err(wording::wrongly_described(prediction, listed.as_deref()));
                }
                if promise == Promise::ServiceIsListedWithItsNodes {
                    return Err(wording::wrongly_present(prediction, presence.as_deref()));
                }
                return Err(breach(
                    promise,
                    format!("{}, {settings:?}", wording::summary(observation)),
                ));
            }
            checked = checked.with(&[Promise::SettingsAreKept]);
            if presence.is_some() {
                checked = checked.with(&[Promise::ServiceIsListedWithItsNodes]);
            }
            if listed.as_ref().is_some_and(|l| !(l.clients.is_empty() && l.servers.is_empty())) {
                checked = checked.with(&[Promise::ListedPortsAreDescribed]);
            }
        }
        Observation::PortCreated { active, .. } => {
            if !allows(prediction, observation) {
                let is_one = |expected: &Expected| matches!(expected, Expected::PortCreated { .. });
                let promise = if prediction.allowed.iter().any(is_one) {
                    Promise::SettingsAreKept
                } else {
                    prediction.promise
                };
                let own = active.map(|limit| format!(", {limit} active")).unwrap_or_default();
                return Err(breach(promise, wording::summary(observation) + &own));
            }
            checked = checked.with(&[Promise::SettingsAreKept]);
        }
        Observation::CleanedUp { dead, .. } => {
            // Dead nodes that are still there were not cleaned up in passing.
            let may_be = |dead| prediction.allowed.contains(&Expected::CleanedUp { dead });
            if !allows(prediction, observation) {
                if may_be(1) && (*dead == 0 || !may_be(*dead)) {
                    return Err(breach(Promise::DeadNodeIsListed, wording::summary(observation)));
                }
                return Err(breach(prediction.promise, wording::summary(observation)));
            }
            checked = checked.with(&[Promise::DeadNodeIsListed]);
        }
        _ if allows(prediction, observation) => {}
        // What is said to be wrong says more than what was attempted.
        Observation::Refused(error) => {
            let named = BEHIND_ERROR.iter().find(|(name, _)| names(error, name));
            let promise = named.map_or(prediction.promise, |(_, promise)| *promise);
            return Err(breach(promise, wording::summary(observation)));
        }
        _ => return Err(breach(prediction.promise, wording::summary(observation))),
    }
    Ok(checked)
}

/// The candidate that was received, or the promise that forbids this message.
fn matching_candidate<'a>(
    action: &Action,
    prediction: &'a Prediction,
    received: &Received,
) -> Result<&'a Candidate, Promise> {
    let Some(id) = received.header else { return Err(Promise::UserHeaderArrives) };
    let candidates = prediction.allowed.iter().filter_map(|expected| match expected {
        Expected::Received(candidate) => Some(candidate),
        _ => None,
    });
    candidates.clone().find(|candidate| candidate.id == id).ok_or_else(|| {
        // Whose bytes they are says more than what the header calls them.
        if let Some(Mismatch { owner: Owner::Message { id, shift: 0 }, .. }) =
            received.mismatch.as_deref()
            && candidates.clone().any(|candidate| candidate.id == *id)
        {
            return Promise::UserHeaderArrives;
        }
        match (action, candidates.count()) {
            // No message was to come; the prediction says why.
            (_, 0)
                if prediction.promise == Promise::BorrowLimit
                    || prediction.promise.is_about_identity() =>
            {
                prediction.promise
            }
            (Action::ReceiveRequest { .. }, _) => Promise::RequestsArriveInOrder,
            _ => Promise::ResponsesArriveInOrder,
        }
    })
}

fn check_message(
    received: &Received,
    candidate: &Candidate,
    bytes: Promise,
) -> Result<(), (Promise, String)> {
    if received.len != candidate.len {
        return Err((bytes, wording::of_message(received)));
    }
    if let Some(mismatch) = &received.mismatch {
        return Err((bytes, mismatch.to_string()));
    }
    if received.misaligned {
        let observed = format!(
            "{} at an address that is no multiple of its alignment",
            wording::of_message(received)
        );
        return Err((Promise::PayloadIsAligned, observed));
    }
    if received.elements != candidate.len as u64 {
        let observed = format!("a header that counts {} elements", received.elements);
        return Err((bytes, observed));
    }
    for (what, origin) in [("origin()", received.origin), ("the header", received.header_origin)] {
        if origin != candidate.origin {
            let observed =
                format!("{what} names port {}, the sender is {}", origin.0, candidate.origin.0);
            return Err((Promise::OriginNamesSender, observed));
        }
    }
    Ok(())
}

fn agrees<T: PartialEq>(expected: &Option<T>, observed: &T) -> bool {
    expected.as_ref().is_none_or(|expected| expected == observed)
}

/// The first promise an inspection breaks.
fn inspected_promise(prediction: &Prediction, observation: &Observation) -> Option<Promise> {
    let expected = prediction.allowed.first()?;
    match (expected, observation) {
        (
            Expected::Pending { connected, has_response, servers },
            Observation::Pending { connected: c, has_response: r, servers: s },
        ) => {
            // If both are wrong and one of them is as known, it is the other.
            let is_known = || {
                prediction.tolerated.iter().any(|(_, known)| {
                    matches!(known, Expected::Pending { connected, .. } if agrees(connected, c))
                })
            };
            if !agrees(connected, c) && (agrees(has_response, r) || !is_known()) {
                Some(Promise::PendingResponseConnection)
            } else if !agrees(has_response, r) {
                Some(Promise::HasResponseIsTrue)
            } else {
                (servers != s).then_some(Promise::SendReachesEveryServer)
            }
        }
        (Expected::Active { connected, hint }, Observation::Active { connected: c, hint: h }) => {
            if agrees(connected, c) {
                (!agrees(hint, h)).then_some(Promise::DisconnectHintArrives)
            } else {
                Some(Promise::ActiveRequestConnection)
            }
        }
        (
            Expected::Service { nodes, clients, servers, settings },
            Observation::Service { clients: c, servers: s, settings: reported, listed, presence },
        ) => {
            let are_listed = listed.as_ref().is_none_or(|listed| {
                clients.may_be_listed_as(&listed.clients)
                    && servers.may_be_listed_as(&listed.servers)
            });
            if !(clients.count().contains(c) && servers.count().contains(s) && are_listed) {
                Some(Promise::PortCounts)
            } else if reported_as(settings) != **reported {
                Some(Promise::SettingsAreKept)
            } else {
                let described = listed.as_ref().is_none_or(|listed| {
                    clients.wrongly_described(&listed.clients).is_none()
                        && servers.wrongly_described(&listed.servers).is_none()
                });
                let is_present = presence.as_ref().is_none_or(|presence| {
                    let listed = presence.exists && presence.listed == 1;
                    listed
                        && presence.dead == 0
                        && presence.misstated == 0
                        && nodes.contains(&presence.nodes)
                        && presence.in_details.is_some_and(|count| nodes.contains(&count))
                        && presence.at_service.is_none_or(|count| nodes.contains(&count))
                });
                if described {
                    (!is_present).then_some(Promise::ServiceIsListedWithItsNodes)
                } else {
                    Some(Promise::ListedPortsAreDescribed)
                }
            }
        }
        _ => Some(prediction.promise),
    }
}

/// Judges what there is once everything was dropped.
///
/// # Errors
/// If it is more than nothing, or in the way of whoever comes next.
pub fn judge_aftermath(aftermath: &Aftermath) -> Result<(), Breach> {
    let Aftermath { presence, refused, crowded_out } = aftermath;
    let breach_of = |promise, expected: &str, observed: String| {
        Err(Breach { promise, expected: expected.to_owned(), observed })
    };
    let breach =
        |expected, observed| breach_of(Promise::ServiceEndsWithItsUsers, expected, observed);
    if presence.exists || presence.listed > 0 || presence.nodes + presence.dead > 0 {
        return breach("no service and no node", wording::of_presence(presence));
    }
    match refused {
        Some(error) => breach("the service can be created again", error.clone()),
        None => crowded_out.as_ref().map_or(Ok(()), |what| {
            let expected = "services of another name, pattern or prefix are other services";
            breach_of(Promise::ServicesAreToldApart, expected, what.clone())
        }),
    }
}

/// Judges what can be written while all ports are there.
///
/// # Errors
/// If somebody else may write the memory of a message, or everybody any file.
pub fn judge_exposure(exposure: &Exposure, quirks: &BTreeSet<Switch>) -> Result<Judged, Breach> {
    let promise = Promise::DataIsWrittenByItsPort;
    let broken = |expected: &str, observed: String| {
        Err(Breach { promise, expected: expected.to_owned(), observed })
    };
    if !exposure.writable_by_all.is_empty() {
        return broken("files that not everybody may write", exposure.writable_by_all.join(", "));
    }
    let quirk = Switch::ReceiversMayWrite;
    match exposure.written_by_others()[..] {
        // Where nobody has a peer, there is nobody else who could write.
        [] if !exposure.has_readers() => Ok(Judged::Kept(Promises::default())),
        [] => Ok(Judged::Kept(Promises::of(&[promise]))),
        _ if quirks.contains(&quirk) => Ok(Judged::Sighted(quirk)),
        ref shared => broken(
            "each data segment to be mapped writable once",
            format!("mapped writable more than once: {}", shared.join(", ")),
        ),
    }
}

pub(super) fn reported_as(settings: &Settings) -> ReportedSettings {
    ReportedSettings {
        limits: [
            settings.max_clients,
            settings.max_servers,
            settings.max_nodes,
            settings.max_active_requests_per_client,
            settings.max_loaned_requests,
            settings.max_response_buffer_size,
            settings.max_borrowed_responses_per_pending_response,
        ],
        flags: [
            settings.enable_safe_overflow_for_requests,
            settings.enable_safe_overflow_for_responses,
            settings.enable_fire_and_forget_requests,
        ],
    }
}

fn allows(prediction: &Prediction, observation: &Observation) -> bool {
    prediction.allowed.iter().any(|expected| match (expected, observation) {
        (Expected::Done, Observation::Done) | (Expected::Nothing, Observation::Nothing) => true,
        (
            Expected::CleanedUp { dead },
            Observation::CleanedUp { dead: d, cleaned, failed: 0, left: 0 },
        ) => dead == d && cleaned == d,
        (
            Expected::PortCreated { hint, backpressure, active },
            Observation::PortCreated { hint: h, backpressure: b, active: a, .. },
        ) => hint == h && agrees(b, backpressure) && (a.is_none() || a == active),
        (Expected::Loaned { len }, Observation::Loaned { len: l, .. }) => len == l,
        (Expected::Sent { servers }, Observation::Sent { servers: s }) => servers.contains(s),
        (Expected::Server { has_requests }, Observation::Server { has_requests: h }) => {
            agrees(has_requests, h)
        }
        (Expected::Refused(name), Observation::Refused(error)) => names(error, name),
        _ => false,
    })
}

/// Whether the error, as `Debug` prints it, is or wraps the one called `name`.
pub(super) fn names(error: &str, name: &str) -> bool {
    error.split(|c: char| !c.is_alphanumeric()).any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Key;

    #[test]
    fn a_quirk_excuses_what_it_is_known_for_and_nothing_else() {
        let action = Action::DropActive { active: Key(1) };
        let switch = Switch::OrphanedLoansCount;
        let prediction = Prediction {
            promise: Promise::LoanWithinLimitsSucceeds,
            allowed: smallvec![Expected::Loaned { len: 1 }],
            tolerated: vec![(switch, Expected::Refused("ExceedsMaxLoans"))],
        };
        let refused =
            |error: &str| judge(&action, &prediction, &Observation::Refused(error.into()));
        assert_eq!(refused("ExceedsMaxLoans"), Ok(Judged::Sighted(switch)));
        let breach = refused("OutOfMemory").unwrap_err();
        assert_eq!(breach.promise, Promise::LoanWithinLimitsSucceeds);
    }

    #[test]
    fn whoever_may_write_what_another_one_loaned_is_told_and_so_is_a_file_for_everybody() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let judged = |written: &[&str], read: &[&str], all: &[&str], quirks: &[Switch]| {
            let (written, read, writable_by_all) = (names(written), names(read), names(all));
            let exposure = Exposure { read, written, writable_by_all };
            judge_exposure(&exposure, &quirks.iter().copied().collect())
        };
        let promise = Promise::DataIsWrittenByItsPort;
        let quirk = Switch::ReceiversMayWrite;
        let is_broken = |judged: Result<Judged, Breach>| judged.unwrap_err().promise == promise;
        assert_eq!(judged(&["1"], &["1"], &[], &[]), Ok(Judged::Kept(Promises::of(&[promise]))));
        assert_eq!(judged(&["1"], &["2"], &[], &[]), Ok(Judged::Kept(Promises::default())));
        assert!(is_broken(judged(&["1", "1"], &[], &[], &[])));
        assert_eq!(judged(&["1", "1"], &[], &[], &[quirk]), Ok(Judged::Sighted(quirk)));
        assert!(is_broken(judged(&["1"], &["1"], &["2"], &[quirk])));
    }

    #[test]
    fn of_two_wrong_answers_the_one_that_is_not_known_is_broken() {
        let action = Action::InspectPending { pending: Key(1) };
        let state = |connected, has_response| Expected::Pending {
            connected: Some(connected),
            has_response: Some(has_response),
            servers: 1,
        };
        let broken_by = |known: Option<Switch>| {
            let known = known.map(|quirk| (quirk, state(true, true)));
            let prediction = Prediction {
                promise: Promise::PendingResponseConnection,
                allowed: smallvec![state(false, true)],
                tolerated: known.into_iter().collect(),
            };
            let observed =
                Observation::Pending { connected: true, has_response: false, servers: 1 };
            judge(&action, &prediction, &observed).unwrap_err().promise
        };
        assert_eq!(broken_by(None), Promise::PendingResponseConnection);
        let known = Some(Switch::GoneServerStaysConnected);
        assert_eq!(broken_by(known), Promise::HasResponseIsTrue);
    }
}
