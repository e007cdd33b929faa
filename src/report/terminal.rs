//! The report as a person reads it.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::{RunReport, Verdict, describe_end, replay_command};
use crate::model::Promise;

/// The whole report: a table of promises, then every broken one with its case.
#[must_use]
pub fn render(report: &RunReport) -> String {
    let mut out = String::new();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["promise", "checked", "verdict"]);
    for &promise in Promise::ALL {
        let checked = report.checks.get(&promise).copied().unwrap_or(0);
        table.add_row([
            Cell::new(promise.id()),
            Cell::new(checked).set_alignment(CellAlignment::Right),
            Cell::new(report.verdict(promise)),
        ]);
    }
    let _ = writeln!(out, "{table}");
    if !report.quirks.is_empty() {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["known quirk of this release", "severity", "proof", "met"]);
        for quirk in &report.quirks {
            table.add_row([
                Cell::new(&quirk.id),
                Cell::new(quirk.severity),
                Cell::new(if quirk.shows { "shows" } else { "FIXED" }),
                Cell::new(quirk.sightings).set_alignment(CellAlignment::Right),
            ]);
        }
        let _ = writeln!(out, "\n{table}");
    }
    for quirk in report.quirks.iter().filter(|quirk| !quirk.shows) {
        let _ = writeln!(
            out,
            "\nFIXED: the proof of quirk {} no longer shows it; correct `versions` in fixtures/quirks/{}.toml",
            quirk.id, quirk.id
        );
    }
    for finding in &report.findings {
        let _ = writeln!(
            out,
            "\n{}: {}\n  promised: {} ({}; {})\n  {}",
            finding.verdict,
            finding.promise,
            finding.promise.sentence(),
            finding.promise.strength(),
            finding.promise.source(),
            describe_end(&finding.end).replace('\n', "\n  "),
        );
        let (before, after) = finding.steps;
        let (shown, tries) = finding.confirmed;
        let _ = writeln!(
            out,
            "  seen in {} scenario(s), first in {}; shows {shown} of {tries} times; shrunk from {before} to {after} steps",
            finding.times, finding.origin
        );
        let _ = writeln!(
            out,
            "  case:   {}\n  replay: {}",
            finding.case.display(),
            replay_command(&finding.case)
        );
    }
    let count = |verdict| Promise::ALL.iter().filter(|&&p| report.verdict(p) == verdict).count();
    let broken = count(Verdict::Broken) + count(Verdict::Hung) + count(Verdict::Crashed);
    let scenarios: usize = report.scenarios.values().sum();
    let _ = writeln!(
        out,
        "\niceoryx2 {} ({}): {} promises kept, {} broken as known, {broken} broken, {} not exercised; {scenarios} scenarios, {} steps in {:.1} s, seed {}{}",
        report.environment.iceoryx2,
        report.environment.profile,
        count(Verdict::Kept),
        count(Verdict::Quirk),
        count(Verdict::NotExercised),
        report.steps,
        report.seconds,
        report.seed,
        if report.interrupted { ", interrupted" } else { "" },
    );
    out
}
