//! Promises and quirks by release, for a terminal and as Markdown.

use std::fmt::Write as _;

use comfy_table::{Cell, Table, presets};

use crate::{
    gate::{judge::Standing, matrix::MatrixReport},
    model::Promise,
    report::Verdict,
};

/// Both tables, and what is not as the quirk files say.
#[must_use]
pub fn render(report: &MatrixReport) -> String {
    let mut out = String::new();
    let tables = [promises(report, presets::NOTHING), quirks(report, presets::NOTHING)];
    for table in tables {
        let _ = writeln!(out, "{table}\n");
    }
    for quirk in &report.quirks {
        for i in quirk.misjudged() {
            let (expected, standing) = &quirk.cells[i];
            let _ = writeln!(
                out,
                "quirk {}: {standing} on {}, but its file says that it {} there; correct `versions` in fixtures/quirks/{}.toml",
                quirk.id,
                report.releases[i].version,
                if *expected { "shows" } else { "does not show" },
                quirk.id
            );
        }
    }
    for (release, findings) in report.releases.iter().zip(&report.findings) {
        for finding in findings {
            let _ = writeln!(
                out,
                "{}: {} {} in {} scenario(s): {}",
                release.version,
                finding.verdict,
                finding.promise,
                finding.times,
                finding.replay_command()
            );
        }
    }
    let steps: usize = report.releases.iter().map(|release| release.steps).sum();
    let _ = writeln!(
        out,
        "{} releases, {} quirks, {} of them as their files say; {steps} steps, {:.1} s",
        report.releases.len(),
        report.quirks.len(),
        report.quirks.iter().filter(|quirk| quirk.misjudged().next().is_none()).count(),
        report.seconds
    );
    out
}

/// The tables for a README.
#[must_use]
pub fn markdown(report: &MatrixReport) -> String {
    let preset = presets::ASCII_MARKDOWN;
    format!("{}\n\n{}\n", promises(report, preset), quirks(report, preset))
}

fn header(first: &str, report: &MatrixReport) -> Vec<String> {
    let versions = report.releases.iter().map(|release| release.version.clone());
    [first.to_owned()].into_iter().chain(versions).collect()
}

fn promises(report: &MatrixReport, preset: &str) -> Table {
    let mut table = Table::new();
    table.load_preset(preset).set_header(header("promise", report));
    for &promise in Promise::ALL {
        let verdicts = report.promises.get(&promise).cloned().unwrap_or_default();
        let cells = verdicts.iter().map(|verdict| {
            Cell::new(match verdict {
                Verdict::Kept => "kept".to_owned(),
                Verdict::NotExercised => "-".to_owned(),
                other => other.to_string(),
            })
        });
        table.add_row([Cell::new(promise.id())].into_iter().chain(cells));
    }
    if !report.conformance.is_empty() {
        let cells = report.conformance.iter().map(Cell::new);
        table.add_row([Cell::new("the vendor's own conformance tests")].into_iter().chain(cells));
    }
    table
}

fn quirks(report: &MatrixReport, preset: &str) -> Table {
    let mut table = Table::new();
    table.load_preset(preset).set_header(header("quirk", report));
    for quirk in &report.quirks {
        let cells = quirk.cells.iter().map(|(_, standing)| {
            Cell::new(match standing {
                Standing::Kept => "-",
                Standing::Broken(_) => "shows",
                Standing::Crashed(_) => "crashes",
                Standing::Hung(_) => "hangs",
                Standing::Unsupported(_) => "n/a",
                Standing::Masked(_) => "unclear",
                Standing::Flaky(..) => "flaky",
            })
        });
        table.add_row([Cell::new(&quirk.id)].into_iter().chain(cells));
    }
    table
}
