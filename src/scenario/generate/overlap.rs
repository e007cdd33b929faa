//! Two participants who do something at the same time.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    super::{Moment, Nth, OpenMode, Scenario, Settings, Step},
    phrases::{
        coming_and_going, conversation, create_client, create_server, loan_request, release,
    },
    scenario,
    values::{form, index, length, settings},
};

/// Instructions of a send or a receive that connects to nobody, roughly.
const INSTRUCTIONS: u32 = 4_000;

pub(super) fn overlap() -> impl Strategy<Value = Scenario> {
    let several_nodes = || settings().prop_map(|s| Settings { max_nodes: s.max_nodes.max(2), ..s });
    let clients = vec(with_participant(0, create_client()), 1..3);
    let servers = vec(with_participant(1, create_server()), 1..3);
    let opening = (clients, servers, 2..4_usize).prop_map(|(clients, servers, participants)| {
        let ports = clients.into_iter().chain(servers);
        vec![joined(OpenMode::OpenOrCreate); participants].into_iter().chain(ports).collect()
    });
    let phrases =
        vec![(1, conversation()), (2, release()), (1, coming_and_going()), (6, meeting())];
    let with_ports = scenario(several_nodes(), opening, phrases, 5..30);
    let first =
        (manner(), joining(), joining()).prop_map(|(how, first, second)| met(how, [first, second]));
    let without = scenario(settings(), first, vec![(1, coming_or_going())], 1..6);
    prop_oneof![2 => with_ports, 1 => without]
}

fn joined(how: OpenMode) -> Step {
    Step::Join { how, require: None }
}

fn joining() -> impl Strategy<Value = Step> + Clone {
    let how = select(vec![
        OpenMode::OpenOrCreate,
        OpenMode::OpenOrCreate,
        OpenMode::Create,
        OpenMode::Open,
    ]);
    how.prop_map(joined)
}

/// Changes of files a step makes at most, roughly; `None` if it makes few or none.
fn changes(step: &Step) -> Option<u32> {
    match step {
        Step::Join { .. } => Some(28),
        Step::CreateClient { .. } | Step::CreateServer { .. } => Some(20),
        Step::Leave { .. } => Some(16),
        Step::DropClient { .. } | Step::DropServer { .. } => Some(6),
        _ => None,
    }
}

/// Where amid a step, of a thousand.
#[derive(Debug, Clone, Copy)]
struct Place {
    nth: u32,
    by_call: bool,
}

impl Place {
    /// Any change of a file, and now and then any look at one.
    fn of(self, step: &Step) -> Option<Moment> {
        let changes = changes(step)?;
        let nth = |all: u32| all * self.nth / 1000;
        // There are about two looks for each change.
        Some(if self.by_call {
            Moment::Call(nth(3 * changes))
        } else {
            Moment::Change(nth(changes))
        })
    }
}

fn place() -> impl Strategy<Value = Place> + Clone {
    (0..1000_u32, prop::bool::weighted(0.2)).prop_map(|(nth, by_call)| Place { nth, by_call })
}

/// How two steps meet, whichever they are.
type Manner = (Place, Option<Place>, (Moment, Option<Moment>));

fn manner() -> impl Strategy<Value = Manner> + Clone {
    (place(), option::weighted(0.5, place()), amid_traffic())
}

/// The steps, and before them how they meet.
fn met((at, then, in_traffic): Manner, steps: [Step; 2]) -> Vec<Step> {
    let [first, second] = steps;
    let at = at.of(&first).unwrap_or(in_traffic.0);
    let then = then.map(|then| then.of(&second).unwrap_or(in_traffic.1.unwrap_or(in_traffic.0)));
    vec![Step::HoldAmid { at, then }, first, second]
}

/// Moments amid what a message takes: a growth, a segment that is mapped, or nothing but
/// instructions.
fn amid_traffic() -> impl Strategy<Value = (Moment, Option<Moment>)> + Clone {
    let moment = || {
        prop_oneof![
            2 => (0..5_u32).prop_map(Moment::Change),
            3 => (0..INSTRUCTIONS / 4).prop_map(Moment::Instruction),
            1 => (0..INSTRUCTIONS).prop_map(Moment::Instruction),
        ]
    };
    (moment(), option::of(moment()))
}

/// Who comes meets who comes or goes.
fn coming_or_going() -> BoxedStrategy<Vec<Step>> {
    let leaving = || index().prop_map(|participant| Step::Leave { participant });
    let one = || prop_oneof![joining(), leaving()];
    prop_oneof![
        3 => (manner(), leaving(), joining()).prop_map(|(how, first, second)| met(how, [first, second])),
        3 => (manner(), one(), one()).prop_map(|(how, first, second)| met(how, [first, second])),
        1 => one().prop_map(|step| vec![step]),
    ]
    .boxed()
}

/// A step on the side of a client and one on the side of a server meet, or one of them and
/// somebody else's.
fn meeting() -> BoxedStrategy<Vec<Step>> {
    let coming = || joining().prop_map(|step| Side { step, ..Side::default() });
    let another = || {
        let ports = prop_oneof![create_client().boxed(), create_server().boxed()];
        with_participant(2, ports).prop_map(|step| Side { step, ..Side::default() })
    };
    let sides = prop_oneof![
        6 => (of_client(), of_server()),
        1 => (of_client(), another()),
        1 => (of_server(), another()),
        1 => (of_client(), coming()),
        1 => (coming(), of_server()),
    ];
    let others = prop::bool::weighted(0.2);
    let new_ports =
        (others, with_participant(0, create_client()), with_participant(1, create_server()))
            .prop_map(
                |(others, client, server)| if others { vec![client, server] } else { Vec::new() },
            );
    let let_go = any::<bool>().prop_map(|lets_go| {
        let all = vec![
            Step::DropActive { active: 0 },
            Step::DropPending { pending: 0 },
            Step::DropResponse { response: 0 },
        ];
        if lets_go { all } else { Vec::new() }
    });
    (new_ports, under_way(), manner(), sides, any::<bool>(), let_go)
        .prop_map(|(new_ports, mut under_way, how, (one, other), swapped, let_go)| {
            under_way.truncate(one.taken.max(other.taken));
            let mut steps = [one.step, other.step];
            if swapped && !asks(&steps[1]) || asks(&steps[0]) {
                steps.reverse();
            }
            [new_ports, under_way, one.more, other.more, met(how, steps), let_go].concat()
        })
        .boxed()
}

/// A step that may meet another one, and what there has to be for it.
#[derive(Debug, Clone)]
struct Side {
    /// Of [`under_way`], so many steps.
    taken: usize,
    /// These after them.
    more: Vec<Step>,
    step: Step,
}

impl Default for Side {
    fn default() -> Self {
        Self { taken: 0, more: Vec::new(), step: joined(OpenMode::OpenOrCreate) }
    }
}

/// A request that is loaned, sent, received and answered.
fn under_way() -> impl Strategy<Value = Vec<Step>> + Clone {
    (loan_request(), index(), length(), form()).prop_map(|(loan, server, len, form)| {
        vec![
            loan,
            Step::SendRequest { request: -1 },
            Step::ReceiveRequest { server },
            Step::LoanResponse { active: -1, len, form },
            Step::SendResponse { response: -1 },
            Step::ReceiveResponse { pending: -1 },
        ]
    })
}

/// Whether a step only asks: what it asks is not to change while it does.
fn asks(step: &Step) -> bool {
    matches!(
        step,
        Step::InspectPending { .. }
            | Step::InspectActive { .. }
            | Step::InspectServer { .. }
            | Step::InspectService { .. }
    )
}

/// A step that needs `taken` steps to have been taken, and `more`.
fn side(
    taken: usize,
    more: impl Strategy<Value = Vec<Step>> + Clone + 'static,
    step: impl Strategy<Value = Step> + Clone + 'static,
) -> BoxedStrategy<Side> {
    (more, step).prop_map(move |(more, step)| Side { taken, more, step }).boxed()
}

fn nothing() -> Just<Vec<Step>> {
    Just(Vec::new())
}

fn of_client() -> impl Strategy<Value = Side> {
    let loaned = || loan_request().prop_map(|loan| vec![loan]);
    prop_oneof![
        3 => side(0, nothing(), loan_request()),
        4 => side(0, loaned(), Just(Step::SendRequest { request: -1 })),
        4 => side(5, nothing(), Just(Step::ReceiveResponse { pending: -1 })),
        2 => side(3, nothing(), Just(Step::DropPending { pending: -1 })),
        1 => side(6, nothing(), Just(Step::DropResponse { response: -1 })),
        1 => side(2, nothing(), Just(Step::InspectPending { pending: -1 })),
        1 => side(0, nothing(), index().prop_map(|client| Step::UpdateClient { client })),
        2 => side(2, nothing(), index().prop_map(|client| Step::DropClient { client })),
        3 => side(0, nothing(), with_participant(0, create_client())),
        1 => side(0, nothing(), select(vec![Step::Leave { participant: 0 }, Step::InspectService { participant: 0 }])),
    ]
}

fn of_server() -> impl Strategy<Value = Side> {
    let loan = || {
        let loan = (length(), form());
        loan.prop_map(|(len, form)| Step::LoanResponse { active: -1, len, form })
    };
    let loaned = || loan().prop_map(|loan| vec![loan]);
    let sent = loan_request().prop_map(|loan| vec![loan, Step::SendRequest { request: -1 }]);
    let receive = || index().prop_map(|server| Step::ReceiveRequest { server });
    prop_oneof![
        2 => side(2, nothing(), receive()),
        2 => side(0, sent, receive()),
        3 => side(3, nothing(), loan()),
        4 => side(3, loaned(), Just(Step::SendResponse { response: -1 })),
        2 => side(3, nothing(), Just(Step::DropActive { active: -1 })),
        1 => side(3, loaned(), Just(Step::DropLoanedResponse { response: -1 })),
        1 => side(3, nothing(), Just(Step::InspectActive { active: -1 })),
        1 => side(0, nothing(), index().prop_map(|server| Step::InspectServer { server })),
        1 => side(0, nothing(), index().prop_map(|server| Step::UpdateServer { server })),
        2 => side(2, nothing(), index().prop_map(|server| Step::DropServer { server })),
        3 => side(0, nothing(), with_participant(1, create_server())),
        1 => side(0, nothing(), select(vec![Step::Leave { participant: 1 }, Step::InspectService { participant: 1 }])),
    ]
}

/// The same on behalf of this participant.
fn with_participant(
    nth: Nth,
    steps: impl Strategy<Value = Step> + Clone,
) -> impl Strategy<Value = Step> + Clone {
    steps.prop_map(move |mut step| {
        if let Some((_, participant)) = step.names() {
            *participant = nth;
        }
        step
    })
}
