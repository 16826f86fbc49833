//! Runs that are held, in every way in which a run comes to be: the worlds from which a person's orders start.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use mastopatch::domain::event::MigrationClass;
use mastopatch::domain::plan::{Method, Plan};
use serde_json::json;

use super::fault::{Fault, Schedule, When};
use super::fixture::fixture;
use super::journal::Harm;
use super::process::{carry_through, first_process};
use super::stranger::Deed;
use super::world::{Made, Place, World};
use mastopatch::domain::event::Step;
use mastopatch::ports::runtime::ContainerSpec;

/// Where a run came to be held, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HeldAt {
    /// Behind the commit, before anybody was let in: somebody holds the port.
    Opening,
    /// Behind the commit, and the new version serves: what is old cannot be removed.
    Finalising,
    /// Behind the commit, the new version serves, and the old containers are gone already.
    Emptied,
    /// On the way back, after the data are back: somebody holds the port.
    WayBack,
    /// On the way back, before anything is taken back: somebody started the old version behind the fence.
    OldStarted,
    /// The journal is lost after the commit, before it shows that anybody was let in.
    JournalLost,
}

impl HeldAt {
    pub(crate) const ALL: [Self; 6] = [
        Self::Opening,
        Self::Finalising,
        Self::Emptied,
        Self::WayBack,
        Self::OldStarted,
        Self::JournalLost,
    ];
}

/// The world of a run that is held; made once. `None` where a run of this class is not held by that.
pub(crate) fn held(at: HeldAt, class: MigrationClass, method: Method) -> Option<&'static World> {
    type Made = BTreeMap<(HeldAt, MigrationClass, &'static str), Option<&'static World>>;
    static MADE: OnceLock<Mutex<Made>> = OnceLock::new();
    let mut made = MADE
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *made
        .entry((at, class, method.name()))
        .or_insert_with(|| make(at, class, method).map(|world| &*Box::leak(Box::new(world))))
}

fn make(at: HeldAt, class: MigrationClass, method: Method) -> Option<World> {
    let start = fixture(class, method);
    let mut world = start.world.clone();
    let plan = &start.plan;
    world = match at {
        HeldAt::Opening | HeldAt::WayBack => {
            let when = if at == HeldAt::Opening {
                When::After
            } else {
                When::Before
            };
            let commit = call(&world, plan, |made| made.call.name == "journal: commit");
            world.schedule = Schedule::from([(commit, Fault::Kill(when))]).into();
            let mut world = first_process(world, plan.clone());
            take_port(&mut world);
            let mut world = carry_through(world, None).world;
            world.remove(HOLDS_PORT);
            world
        }
        HeldAt::Finalising | HeldAt::Emptied => {
            let name = if at == HeldAt::Finalising {
                "remove"
            } else {
                "untag"
            };
            for _ in 0..3 {
                let next = call(&world, plan, |made| {
                    made.place == Place::Step(Step::Finalise)
                        && made.call.name == name
                        && !world.schedule.contains_key(&made.number)
                });
                let mut schedule = (*world.schedule).clone();
                schedule.insert(next, Fault::Error);
                world.schedule = schedule.into();
            }
            carry_through(world, Some(plan.clone())).world
        }
        HeldAt::OldStarted => {
            let verify = call(&world, plan, |made| {
                made.place == Place::Step(Step::Verify) && made.call.name == "probe"
            });
            let deed = Fault::Stranger(Deed::StartsOld);
            world.schedule = Schedule::from([(verify, deed)]).into();
            carry_through(world, Some(plan.clone())).world
        }
        HeldAt::JournalLost => {
            let commit = call(&world, plan, |made| made.call.name == "journal: commit");
            world.schedule = Schedule::from([(commit, Fault::Kill(When::After))]).into();
            world.harm = Some(Harm::Lost);
            carry_through(world, Some(plan.clone())).world
        }
    };
    assert_eq!(world.violation, None, "{at:?} {class:?} {method:?}");
    if !world.state.is_held() {
        return None;
    }
    // What is counted is counted from here on.
    world.schedule = Schedule::new().into();
    world.calls = 0;
    world.n_faults = 0;
    world.ever_refused = false;
    Some(world)
}

/// The first call of a run in this world that is one of those.
fn call(world: &World, plan: &Plan, is_it: impl Fn(&Made) -> bool) -> u32 {
    let mut world = world.clone();
    world.made = Some(Vec::new());
    let made = carry_through(world, Some(plan.clone())).world.made;
    let made = made.unwrap_or_default();
    made.iter().find(|made| is_it(made)).expect("a call").number
}

const HOLDS_PORT: &str = "somebodys-web";

/// Somebody starts something on web's port.
fn take_port(world: &mut World) {
    let spec = ContainerSpec {
        body: json!({
            "Image": "redis:7", "Cmd": ["sleep"],
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "3000"}]}},
            "NetworkingConfig": {"EndpointsConfig": {"mastodon_external": {}}},
        }),
        more_networks: Vec::new(),
    };
    let id = world.create(HOLDS_PORT, &spec, true).expect("a container");
    world.start(&id).expect("a free port");
}
