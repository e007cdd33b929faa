//! The `gauntlet` command line.
use std::collections::BTreeMap;
use std::process::ExitCode;
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).map(String::as_str) == Some("serve") {
        let _ = iox2_gauntlet::actor::serve::serve();
        return ExitCode::SUCCESS;
    }
    let seed: u64 = args[1].parse().unwrap();
    let n: u64 = args[2].parse().unwrap();
    let mut r = iox2_gauntlet::runner::Runner::new(
        iox2_gauntlet::actor::child::Executable::gauntlet(std::env::current_exe().unwrap()),
    );
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    let t = std::time::Instant::now();
    let mut steps = 0;
    for i in 0..n {
        let s = iox2_gauntlet::scenario::generate::scenario_of_run(seed, i);
        let layout = iox2_gauntlet::runner::Layout::Together;
        let j = r.judge(&s, layout, false).unwrap();
        steps += j.outcome.performed;
        if let Some(p) = j.outcome.end.promise() {
            *seen.entry(p).or_default() += 1;
            if seen[&p] <= 2 {
                let small = iox2_gauntlet::scenario::shrink::shrink(&s, 3000, |c| {
                    r.judge(c, layout, false).is_ok_and(|j| j.outcome.end.promise() == Some(p))
                });
                let j = r.judge(&small, layout, true).unwrap();
                println!("=== {p}: {} -> {} steps", s.steps.len(), small.steps.len());
                println!("{}", small.to_toml("", |_| None));
                println!("{:#?}", j.outcome.end);
            }
        } else if !j.outcome.end.is_kept() {
            println!("{:?}", j.outcome.end);
        }
    }
    println!("{:?} in {:?}, {steps} steps", seen, t.elapsed());
    ExitCode::SUCCESS
}
