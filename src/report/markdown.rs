//! Results as Markdown that fits the comment of a pull request or the summary of a CI job.

use std::fmt::Write as _;

use super::{RunReport, Verdict};
use crate::{
    gate::{
        deltas::Topic,
        report::{GateReport, Word},
    },
    model::Promise,
};

/// Lines of a table that are shown; comments have a limit.
const LISTED: usize = 30;

/// A run: what is broken, or that nothing is.
#[must_use]
pub fn of_run(report: &RunReport) -> String {
    let count = |verdict| Promise::ALL.iter().filter(|&&p| report.verdict(p) == verdict).count();
    let mut out = format!(
        "### iceoryx2 {} ({}): {}\n\n{} promises kept, {} broken as known, {} not exercised; {} steps in {:.0} s, seed {}\n",
        report.environment.iceoryx2,
        report.environment.profile,
        if report.is_green() { "all promises kept or broken as known" } else { "broken promises" },
        count(Verdict::Kept),
        count(Verdict::Quirk),
        count(Verdict::NotExercised),
        report.steps,
        report.seconds,
        report.seed,
    );
    if !report.findings.is_empty() {
        out += "\n| verdict | promise | scenarios | replay |\n|---|---|---|---|\n";
    }
    for finding in report.findings.iter().take(LISTED) {
        let _ = writeln!(
            out,
            "| {} | {} | {} | `{}` |",
            finding.verdict,
            finding.promise,
            finding.times,
            finding.replay_command()
        );
    }
    for quirk in report.quirks.iter().filter(|quirk| !quirk.shows) {
        let _ = writeln!(out, "\nQuirk `{}` no longer shows: correct its `versions`.", quirk.id);
    }
    out
}

/// A gate: the result in a line, then what changes, the worst first.
#[must_use]
pub fn of_gate(report: &GateReport) -> String {
    let mut out = format!(
        "### iceoryx2 {} to {}: {}\n\n{} regressed, {} fixed, {} changed, {} same; {} steps of {} scenarios compared, seed {}\n",
        report.baseline.release,
        report.candidate.release,
        report.word(),
        report.count(Word::Regressed),
        report.count(Word::Fixed),
        report.count(Word::Changed) + report.facts.len(),
        report.count(Word::Same),
        report.compared_steps,
        report.compared_scenarios,
        report.seed,
    );
    let mut changes: Vec<_> = report
        .all()
        .filter(|change| matches!(change.word, Word::Regressed | Word::Fixed | Word::Changed))
        .collect();
    changes.sort_by_key(|change| {
        (change.word != Word::Regressed, change.word != Word::Changed, change.name.clone())
    });
    if !changes.is_empty() {
        out += "\n| | promise | before | now | what |\n|---|---|---|---|---|\n";
    }
    for change in changes.iter().take(LISTED) {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            change.word,
            change.promise.map(|promise| promise.id()).unwrap_or_default(),
            change.standings[0],
            change.standings[1],
            cell(change.sentence.as_deref().unwrap_or(&change.name)),
        );
    }
    if changes.len() > LISTED {
        let _ = writeln!(out, "\nand {} more in report.json", changes.len() - LISTED);
    }
    if !report.facts.is_empty() {
        out += "\n| changed | | before | now |\n|---|---|---|---|\n";
    }
    for delta in &report.facts {
        let topic = match delta.topic {
            Topic::Default => "default",
            Topic::IgnoredKey => "ignored key",
            Topic::Memory => "memory",
            Topic::Growth => "growth",
        };
        let value = |value: &Option<String>| cell(value.as_deref().unwrap_or("none"));
        let (before, now) = (value(&delta.baseline), value(&delta.candidate));
        let _ = writeln!(out, "| {topic} | {} | {before} | {now} |", delta.name);
    }
    out
}

/// Text for one cell of a table.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let short: String = line.chars().take(200).collect();
    if short.len() < line.len() { format!("{short} ...") } else { line }
}
