//! Makes a failing scenario small.
//!
//! Works on the scenario itself, not on the strategy that generated it, so that a
//! case from a file, or one that kills its process, shrinks as well as any other.

use std::{collections::HashSet, mem::discriminant};

use super::{
    Concurrent, LoanForm, Repeat, Scenario, Settings, SettleOrder, Step, Strategy, object::made_by,
};

/// Rounds over all kinds of simplification at most; later ones gain little.
const PASSES: usize = 6;

/// Steps up to which removing any two of them is tried: some hundred attempts.
const FEW_STEPS: usize = 24;

/// Shrinks `scenario` as long as `still_fails` says that a smaller one shows the same,
/// asking it at most `budget` times.
pub fn shrink(
    scenario: &Scenario,
    budget: usize,
    mut still_fails: impl FnMut(&Scenario) -> bool,
) -> Scenario {
    let mut best = scenario.clone();
    let mut left = budget;
    let mut attempt = |candidate: Scenario, best: &mut Scenario| {
        if left == 0 || candidate == *best {
            return false;
        }
        left -= 1;
        let smaller = still_fails(&candidate);
        if smaller {
            *best = candidate;
        }
        smaller
    };
    for _ in 0..PASSES {
        let before = best.clone();
        repeat_less(&mut best, &mut attempt);
        for list in [first_steps, repeated_steps] {
            drop_kinds(list, &mut best, &mut attempt);
            drop_steps(list, &mut best, &mut attempt);
            drop_objects(list, &mut best, &mut attempt);
            simplify_steps(list, &mut best, &mut attempt);
        }
        simplify_concurrent(&mut best, &mut attempt);
        simplify_service(&mut best, &mut attempt);
        if best == before {
            // Now and then only two steps together can go: the drop of an object and
            // another that made room in its place.
            drop_pairs(first_steps, &mut best, &mut attempt);
            drop_pairs(repeated_steps, &mut best, &mut attempt);
        }
        if best == before {
            break;
        }
    }
    best
}

type Attempt<'a> = dyn FnMut(Scenario, &mut Scenario) -> bool + 'a;

/// One of the two lists of steps a scenario has.
type List = fn(&mut Scenario) -> Option<&mut Vec<Step>>;

fn first_steps(scenario: &mut Scenario) -> Option<&mut Vec<Step>> {
    Some(&mut scenario.steps)
}

fn repeated_steps(scenario: &mut Scenario) -> Option<&mut Vec<Step>> {
    scenario.repeat.as_mut().map(|repeat| &mut repeat.steps)
}

/// The scenario with one of its lists changed.
fn with_list(list: List, scenario: &Scenario, change: impl FnOnce(&mut Vec<Step>)) -> Scenario {
    let mut candidate = scenario.clone();
    if let Some(steps) = list(&mut candidate) {
        change(steps);
    }
    candidate
}

fn steps_of(list: List, scenario: &Scenario) -> Vec<Step> {
    list(&mut scenario.clone()).map(std::mem::take).unwrap_or_default()
}

/// Repeats not at all, once, or less often.
fn repeat_less(best: &mut Scenario, attempt: &mut Attempt<'_>) {
    let Some(Repeat { times, stretch, steps }) = best.repeat.clone() else { return };
    let mut candidate = Scenario { repeat: None, ..best.clone() };
    if attempt(candidate.clone(), best) {
        return;
    }
    candidate.steps.extend(&steps);
    if attempt(candidate, best) {
        return;
    }
    let repeating = |times, stretch| Some(Repeat { times, stretch, steps: steps.clone() });
    for less in smaller(stretch) {
        if attempt(Scenario { repeat: repeating(times, less), ..best.clone() }, best) {
            break;
        }
    }
    let stretch = best.repeat.as_ref().map_or(0, |repeat| repeat.stretch);
    for times in [2, times / 2, times - times / 4, times - times / 8, times.saturating_sub(1)] {
        if attempt(Scenario { repeat: repeating(times, stretch), ..best.clone() }, best) {
            return;
        }
    }
}

/// Removes all steps of one kind at a time, which thins out long uniform scenarios.
fn drop_kinds(list: List, best: &mut Scenario, attempt: &mut Attempt<'_>) {
    let mut tried = HashSet::new();
    for kind in steps_of(list, best).iter().map(discriminant) {
        if tried.insert(kind) {
            let thinner = |steps: &mut Vec<Step>| steps.retain(|step| discriminant(step) != kind);
            attempt(with_list(list, best, thinner), best);
        }
    }
}

/// Removes runs of steps: halves first, single steps last.
fn drop_steps(list: List, best: &mut Scenario, attempt: &mut Attempt<'_>) {
    let mut run = steps_of(list, best).len();
    while run > 0 {
        let mut end = steps_of(list, best).len();
        while end > 0 {
            let start = end.saturating_sub(run);
            let shorter = |steps: &mut Vec<Step>| {
                steps.drain(start..end);
            };
            attempt(with_list(list, best, shorter), best);
            end = start.min(steps_of(list, best).len());
        }
        run /= 2;
    }
}

/// Removes one object at a time: the step that makes it, while later ones name those after
/// it by the numbers they have then.
fn drop_objects(list: List, best: &mut Scenario, attempt: &mut Attempt<'_>) {
    for maker in (0..steps_of(list, best).len()).rev() {
        let Some(object) = steps_of(list, best).get(maker).and_then(made_by) else { continue };
        let without = |steps: &mut Vec<Step>| {
            steps.remove(maker);
            for step in &mut steps[maker..] {
                if let Some((named, index)) = step.names()
                    && named == object
                    && *index > 0
                {
                    *index -= 1;
                }
            }
        };
        attempt(with_list(list, best, without), best);
    }
}

/// Removes any two steps of a short list.
fn drop_pairs(list: List, best: &mut Scenario, attempt: &mut Attempt<'_>) {
    let mut last = steps_of(list, best).len();
    if last > FEW_STEPS {
        return;
    }
    while last > 1 {
        last -= 1;
        for first in (0..last).rev() {
            let shorter = |steps: &mut Vec<Step>| {
                steps.remove(last);
                steps.remove(first);
            };
            if attempt(with_list(list, best, shorter), best) {
                last -= 1;
                break;
            }
        }
    }
}

fn simplify_steps(list: List, best: &mut Scenario, attempt: &mut Attempt<'_>) {
    for (i, step) in steps_of(list, best).iter().enumerate() {
        for simpler in simpler_steps(step) {
            if attempt(with_list(list, best, |steps| steps[i] = simpler), best) {
                break;
            }
        }
    }
}

/// Smaller values to try instead of `n`, smallest first. Large ones shrink by coarse
/// steps only: nobody cares whether it is 5000 or 4987, but for small ones.
fn smaller(n: usize) -> Vec<usize> {
    let mut values = vec![0, 1, 8, 16, 64, 256, 4096, n / 2, n - n / 4, n - n / 8];
    if n <= 64 {
        values.push(n.saturating_sub(1));
    }
    values.retain(|&value| value < n);
    values.dedup();
    values
}

fn simpler_steps(step: &Step) -> Vec<Step> {
    let mut simpler = Vec::new();
    let mut with = |change: &dyn Fn(&mut Step)| {
        let mut candidate = *step;
        change(&mut candidate);
        if candidate != *step {
            simpler.push(candidate);
        }
    };
    match step {
        Step::CreateClient { hint, .. } | Step::CreateServer { hint, .. } => {
            for value in smaller(*hint) {
                with(&|step| match step {
                    Step::CreateClient { hint, .. } | Step::CreateServer { hint, .. } => {
                        *hint = value
                    }
                    _ => {}
                });
            }
            for value in [Strategy::Static, Strategy::BestFit] {
                with(&|step| match step {
                    Step::CreateClient { strategy, .. } | Step::CreateServer { strategy, .. } => {
                        *strategy = value;
                    }
                    _ => {}
                });
            }
        }
        Step::LoanRequest { len, .. } | Step::LoanResponse { len, .. } => {
            with(&|step| match step {
                Step::LoanRequest { form, .. } | Step::LoanResponse { form, .. } => {
                    *form = LoanForm::default();
                }
                _ => {}
            });
            for value in smaller(*len) {
                with(&|step| match step {
                    Step::LoanRequest { len, .. } | Step::LoanResponse { len, .. } => *len = value,
                    _ => {}
                });
            }
        }
        _ => {}
    }
    with(&|step| match step {
        Step::CreateClient { preallocate, .. } | Step::CreateServer { preallocate, .. } => {
            *preallocate = None;
        }
        _ => {}
    });
    with(&|step| {
        if let Step::CreateClient { active, .. } = step {
            *active = None;
        }
    });
    if let Step::CreateServer { loans, .. } = step
        && *loans != 2
    {
        with(&|step| {
            if let Step::CreateServer { loans, .. } = step {
                *loans = 2;
            }
        });
    }
    with(&|step| {
        if let Some((_, index)) = step.names() {
            *index = 0;
        }
    });
    with(&|step| {
        if let Some((_, index)) = step.names() {
            *index -= index.signum();
        }
    });
    simpler
}

/// Does without the concurrent traffic, or with less of it.
fn simplify_concurrent(best: &mut Scenario, attempt: &mut Attempt<'_>) {
    attempt(Scenario { concurrent: None, ..best.clone() }, best);
    let mut tried = 0;
    while let Some(simpler) = best.concurrent.as_ref().map(Concurrent::simpler) {
        let Some(next) = simpler.into_iter().nth(tried) else { return };
        if attempt(Scenario { concurrent: Some(next), ..best.clone() }, best) {
            tried = 0;
        } else {
            tried += 1;
        }
    }
}

/// Replaces settings by their defaults, one at a time.
fn simplify_service(best: &mut Scenario, attempt: &mut Attempt<'_>) {
    let changes: [fn(&mut Settings, Settings); 23] = [
        |s, d| s.via = d.via,
        |s, d| s.max_clients = d.max_clients,
        |s, d| s.max_servers = d.max_servers,
        |s, d| s.max_nodes = d.max_nodes,
        |s, d| s.max_active_requests_per_client = d.max_active_requests_per_client,
        |s, d| s.max_loaned_requests = d.max_loaned_requests,
        |s, d| s.max_response_buffer_size = d.max_response_buffer_size,
        |s, d| {
            s.max_borrowed_responses_per_pending_response =
                d.max_borrowed_responses_per_pending_response;
        },
        |s, d| s.enable_safe_overflow_for_requests = d.enable_safe_overflow_for_requests,
        |s, d| s.enable_safe_overflow_for_responses = d.enable_safe_overflow_for_responses,
        |s, d| s.enable_fire_and_forget_requests = d.enable_fire_and_forget_requests,
        |s, d| s.client_backpressure = d.client_backpressure,
        |s, d| s.server_backpressure = d.server_backpressure,
        |s, d| s.payload = d.payload,
        |s, d| s.request_payload_alignment = d.request_payload_alignment,
        |s, d| s.response_payload_alignment = d.response_payload_alignment,
        |s, d| s.client_expired_connection_buffer = d.client_expired_connection_buffer,
        |s, d| s.server_expired_connection_buffer = d.server_expired_connection_buffer,
        |s, d| s.client_allocation_strategy = d.client_allocation_strategy,
        |s, d| s.server_allocation_strategy = d.server_allocation_strategy,
        |s, d| s.clean_up = d.clean_up,
        |s, d| s.own_suffixes = d.own_suffixes,
        |s, d| {
            s.server_max_loaned_responses_per_request = d.server_max_loaned_responses_per_request;
        },
    ];
    for change in changes {
        let mut candidate = best.clone();
        change(&mut candidate.service, Settings::default());
        attempt(candidate, best);
    }
    for order in [SettleOrder::NewestFirst, SettleOrder::OldestFirst] {
        if matches!(best.settle, SettleOrder::Shuffled(_)) || order == SettleOrder::NewestFirst {
            let mut candidate = best.clone();
            candidate.settle = order;
            attempt(candidate, best);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{OpenMode, generate::scenario_of_run};

    #[test]
    fn a_scenario_shrinks_to_the_steps_that_matter() {
        let mut scenario = scenario_of_run(1, 1);
        let guilty = Step::LoanRequest { client: 3, len: 5000, form: LoanForm::Default };
        scenario.steps.insert(scenario.steps.len() / 2, guilty);
        let small = shrink(&scenario, 10_000, |candidate| {
            candidate
                .steps
                .iter()
                .any(|step| matches!(step, Step::LoanRequest { len: 4501..=5000, .. }))
        });
        assert_eq!(small.steps.len(), 1);
        assert_eq!(small.service, Settings::default());
        assert!(
            matches!(
                small.steps[0],
                Step::LoanRequest { client: 0, len: 4501..=5000, form: LoanForm::WriteFromSlice }
            ),
            "{small:?}"
        );
    }

    #[test]
    fn an_object_goes_together_with_its_number() {
        let form = LoanForm::default();
        let loan = |len| Step::LoanRequest { client: 0, len, form };
        let send = |request| Step::SendRequest { request };
        // The last loan counts if it is the one that is sent, of those that are left.
        let scenario = Scenario::of_steps(vec![loan(3), loan(4), loan(5), send(2)]);
        let small = shrink(&scenario, 1000, |candidate| {
            let loans =
                candidate.steps.iter().filter(|step| matches!(step, Step::LoanRequest { .. }));
            matches!(candidate.steps.last(), Some(Step::SendRequest { request })
                if usize::try_from(*request).is_ok_and(|n| n + 1 == loans.count()))
        });
        assert_eq!(small.steps, [loan(0), send(0)]);
    }

    #[test]
    fn two_steps_go_together_where_neither_can_alone() {
        let join = Step::Join { how: OpenMode::Create, require: None };
        let leave = Step::Leave { participant: 0 };
        let inspect = Step::InspectService { participant: 0 };
        let scenario = Scenario::of_steps(vec![join, inspect, leave, inspect]);
        let count = |scenario: &Scenario, which: Step| {
            scenario.steps.iter().filter(|step| **step == which).count()
        };
        let small = shrink(&scenario, 1000, |candidate| {
            count(candidate, join) == count(candidate, leave) && count(candidate, inspect) == 2
        });
        assert_eq!(small.steps, [inspect, inspect]);
    }

    #[test]
    fn shrinking_ends_when_its_budget_is_spent() {
        let mut asked = 0;
        shrink(&scenario_of_run(1, 1), 7, |_| {
            asked += 1;
            true
        });
        assert!(asked <= 7);
    }

    #[test]
    fn a_repetition_shrinks_to_the_turn_that_matters_and_as_few_of_them_as_needed() {
        let scenario = scenario_of_run(1, 15);
        assert!(scenario.repeat.as_ref().is_some_and(|repeat| repeat.times > 200));
        let drops = |scenario: &Scenario| {
            scenario.all_steps().filter(|step| matches!(step, Step::DropActive { .. })).count()
        };
        let small = shrink(&scenario, 10_000, |candidate| drops(candidate) >= 100);
        assert!(drops(&small) < 130, "{small:?}");
        assert!(small.written_steps() <= 4, "{small:?}");
    }
}
