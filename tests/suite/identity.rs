//! What names a service, a node, a port or a message: header types, names, and who
//! is listed where. A scenario has one service, opened once by each node, so these are tests of
//! their own.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use iceoryx2::{
    node::{NodeListFailure, NodeState, NodeView},
    prelude::*,
    service::{
        builder::request_response::Builder,
        port_factory::request_response,
        static_config::message_type_details::{MessageTypeDetails, TypeDetail, TypeVariant},
    },
};
use iox2_gauntlet::{
    actor::config_file,
    sandbox::{Leftover, Sandbox, exposure::Exposure},
};

use crate::across_processes::assert_nothing_left;

type Factory<S> = request_response::PortFactory<S, [u8], (), [u8], ()>;

fn go_on(wants_more: bool) -> CallbackProgression {
    if wants_more { CallbackProgression::Continue } else { CallbackProgression::Stop }
}

pub(crate) struct Domain {
    pub(crate) sandbox: Sandbox,
    pub(crate) config: Config,
}

impl Domain {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new().unwrap();
        let path = sandbox.write_config("identity", "").unwrap();
        let config = config_file::load(&path).unwrap().config;
        Self { sandbox, config }
    }

    pub(crate) fn node<S: Service>(&self, name: &str) -> Node<S> {
        let name = NodeName::new(name).unwrap();
        NodeBuilder::new().config(&self.config).name(&name).create::<S>().unwrap()
    }

    /// Names of the services that are listed, up to as many.
    pub(crate) fn services<S: Service>(&self, up_to: usize) -> Vec<String> {
        let mut names = Vec::new();
        S::list(&self.config, |details| {
            names.push(details.static_details.name().to_string());
            go_on(names.len() < up_to)
        })
        .unwrap();
        names.sort();
        names
    }

    /// What is there, in `/dev/shm` and below the root.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let leftovers = self.sandbox.census().unwrap().leftovers;
        let paths = leftovers.into_iter().filter_map(|leftover| match leftover {
            Leftover::SharedMemory(name) => Some(Path::new("/dev/shm").join(name)),
            Leftover::File(name) => Some(self.sandbox.root().join(name)),
            Leftover::Descriptor(_) | Leftover::Mapping(_) => None,
        });
        paths.collect()
    }

    pub(crate) fn close(self) {
        assert_nothing_left(&self.sandbox);
    }
}

pub(crate) fn builder<S: Service>(node: &Node<S>, name: &str) -> Builder<[u8], (), [u8], (), S> {
    node.service_builder(&ServiceName::new(name).unwrap()).request_response::<[u8], [u8]>()
}

#[track_caller]
pub(crate) fn assert_refused<T, E: Debug>(result: Result<T, E>, error: &str) {
    match result {
        Ok(_) => panic!("expected {error}"),
        Err(refused) => assert!(format!("{refused:?}").contains(error), "{refused:?}"),
    }
}

/// Names of the nodes that are alive, up to as many, of those that `list` calls back for.
fn names<S: Service>(
    up_to: usize,
    list: impl FnOnce(
        &mut dyn FnMut(NodeState<S>) -> CallbackProgression,
    ) -> Result<(), NodeListFailure>,
) -> Vec<String> {
    let mut names = Vec::new();
    list(&mut |state| {
        if let NodeState::Alive(node) = &state {
            let name = node.details().as_ref().map(|details| details.name().to_string());
            names.push(name.unwrap_or_default());
        }
        go_on(names.len() < up_to)
    })
    .unwrap();
    names.sort();
    names
}

/// Names of the nodes that have opened a service, up to as many.
fn nodes_of<S: Service>(service: &Factory<S>, up_to: usize) -> Vec<String> {
    names(up_to, |callback| service.nodes(callback))
}

fn lists_end_where_the_callback_says_so<S: Service>() {
    let domain = Domain::new();
    let nodes: Vec<Node<S>> = ["one", "three", "two"].map(|name| domain.node(name)).into();
    let services = ["a", "a/b", "ab"].map(|name| builder(&nodes[0], name).create().unwrap());
    assert_eq!(domain.services::<S>(usize::MAX), ["a", "a/b", "ab"]);
    assert_eq!(domain.services::<S>(2).len(), 2);
    let opened: Vec<_> =
        nodes[1..].iter().map(|node| builder(node, "a/b").open().unwrap()).collect();
    assert_eq!(nodes_of(&services[1], usize::MAX), ["one", "three", "two"]);
    assert_eq!(nodes_of(&services[1], 1).len(), 1);
    assert_eq!(nodes_of(&services[0], usize::MAX), ["one"]);
    let list = |up_to| names(up_to, |callback| Node::<S>::list(&domain.config, callback));
    assert_eq!(list(usize::MAX), ["one", "three", "two"]);
    assert_eq!(list(1).len(), 1);
    drop((opened, services, nodes));
    domain.close();
}

#[test]
fn lists_end_where_the_callback_says_so_ipc() {
    lists_end_where_the_callback_says_so::<ipc::Service>();
}

#[test]
fn lists_end_where_the_callback_says_so_local() {
    lists_end_where_the_callback_says_so::<local::Service>();
}

/// The prefix tells domains apart that share a directory.
fn a_service_of_another_prefix_is_another_one<S: Service>() {
    let domain = Domain::new();
    let mut config = domain.config.clone();
    let prefix = format!("{}other_", config.global.prefix);
    config.global.prefix = FileName::new(prefix.as_bytes()).unwrap();
    let other = Domain { sandbox: Sandbox::new().unwrap(), config };
    let name = ServiceName::new("same").unwrap();
    let exists = |domain: &Domain| {
        S::does_exist(&name, &domain.config, MessagingPattern::RequestResponse).unwrap()
    };
    let node = domain.node::<S>("here");
    let service = builder(&node, "same").max_clients(3).create().unwrap();
    assert_eq!((exists(&domain), exists(&other)), (true, false));
    assert_eq!(other.services::<S>(usize::MAX), [""; 0]);

    let other_node = other.node::<S>("there");
    assert_refused(builder(&other_node, "same").open(), "DoesNotExist");
    let other_service = builder(&other_node, "same").max_clients(5).create().unwrap();
    let limits = [&service, &other_service].map(|service| service.static_config().max_clients());
    assert_eq!(limits, [3, 5]);
    assert_eq!(names(usize::MAX, |callback| Node::<S>::list(&other.config, callback)), ["there"]);
    let client = service.client_builder().initial_max_slice_len(8).create().unwrap();
    let server = other_service.server_builder().create().unwrap();
    assert_eq!(client.loan_slice(8).unwrap().send().unwrap().number_of_server_connections(), 0);
    drop((service, node));
    drop(client);
    assert_eq!((exists(&domain), exists(&other)), (false, true));
    drop((server, other_service, other_node));
    assert!(!exists(&other));
    other.close();
    domain.close();
}

#[test]
fn a_service_of_another_prefix_is_another_one_ipc() {
    a_service_of_another_prefix_is_another_one::<ipc::Service>();
}

#[test]
fn a_service_of_another_prefix_is_another_one_local() {
    a_service_of_another_prefix_is_another_one::<local::Service>();
}

/// Each handle of a node counts: the service is in use until the last is dropped.
fn a_node_may_open_a_service_again<S: Service>() {
    let domain = Domain::new();
    let node = domain.node::<S>("twice");
    let first = builder(&node, "twice").create().unwrap();
    let second = builder(&node, "twice").open().unwrap();
    let third = builder(&node, "twice").open_or_create().unwrap();
    let client = first.client_builder().initial_max_slice_len(64).create().unwrap();
    let server = second.server_builder().initial_max_slice_len(64).create().unwrap();
    for handle in [first, second] {
        drop(handle);
        assert_eq!(domain.services::<S>(usize::MAX), ["twice"]);
        assert_eq!(nodes_of(&third, usize::MAX), ["twice"]);
        let pending = client.loan_slice(64).unwrap().send().unwrap();
        assert_eq!(server.receive().unwrap().expect("the request").payload().len(), 64);
        drop(pending);
        let other = domain.node::<S>("other");
        let opened = builder(&other, "twice").open().unwrap();
        assert_eq!(nodes_of(&opened, usize::MAX), ["other", "twice"]);
    }
    drop(third);
    // The ports are still there.
    let name = ServiceName::new("twice").unwrap();
    let exists =
        || S::does_exist(&name, &domain.config, MessagingPattern::RequestResponse).unwrap();
    assert!(exists());
    drop((client, server));
    assert!(!exists());
    drop(node);
    domain.close();
}

#[test]
fn a_node_may_open_a_service_again_ipc() {
    a_node_may_open_a_service_again::<ipc::Service>();
}

#[test]
fn a_node_may_open_a_service_again_local() {
    a_node_may_open_a_service_again::<local::Service>();
}

#[test]
fn ports_are_listed_with_their_names() {
    let domain = Domain::new();
    let node = domain.node::<ipc::Service>("names");
    let service = builder(&node, "names").max_clients(2).max_servers(2).create().unwrap();
    let name = |text: &str| PortName::new(text).unwrap();
    let client = service.client_builder().name(&name("asks")).create().unwrap();
    let server = service.server_builder().name(&name("answers")).create().unwrap();
    let (nameless_client, nameless_server) =
        (service.client_builder().create().unwrap(), service.server_builder().create().unwrap());
    assert_eq!((client.name().as_str(), server.name().as_str()), ("asks", "answers"));
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    service.dynamic_config().list_clients(|details| {
        clients.push((details.client_name.to_string(), details.client_id));
        CallbackProgression::Continue
    });
    service.dynamic_config().list_servers(|details| {
        servers.push((details.server_name.to_string(), details.server_id));
        CallbackProgression::Continue
    });
    let (mut first_clients, mut first_servers) = (0, 0);
    service.dynamic_config().list_clients(|_| {
        first_clients += 1;
        CallbackProgression::Stop
    });
    service.dynamic_config().list_servers(|_| {
        first_servers += 1;
        CallbackProgression::Stop
    });
    assert_eq!((first_clients, first_servers), (1, 1), "the lists end where the callback says so");
    clients.sort_by(|one, other| one.0.cmp(&other.0));
    servers.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(clients, [(String::new(), nameless_client.id()), ("asks".to_owned(), client.id())]);
    assert_eq!(
        servers,
        [(String::new(), nameless_server.id()), ("answers".to_owned(), server.id())]
    );
    drop((client, server, nameless_client, nameless_server, service, node));
    domain.close();
}

/// "`dev_permissions` - The permissions of all resources will be set to read, write, execute for
/// everyone" (iceoryx2's `lib.rs`), which it is without here; and a port maps what others loaned
/// to read it.
#[test]
fn what_is_there_is_not_for_everyone_and_is_written_by_who_loans_it() {
    let domain = Domain::new();
    let node = domain.node::<ipc::Service>("one");
    let service = builder(&node, "a").create().unwrap();
    let dynamic = AllocationStrategy::BestFit;
    let server = service.server_builder().allocation_strategy(dynamic).create().unwrap();
    let client = service.client_builder().allocation_strategy(dynamic).create().unwrap();
    let mut held = Vec::new();
    for len in [1, 100, 10_000] {
        let pending = client.loan_slice(len).unwrap().send().unwrap();
        let active = server.receive().unwrap().unwrap();
        active.loan_slice(10 * len).unwrap().send().unwrap();
        held.push((pending.receive().unwrap().unwrap(), active, pending));
    }
    for path in domain.files() {
        let metadata = fs::metadata(&path).unwrap();
        let unwanted = if metadata.is_dir() { 0o007 } else { 0o177 };
        let mode = metadata.permissions().mode();
        assert_eq!(mode & unwanted, 0, "{} has the permissions {mode:o}", path.display());
    }
    let (prefix, root) = (domain.sandbox.prefix(), domain.sandbox.root());
    let exposure = Exposure::of_domain(prefix, &root, ".data").unwrap().unwrap();
    let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    let Exposure { read, written, .. } = &exposure;
    assert!(written.len() >= 6, "three of either port: {exposure:?}");
    assert_eq!((sorted(written), written.len()), (sorted(read), read.len()));
    assert_eq!(sorted(written).len(), written.len(), "each has one who writes: {exposure:?}");
    drop((held, server, client, service, node));
    domain.close();
}

/// Whatever else somebody keeps beside iceoryx2's files, under names that look like them, is not a
/// node nor a service, and in nobody's way.
#[test]
fn files_of_others_are_neither_nodes_nor_services() {
    let domain = Domain::new();
    let node = domain.node::<ipc::Service>("one");
    let service = builder(&node, "a").create().unwrap();
    let server = service.server_builder().create().unwrap();
    let client = service.client_builder().create().unwrap();
    let mut strangers = BTreeSet::new();
    for path in domain.files() {
        // The directory of a node has none.
        let Some(suffix) = path.extension().and_then(|suffix| suffix.to_str()) else { continue };
        let name = format!("{}backup.{suffix}", domain.sandbox.prefix());
        strangers.insert(path.with_file_name(name));
    }
    assert!(strangers.len() >= 5, "{strangers:?}");
    strangers.iter().for_each(|path| fs::write(path, "not of iceoryx2").unwrap());

    let list =
        || names(usize::MAX, |callback| Node::<ipc::Service>::list(&domain.config, callback));
    assert_eq!(list(), ["one"]);
    assert_eq!(domain.services::<ipc::Service>(usize::MAX), ["a"]);
    let other = domain.node::<ipc::Service>("two");
    let opened = builder(&other, "a").open().unwrap();
    assert_eq!(nodes_of(&opened, usize::MAX), ["one", "two"]);
    let pending = client.loan_slice(1).unwrap().send().unwrap();
    assert!(server.receive().unwrap().is_some());
    drop((pending, server, client, opened, service, other, node));
    strangers.iter().for_each(|path| fs::remove_file(path).unwrap());
    domain.close();
}

/// "Returns a list of all services created under a given `Config`" (`Service::list`): whichever of
/// them is no longer to be read, and wherever it comes, the others are.
#[test]
fn a_service_that_cannot_be_read_hides_no_other() {
    let domain = Domain::new();
    let node = domain.node::<ipc::Service>("one");
    let all = ["a", "b", "c", "d"];
    let services: Vec<_> = all.iter().map(|name| builder(&node, name).create().unwrap()).collect();
    let mut hidden: BTreeSet<&str> = BTreeSet::new();
    for path in domain.files() {
        if path.extension().is_none_or(|suffix| suffix != "service") {
            continue;
        }
        let aside = domain.sandbox.dir().join("aside");
        fs::rename(&path, &aside).unwrap();
        fs::write(&path, "not of iceoryx2").unwrap();
        fs::set_permissions(&path, fs::metadata(&aside).unwrap().permissions()).unwrap();
        let listed = domain.services::<ipc::Service>(usize::MAX);
        fs::rename(&aside, &path).unwrap();
        let is_missing = |name: &&str| !listed.contains(&(*name).to_owned());
        let missing: Vec<&str> = all.iter().copied().filter(is_missing).collect();
        assert_eq!((listed.len(), missing.len()), (all.len() - 1, 1), "{listed:?}");
        hidden.extend(missing);
    }
    assert_eq!(hidden.len(), all.len(), "each has been the one");
    assert_eq!(domain.services::<ipc::Service>(usize::MAX), all);
    drop((services, node));
    domain.close();
}

#[test]
fn message_headers_name_the_node_and_the_port_of_their_sender() {
    let domain = Domain::new();
    let (asking, answering) =
        (domain.node::<ipc::Service>("asks"), domain.node::<ipc::Service>("answers"));
    let service = builder(&asking, "headers").create().unwrap();
    let opened = builder(&answering, "headers").open().unwrap();
    let client = service.client_builder().initial_max_slice_len(9).create().unwrap();
    let server = opened
        .server_builder()
        .initial_max_slice_len(1)
        .allocation_strategy(AllocationStrategy::PowerOfTwo)
        .create()
        .unwrap();
    for len in [1, 9, 5] {
        let pending = client.loan_slice(len).unwrap().send().unwrap();
        let active = server.receive().unwrap().expect("the request");
        assert_eq!(active.header().node_id(), *asking.id());
        assert_eq!(active.header().client_id(), client.id());
        assert_eq!(active.header().number_of_elements(), len as u64);
        let loan = active.loan_slice(100 * len).unwrap();
        assert_eq!(loan.header().node_id(), *answering.id());
        loan.send().unwrap();
        let response = pending.receive().unwrap().expect("the response");
        assert_eq!(response.header().node_id(), *answering.id());
        assert_eq!(response.header().server_id(), server.id());
        assert_eq!(response.header().number_of_elements(), 100 * len as u64);
    }
    drop((client, server, service, opened, asking, answering));
    domain.close();
}

/// Of the same size and alignment, and a type of its own.
#[test]
fn user_headers_are_part_of_the_type_of_a_service() {
    const REFUSED: &str = "IncompatibleRequestOrResponseType";
    let domain = Domain::new();
    let node = domain.node::<ipc::Service>("types");
    let other = domain.node::<ipc::Service>("other");
    let service = builder(&node, "types")
        .request_user_header::<u64>()
        .response_user_header::<[u32; 2]>()
        .create()
        .unwrap();
    let open = || builder(&other, "types");
    assert_refused(open().open(), REFUSED);
    assert_refused(open().request_user_header::<u64>().open(), REFUSED);
    assert_refused(open().response_user_header::<[u32; 2]>().open(), REFUSED);
    let foreign_request = open().request_user_header::<i64>();
    assert_refused(foreign_request.response_user_header::<[u32; 2]>().open(), REFUSED);
    let foreign_response = open().request_user_header::<u64>();
    assert_refused(foreign_response.response_user_header::<[i32; 2]>().open(), REFUSED);
    let same = open().request_user_header::<u64>().response_user_header::<[u32; 2]>();
    let opened = same.open().unwrap();
    drop((opened, service, node, other));
    domain.close();
}

/// "If the Payload Alignment is greater than the provided Alignment then the Payload Alignment is
/// used" (`request_payload_alignment` and `response_payload_alignment`, `service/builder/
/// request_response.rs`).
#[test]
fn a_service_says_what_its_messages_are_made_of_and_how_they_are_aligned() {
    let domain = Domain::new();
    let node = domain.node::<ipc::Service>("types");
    let name = ServiceName::new("types").unwrap();
    let alignments = [1, 2, 8, 64, 4096];
    for (of_requests, of_responses) in
        alignments.into_iter().flat_map(|a| alignments.map(|other| (a, other)))
    {
        let service = node
            .service_builder(&name)
            .request_response::<[u32], u64>()
            .request_user_header::<[u16; 3]>()
            .response_user_header::<[u8; 3]>()
            .request_payload_alignment(Alignment::new(of_requests).unwrap())
            .response_payload_alignment(Alignment::new(of_responses).unwrap())
            .create()
            .unwrap();
        let config = service.static_config();
        let of = |details: &MessageTypeDetails| {
            let described = |part: &TypeDetail| (part.variant(), part.size(), part.alignment());
            (described(&details.payload), described(&details.user_header))
        };
        assert_eq!(
            of(config.request_message_type_details()),
            (
                (TypeVariant::Dynamic, 4, of_requests.max(4)),
                (TypeVariant::FixedSize, 6, align_of::<u16>())
            )
        );
        assert_eq!(
            of(config.response_message_type_details()),
            ((TypeVariant::FixedSize, 8, of_responses.max(8)), (TypeVariant::FixedSize, 3, 1))
        );
    }
    drop(node);
    domain.close();
}
