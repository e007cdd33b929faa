//! The server: answers every request with data of growing size.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use clap::Parser;
use iceoryx2::prelude::{PortFactory, ipc};

use super::{
    event::{Event, Occasion, Program, Reporter},
    exit_code::ExitCode,
    failure::{Failure, Limit},
    flags::ServerFlags,
    participant::{
        ExampleRequest, Held, IDLE, Message, Participant, PeerWatch, port_name, report_arrival,
    },
    sizes::SizeSchedule,
    verify::{MessageIds, Newest, Outgoing},
};

type Server = iceoryx2::port::server::Server<ipc::Service, [u8], u64, [u8], u64>;

/// Runs the program with the flags of this process.
#[must_use]
pub fn main() -> ExitCode {
    let flags = ServerFlags::parse();
    let mut reporter = Reporter::new(flags.common.format);
    let outcome = run(&flags, &mut reporter);
    reporter.conclude(outcome)
}

/// Takes part until `--requests` is fulfilled, a failure or a signal. All resources are
/// released when it returns.
///
/// # Errors
/// See [`Failure`].
pub fn run(flags: &ServerFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let participant = Participant::join(Program::Server, &flags.common, reporter)?;
    let common = &flags.common;
    let max_active = participant.service.static_config().max_active_requests_per_client();
    if flags.hold >= max_active {
        return Err(Failure::Usage(format!(
            "--hold {} leaves no room for a new request: the service allows {max_active} at a time per client \
             (`defaults.request-response.max-active-requests-per-client`), so hold at most {}",
            flags.hold,
            max_active - 1
        )));
    }
    let server = participant
        .service
        .server_builder()
        .initial_max_slice_len(common.initial_max_slice_len)
        .allocation_strategy(common.allocation_strategy.into())
        .create()
        .map_err(|error| match Limit::of_server(error) {
            Some(limit) => participant.full(limit, format!("{error:?}")),
            None => Failure::iceoryx2(
                format!(
                    "create a server with --initial-max-slice-len {}",
                    common.initial_max_slice_len
                ),
                &error,
            ),
        })?;
    reporter.emit(&Event::PortCreated {
        port: port_name(server.id().value()),
        initial_max_slice_len: common.initial_max_slice_len,
        allocation_strategy: common.allocation_strategy,
    })?;
    let mut session = Session {
        flags,
        participant: &participant,
        server,
        sizes: common.sizes.clone().unwrap_or_default(),
        ids: MessageIds::new(std::process::id(), common.seed),
        answered: 0,
        newest: Newest::default(),
        held: Held::new(flags.hold),
    };
    let outcome = session.serve(reporter);
    match outcome {
        // What broke is known; a second complaint would hide the first.
        Err(Failure::Integrity { .. }) => outcome,
        _ => session.held.verify(Occasion::End, reporter).and(outcome),
    }
}

struct Session<'a> {
    flags: &'a ServerFlags,
    participant: &'a Participant,
    server: Server,
    sizes: SizeSchedule,
    ids: MessageIds,
    answered: u64,
    newest: Newest,
    held: Held<ExampleRequest>,
}

impl Session<'_> {
    fn serve(&mut self, reporter: &mut Reporter) -> Result<(), Failure> {
        let mut clients = PeerWatch::new(Program::Client);
        loop {
            if let ControlFlow::Break(()) = clients.look(&self.participant.service, reporter)? {
                self.held.verify(Occasion::Peers, reporter)?;
            }
            while let Some(request) = self.server.receive().map_err(|e| Failure::receive(&e))? {
                self.answer(&request, reporter)?;
                if self.flags.requests == Some(self.answered) {
                    self.linger(&request)?;
                    return self.held.keep(request, reporter);
                }
                self.held.keep(request, reporter)?;
                // A steady stream of requests must not keep a signal waiting.
                self.participant.wait(Duration::ZERO)?;
            }
            self.participant.wait(self.flags.cycle_time.max(IDLE))?;
        }
    }

    fn answer(&mut self, request: &ExampleRequest, reporter: &mut Reporter) -> Result<(), Failure> {
        let arrival = request.arrival();
        let checked = self.newest.integrity(&arrival);
        report_arrival(&arrival, checked, reporter)?;

        let (id, bytes) = (self.ids.next(), self.sizes.len_at(self.answered));
        let common = &self.flags.common;
        let message = Outgoing::new(id, bytes, self.answered, common.spoil);
        let response = request.loan_slice_uninit(bytes).map_err(|error| Failure::Loan {
            bytes,
            initial_max_slice_len: common.initial_max_slice_len,
            strategy: common.allocation_strategy,
            error,
        })?;
        reporter.emit(&Event::Loaned { bytes, id })?;
        let mut response = response.write_from_fn(|offset| message.byte_at(offset));
        *response.user_header_mut() = message.user_header();
        response.send().map_err(|e| Failure::iceoryx2("send a response", &e))?;
        self.answered += 1;
        reporter.emit(&Event::Sent { bytes, id, number_of_servers: None })
    }

    /// Stays until the client dropped its request, i.e. fetched the last answer.
    fn linger(&self, last: &ExampleRequest) -> Result<(), Failure> {
        let deadline = Instant::now() + self.flags.linger;
        while last.is_connected() && Instant::now() < deadline {
            self.participant.wait(IDLE)?;
        }
        Ok(())
    }
}
