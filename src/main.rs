//! The `gauntlet` command line.
use std::process::ExitCode;
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).map(String::as_str) == Some("serve") {
        let _ = iox2_gauntlet::actor::serve::serve();
        return ExitCode::SUCCESS;
    }
    let scenario = match iox2_gauntlet::scenario::Scenario::load(std::path::Path::new(&args[1])) {
        Ok(s) => s,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(2);
        }
    };
    let mut r = iox2_gauntlet::runner::Runner::new(
        iox2_gauntlet::actor::child::Executable::gauntlet(std::env::current_exe().unwrap()),
    );
    for layout in [iox2_gauntlet::runner::Layout::Together, iox2_gauntlet::runner::Layout::Apart] {
        let t = std::time::Instant::now();
        let j = r.judge(&scenario, layout, true);
        match j {
            Ok(j) => {
                for t in &j.trace {
                    println!("{:<70} | {} | {}", t.action, t.expected, t.observed);
                }
                println!("{:#?}", j.outcome);
            }
            Err(e) => println!("{e}"),
        }
        println!("{:?}", t.elapsed());
    }
    ExitCode::SUCCESS
}
