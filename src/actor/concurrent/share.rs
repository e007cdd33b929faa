//! Which service variants let threads share ports and hand messages to each other.

use std::{
    sync::mpsc::{TryRecvError, channel},
    thread,
};

use iceoryx2::prelude::*;

use super::Event;
use crate::actor::{message::Payload, version};

/// What each thread does with a port they share.
pub type Work<'a, Port> = &'a (dyn Fn(&Port, usize) -> Vec<Event> + Sync);

/// Where messages are handed to be dropped.
type Aside<'a, T> = &'a mut dyn FnMut(T);
type LoanAside<'a, S, Res> = Aside<'a, version::ResponseMut<S, Res>>;

/// A service variant: whether threads may share its ports.
pub trait Share: Service {
    /// Whether more than one thread can have a port.
    const SHARES: bool;

    /// Lets so many threads work with a client at the same time if they may share it, else one;
    /// what came of each.
    fn share_client<Req: Payload + ?Sized, Res: Payload + ?Sized>(
        client: &version::Client<Self, Req, Res>,
        threads: usize,
        work: Work<'_, version::Client<Self, Req, Res>>,
    ) -> Vec<Vec<Event>>;

    /// The same with a server.
    fn share_server<Req: Payload + ?Sized, Res: Payload + ?Sized>(
        server: &version::Server<Self, Req, Res>,
        threads: usize,
        work: Work<'_, version::Server<Self, Req, Res>>,
    ) -> Vec<Vec<Event>>;

    /// The same with a node.
    fn share_node(node: &Node<Self>, threads: usize, work: Work<'_, Node<Self>>)
    -> Vec<Vec<Event>>;

    /// Lets `work` hand loaned responses to a thread that drops them at the same time; where no
    /// thread may have them they are dropped at once. All are gone when this returns.
    fn drop_aside<Res: Payload + ?Sized>(work: &mut dyn FnMut(LoanAside<'_, Self, Res>));
}

macro_rules! share {
    ($service:ty, $shares:literal, $share:ident, $drop:ident) => {
        impl Share for $service {
            const SHARES: bool = $shares;

            fn share_client<Req: Payload + ?Sized, Res: Payload + ?Sized>(
                client: &version::Client<Self, Req, Res>,
                threads: usize,
                work: Work<'_, version::Client<Self, Req, Res>>,
            ) -> Vec<Vec<Event>> {
                $share(client, threads, work)
            }

            fn share_server<Req: Payload + ?Sized, Res: Payload + ?Sized>(
                server: &version::Server<Self, Req, Res>,
                threads: usize,
                work: Work<'_, version::Server<Self, Req, Res>>,
            ) -> Vec<Vec<Event>> {
                $share(server, threads, work)
            }

            fn share_node(
                node: &Node<Self>,
                threads: usize,
                work: Work<'_, Node<Self>>,
            ) -> Vec<Vec<Event>> {
                $share(node, threads, work)
            }

            fn drop_aside<Res: Payload + ?Sized>(work: &mut dyn FnMut(LoanAside<'_, Self, Res>)) {
                $drop(work);
            }
        }
    };
}

fn alone<Port>(port: &Port, _: usize, work: Work<'_, Port>) -> Vec<Vec<Event>> {
    vec![work(port, 0)]
}

share!(ipc::Service, false, alone, drop_here);
share!(local::Service, false, alone, drop_here);
share!(ipc_threadsafe::Service, true, together, drop_there);
share!(local_threadsafe::Service, true, together, drop_there);

fn drop_here<T>(work: &mut dyn FnMut(Aside<'_, T>)) {
    work(&mut drop);
}

fn drop_there<T: Send>(work: &mut dyn FnMut(Aside<'_, T>)) {
    let (there, received) = channel::<T>();
    thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                // Looks all the time: whoever has to be woken comes when it is over.
                match received.try_recv() {
                    Ok(message) => drop(message),
                    Err(TryRecvError::Empty) => thread::yield_now(),
                    Err(TryRecvError::Disconnected) => break,
                }
            }
        });
        work(&mut |message| drop(there.send(message)));
        drop(there);
    });
}

fn together<Port: Sync>(port: &Port, threads: usize, work: Work<'_, Port>) -> Vec<Vec<Event>> {
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|n| scope.spawn(move || work(port, n))).collect();
        let own = work(port, 0);
        // A panic of a sibling goes on in this thread, whose end is watched.
        let join = |other: thread::ScopedJoinHandle<'_, Vec<Event>>| {
            other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        [own].into_iter().chain(others.into_iter().map(join)).collect()
    })
}
