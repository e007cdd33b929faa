//! The client: sends requests of growing size and collects the answers.

use std::{collections::HashSet, ops::ControlFlow, time::Instant};

use clap::Parser;
use iceoryx2::{pending_response::PendingResponse, prelude::ipc};

use super::{
    event::{Event, GaveUp, Occasion, Program, Reporter},
    exit_code::ExitCode,
    failure::{Failure, Limit},
    flags::ClientFlags,
    participant::{
        ExampleResponse, Held, IDLE, Message, Participant, PeerWatch, port_name, report_arrival,
    },
    verify::{Integrity, MessageIds, Newest, Outgoing, Violation},
};
use crate::payload::MessageId;

type Client = iceoryx2::port::client::Client<ipc::Service, [u8], u64, [u8], u64>;
type Pending = PendingResponse<ipc::Service, [u8], u64, [u8], u64>;

/// Runs the program with the flags of this process.
#[must_use]
pub fn main() -> ExitCode {
    let flags = ClientFlags::parse();
    let mut reporter = Reporter::new(flags.common.format);
    let outcome = run(&flags, &mut reporter);
    reporter.conclude(outcome)
}

/// Takes part until `--requests` is fulfilled, a failure or a signal. All resources are
/// released when it returns.
///
/// # Errors
/// See [`Failure`].
pub fn run(flags: &ClientFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let participant = Participant::join(Program::Client, &flags.common, reporter)?;
    let common = &flags.common;
    let client = participant
        .service
        .client_builder()
        .initial_max_slice_len(common.initial_max_slice_len)
        .allocation_strategy(common.allocation_strategy.into())
        .create()
        .map_err(|error| match Limit::of_client(error) {
            Some(limit) => participant.full(limit, format!("{error:?}")),
            None => Failure::iceoryx2(
                format!(
                    "create a client with --initial-max-slice-len {}",
                    common.initial_max_slice_len
                ),
                &error,
            ),
        })?;
    reporter.emit(&Event::PortCreated {
        port: port_name(client.id().value()),
        initial_max_slice_len: common.initial_max_slice_len,
        allocation_strategy: common.allocation_strategy,
    })?;
    let mut session = Session {
        flags,
        participant: &participant,
        client,
        ids: MessageIds::new(std::process::id(), common.seed),
        servers: PeerWatch::new(Program::Server),
        newest: Newest::default(),
        held: Held::new(flags.hold),
    };
    let outcome = session.exchange(reporter);
    match outcome {
        // What broke is known; a second complaint would hide the first.
        Err(Failure::Integrity { .. }) => outcome,
        _ => session.held.verify(Occasion::End, reporter).and(outcome),
    }
}

struct Session<'a> {
    flags: &'a ClientFlags,
    participant: &'a Participant,
    client: Client,
    ids: MessageIds,
    servers: PeerWatch,
    newest: Newest,
    held: Held<ExampleResponse>,
}

impl Session<'_> {
    fn exchange(&mut self, reporter: &mut Reporter) -> Result<(), Failure> {
        let cycle = self.flags.cycle_time;
        let sizes = self.flags.common.sizes.clone().unwrap_or_default();
        let mut round = 0;
        loop {
            let (id, bytes) = (self.ids.next(), sizes.len_at(round));
            let message = Outgoing::new(id, bytes, round, self.flags.common.spoil);
            // A request that reaches no server is sent again, so that a client that is
            // started first misses nothing of the schedule.
            let mut is_first_attempt = true;
            let pending = loop {
                if let ControlFlow::Break(()) =
                    self.servers.look(&self.participant.service, reporter)?
                {
                    self.held.verify(Occasion::Peers, reporter)?;
                }
                let pending = self.send(message)?;
                let servers = pending.number_of_server_connections();
                if is_first_attempt || servers > 0 {
                    reporter.emit(&Event::Loaned { bytes, id })?;
                    let number_of_servers = Some(servers);
                    reporter.emit(&Event::Sent { bytes, id, number_of_servers })?;
                }
                if servers > 0 {
                    break pending;
                }
                is_first_attempt = false;
                drop(pending);
                self.participant.wait(cycle.max(IDLE))?;
            };
            self.collect(id, &pending, reporter)?;
            drop(pending);
            round += 1;
            if self.flags.requests == Some(round) {
                return Ok(());
            }
            self.participant.wait(cycle)?;
        }
    }

    fn send(&self, message: Outgoing) -> Result<Pending, Failure> {
        let bytes = message.bytes;
        let common = &self.flags.common;
        let request = self.client.loan_slice_uninit(bytes).map_err(|error| Failure::Loan {
            bytes,
            initial_max_slice_len: common.initial_max_slice_len,
            strategy: common.allocation_strategy,
            error,
        })?;
        let mut request = request.write_from_fn(|offset| message.byte_at(offset));
        *request.user_header_mut() = message.user_header();
        request.send().map_err(|e| Failure::iceoryx2("send a request", &e))
    }

    /// Receives until every server that got the request has answered or dropped it.
    fn collect(
        &mut self,
        id: MessageId,
        pending: &Pending,
        reporter: &mut Reporter,
    ) -> Result<(), Failure> {
        let servers = pending.number_of_server_connections();
        let deadline = Instant::now() + self.flags.response_timeout;
        let mut answered = HashSet::new();
        let because = loop {
            // Before the look for responses: what a server sends before it drops the
            // request must not be missed.
            let all_dropped = !pending.is_connected();
            while let Some(response) = pending.receive().map_err(|e| Failure::receive(&e))? {
                let arrival = response.arrival();
                let mut checked = self.newest.integrity(&arrival);
                if let (Some(id), Integrity::Ok) = &checked {
                    if !answered.insert(arrival.from) {
                        checked.1 = Integrity::Broken(Violation::SecondAnswer { id: *id });
                    } else if answered.len() > servers {
                        checked.1 = Integrity::Broken(Violation::UnexpectedAnswer { id: *id });
                    }
                }
                report_arrival(&arrival, checked, reporter)?;
                self.held.keep(response, reporter)?;
            }
            if answered.len() == servers {
                return Ok(());
            }
            if all_dropped {
                break GaveUp::Disconnected;
            }
            if Instant::now() >= deadline {
                break GaveUp::Timeout;
            }
            self.participant.wait(IDLE)?;
        };
        reporter.emit(&Event::Unanswered { id, answers: answered.len(), servers, because })
    }
}
