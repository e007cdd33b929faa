//! The result of a gate as a person reads it.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use crate::{
    gate::{
        deltas::Topic,
        report::{Change, GateReport, Word},
    },
    report::replay_command,
};

/// Characters of a line.
const WIDTH: u16 = 140;

/// Differences that are listed; the report for machines has all.
const LISTED: usize = 25;

/// The whole result: what regressed first, what is the same last and as a number.
#[must_use]
pub fn render(report: &GateReport) -> String {
    let mut out = String::new();
    for word in [
        Word::Regressed,
        Word::Fixed,
        Word::Changed,
        Word::Spurious,
        Word::Unclear,
        Word::Unsupported,
    ] {
        let changes: Vec<_> = report.all().filter(|change| change.word == word).collect();
        if !changes.is_empty() {
            out += &section(word, &changes);
        }
    }
    out += &facts(report);
    out += &timings(report);
    for change in report.misjudged() {
        let _ = writeln!(
            out,
            "\nquirk {} shows on other releases than its file says: {} on {}, {} on {}; correct `versions` in {}",
            change.name,
            change.standings[0],
            report.baseline.version,
            change.standings[1],
            report.candidate.version,
            change.file.display()
        );
    }
    let _ = writeln!(
        out,
        "\n{} -> {}: {}; {} regressed, {} fixed, {} changed, {} same, {} spurious, {} unclear, {} unsupported; \
         {} steps of {} scenarios compared, {:.1} s",
        report.baseline.release,
        report.candidate.release,
        report.word(),
        report.count(Word::Regressed),
        report.count(Word::Fixed),
        report.count(Word::Changed) + report.facts.len(),
        report.count(Word::Same),
        report.count(Word::Spurious),
        report.count(Word::Unclear),
        report.count(Word::Unsupported),
        report.compared_steps,
        report.compared_scenarios,
        report.seconds,
    );
    out
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(header);
    table
}

fn section(word: Word, changes: &[&Change]) -> String {
    let mut table = table(&[&word.to_string(), "baseline", "candidate", "what"]);
    for change in changes.iter().take(LISTED) {
        let promise = change.promise.map(|p| p.id().to_owned()).unwrap_or_default();
        let name = if promise.is_empty() || promise == change.name {
            change.name.clone()
        } else {
            format!("{}\n  {promise}", change.name)
        };
        let what = change.sentence.clone().unwrap_or_default();
        table.add_row([
            Cell::new(name),
            Cell::new(&change.standings[0]),
            Cell::new(&change.standings[1]),
            Cell::new(format!(
                "{what}\n{}",
                replay_command(&change.file, change.trial, false)
                    .replace("cargo run --release -- ", "")
            )),
        ]);
    }
    let mut out = format!("\n{table}\n");
    if changes.len() > LISTED {
        let _ = writeln!(out, "  and {} more, all in report.json", changes.len() - LISTED);
    }
    out
}

fn facts(report: &GateReport) -> String {
    if report.facts.is_empty() {
        return String::new();
    }
    let mut table = table(&["changed", "", "baseline", "candidate"]);
    for delta in &report.facts {
        let topic = match delta.topic {
            Topic::Default => "default",
            Topic::IgnoredKey => "ignored key",
            Topic::Memory => "memory",
            Topic::Growth => "growth",
        };
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        table.add_row([
            topic.to_owned(),
            delta.name.clone(),
            value(&delta.baseline),
            value(&delta.candidate),
        ]);
    }
    format!("\n{table}\n")
}

fn timings(report: &GateReport) -> String {
    if report.timings.is_empty() {
        return String::new();
    }
    let mut table = table(&["time", "baseline", "candidate", "ratio", "least to most", ""]);
    for timing in &report.timings {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a few seconds")]
        let micros = |ns: u64| right(format!("{:.1} us", ns as f64 / 1000.0));
        let [least, middle, most] = timing.ratio;
        table.add_row([
            Cell::new(&timing.name),
            micros(timing.baseline),
            micros(timing.candidate),
            right(format!("{middle:.2}")),
            right(format!("{least:.2} to {most:.2}")),
            Cell::new(timing.word),
        ]);
    }
    format!("\n{table}\n")
}
