//! Loans that are granted, refused or measured wrongly.

use std::collections::BTreeSet;

use super::{Sabotage, deed, lie, refused, refuses, scene::Scene};
use crate::{
    actor::{Action, Observation},
    model::{GROWTHS, Promise, SHORTEST_IMPOSSIBLE},
    scenario::{LoanForm, Strategy, is_reduced},
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "loan-one-too-many",
        breaks: Promise::LoanLimit,
        what: "one loan more than the limit is granted",
        trick: || {
            lie(|_, action, truth| match asked(action) {
                Some(len) if refuses(&truth, "ExceedsMaxLoans") => granted(len),
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "loan-one-too-few",
        breaks: Promise::LoanLimit,
        what: "the last loan within the limit is refused with ExceedsMaxLoans",
        trick: || {
            lie(|scene, action, truth| match scene.loans_beside(action) {
                Some((loans, limit)) if loans + 1 == limit && may_refuse(scene, action, &truth) => {
                    refused("ExceedsMaxLoans")
                }
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "response-loan-one-too-few",
        breaks: Promise::LoanLimit,
        what: "the last response within the loan limit is refused with ExceedsMaxLoans",
        trick: || {
            lie(|scene, action, truth| match (action, scene.loans_beside(action)) {
                (Action::LoanResponse { .. }, Some((loans, limit)))
                    if loans + 1 == limit && may_refuse(scene, action, &truth) =>
                {
                    refused("ExceedsMaxLoans")
                }
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "dropped-loan-counts-on",
        breaks: Promise::LoanLimit,
        what: "a loaned request that is dropped unsent is not given back",
        trick: || {
            let mut kept = Vec::new();
            deed(move |stage, action| match action {
                Action::DropRequest { request } if !stage.scene.has_refused() => {
                    kept.push(*request);
                    Ok(Observation::Done)
                }
                // A client that does not go is another matter.
                Action::DropClient { .. } | Action::Leave { .. } => {
                    for request in kept.drain(..) {
                        stage.perform(&Action::DropRequest { request })?;
                    }
                    stage.perform(action)
                }
                _ => stage.perform(action),
            })
        },
    },
    Sabotage {
        id: "few-chunks-are-not-given-back",
        breaks: Promise::LoanWithinLimitsSucceeds,
        what: "a client that preallocates few chunks can loan once, whatever it drops",
        trick: || {
            let (mut few, mut used) = (BTreeSet::new(), BTreeSet::new());
            lie(move |scene, action, truth| match action {
                Action::CreateClient { new, preallocate, .. } if is_reduced(*preallocate) => {
                    few.insert(*new);
                    truth
                }
                Action::LoanRequest { client, len, .. } if few.contains(client) => {
                    let is_short = scene.loans_from(action).is_some_and(|port| *len <= port.hint);
                    if !used.insert(*client) && is_short && may_refuse(scene, action, &truth) {
                        refused("OutOfMemory")
                    } else {
                        truth
                    }
                }
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "second-response-beside-full-buffer-refused",
        breaks: Promise::LoanWithinLimitsSucceeds,
        what: "while its client has a full buffer, a second response runs out of memory",
        trick: || {
            lie(|scene, action, truth| match (action, scene.loans_beside(action)) {
                (Action::LoanResponse { active, len, .. }, Some((1.., _)))
                    if scene.loans_from(action).is_some_and(|port| *len <= port.longest)
                        && scene.fills_its_buffer(*active)
                        && may_refuse(scene, action, &truth) =>
                {
                    refused("OutOfMemory")
                }
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "small-loan-refused",
        breaks: Promise::LoanWithinLimitsSucceeds,
        what: "a loan of a single element runs out of memory",
        trick: || refuse_if(|len| len == 1),
    },
    Sabotage {
        id: "loan-of-hint-refused",
        breaks: Promise::LoanWithinLimitsSucceeds,
        what: "a loan of exactly the initial hint is refused",
        trick: || {
            lie(|scene, action, truth| match scene.loans_from(action) {
                Some(port)
                    if asked(action) == Some(port.hint) && may_refuse(scene, action, &truth) =>
                {
                    refused("ExceedsMaxLoanSize")
                }
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "loan-beside-orphan-refused",
        breaks: Promise::LoanWithinLimitsSucceeds,
        what: "while a loaned response has outlived its active request, others run out of memory",
        trick: || {
            lie(|scene, action, truth| match (action, scene.loans_from(action)) {
                (Action::LoanResponse { len, .. }, Some(port))
                    if *len <= port.hint
                        && scene.has_orphaned_loan()
                        && may_refuse(scene, action, &truth) =>
                {
                    refused("OutOfMemory")
                }
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "small-loan-after-growth-refused",
        breaks: Promise::LoanWithinLimitsSucceeds,
        what: "once a port has grown, loans of the length it had room for are refused",
        trick: || {
            lie(|scene, action, truth| match scene.loans_from(action) {
                Some(port)
                    if port.growths > 0
                        && asked(action) <= Some(port.hint)
                        && may_refuse(scene, action, &truth) =>
                {
                    refused("OutOfMemory")
                }
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "growth-refused",
        breaks: Promise::HintIsOnlyAHint,
        what: "a loan beyond a page that needs a growth is refused",
        trick: || refuse_growth(|_, len| len > 4096),
    },
    Sabotage {
        id: "fifth-growth-refused",
        breaks: Promise::HintIsOnlyAHint,
        what: "a port grows four times and no more",
        trick: || refuse_growth(|growths, _| growths >= 4),
    },
    Sabotage {
        id: "static-port-grows",
        breaks: Promise::StaticRefusesLongerThanHint,
        what: "a static port grants a loan beyond its hint",
        trick: || {
            lie(|_, action, truth| match asked(action) {
                Some(len) if refuses(&truth, "ExceedsMaxLoanSize") => granted(len),
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "static-port-out-of-memory",
        breaks: Promise::StaticRefusesLongerThanHint,
        what: "a static port refuses a loan beyond its hint with OutOfMemory",
        trick: || {
            lie(
                |_, _, truth| {
                    if refuses(&truth, "ExceedsMaxLoanSize") {
                        refused("OutOfMemory")
                    } else {
                        truth
                    }
                },
            )
        },
    },
    Sabotage {
        id: "loan-slice-left-as-it-was",
        breaks: Promise::LoanSliceIsDefault,
        what: "loan_slice initialises nothing",
        trick: || loan_slice_keeps(|_| 0),
    },
    Sabotage {
        id: "loan-slice-misses-last-element",
        breaks: Promise::LoanSliceIsDefault,
        what: "loan_slice leaves the last element as it was",
        trick: || loan_slice_keeps(|len| len - 1),
    },
    Sabotage {
        id: "loan-one-longer",
        breaks: Promise::LoanHasRequestedLength,
        what: "a loan is one element too long",
        trick: || measure(|_, len| len + 1),
    },
    Sabotage {
        id: "loan-rounded-to-bucket",
        breaks: Promise::LoanHasRequestedLength,
        what: "with PowerOfTwo a loan has the length of its bucket",
        trick: || {
            measure(|strategy, len| match strategy {
                Strategy::PowerOfTwo => len.next_power_of_two(),
                Strategy::Static | Strategy::BestFit => len,
            })
        },
    },
    Sabotage {
        id: "empty-loan-has-an-element",
        breaks: Promise::LoanHasRequestedLength,
        what: "a loan of nothing has one element",
        trick: || measure(|_, len| len.max(1)),
    },
    Sabotage {
        id: "refused-loan-keeps-counting",
        breaks: Promise::RefusedLoanChangesNothing,
        what: "a port that has refused a loan loans nothing any more",
        trick: || {
            lie(|scene, action, truth| {
                let spoilt = scene.follows_a_refusal(action) && is_granted(&truth);
                if spoilt { refused("ExceedsMaxLoans") } else { truth }
            })
        },
    },
    Sabotage {
        id: "refused-loan-ends-growth",
        breaks: Promise::RefusedLoanChangesNothing,
        what: "a port that has refused a loan grows no more",
        trick: || {
            lie(|scene, action, truth| {
                let grows =
                    scene.loans_from(action).is_some_and(|p| asked(action) > Some(p.longest));
                let spoilt = grows && scene.follows_a_refusal(action) && is_granted(&truth);
                if spoilt { refused("OutOfMemory") } else { truth }
            })
        },
    },
    Sabotage {
        id: "impossible-loan-is-internal-failure",
        breaks: Promise::ImpossibleLoanIsOutOfMemory,
        what: "a loan no machine has memory for is refused with another error",
        trick: || impossible_loan(|_| refused("ExceedsMaxLoanSize")),
    },
    Sabotage {
        id: "impossible-loan-granted",
        breaks: Promise::ImpossibleLoanIsOutOfMemory,
        what: "a loan no machine has memory for is granted",
        trick: || impossible_loan(granted),
    },
    Sabotage {
        id: "last-growth-is-internal-failure",
        breaks: Promise::GrowthEndsInOutOfMemory,
        what: "a growth beyond the last possible one is refused with another error",
        trick: || {
            lie(|scene, action, truth| match scene.loans_from(action) {
                Some(port) if port.growths >= GROWTHS && refuses(&truth, "OutOfMemory") => {
                    refused("InternalFailure")
                }
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "used-memory-keeps-user-header",
        breaks: Promise::UserHeaderStartsAsDefault,
        what: "the second loan of a length has the user header of the first",
        trick: || {
            let mut lengths = BTreeSet::new();
            lie(move |scene, action, mut truth| {
                if let Observation::Loaned { len, used_header, .. } = &mut truth
                    && let Some(port) = scene.loans_from(action)
                {
                    *used_header = !lengths.insert((port.id, *len));
                }
                truth
            })
        },
    },
    Sabotage {
        id: "grown-loan-is-misaligned",
        breaks: Promise::PayloadIsAligned,
        what: "after a growth loans begin at any address",
        trick: misplace_grown_loans,
    },
];

/// Reports loans that a port makes after a growth as misplaced.
fn misplace_grown_loans() -> Boxed {
    lie(|scene, action, mut truth| {
        if let Observation::Loaned { misaligned, .. } = &mut truth
            && scene.loans_from(action).is_some_and(|port| port.growths > 0)
        {
            *misaligned = true;
        }
        truth
    })
}

/// The length a loan asks for.
fn asked(action: &Action) -> Option<usize> {
    match action {
        Action::LoanRequest { len, .. } | Action::LoanResponse { len, .. } => Some(*len),
        _ => None,
    }
}

fn granted(len: usize) -> Observation {
    Observation::Loaned {
        len,
        not_default: None,
        mismatch: None,
        misaligned: false,
        used_header: false,
    }
}

fn is_granted(observation: &Observation) -> bool {
    matches!(observation, Observation::Loaned { .. })
}

/// Whether to refuse what was granted: after a refusal it would be another promise that a
/// later loan is refused.
fn may_refuse(scene: &Scene, action: &Action, truth: &Observation) -> bool {
    is_granted(truth) && !scene.follows_a_refusal(action)
}

type Boxed = Box<dyn super::Trick>;

/// Runs out of memory for a loan the port has room for.
fn refuse_if(which: fn(usize) -> bool) -> Boxed {
    lie(move |scene, action, truth| match asked(action) {
        Some(len) if which(len) && may_refuse(scene, action, &truth) => refused("OutOfMemory"),
        _ => truth,
    })
}

/// Runs out of memory for a loan that needs a growth; `which` knows the growths so far
/// and the length.
fn refuse_growth(which: fn(usize, usize) -> bool) -> Boxed {
    lie(move |scene, action, truth| match (scene.loans_from(action), asked(action)) {
        (Some(port), Some(len))
            if len > port.longest
                && which(port.growths, len)
                && may_refuse(scene, action, &truth) =>
        {
            refused("OutOfMemory")
        }
        _ => truth,
    })
}

/// Reports the element at this offset of a `loan_slice` as not initialised.
fn loan_slice_keeps(offset: fn(usize) -> usize) -> Boxed {
    lie(move |_, action, mut truth| {
        if let Action::LoanRequest { form: LoanForm::Default, .. }
        | Action::LoanResponse { form: LoanForm::Default, .. } = action
            && let Observation::Loaned { len, not_default, .. } = &mut truth
            && *len > 0
        {
            *not_default = Some(offset(*len));
        }
        truth
    })
}

/// Reports another length of a loan.
fn measure(length: fn(Strategy, usize) -> usize) -> Boxed {
    lie(move |scene, action, mut truth| {
        if let Observation::Loaned { len, .. } = &mut truth
            && let Some(port) = scene.loans_from(action)
        {
            *len = length(port.strategy, *len);
        }
        truth
    })
}

/// Answers a loan of a dynamic port that is too long for any machine.
fn impossible_loan(answer: fn(usize) -> Observation) -> Boxed {
    lie(move |scene, action, truth| match (scene.loans_from(action), asked(action)) {
        (Some(port), Some(len)) if port.strategy.is_dynamic() && len >= SHORTEST_IMPOSSIBLE => {
            answer(len)
        }
        _ => truth,
    })
}
