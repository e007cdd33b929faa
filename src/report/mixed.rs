//! What releases do to each other on one machine, for a terminal and as Markdown.

use std::fmt::Write as _;

use comfy_table::{Table, presets};

use crate::gate::mixed::Pair;

/// A table of every ordered pair, and what is not in order.
#[must_use]
pub fn render(pairs: &[Pair]) -> String {
    let mut out = format!("{}\n\n", table(pairs, presets::NOTHING));
    for pair in pairs.iter().filter(|pair| !pair.is_orderly()) {
        for (where_, what) in [
            ("in domains of their own", pair.apart.clone()),
            ("to the incumbent", pair.harm.clone()),
            ("after it was killed", disorder(&pair.after)),
            ("at once", disorder(&pair.at_once)),
        ] {
            if let Some(what) = what {
                let _ = writeln!(
                    out,
                    "DISORDER {} meets {}, {where_}: {what}",
                    pair.incumbent, pair.newcomer
                );
            }
        }
    }
    let orderly = pairs.iter().filter(|pair| pair.is_orderly()).count();
    let _ = writeln!(out, "{orderly} of {} pairs in order", pairs.len());
    out
}

fn disorder(reception: &crate::gate::mixed::Reception) -> Option<String> {
    (!reception.is_orderly()).then(|| reception.to_string())
}

/// The table for a README.
#[must_use]
pub fn markdown(pairs: &[Pair]) -> String {
    format!("{}\n", table(pairs, presets::ASCII_MARKDOWN))
}

fn table(pairs: &[Pair], preset: &str) -> Table {
    let mut table = Table::new();
    table.load_preset(preset).set_header([
        "incumbent",
        "newcomer",
        "domains of their own",
        "newcomer after a killed incumbent",
        "newcomer beside the incumbent",
        "incumbent then",
    ]);
    let fine =
        |trouble: &Option<String>, fine: &str| trouble.clone().unwrap_or_else(|| fine.to_owned());
    for pair in pairs {
        table.add_row([
            pair.incumbent.clone(),
            pair.newcomer.clone(),
            fine(&pair.apart, "both work"),
            pair.after.to_string(),
            pair.at_once.to_string(),
            fine(&pair.harm, "goes on"),
        ]);
    }
    table
}
