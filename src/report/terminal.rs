//! The report as a person reads it.

use std::{collections::BTreeMap, fmt::Write as _};

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::{RunReport, Verdict, describe_end};
use crate::{
    coverage::{FLOOR, Reach},
    model::Promise,
    runner::Layout,
};

/// The whole report: a table of promises, then every broken one with its case.
#[must_use]
pub fn render(report: &RunReport) -> String {
    let mut out = String::new();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["promise", "checked", "situations", "verdict"]);
    let reach = report.reach();
    for &promise in Promise::ALL {
        let checked = report.checks.get(&promise).copied().unwrap_or(0);
        table.add_row([
            Cell::new(promise.id()),
            Cell::new(checked).set_alignment(CellAlignment::Right),
            Cell::new(reach.of_promise(promise)).set_alignment(CellAlignment::Right),
            Cell::new(report.verdict(promise)),
        ]);
    }
    let _ = writeln!(out, "{table}");
    out += &situations(&reach);
    if !report.quirks.is_empty() {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header([
            "known quirk of this release",
            "severity",
            "proof",
            "met",
            "first after",
        ]);
        for quirk in &report.quirks {
            table.add_row([
                Cell::new(&quirk.id),
                Cell::new(quirk.severity),
                Cell::new(if quirk.shows { "shows" } else { "FIXED" }),
                Cell::new(quirk.sightings).set_alignment(CellAlignment::Right),
                Cell::new(quirk.first_met.map_or_else(
                    || "-".to_owned(),
                    |first| format!("{} scenarios, {:.1} s", first.scenarios, first.seconds),
                )),
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
        // Concurrent traffic has no steps.
        let shrunk = (before > 0).then(|| format!("; shrunk from {before} to {after} steps"));
        let _ = writeln!(
            out,
            "  seen in {} scenario(s), first in {}; shows {shown} of {tries} times{}",
            finding.times,
            finding.origin,
            shrunk.unwrap_or_default()
        );
        let _ = writeln!(
            out,
            "  case:   {}\n  replay: {}",
            finding.case.display(),
            finding.replay_command()
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

/// Kinds of step whose unreached situations are listed; the report for machines has all.
const LISTED: usize = 10;

/// In how many situations promises were put to the test, and where they were not.
fn situations(reach: &Reach) -> String {
    let mut out = format!(
        "\n{} of {} situations (promise x step x strategy x layout x messages in flight) reached, {} %\n",
        reach.reached,
        reach.possible,
        reach.percent()
    );
    let mut missing = BTreeMap::<_, Vec<_>>::new();
    for (layout, cell) in &reach.unreached {
        missing.entry((cell.promise, cell.step)).or_default().push((*layout, *cell));
    }
    let mut missing: Vec<_> = missing.into_iter().collect();
    missing.sort_by_key(|(_, cells)| std::cmp::Reverse(cells.len()));
    for ((promise, step), cells) in missing.iter().take(LISTED) {
        let names: Vec<_> =
            cells.iter().take(3).map(|(layout, cell)| name(*layout, cell)).collect();
        let more = if cells.len() > names.len() { ", ..." } else { "" };
        let _ = writeln!(
            out,
            "  not reached: {promise} at {step}, {} times: {}{more}",
            cells.len(),
            names.join(", ")
        );
    }
    if missing.len() > LISTED {
        let _ = writeln!(out, "  and {} more, all listed in report.json", missing.len() - LISTED);
    }
    out
}

fn name(layout: Layout, cell: &crate::coverage::Cell) -> String {
    let strategy = cell.strategy.map(|strategy| format!("{strategy:?} ")).unwrap_or_default();
    let layout = if layout == Layout::Apart { "apart" } else { "together" };
    format!("{strategy}{layout} with {} in flight", cell.in_flight)
}

/// Why a green run is not taken for one.
#[must_use]
pub fn below_floor(report: &RunReport) -> String {
    let reach = report.reach();
    format!(
        "{} scenarios reached {} % of the situations, less than {FLOOR} %: too little was judged",
        report.generated(),
        reach.percent()
    )
}
