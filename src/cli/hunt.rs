//! `gauntlet hunt`.

use std::time::Duration;

use clap::Args;
use comfy_table::{Cell, CellAlignment, Table, presets};
use iox2_gauntlet::{
    campaign::hunt::{Effort, HuntPlan, Quarry, hunt},
    exit::Exit,
};

use super::Format;
use super::print::say;

#[derive(Debug, Args)]
pub(super) struct HuntArguments {
    /// Hunt only quirks whose name contains this, and those a breach cannot tell from them
    #[arg(default_value = "", hide_default_value = true)]
    quirk: String,
    /// Try this many seeds
    #[arg(long, value_name = "N", default_value_t = 10)]
    seeds: u64,
    /// Generate at most this many scenarios per seed
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    scenarios: u64,
    /// Generate at most this long per seed
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = super::duration)]
    time: Duration,
    /// Workers [default: one per core, as far as /dev/shm has room]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &HuntArguments) -> anyhow::Result<Exit> {
    let interrupted = super::interruption()?;
    let plan = HuntPlan {
        executable: super::this_executable()?,
        seeds: arguments.seeds,
        scenarios: arguments.scenarios,
        time: arguments.time,
        jobs: super::workers(arguments.jobs)?,
        filter: arguments.quirk.clone(),
    };
    eprintln!("hunting the known quirks of {} with {} seeds", super::subject(), plan.seeds);
    let quarries = hunt(&plan, &interrupted, &|quirks, seed, Effort { scenarios, seconds }| {
        let quirks = quirks.join(", ");
        eprintln!("seed {seed}: after {scenarios} scenarios, {seconds:.1} s: {quirks}");
    })?;
    if quarries.is_empty() {
        eprintln!(
            "gauntlet: no quirk generation could meet in this release has `{}` in its name",
            plan.filter
        );
        return Ok(Exit::Usage);
    }
    match arguments.format {
        Format::Text => say!("{}", table(&quarries)),
        Format::Json => say!("{}", serde_json::to_string_pretty(&quarries)?),
    }
    let all_found = quarries.iter().all(|quarry| quarry.times_found() > 0);
    Ok(if all_found { Exit::Green } else { Exit::Broken })
}

fn table(quarries: &[Quarry]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["quirk", "breaks", "found with", "median scenarios", "median seconds"]);
    for quarry in quarries {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let median = quarry.median();
        let dash = || "-".to_owned();
        table.add_row([
            Cell::new(quarry.quirks.join(", ")),
            Cell::new(quarry.promise),
            right(format!("{} of {}", quarry.times_found(), quarry.found.len())),
            right(median.map_or_else(dash, |effort| effort.scenarios.to_string())),
            right(median.map_or_else(dash, |effort| format!("{:.1}", effort.seconds))),
        ]);
    }
    table
}
