//! How much shared memory ports and their peers need.

use std::collections::BTreeSet;

use enumset::EnumSet;

use super::{Model, Port, Switch};
use crate::{actor::Key, payload::MessageId};

/// How many shared-memory objects may be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MostMapped {
    /// No more than this.
    pub most: usize,
    /// What known quirks make of it.
    pub tolerated: Option<(EnumSet<Switch>, usize)>,
}

impl Model {
    /// Most shared-memory objects that may be mapped while only messages from the newest
    /// segments exist and responses that were never read, summed over processes; `None` if
    /// others may linger.
    ///
    /// The promise names no number. The bound is what each object needs: a service has its list
    /// of ports, a static port one segment, a dynamic one what it grows into and what keeps count
    /// of it, each two ports that meet a connection for either direction. Responses that were
    /// never read are where they were written, and may be in the way of newer ones. Who has read
    /// nothing newer may keep what it read last.
    #[must_use]
    pub fn most_mapped_objects(&self) -> Option<MostMapped> {
        let ports = || self.clients.values().chain(self.servers.values());
        let lingers = self.in_flight.values().flatten().any(|request| request.orphan)
            || self.loaned_responses.values().any(|loan| !self.active.contains_key(&loan.active))
            || ports().any(|port| port.preallocated.is_some())
            // What is kept of a server that is gone goes with a receive.
            || self.outlived.iter().any(|&client| {
                self.clients.contains_key(&client)
                    && self.pending.values().all(|pending| pending.client != client)
            });
        let owners = self.participants.keys().copied().chain(ports().map(|port| port.participant));
        let processes: BTreeSet<Key> = match self.can_kill {
            true => owners.collect(),
            // They share one.
            false => owners.take(1).collect(),
        };
        let unread = self.unread.values().map(|unread| unread + 1).sum::<usize>()
            + self.in_flight.values().filter(|requests| !requests.is_empty()).count();
        let most = unread
            + processes.into_iter().map(|process| self.most_mapped_in(process)).sum::<usize>();
        let known = |quirk| self.quirks.contains(quirk);
        let forgotten = self.forgotten.values().map(BTreeSet::len).sum::<usize>();
        let unreleased = self.unreleased.values().sum::<usize>();
        let kept = [
            (
                Switch::DiscardedRequestKeepsMemory,
                self.unreturned.values().map(|kept| kept.objects).sum(),
            ),
            // A connection, and the one or two segments of the peer, for each.
            (Switch::GoneConnectionIsForgotten, 3 * forgotten),
            (Switch::GoneClientIsNeverForgotten, 3 * unreleased),
        ];
        let kept = || kept.iter().filter(|(quirk, count)| known(*quirk) && *count > 0);
        let count = kept().map(|(_, count)| count).sum::<usize>();
        let quirks: EnumSet<Switch> = kept().map(|(quirk, _)| *quirk).collect();
        let tolerated = (count > 0).then_some((quirks, most + count));
        (!lingers).then_some(MostMapped { most, tolerated })
    }

    /// The same in the process of one participant.
    fn most_mapped_in(&self, process: Key) -> usize {
        let is_here = |port: &Port| !self.can_kill || port.participant == process;
        let clients = self.clients.values().filter(|port| is_here(port)).count();
        let servers = self.servers.values().filter(|port| is_here(port)).count();
        let pairs = clients * self.servers.len() + servers * self.clients.len() - clients * servers;
        // Who has a port has mapped the memory of its peers as well. Of one that loses chunks each
        // segment has fewer than the one before, and so may be needed.
        let segments = |port: &Port| match port.strategy.is_dynamic() {
            true if port.loses_chunks => 3 + port.growths(),
            true => 2,
            false => 1,
        };
        let of_clients = self.clients.values().filter(|port| is_here(port) || servers > 0);
        let of_servers = self.servers.values().filter(|port| is_here(port) || clients > 0);
        let older = self.servers.iter().map(|(&key, server)| {
            self.older_segments(key, server, is_here(server), |client| {
                self.clients.get(&client).is_some_and(is_here)
            })
        });
        1 + of_clients.chain(of_servers).map(segments).sum::<usize>()
            + 2 * pairs
            + older.sum::<usize>()
    }

    /// Segments of a server beside one that its clients here may have, because they last read from
    /// them: an older one than the server has by now, or than each other.
    fn older_segments(
        &self,
        key: Key,
        server: &Port,
        is_here: bool,
        client_is_here: impl Fn(Key) -> bool,
    ) -> usize {
        let read =
            self.mapped.iter().filter(|((client, of), _)| *of == key && client_is_here(*client));
        let read = read.map(|(_, last)| server.growths_before(*last));
        let own = is_here.then_some(server.growths());
        read.chain(own).collect::<BTreeSet<_>>().len().saturating_sub(1)
    }
}

impl Port {
    /// Objects that these of its messages keep mapped in a process that does not let go of them
    /// once it is gone: a connection, the newest segment and those they are in, and what counts
    /// them.
    pub(super) fn objects_kept_by(&self, messages: impl Iterator<Item = MessageId>) -> usize {
        if !self.strategy.is_dynamic() {
            return 2;
        }
        // Each may be in a segment of its own where nobody knows when it grows.
        if self.loses_chunks {
            return 3 + messages.count();
        }
        let segments: BTreeSet<usize> = messages.map(|id| self.growths_before(id)).collect();
        3 + segments.range(..self.growths()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::ideal::tests::model_after,
        scenario::{OpenMode, Settings, Step, Strategy},
    };

    #[test]
    fn a_process_maps_what_its_own_ports_and_their_peers_need() {
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let client = |participant| Step::create_client(participant, Strategy::BestFit, 8);
        let server = Step::create_server(1, Strategy::Static, 8, 2);
        let form = Default::default();
        let asked =
            [Step::LoanRequest { client: 0, len: 8, form }, Step::SendRequest { request: 0 }];
        let read = [
            Step::ReceiveRequest { server: 0 },
            Step::DropActive { active: 0 },
            Step::DropPending { pending: 0 },
        ];
        let most = |steps: &[&[Step]], is_apart| {
            let steps = steps.concat();
            let mut model = model_after(Settings::default(), [].into(), &steps).expect("a model");
            model.allow_kills(is_apart);
            model.most_mapped_objects().expect("a bound").most
        };
        let joined: &[Step] = &[join, join, join];
        // The list of ports; the client has a segment and what counts them, the server one
        // segment, and there are two connections.
        let pair = [joined, &[client(0), server]].concat();
        assert_eq!([most(&[joined], false), most(&[joined], true)], [1, 3]);
        assert_eq!([most(&[&pair], false), most(&[&pair], true)], [6, 6 + 6 + 1]);
        // Clients of other processes are nothing to a client.
        for (process, apart) in [(0, 10 + 10 + 1), (2, 6 + 10 + 6)] {
            let second = [client(process)];
            assert_eq!(
                [most(&[&pair, &second], false), most(&[&pair, &second], true)],
                [10, apart]
            );
        }
        // Who has not read it yet may keep what it read before.
        assert_eq!(most(&[&pair, &asked], false), 7);
        assert_eq!(most(&[&pair, &asked, &read], false), 6);
    }

    #[test]
    fn who_has_read_nothing_newer_may_keep_the_segment_the_last_response_was_in() {
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let form = Default::default();
        let answer =
            |len| [Step::LoanResponse { active: 0, len, form }, Step::SendResponse { response: 0 }];
        let read = Step::ReceiveResponse { pending: 0 };
        let mut steps = vec![
            join,
            join,
            Step::create_client(0, Strategy::Static, 8),
            Step::create_server(1, Strategy::BestFit, 8, 1),
            Step::LoanRequest { client: 0, len: 8, form },
            Step::SendRequest { request: 0 },
            Step::ReceiveRequest { server: 0 },
        ];
        let mut most_after = |next: &[Step]| {
            steps.extend(next);
            [false, true].map(|is_apart| {
                let settings = Settings::default();
                let mut model = model_after(settings, [].into(), &steps).expect("a model");
                model.allow_kills(is_apart);
                model.most_mapped_objects().expect("a bound").most
            })
        };
        let [together, apart] = most_after(&answer(8));
        assert_eq!(most_after(&[read]), [together, apart]);
        // In a process of its own it has the old one in place of the new one.
        assert_eq!(most_after(&answer(9)), [together + 1, apart]);
        // Of those that read from two segments in the same process, one has another one.
        let other = [
            Step::CreateClient {
                participant: 0,
                strategy: Strategy::Static,
                hint: 8,
                preallocate: None,
                active: None,
            },
            Step::LoanRequest { client: 1, len: 8, form },
            Step::SendRequest { request: 0 },
            Step::ReceiveRequest { server: 0 },
            Step::LoanResponse { active: 1, len: 9, form },
            Step::SendResponse { response: 0 },
        ];
        let [together_before, apart_before] = most_after(&other);
        let newer = most_after(&[Step::ReceiveResponse { pending: 1 }]);
        assert_eq!(newer, [together_before, apart_before + 1]);
        assert_eq!(most_after(&[read]), [together_before - 1, apart_before]);
    }

    #[test]
    fn what_a_quirk_keeps_of_who_is_gone_are_as_many_segments_as_its_messages_may_be_in() {
        let form = Default::default();
        // Each is loaned after so many growths.
        let kept_of = |strategy, grown: &[usize]| {
            let mut steps = vec![
                Step::Join { how: OpenMode::OpenOrCreate, require: None },
                Step::create_server(0, Strategy::Static, 8, 1),
                Step::create_client(0, strategy, 8),
            ];
            let loan = |len| Step::LoanRequest { client: 0, len, form };
            let mut longest = 8;
            for growths in grown {
                for _ in 0..*growths {
                    longest += 1;
                    steps.extend([loan(longest), Step::DropRequest { request: 0 }]);
                }
                steps.extend([loan(8), Step::SendRequest { request: 0 }]);
            }
            let read = [Step::ReceiveRequest { server: 0 }, Step::DropActive { active: 0 }];
            let unread = grown.len();
            // One is held when the client goes.
            steps.extend(read.iter().take(usize::from(unread > 0)));
            steps.extend([Step::DropPending { pending: 0 }].repeat(unread));
            steps.push(Step::DropClient { client: 0 });
            steps.extend(read.iter().skip(1).take(usize::from(unread > 0)));
            steps.extend(read.repeat(unread.saturating_sub(1)));
            let known = [Switch::DiscardedRequestKeepsMemory, Switch::GoneClientLosesRequests];
            let settings = Settings { max_active_requests_per_client: 4, ..Settings::default() };
            let model = model_after(settings, known.into(), &steps).expect("a model");
            let MostMapped { most, tolerated } = model.most_mapped_objects().expect("a bound");
            tolerated.map(|(_, with_quirk)| with_quirk - most)
        };
        assert_eq!(kept_of(Strategy::Static, &[]), None);
        assert_eq!(kept_of(Strategy::Static, &[0, 0]), Some(2));
        assert_eq!(kept_of(Strategy::BestFit, &[0, 0]), Some(3));
        assert_eq!(kept_of(Strategy::BestFit, &[4, 0]), Some(3), "all in the newest");
        assert_eq!(kept_of(Strategy::BestFit, &[0, 4]), Some(4));
        assert_eq!(kept_of(Strategy::BestFit, &[0, 1, 0, 1]), Some(5));
    }
}
