//! `gauntlet list`.

use clap::Args;
use comfy_table::{Table, presets};
use iox2_gauntlet::{
    actor::version,
    campaign,
    exit::Exit,
    model::{Promise, quirk::Quirk},
};

use super::Format;

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print the quirks as the Markdown table of the README, and nothing else
    #[arg(long)]
    quirks_markdown: bool,
}

pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<Exit> {
    let quirks = Quirk::known()?;
    if arguments.quirks_markdown {
        print!("{}", quirks_as_markdown(&quirks));
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
        println!("{}", serde_json::to_string_pretty(&all)?);
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
    println!("{table}\n");
    let version = version::iceoryx2_version();
    let mut table =
        new_table(["quirk", "breaks", "versions", "this one", "severity", "what happens"]);
    for quirk in &quirks {
        table.add_row([
            quirk.id.as_str(),
            quirk.promise.id(),
            &quirk.versions.to_string(),
            if quirk.affects(&version) { "yes" } else { "no" },
            &quirk.severity.to_string(),
            &quirk.sentence,
        ]);
    }
    println!("{table}\n");
    let mut table = new_table(["fixture", "title"]);
    for (name, scenario) in &fixtures {
        table.add_row([name, &scenario.title]);
    }
    println!("{table}");
    Ok(Exit::Green)
}

fn quirks_as_markdown(quirks: &[Quirk]) -> String {
    let mut out = "| quirk | breaks | releases | seen on | severity | what happens |\n".to_owned();
    out.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for quirk in quirks {
        let ran: Vec<_> =
            quirk.ran.iter().filter(|v| quirk.affects(v)).map(ToString::to_string).collect();
        out.push_str(&format!(
            "| `{}` | `{}` | `{}` | {} | {} | {} |\n",
            quirk.id,
            quirk.promise,
            quirk.versions,
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
