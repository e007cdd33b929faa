//! Results as JUnit XML: what CI systems show as tests.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{RunReport, Verdict, describe_end};
use crate::{
    gate::report::{Change, GateReport, Word},
    model::Promise,
    runner::Layout,
};

/// A run: a suite per layout, a case per promise.
///
/// # Errors
/// If the XML cannot be written.
pub fn of_run(report: &RunReport) -> Result<String, quick_junit::SerializeError> {
    let mut junit = Report::new(format!("iceoryx2 {}", report.environment.iceoryx2));
    junit.set_time(Duration::from_secs_f64(report.seconds));
    for layout in [Layout::Together, Layout::Apart] {
        let mut suite = TestSuite::new(layout.to_string());
        for &promise in Promise::ALL {
            let mut case = TestCase::new(promise.id(), status(report, layout, promise));
            case.set_classname(format!("iceoryx2.{layout}"));
            suite.add_test_case(case);
        }
        junit.add_test_suite(suite);
    }
    junit.to_string()
}

fn status(report: &RunReport, layout: Layout, promise: Promise) -> TestCaseStatus {
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.promise == promise && finding.trial.venue().layout == layout);
    if let Some(finding) = finding {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_type(finding.verdict.to_string())
            .set_message(promise.sentence())
            .set_description(format!(
                "{}\n{}",
                describe_end(&finding.end),
                finding.replay_command()
            ));
        return status;
    }
    // Proofs run together.
    let gone = report.quirks.iter().find(|quirk| quirk.promise == promise && !quirk.shows);
    if let Some(quirk) = gone.filter(|_| layout == Layout::Together) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_type(Verdict::Fixed.to_string())
            .set_message(format!("quirk {} no longer shows", quirk.id));
        return status;
    }
    let checked = report.coverage.get(&layout).map(crate::coverage::Coverage::checks);
    if checked.is_some_and(|checks| checks.contains_key(&promise)) {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::skipped();
    status.set_message("not exercised");
    status
}

/// A gate: a suite for known cases, one for differences, one for what a user may notice.
///
/// # Errors
/// If the XML cannot be written.
pub fn of_gate(report: &GateReport) -> Result<String, quick_junit::SerializeError> {
    let (baseline, candidate) = (&report.baseline.release, &report.candidate.release);
    let mut junit = Report::new(format!("iceoryx2 {baseline} to {candidate}"));
    junit.set_time(Duration::from_secs_f64(report.seconds));
    for (name, changes) in
        [("known-cases", &report.changes), ("generated-scenarios", &report.differences)]
    {
        let mut suite = TestSuite::new(name);
        for change in changes {
            let mut case = TestCase::new(name_of(change), status_of(change));
            case.set_classname(format!("gate.{name}"));
            suite.add_test_case(case);
        }
        if changes.is_empty() {
            // An empty suite looks as if nothing had run.
            let same = format!("{} steps are the same", report.compared_steps);
            suite.add_test_case(TestCase::new(same, TestCaseStatus::success()));
        }
        junit.add_test_suite(suite);
    }
    junit.to_string()
}

fn name_of(change: &Change) -> String {
    format!("{} {}", change.name, change.file.display())
}

fn status_of(change: &Change) -> TestCaseStatus {
    let text =
        format!("{}: {} before, {} now", change.word, change.standings[0], change.standings[1]);
    match change.word {
        Word::Regressed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status
                .set_type("regressed")
                .set_message(text)
                .set_description(change.sentence.clone().unwrap_or_default());
            status
        }
        Word::Unsupported | Word::Unclear | Word::Spurious => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(text);
            status
        }
        Word::Same | Word::Changed | Word::Fixed => TestCaseStatus::success(),
    }
}
