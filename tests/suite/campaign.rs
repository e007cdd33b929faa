//! The first scenarios of a run, of every family and in every place, as `gauntlet run` has them.

use std::{path::PathBuf, time::Duration};

use iox2_gauntlet::{
    actor::child::Executable,
    campaign::{self, Plan},
    report::terminal::render,
    runner::DEADLINE,
    scenario::generate::Family,
};

/// Rounds in which every family has its turn.
const ROUNDS: u64 = 10;

/// Scenarios of a round.
const ROUND: u64 = 64;

/// Not one that another test begins with.
const SEED: u64 = 2;

#[test]
fn whatever_a_run_generates_keeps_every_promise_or_breaks_it_as_known() {
    // What it saves is to be there when somebody replays it.
    let out = campaign::make_run_directory(&PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let plan = Plan {
        executable: Executable::gauntlet(env!("CARGO_BIN_EXE_gauntlet")),
        seed: SEED,
        time: Duration::from_secs(600),
        scenarios: ROUNDS * ROUND,
        jobs: 2,
        deadline: DEADLINE,
        out,
        strict: false,
        fail_fast: true,
    };
    let report = campaign::run(&plan, &Default::default(), &|_| ()).unwrap();
    assert!(report.findings.is_empty(), "{}", render(&report));
    for family in Family::ALL {
        let count = report.scenarios.get(&family.id()).copied().unwrap_or(0);
        assert!(count as u64 >= ROUNDS, "{count} of {family:?}");
    }
}
