//! What each kind of message is loaned, received and read with.
//!
//! iceoryx2 has one set of methods for slices and another one for single values;
//! [`Payload`] is what they have in common.

use std::fmt::Debug;

use iceoryx2::prelude::*;

use super::{
    element::{Element, Header, Value},
    loan::{self, Loan, Wanted, loan_slice, loan_value},
    open::{end, obtain_as},
    version::{self, Sendable},
};
use crate::scenario::{LoanForm, OpenMode, PayloadType, Strategy};

/// What a port is created with, as far as its payload decides how.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// How it grows, unless the config file says so.
    pub strategy: Option<Strategy>,
    /// `initial_max_slice_len`, in elements.
    pub hint: usize,
}

/// A request or a response: a slice `[E]`, or a single [`Value`].
pub trait Payload: Sendable + Debug + 'static {
    /// Of messages with this payload.
    type Header: Header;

    /// The payload as bytes.
    fn bytes(&self) -> &[u8];

    /// The payload as bytes to be written.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Its length in elements.
    fn elements(&self) -> usize;

    /// Index of the first element that is not its default.
    fn first_not_default(&self) -> Option<usize>;

    /// Natural alignment, in bytes.
    fn alignment() -> usize;

    /// States how a client gets the memory for its requests.
    fn client_memory<S: Service, Res: Payload + ?Sized>(
        builder: version::ClientBuilder<'_, S, Self, Res>,
        memory: Memory,
    ) -> version::ClientBuilder<'_, S, Self, Res>;

    /// States how a server gets the memory for its responses.
    fn server_memory<S: Service, Req: Payload + ?Sized>(
        builder: version::ServerBuilder<'_, S, Req, Self>,
        memory: Memory,
    ) -> version::ServerBuilder<'_, S, Req, Self>;

    /// `initial_max_slice_len` of a client, 1 if it does not send slices.
    fn client_hint<S: Service, Res: Payload + ?Sized>(
        client: &version::Client<S, Self, Res>,
    ) -> usize;

    /// `initial_max_slice_len` of a server, 1 if it does not send slices.
    fn server_hint<S: Service, Req: Payload + ?Sized>(
        server: &version::Server<S, Req, Self>,
    ) -> usize;

    /// Loans a request and writes it.
    fn loan_request<S: Service, Res: Payload + ?Sized>(
        client: &version::Client<S, Self, Res>,
        wanted: Wanted,
    ) -> Loan<version::RequestMut<S, Self, Res>>;

    /// Loans a response and writes it.
    fn loan_response<S: Service, Req: Payload + ?Sized>(
        active: &version::ActiveRequest<S, Req, Self>,
        wanted: Wanted,
    ) -> Loan<version::ResponseMut<S, Self>>;

    /// `Server::receive`.
    ///
    /// # Errors
    /// The error as `Debug` prints it.
    fn receive_request<S: Service, Res: Payload + ?Sized>(
        server: &version::Server<S, Self, Res>,
    ) -> Result<Option<version::ActiveRequest<S, Self, Res>>, String>;

    /// `PendingResponse::receive`.
    ///
    /// # Errors
    /// The error as `Debug` prints it.
    fn receive_response<S: Service, Req: Payload + ?Sized>(
        pending: &version::PendingResponse<S, Req, Self>,
    ) -> Result<Option<version::Response<S, Self>>, String>;

    /// Opens or creates the service as if its requests, not these responses, were of another type,
    /// with the right user header; the error, or `Obtained`.
    fn obtain_with_requests<S: Service, H: Header>(
        node: &Node<S>,
        name: &ServiceName,
        how: OpenMode,
        foreign: PayloadType,
    ) -> String;

    /// Opens or creates the service as if its responses, not these requests, were of another type,
    /// with the right user header; the error, or `Obtained`.
    fn obtain_with_responses<S: Service, H: Header>(
        node: &Node<S>,
        name: &ServiceName,
        how: OpenMode,
        foreign: PayloadType,
    ) -> String;

    /// Payload of a loaned request.
    fn loaned_request<S: Service, Res: Payload + ?Sized>(
        request: &version::RequestMut<S, Self, Res>,
    ) -> &Self;

    /// Payload of a request that was sent.
    fn sent_request<S: Service, Res: Payload + ?Sized>(
        pending: &version::PendingResponse<S, Self, Res>,
    ) -> &Self;

    /// Payload of a request that was received.
    fn received_request<S: Service, Res: Payload + ?Sized>(
        active: &version::ActiveRequest<S, Self, Res>,
    ) -> &Self;

    /// Payload of a loaned response.
    fn loaned_response<S: Service>(response: &version::ResponseMut<S, Self>) -> &Self;

    /// Payload of a response that was received.
    fn received_response<S: Service>(response: &version::Response<S, Self>) -> &Self;
}

/// Whether a payload begins where it must not.
pub(super) fn is_misaligned<P: Payload + ?Sized>(payload: &P, alignment: usize) -> bool {
    let bytes = payload.bytes();
    !bytes.as_ptr().addr().is_multiple_of(alignment.max(P::alignment()))
}

/// What reads the same for slices and values.
macro_rules! open_receive_and_read {
    () => {
        fn obtain_with_requests<S: Service, H: Header>(
            node: &Node<S>,
            name: &ServiceName,
            how: OpenMode,
            foreign: PayloadType,
        ) -> String {
            match foreign {
                PayloadType::U8 => obtain_as!(node, name, how, u8: H, Self: Self::Header),
                PayloadType::SliceOfI16 => {
                    obtain_as!(node, name, how, [i16]: H, Self: Self::Header)
                }
                PayloadType::SliceOfPairs => {
                    obtain_as!(node, name, how, [[u8; 2]]: H, Self: Self::Header)
                }
            }
        }

        fn obtain_with_responses<S: Service, H: Header>(
            node: &Node<S>,
            name: &ServiceName,
            how: OpenMode,
            foreign: PayloadType,
        ) -> String {
            match foreign {
                PayloadType::U8 => obtain_as!(node, name, how, Self: Self::Header, u8: H),
                PayloadType::SliceOfI16 => {
                    obtain_as!(node, name, how, Self: Self::Header, [i16]: H)
                }
                PayloadType::SliceOfPairs => {
                    obtain_as!(node, name, how, Self: Self::Header, [[u8; 2]]: H)
                }
            }
        }

        fn receive_request<S: Service, Res: Payload + ?Sized>(
            server: &version::Server<S, Self, Res>,
        ) -> Result<Option<version::ActiveRequest<S, Self, Res>>, String> {
            server.receive().map_err(|error| format!("{error:?}"))
        }

        fn receive_response<S: Service, Req: Payload + ?Sized>(
            pending: &version::PendingResponse<S, Req, Self>,
        ) -> Result<Option<version::Response<S, Self>>, String> {
            pending.receive().map_err(|error| format!("{error:?}"))
        }

        fn loaned_request<S: Service, Res: Payload + ?Sized>(
            request: &version::RequestMut<S, Self, Res>,
        ) -> &Self {
            request.payload()
        }

        fn sent_request<S: Service, Res: Payload + ?Sized>(
            pending: &version::PendingResponse<S, Self, Res>,
        ) -> &Self {
            pending.payload()
        }

        fn received_request<S: Service, Res: Payload + ?Sized>(
            active: &version::ActiveRequest<S, Self, Res>,
        ) -> &Self {
            active.payload()
        }

        fn loaned_response<S: Service>(response: &version::ResponseMut<S, Self>) -> &Self {
            response.payload()
        }

        fn received_response<S: Service>(response: &version::Response<S, Self>) -> &Self {
            response.payload()
        }
    };
}

fn allocation_strategy(strategy: Strategy) -> AllocationStrategy {
    match strategy {
        Strategy::Static => AllocationStrategy::Static,
        Strategy::BestFit => AllocationStrategy::BestFit,
        Strategy::PowerOfTwo => AllocationStrategy::PowerOfTwo,
    }
}

impl<E: Element> Payload for [E] {
    type Header = E::Header;

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(self)
    }

    fn elements(&self) -> usize {
        self.len()
    }

    fn first_not_default(&self) -> Option<usize> {
        let default = E::default();
        let default = bytemuck::bytes_of(&default);
        let bytes = self.bytes();
        // One comparison of all with the one before is faster than one of each with the default.
        let (before, after) = (bytes.len().saturating_sub(default.len()), default.len());
        if bytes.starts_with(default) && bytes[..before] == bytes[after..] {
            return None;
        }
        self.iter().position(|element| bytemuck::bytes_of(element) != default)
    }

    fn alignment() -> usize {
        align_of::<E>()
    }

    fn client_memory<S: Service, Res: Payload + ?Sized>(
        builder: version::ClientBuilder<'_, S, Self, Res>,
        memory: Memory,
    ) -> version::ClientBuilder<'_, S, Self, Res> {
        let builder = builder.initial_max_slice_len(memory.hint);
        match memory.strategy {
            Some(strategy) => builder.allocation_strategy(allocation_strategy(strategy)),
            None => builder,
        }
    }

    fn server_memory<S: Service, Req: Payload + ?Sized>(
        builder: version::ServerBuilder<'_, S, Req, Self>,
        memory: Memory,
    ) -> version::ServerBuilder<'_, S, Req, Self> {
        let builder = builder.initial_max_slice_len(memory.hint);
        match memory.strategy {
            Some(strategy) => builder.allocation_strategy(allocation_strategy(strategy)),
            None => builder,
        }
    }

    fn client_hint<S: Service, Res: Payload + ?Sized>(
        client: &version::Client<S, Self, Res>,
    ) -> usize {
        client.initial_max_slice_len()
    }

    fn server_hint<S: Service, Req: Payload + ?Sized>(
        server: &version::Server<S, Req, Self>,
    ) -> usize {
        server.initial_max_slice_len()
    }

    fn loan_request<S: Service, Res: Payload + ?Sized>(
        client: &version::Client<S, Self, Res>,
        wanted: Wanted,
    ) -> Loan<version::RequestMut<S, Self, Res>> {
        loan_slice!(client, wanted, Self::loaned_request)
    }

    fn loan_response<S: Service, Req: Payload + ?Sized>(
        active: &version::ActiveRequest<S, Req, Self>,
        wanted: Wanted,
    ) -> Loan<version::ResponseMut<S, Self>> {
        loan_slice!(active, wanted, Self::loaned_response)
    }

    open_receive_and_read!();
}

impl Payload for Value {
    type Header = <Self as Element>::Header;

    fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::bytes_of_mut(self)
    }

    fn elements(&self) -> usize {
        1
    }

    fn first_not_default(&self) -> Option<usize> {
        std::slice::from_ref(self).first_not_default()
    }

    fn alignment() -> usize {
        align_of::<Self>()
    }

    fn client_memory<S: Service, Res: Payload + ?Sized>(
        builder: version::ClientBuilder<'_, S, Self, Res>,
        _: Memory,
    ) -> version::ClientBuilder<'_, S, Self, Res> {
        builder
    }

    fn server_memory<S: Service, Req: Payload + ?Sized>(
        builder: version::ServerBuilder<'_, S, Req, Self>,
        _: Memory,
    ) -> version::ServerBuilder<'_, S, Req, Self> {
        builder
    }

    fn client_hint<S: Service, Res: Payload + ?Sized>(_: &version::Client<S, Self, Res>) -> usize {
        1
    }

    fn server_hint<S: Service, Req: Payload + ?Sized>(_: &version::Server<S, Req, Self>) -> usize {
        1
    }

    fn loan_request<S: Service, Res: Payload + ?Sized>(
        client: &version::Client<S, Self, Res>,
        wanted: Wanted,
    ) -> Loan<version::RequestMut<S, Self, Res>> {
        loan_value!(client, wanted, Self::loaned_request)
    }

    fn loan_response<S: Service, Req: Payload + ?Sized>(
        active: &version::ActiveRequest<S, Req, Self>,
        wanted: Wanted,
    ) -> Loan<version::ResponseMut<S, Self>> {
        loan_value!(active, wanted, Self::loaned_response)
    }

    open_receive_and_read!();
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;

    use super::*;
    use crate::actor::element::Triple;

    #[test]
    fn the_first_element_that_is_not_default_is_found_wherever_it_is() {
        let zeros = [Triple::default(); 5].map(|_| Triple::zeroed());
        assert_eq!(zeros.first_not_default(), Some(0), "all alike, and none as they have to be");
        let mut all = [Triple::default(); 5];
        assert_eq!(all.first_not_default(), None);
        assert_eq!(all[..0].first_not_default(), None);
        assert_eq!(all[..1].first_not_default(), None);
        for place in (0..all.len()).rev() {
            all[place] = Triple::zeroed();
            assert_eq!(all.first_not_default(), Some(place));
        }
        assert_eq!([0_u8, 0, 7, 0].first_not_default(), Some(2));
    }
}
