//! The same traffic without the gauntlet: a plain loop over iceoryx2's API that fills and
//! checks its payloads. The benchmarks hold [`lockstep`](crate::lockstep) against it; no
//! verdict comes from here.

use std::path::Path;

use iceoryx2::prelude::*;

use super::{HostError, version};
use crate::payload::{self, MessageId};

/// A client and a server in this process, with `BestFit` and the same hint.
#[derive(Debug)]
pub struct Pair {
    client: version::Client<ipc::Service, [u8], [u8]>,
    server: version::Server<ipc::Service, [u8], [u8]>,
}

fn failed(what: &'static str) -> impl Fn(&dyn std::fmt::Debug) -> HostError {
    move |error| HostError::Harness(format!("{what}: {error:?}"))
}

impl Pair {
    /// Creates both ports, with the settings of a config file.
    ///
    /// # Errors
    /// If iceoryx2 refuses anything.
    pub fn new(config: &Path, service: &str, hint: usize) -> Result<Self, HostError> {
        let file = FilePath::new(config.as_os_str().as_encoded_bytes())
            .map_err(|e| failed("config path")(&e))?;
        let config = Config::from_file(&file).map_err(|e| failed("config file")(&e))?;
        let service = ServiceName::new(service).map_err(|e| failed("service name")(&e))?;
        let node = NodeBuilder::new()
            .config(&config)
            .create::<ipc::Service>()
            .map_err(|e| failed("node")(&e))?;
        let factory = node
            .service_builder(&service)
            .request_response::<[u8], [u8]>()
            .request_user_header::<u64>()
            .response_user_header::<u64>()
            .create()
            .map_err(|e| failed("service")(&e))?;
        let client = factory
            .client_builder()
            .initial_max_slice_len(hint)
            .allocation_strategy(AllocationStrategy::BestFit)
            .create()
            .map_err(|e| failed("client")(&e))?;
        let server = factory
            .server_builder()
            .initial_max_slice_len(hint)
            .allocation_strategy(AllocationStrategy::BestFit)
            .create()
            .map_err(|e| failed("server")(&e))?;
        Ok(Self { client, server })
    }

    /// Sends `request` to the server and `response` back, each of `len` bytes, checks what was
    /// written and what arrived, and lets go of everything.
    ///
    /// # Errors
    /// If iceoryx2 refuses anything, or a payload does not arrive as it was written.
    pub fn exchange(
        &self,
        request: MessageId,
        response: MessageId,
        len: usize,
    ) -> Result<(), HostError> {
        let missing = |what: &str| HostError::Harness(format!("no {what} arrived"));
        let mut loan = self
            .client
            .loan_slice_uninit(len)
            .map_err(|e| failed("loan a request")(&e))?
            .write_from_slice(&filled(request, len));
        *loan.user_header_mut() = request.seal();
        check(request, *loan.user_header(), loan.payload())?;
        let pending = loan.send().map_err(|e| failed("send a request")(&e))?;
        let active = self
            .server
            .receive()
            .map_err(|e| failed("receive a request")(&e))?
            .ok_or_else(|| missing("request"))?;
        check(request, *active.user_header(), active.payload())?;
        let mut loan = active
            .loan_slice_uninit(len)
            .map_err(|e| failed("loan a response")(&e))?
            .write_from_slice(&filled(response, len));
        *loan.user_header_mut() = response.seal();
        check(response, *loan.user_header(), loan.payload())?;
        loan.send().map_err(|e| failed("send a response")(&e))?;
        let received = pending
            .receive()
            .map_err(|e| failed("receive a response")(&e))?
            .ok_or_else(|| missing("response"))?;
        check(response, *received.user_header(), received.payload())
    }
}

fn filled(id: MessageId, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    payload::fill(id, &mut bytes);
    bytes
}

fn check(id: MessageId, header: u64, bytes: &[u8]) -> Result<(), HostError> {
    if MessageId::unseal(header) != Some(id) {
        return Err(HostError::Harness(format!("another message than {id} arrived")));
    }
    payload::check(id, bytes).map_err(|mismatch| HostError::Harness(mismatch.to_string()))
}
