//! What is measured, each with its yardstick.

use std::{
    collections::BTreeSet,
    hint::black_box,
    path::PathBuf,
    time::{Duration, Instant},
};

use iox2_gauntlet::{
    actor::{Action, Observation, bare::Pair, iox, iox::Ipc, variant::Variant},
    campaign,
    lockstep::{self, Observer, Position, Silent},
    model::{self, Prediction, Switch},
    payload::{self, MessageId},
    sandbox::Sandbox,
    scenario::{
        LoanForm, OpenMode, Repeat, Scenario, Settings, SettingsVia, Step, Strategy,
        generate::{Family, scenario_of_run},
    },
};

/// Whatever goes wrong here is a mistake in a benchmark.
pub type Measured<T> = Result<T, Box<dyn std::error::Error>>;

/// Length of the payloads of an exchange, in bytes.
pub const EXCHANGED: usize = 64;

/// A request from a client to a server and the response to it, again and again.
pub struct Exchanges {
    sandbox: Sandbox,
    config: PathBuf,
    scenario: Scenario,
    services: usize,
}

impl Exchanges {
    /// Runs of so many exchanges.
    pub fn new(times: usize) -> Measured<Self> {
        let sandbox = Sandbox::new()?;
        // Either side takes its settings from the config file.
        let service = Settings {
            via: SettingsVia::ConfigFile,
            max_clients: 1,
            max_servers: 1,
            max_nodes: 1,
            ..Settings::default()
        };
        let config = sandbox.config_for("exchanges", &service)?;
        let repeat = Some(Repeat { times, stretch: 0, steps: exchange(EXCHANGED).to_vec() });
        let scenario = Scenario { service, repeat, ..Scenario::of_steps(ports(1)) };
        Ok(Self { sandbox, config, scenario, services: 0 })
    }

    /// How many exchanges a run has.
    pub fn times(&self) -> usize {
        self.scenario.repeat.as_ref().map_or(0, |repeat| repeat.times)
    }

    fn next_service(&mut self) -> String {
        self.services += 1;
        format!("exchanges/{}", self.services)
    }

    /// Time the exchanges take in a plain loop over iceoryx2's API.
    pub fn bare(&mut self) -> Measured<Duration> {
        let service = self.next_service();
        let pair = Pair::new(&self.config, &service, EXCHANGED)?;
        let started = Instant::now();
        for turn in 0..self.times() as u64 {
            let (request, response) = (MessageId::new(2 * turn), MessageId::new(2 * turn + 1));
            pair.exchange(request, response, EXCHANGED)?;
        }
        Ok(started.elapsed())
    }

    /// Time they take in lockstep with the model, without creation and settling.
    pub fn lockstep(&mut self) -> Measured<Duration> {
        let (service, settings) = (self.next_service(), self.scenario.service.clone());
        let mut host = Ipc::new(&self.config, &service, settings)?;
        let mut watch =
            Stopwatch { first: self.scenario.steps.len(), started: None, elapsed: None };
        let outcome = lockstep::run(&self.scenario, &BTreeSet::new(), &mut host, &mut watch);
        assert!(outcome.end.is_kept() && outcome.skipped == 0, "{outcome:?}");
        drop(host);
        assert!(self.sandbox.census()?.is_clean());
        Ok(watch.elapsed.ok_or("the steps never ended")?)
    }
}

/// Measures from one step to the end of the steps.
struct Stopwatch {
    first: usize,
    started: Option<Instant>,
    elapsed: Option<Duration>,
}

impl Observer for Stopwatch {
    fn before(&mut self, position: Position, _: &Action) {
        match position {
            Position::Step(step) if step == self.first => self.started = Some(Instant::now()),
            Position::FullLoad(0) => self.elapsed = self.started.map(|started| started.elapsed()),
            _ => {}
        }
    }

    fn after(&mut self, _: Position, _: &Prediction, _: &Observation) {}
}

/// The bytes of one message, to be copied, filled and checked.
pub struct Payload {
    id: MessageId,
    filled: Vec<u8>,
    target: Vec<u8>,
}

impl Payload {
    pub fn new(len: usize) -> Self {
        let id = MessageId::new(7);
        let mut filled = vec![0; len];
        payload::fill(id, &mut filled);
        Self { id, filled, target: vec![1; len] }
    }

    /// The yardstick.
    pub fn memcpy(&mut self) {
        black_box(&mut self.target).copy_from_slice(black_box(&self.filled));
    }

    pub fn fill(&mut self) {
        payload::fill(self.id, black_box(&mut self.target));
    }

    pub fn check(&mut self) {
        assert!(payload::check(self.id, black_box(&self.filled)).is_ok());
    }
}

/// A participant with so many clients and as many servers.
fn ports(each: usize) -> Vec<Step> {
    let join = Step::Join { how: OpenMode::default(), require: None };
    let (strategy, hint) = (Strategy::BestFit, EXCHANGED);
    let client = Step::create_client(0, strategy, hint);
    let server = Step::create_server(0, strategy, hint, 2);
    let mut steps = vec![join];
    steps.extend([client].repeat(each));
    steps.extend([server].repeat(each));
    steps
}

/// From the loan of the request to the drop of what is left.
fn exchange(len: usize) -> [Step; 9] {
    let form = LoanForm::WriteFromSlice;
    [
        Step::LoanRequest { client: 0, len, form },
        Step::SendRequest { request: 0 },
        Step::ReceiveRequest { server: 0 },
        Step::LoanResponse { active: 0, len, form },
        Step::SendResponse { response: 0 },
        Step::ReceiveResponse { pending: 0 },
        Step::DropResponse { response: 0 },
        Step::DropActive { active: 0 },
        Step::DropPending { pending: 0 },
    ]
}

/// Whole scenarios in this process, from creation to the census.
pub struct Scenarios {
    sandbox: Sandbox,
    quirks: BTreeSet<Switch>,
    judged: usize,
}

impl Scenarios {
    /// Judges with the quirks of this iceoryx2.
    pub fn new() -> Measured<Self> {
        let quirks = campaign::switches(&campaign::active_quirks()?);
        Ok(Self { sandbox: Sandbox::new()?, quirks, judged: 0 })
    }

    /// Judges one, which has to keep its promises.
    pub fn judge(&mut self, scenario: &Scenario) -> Measured<()> {
        self.judged += 1;
        let service = format!("scenario/{}", self.judged);
        let scenario = &*model::steered(scenario, &self.quirks);
        let config = self.sandbox.config_for("scenario", &scenario.service)?;
        let mut host = iox::host(Variant::Ipc, &config, &service, scenario.service.clone())?;
        let outcome = lockstep::run(scenario, &self.quirks, host.as_mut(), &mut Silent);
        assert!(outcome.end.is_kept(), "{}: {:?}", scenario.title, outcome.end);
        drop(host);
        if !self.sandbox.census()?.is_clean() {
            // What a known quirk left behind is not to be counted again.
            self.sandbox = Sandbox::new()?;
        }
        Ok(())
    }
}

/// As many clients as servers, and one exchange.
pub fn scenario_of_ports(each: usize) -> Scenario {
    let service =
        Settings { max_clients: each, max_servers: each, max_nodes: 1, ..Settings::default() };
    let steps = ports(each).into_iter().chain(exchange(EXCHANGED)).collect();
    Scenario { service, ..Scenario::of_steps(steps) }
}

/// Generated scenarios of all families but those that take hundreds of turns on purpose.
pub fn generated() -> impl Iterator<Item = Scenario> {
    let is_long =
        |index: &u64| matches!(Family::of_turn(*index), Family::Turnover | Family::ManyGrowths);
    (0..).filter(move |index| !is_long(index)).map(|index| scenario_of_run(1, index))
}

/// Whether a scenario has no more than a hundred steps, repetitions written out, and no threads.
pub fn is_small(scenario: &Scenario) -> bool {
    scenario.concurrent.is_none() && scenario.all_steps().nth(100).is_none()
}
