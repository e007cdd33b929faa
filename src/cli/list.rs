//! `gauntlet list`.

use clap::Args;
use comfy_table::{Table, presets};
use iox2_gauntlet::{
    actor::version,
    campaign,
    exit::Exit,
    model::{Promise, quirk::Quirk},
    report::describe_end,
    teeth::{self, Bite, Catch, Plan},
};

use super::Format;
use super::print::{say, show};

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print the quirks as the Markdown table of the README, and nothing else
    #[arg(long)]
    quirks_markdown: bool,
    /// Measure how soon every saboteur is caught, a host that breaks one promise on
    /// purpose; takes up to a minute
    #[arg(long, conflicts_with = "quirks_markdown")]
    teeth: bool,
}

pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<Exit> {
    if arguments.teeth {
        return list_teeth(arguments.format);
    }
    let quirks = Quirk::known()?;
    if arguments.quirks_markdown {
        show!(quirks_as_markdown(&quirks));
        return Ok(Exit::Green);
    }
    let fixtures = campaign::fixtures()?;
    if arguments.format == Format::Json {
        let promises: Vec<_> = Promise::ALL
            .iter()
            .map(|promise| {
                serde_json::json!({
                    "id": promise.id(),
                    "sentence": promise.sentence(),
                    "strength": promise.strength(),
                    "source": promise.source(),
                })
            })
            .collect();
        let names: Vec<_> = fixtures.iter().map(|(name, _)| name).collect();
        let all = serde_json::json!({ "promises": promises, "quirks": quirks, "fixtures": names });
        say!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(Exit::Green);
    }
    let mut table = new_table(["promise", "what is promised", "strength", "source"]);
    for promise in Promise::ALL {
        table.add_row([
            promise.id(),
            promise.sentence(),
            &promise.strength().to_string(),
            promise.source(),
        ]);
    }
    say!("{table}\n");
    let version = version::iceoryx2_version();
    let mut table =
        new_table(["quirk", "breaks", "versions", "this one", "severity", "what happens"]);
    for quirk in &quirks {
        table.add_row([
            quirk.id.as_str(),
            quirk.promise.id(),
            &quirk.releases(),
            if quirk.affects(&version) { "yes" } else { "no" },
            &quirk.severity.to_string(),
            &quirk.sentence,
        ]);
    }
    say!("{table}\n");
    let mut table = new_table(["fixture", "title"]);
    for (name, scenario) in &fixtures {
        table.add_row([name, &scenario.title]);
    }
    say!("{table}");
    Ok(Exit::Green)
}

/// Scenarios within which every saboteur has to be caught; a run of the default length has
/// some hundred.
const PATIENCE: u64 = 200;

fn list_teeth(format: Format) -> anyhow::Result<Exit> {
    let interrupted = super::interruption()?;
    let plan = Plan {
        executable: super::this_executable()?,
        seed: 1,
        patience: PATIENCE,
        small_enough: 0,
        jobs: super::workers(None)?,
    };
    let bites = teeth::show(&plan, &interrupted)?;
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&bites)?),
        Format::Text => {
            let mut table = new_table(["saboteur", "breaks", "scenarios", "steps", "what it does"]);
            for Bite { sabotage, catch } in &bites {
                let (scenarios, steps) = match catch {
                    Catch::Caught { scenarios, steps, .. } => {
                        (scenarios.to_string(), steps.to_string())
                    }
                    Catch::Misnamed { scenarios, end } => {
                        (scenarios.to_string(), describe_end(end))
                    }
                    Catch::Escaped => ("escaped".to_owned(), String::new()),
                };
                let row = [sabotage.id, sabotage.breaks.id(), &scenarios, &steps, sabotage.what];
                table.add_row(row);
            }
            say!("{table}");
        }
    }
    let all_caught = bites.iter().all(|bite| matches!(bite.catch, Catch::Caught { .. }));
    Ok(if all_caught { Exit::Green } else { Exit::Broken })
}

fn quirks_as_markdown(quirks: &[Quirk]) -> String {
    let mut out = "| quirk | breaks | releases | seen on | severity | what happens |\n".to_owned();
    out.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for quirk in quirks {
        let ran: Vec<_> =
            quirk.ran.iter().filter(|v| quirk.affects(v)).map(ToString::to_string).collect();
        let number = quirk.upstream.as_ref().and_then(|url| Some((url, url.rsplit('/').next()?)));
        let upstream = number.map(|(url, n)| format!(" ([#{n}]({url}))")).unwrap_or_default();
        out.push_str(&format!(
            "| `{}` | `{}` | `{}` | {} | {} | {}{upstream} |\n",
            quirk.id,
            quirk.promise,
            quirk.releases(),
            ran.join(", "),
            quirk.severity,
            quirk.sentence.trim().replace('\n', " "),
        ));
    }
    out
}

fn new_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_header(header);
    table
}
