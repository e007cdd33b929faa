//! What the gauntlet costs, each figure beside its yardstick: `cargo bench --bench speed`.

mod workload;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use iox2_gauntlet::{actor::iox, scenario::Scenario};
use workload::{
    EXCHANGED, Exchanges, Measured, Payload, Scenarios, generated, is_small, scenario_of_ports,
};

fn main() -> Measured<()> {
    iox::silence();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    exchanges(&mut criterion)?;
    payloads(&mut criterion);
    scenarios(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn exchanges(criterion: &mut Criterion) -> Measured<()> {
    type Side = fn(&mut Exchanges) -> Measured<Duration>;
    let mut exchanges = Exchanges::new(1000)?;
    let mut group = criterion.benchmark_group(format!("exchange of {EXCHANGED} bytes"));
    group.throughput(Throughput::Elements(exchanges.times() as u64));
    let sides: [(&str, Side); 2] =
        [("plain loop", Exchanges::bare), ("lockstep", Exchanges::lockstep)];
    for (name, side) in sides {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|runs| {
                (0..runs).map(|_| side(&mut exchanges).expect("exchanges run")).sum()
            });
        });
    }
    group.finish();
    Ok(())
}

fn payloads(criterion: &mut Criterion) {
    type Side = fn(&mut Payload);
    let sides: [(&str, Side); 3] =
        [("memcpy", Payload::memcpy), ("fill", Payload::fill), ("check", Payload::check)];
    for len in [64, 4 << 10, 1 << 20] {
        let mut payload = Payload::new(len);
        let mut group = criterion.benchmark_group(format!("payload of {len} bytes"));
        group.throughput(Throughput::Bytes(len as u64));
        for (name, side) in sides {
            group.bench_function(name, |bencher| bencher.iter(|| side(&mut payload)));
        }
        group.finish();
    }
}

fn scenarios(criterion: &mut Criterion) -> Measured<()> {
    let mut scenarios = Scenarios::new()?;
    let mut group = criterion.benchmark_group("scenario");
    for ports in [1, 2] {
        let scenario = scenario_of_ports(ports);
        let id = BenchmarkId::new("ports", format!("{ports}x{ports}"));
        group.bench_function(id, |bencher| {
            bencher.iter(|| scenarios.judge(&scenario).expect("the scenario runs"));
        });
    }
    type Chosen = fn(&Scenario) -> bool;
    let choices: [(&str, Chosen); 2] = [("generated, small", is_small), ("generated", |_| true)];
    for (name, is_chosen) in choices {
        let mut generated = generated().filter(is_chosen);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let scenario = generated.next().expect("there is always another");
                scenarios.judge(&scenario).expect("the scenario runs");
            });
        });
    }
    group.finish();
    Ok(())
}
