//! Strictly growing runs, up to and past the last possible growth of a port.

use iox2_gauntlet::{
    actor::serve::TracedStep,
    model::{GROWTHS, Promise},
    runner::Layout,
    scenario::{LoanForm, OpenMode, Scenario, Settings, Step, Strategy},
};

use crate::jury::{keeps_its_promises, observed, runner, shrunk_and_saved, traced};

/// Initial hint and growth per loan, in elements: memory is handed out in units of 8
/// bytes, so that with `BestFit` every loan needs a growth.
const STRIDE: usize = 8;

/// Loans beyond the last possible growth.
const BEYOND: usize = 5;

/// Enough that a refused loan that goes on counting as one does not show: quirk
/// `failed-response-loan-keeps-count` is another story.
const RESPONSE_LOANS: usize = BEYOND + 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Responses,
}

/// What happens to every loan of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Dropped,
    Received,
}

/// `lens`, one after the other, in one direction.
fn run_of(
    direction: Direction,
    strategy: Strategy,
    fate: Fate,
    lens: impl Iterator<Item = usize>,
) -> Scenario {
    let form = LoanForm::WriteFromSlice;
    let hint = STRIDE;
    let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
    let mut steps = vec![
        join,
        join,
        Step::create_client(0, strategy, hint),
        Step::create_server(1, strategy, hint, RESPONSE_LOANS),
    ];
    if direction == Direction::Responses {
        steps.push(Step::LoanRequest { client: 0, len: 1, form });
        steps.push(Step::SendRequest { request: 0 });
        steps.push(Step::ReceiveRequest { server: 0 });
    }
    for len in lens {
        match (direction, fate) {
            (Direction::Requests, Fate::Dropped) => steps.extend([
                Step::LoanRequest { client: 0, len, form },
                Step::DropRequest { request: 0 },
            ]),
            (Direction::Requests, Fate::Received) => steps.extend([
                Step::LoanRequest { client: 0, len, form },
                Step::SendRequest { request: 0 },
                Step::ReceiveRequest { server: 0 },
                Step::DropActive { active: 0 },
                Step::DropPending { pending: 0 },
            ]),
            (Direction::Responses, Fate::Dropped) => steps.extend([
                Step::LoanResponse { active: 0, len, form },
                Step::DropLoanedResponse { response: 0 },
            ]),
            (Direction::Responses, Fate::Received) => steps.extend([
                Step::LoanResponse { active: 0, len, form },
                Step::SendResponse { response: 0 },
                Step::ReceiveResponse { pending: 0 },
                Step::DropResponse { response: 0 },
            ]),
        }
    }
    let service = Settings {
        max_clients: 1,
        max_servers: 1,
        max_active_requests_per_client: 1,
        max_loaned_requests: 1,
        max_response_buffer_size: 1,
        max_borrowed_responses_per_pending_response: 1,
        ..Settings::default()
    };
    Scenario { service, ..Scenario::of_steps(steps) }
}

/// The length after `growths` growths.
fn after(growths: usize) -> usize {
    STRIDE + growths * STRIDE
}

/// Grows to the end and beyond, then loans what still fits.
fn to_the_end_and_back() -> impl Iterator<Item = usize> {
    (0..=GROWTHS + BEYOND).map(after).chain([after(GROWTHS), 0, 1, after(GROWTHS - 1)])
}

/// What the loans in the direction of the run gave.
fn loans_of<'a>(
    direction: Direction,
    scenario: &Scenario,
    trace: &'a [TracedStep],
) -> Vec<&'a str> {
    observed(scenario, trace, |step| match direction {
        Direction::Requests => matches!(step, Step::LoanRequest { .. }),
        Direction::Responses => matches!(step, Step::LoanResponse { .. }),
    })
}

/// iceoryx2 up to 0.9.3 panics here, index out of bounds.
/// <https://github.com/eclipse-iceoryx/iceoryx2/issues/1920>
#[test]
fn best_fit_reports_out_of_memory_after_254_growths_and_still_loans_what_fits() {
    let mut runner = runner();
    for direction in [Direction::Requests, Direction::Responses] {
        for fate in [Fate::Dropped, Fate::Received] {
            let scenario = run_of(direction, Strategy::BestFit, fate, to_the_end_and_back());
            let trace = traced(&mut runner, &scenario);
            let loans = loans_of(direction, &scenario, &trace);
            assert_eq!(loans.len(), to_the_end_and_back().count());
            for (len, loan) in to_the_end_and_back().zip(loans) {
                let expected = if len > after(GROWTHS) {
                    "OutOfMemory".to_owned()
                } else {
                    format!("a loan of {len}")
                };
                assert_eq!(loan, expected, "{direction:?}, {fate:?}, a loan of {len}");
            }
        }
    }
}

/// See above for the issue; doubling reaches any length long before the growths end.
#[test]
fn power_of_two_never_runs_out_of_growths_in_a_strictly_growing_run() {
    let mut runner = runner();
    for direction in [Direction::Requests, Direction::Responses] {
        let scenario =
            run_of(direction, Strategy::PowerOfTwo, Fate::Received, to_the_end_and_back());
        let trace = traced(&mut runner, &scenario);
        let loans = loans_of(direction, &scenario, &trace);
        assert_eq!(loans.len(), to_the_end_and_back().count());
        for (len, loan) in to_the_end_and_back().zip(loans) {
            assert_eq!(loan, format!("a loan of {len}"), "{direction:?}");
        }
    }
}

#[test]
fn a_receiver_in_another_process_follows_every_growth_to_the_end() {
    let mut runner = runner();
    for direction in [Direction::Requests, Direction::Responses] {
        let lens = (0..=GROWTHS + 1).map(after);
        let scenario = run_of(direction, Strategy::BestFit, Fate::Received, lens);
        let outcome = keeps_its_promises(&mut runner, &scenario, Layout::Apart.into());
        if !outcome.end.is_kept() {
            let why = shrunk_and_saved(&mut runner, &scenario, Layout::Apart, keeps_its_promises);
            panic!("{why}");
        }
        let bytes = match direction {
            Direction::Requests => Promise::RequestBytesArrive,
            Direction::Responses => Promise::ResponseBytesArrive,
        };
        assert!(outcome.checks[&bytes] > GROWTHS as u64, "{direction:?}: {outcome:?}");
        // One loan beyond the end, and the ones of the full load after it.
        assert!(outcome.checks[&Promise::GrowthEndsInOutOfMemory] >= 1, "{direction:?}");
    }
}
