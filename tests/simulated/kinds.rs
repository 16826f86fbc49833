//! What every kind of mutating activity has to stand, whatever it does: every fault at every call, an error at every call,
//! everything done twice, every way back taken twice. A kind says only from which worlds it starts, and how it ends there.

use std::collections::BTreeMap;

use mastopatch::domain::event::{MigrationClass, Order};
use mastopatch::domain::plan::{Method, original_database};

use crate::case::{Case, Tally, Went};
use crate::sim::fault::{Fault, When};
use crate::sim::files::SNAPSHOTS;
use crate::sim::fixture::TAKEN_BACK;
use crate::sim::held::{HeldAt, held};
use crate::sim::outcome::Verdict;
use crate::sim::world::{LIVE, Made, Phase, Place, Target, World};

/// Runs of one kind in the test of all faults, at the most.
const RUNS_MAX: usize = 800;
const CLASSES: [MigrationClass; 3] = [MigrationClass::M0, MigrationClass::M1, MigrationClass::M2];

fn classes_and_methods() -> impl Iterator<Item = (MigrationClass, Method)> {
    let methods = [Method::Logical, Method::Clone, Method::Physical];
    CLASSES
        .into_iter()
        .flat_map(move |class| methods.map(|method| (class, method)))
}

/// Everything that changes an instance. One that is added has to be given its row in [`Activity::next`] and
/// [`Activity::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Update,
    TakeBack,
    Order(Order),
}

impl Activity {
    fn next(self) -> Option<Self> {
        match self {
            Self::Update => Some(Self::TakeBack),
            Self::TakeBack => Some(Self::Order(Order::Resume)),
            Self::Order(Order::Resume) => Some(Self::Order(Order::Rollback)),
            Self::Order(Order::Rollback) => Some(Self::Order(Order::Release)),
            Self::Order(Order::Release) => None,
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        std::iter::successors(Some(Self::Update), |activity| activity.next())
    }

    fn kind(self) -> Box<dyn Kind> {
        match self {
            Self::Update => Box::new(Update),
            Self::TakeBack => Box::new(TakeBack),
            Self::Order(order) => Box::new(Ordered(order)),
        }
    }
}

/// A kind of activity.
trait Kind {
    /// Its runs without a fault, and how each ends.
    fn runs(&self) -> Vec<(Case, Verdict)>;

    /// How a run may end that was interrupted once; `ends` is how it ends without.
    fn may_end(&self, ends: Verdict) -> Vec<Verdict>;

    /// What has to hold beside all old, all new or held.
    fn is_right(&self, _went: &Went, _case: &Case) -> Result<(), String> {
        Ok(())
    }
}

/// An update, to a good and to a bad target.
struct Update;

impl Kind for Update {
    fn runs(&self) -> Vec<(Case, Verdict)> {
        let mut runs = Vec::new();
        for (class, method) in classes_and_methods() {
            for (target, ends) in [
                (Target::Good, Verdict::Committed),
                (Target::Unhealthy, Verdict::RolledBack),
            ] {
                let case = Case::update(class, target);
                runs.push((Case { method, ..case }, ends));
            }
        }
        runs
    }

    fn may_end(&self, ends: Verdict) -> Vec<Verdict> {
        let back = [Verdict::NotBegun, Verdict::Aborted, Verdict::RolledBack];
        back.into_iter().chain([ends]).collect()
    }
}

/// An update that went well is taken back, with its data where the old code cannot use those of now; the old version starts,
/// or does not. And the data of a snapshot are put in where the version stays.
struct TakeBack;

impl Kind for TakeBack {
    fn runs(&self) -> Vec<(Case, Verdict)> {
        let mut runs = Vec::new();
        for (class, method) in classes_and_methods() {
            for (target, ends) in [
                (Target::Good, Verdict::Committed),
                // Without data it changes only the version, and a switch is a change.
                (Target::Unhealthy, Verdict::RolledBack),
            ] {
                runs.push((Case::take_back(class, method, target), ends));
            }
        }
        runs.push((Case::restore_data(), Verdict::Committed));
        runs
    }

    fn may_end(&self, ends: Verdict) -> Vec<Verdict> {
        Update.may_end(ends)
    }

    fn is_right(&self, went: &Went, case: &Case) -> Result<(), String> {
        let begins = case.begins();
        let (now, was) = (&went.world, &begins.databases[LIVE]);
        if went.verdict != Ok(Verdict::Committed) || case.class != MigrationClass::M2 {
            return Ok(());
        }
        let lost = now.acknowledged.iter();
        let n_lost = lost
            .filter(|post| !now.databases[LIVE].posts.contains(post))
            .count();
        let name = original_database(LIVE, TAKEN_BACK);
        let Some(aside) = now.databases.get(&name) else {
            return Err("the database of before is not kept".to_owned());
        };
        if n_lost == 0 || !aside.posts.starts_with(&was.posts) || aside.schema != was.schema {
            return Err("the database that is kept is not that of before".to_owned());
        }
        Ok(())
    }
}

/// What a person who agrees to a loss orders, wherever a run can be held.
struct Ordered(Order);

impl Kind for Ordered {
    fn runs(&self) -> Vec<(Case, Verdict)> {
        let mut runs = Vec::new();
        for (class, method) in classes_and_methods() {
            for at in HeldAt::ALL {
                let accepts = !(at == HeldAt::OldStarted && self.0 == Order::Resume);
                let case = Case::order(class, method, at, self.0, accepts);
                runs.extend(case.map(|case| (case, ends(at, self.0))));
            }
        }
        runs
    }

    /// All tries are anew, so one interruption changes nothing.
    fn may_end(&self, ends: Verdict) -> Vec<Verdict> {
        vec![ends]
    }

    fn is_right(&self, went: &Went, case: &Case) -> Result<(), String> {
        match self.0 {
            Order::Release => as_it_stood(&case.begins(), &went.world),
            Order::Resume | Order::Rollback => Ok(()),
        }
    }
}

/// How an order ends that nothing interrupts, whatever the class of the migrations.
fn ends(at: HeldAt, order: Order) -> Verdict {
    match (order, at) {
        (Order::Resume, HeldAt::Opening | HeldAt::Finalising | HeldAt::Emptied) => {
            Verdict::Committed
        }
        // Nobody agreed to lose what was written to the old version.
        (Order::Resume, HeldAt::OldStarted) => Verdict::Held,
        (Order::Resume, HeldAt::WayBack | HeldAt::JournalLost) => Verdict::RolledBack,
        (
            Order::Rollback,
            HeldAt::Opening
            | HeldAt::Finalising
            | HeldAt::Emptied
            | HeldAt::WayBack
            | HeldAt::OldStarted
            | HeldAt::JournalLost,
        ) => Verdict::RolledBack,
        (
            Order::Release,
            HeldAt::Opening
            | HeldAt::Finalising
            | HeldAt::Emptied
            | HeldAt::WayBack
            | HeldAt::OldStarted
            | HeldAt::JournalLost,
        ) => Verdict::Released,
    }
}

/// Nothing was touched: what differs is only what runs.
fn as_it_stood(before: &World, after: &World) -> Result<(), String> {
    let containers = |world: &World| -> Vec<_> {
        let all = world.containers.iter();
        all.map(|c| {
            let networks: Vec<_> = c.networks.keys().cloned().collect();
            (c.id.clone(), c.name.clone(), c.policy.clone(), networks)
        })
        .collect()
    };
    let images = |world: &World| -> Vec<_> {
        let all = world.images.iter();
        all.map(|image| (image.id.clone(), image.tags.clone()))
            .collect()
    };
    let data = |world: &World| -> Vec<_> {
        let all = world.databases.iter();
        all.map(|(name, db)| (name.clone(), db.schema.clone(), db.remark.clone()))
            .collect()
    };
    let snapshots = |world: &World| world.disk.below(SNAPSHOTS.as_ref()).unwrap_or_default();
    let same = containers(before) == containers(after)
        && images(before) == images(after)
        && data(before) == data(after)
        && before.compose_text() == after.compose_text()
        && snapshots(before) == snapshots(after);
    if same {
        Ok(())
    } else {
        Err("what was to be left as it stands was changed".to_owned())
    }
}

fn with(base: &Case, call: u32, fault: Fault) -> Case {
    let mut case = base.clone();
    case.schedule.insert(call, fault);
    case
}

/// Runs a case that is interrupted once.
fn interrupt(kind: &dyn Kind, case: &Case, ends: Verdict) -> Went {
    let mut went = case.run();
    if let Ok(verdict) = went.verdict {
        if !kind.may_end(ends).contains(&verdict) {
            went.verdict = Err(format!("it ends {verdict:?} in place of {ends:?}"));
        } else if let Err(why) = kind.is_right(&went, case) {
            went.verdict = Err(why);
        }
    }
    went
}

/// Every fault of the table at a spread of the calls that is as dense as [`RUNS_MAX`] lets it be.
fn every_fault(kind: &dyn Kind) -> Tally {
    let mut cells = Vec::new();
    for (base, ends) in kind.runs() {
        for made in base.calls() {
            let faults = Fault::TABLE.into_iter();
            cells.extend(faults.map(|fault| (with(&base, made.number, fault), ends)));
        }
    }
    // Of no common divisor with the faults, so that each comes round at every place.
    let stride = (1..=cells.len())
        .find(|stride| cells.len() / stride <= RUNS_MAX && (stride % 2 == 1 && stride % 3 != 0))
        .unwrap();
    let mut tally = Tally::default();
    for (case, ends) in cells.iter().step_by(stride) {
        tally.count(&interrupt(kind, case, *ends), || format!("{case:?}"));
    }
    tally
}

/// An error at every call, one at a time.
fn error_at_every_step(kind: &dyn Kind) -> Tally {
    let mut tally = Tally::default();
    for (base, ends) in kind.runs() {
        for made in base.calls() {
            let case = with(&base, made.number, Fault::Error);
            tally.count(&interrupt(kind, &case, ends), || format!("{case:?}"));
        }
    }
    tally
}

/// Every step behind the commit is done, its result is lost, and it is done again: the world is the same.
fn repeat_every_action(kind: &dyn Kind) -> Tally {
    repeat(kind, |place| matches!(place, Place::Step(_)))
}

/// Every step of the way back is done, its result is lost, and all of it is done again: the world is the same.
fn repeat_every_undo(kind: &dyn Kind) -> Tally {
    repeat(kind, |place| matches!(place, Place::Undo(_)))
}

fn repeat(kind: &dyn Kind, counts: impl Fn(Place) -> bool) -> Tally {
    let mut tally = Tally::default();
    for (base, ends) in kind.runs() {
        let calls = base.calls();
        let commits = |made: &Made| made.call.name == "journal: commit";
        let committed = calls.iter().find(|made| commits(made));
        let committed = committed.map_or(0, |made| made.number);
        for made in &calls {
            if made.phase != Phase::After || !counts(made.place) {
                continue;
            }
            let case = with(&base, made.number, Fault::Kill(When::Before));
            let mut went = interrupt(kind, &case, ends);
            // The judge compares the whole world with what it has to be; here only the way has to be the right one.
            let is_forward = matches!(made.place, Place::Step(_)) && made.number < committed;
            let is_bound = !is_forward && ends != Verdict::Held;
            if let Ok(verdict) = went.verdict
                && is_bound
                && verdict != ends
                && !(case.target == Target::Unhealthy && matches!(made.place, Place::Step(_)))
            {
                went.verdict = Err(format!("done twice, it ends {verdict:?}"));
            }
            tally.count(&went, || format!("{case:?}"));
        }
    }
    tally
}

/// Lets every kind stand a test, and prints how often it did.
fn all_stand(what: &str, test: fn(&dyn Kind) -> Tally) {
    let mut all = Tally::default();
    for activity in Activity::all() {
        let tally = test(&*activity.kind());
        println!(
            "{what}, {activity:?}: {} runs, {:?}",
            tally.runs, tally.verdicts
        );
        all.add(tally);
    }
    all.assert_right();
}

#[test]
fn every_kind_ends_without_a_fault_as_it_should() {
    let mut tally = Tally::default();
    let mut n_held: BTreeMap<HeldAt, u32> = BTreeMap::new();
    for activity in Activity::all() {
        let kind = activity.kind();
        for (case, ends) in kind.runs() {
            if let Some(at) = case.held {
                *n_held.entry(at).or_default() += 1;
            }
            let mut went = interrupt(&*kind, &case, ends);
            if went.verdict.as_ref().is_ok_and(|verdict| *verdict != ends) {
                went.verdict = Err(format!("it ends {:?}, not {ends:?}", went.verdict));
            }
            tally.count(&went, || case.told());
        }
    }
    for at in HeldAt::ALL {
        assert!(n_held.contains_key(&at), "{at:?} never held a run");
    }
    tally.assert_right();
}

#[test]
fn every_kind_survives_every_fault_at_every_call() {
    all_stand("every fault", every_fault);
}

#[test]
fn an_error_at_any_call_leaves_all_old_or_all_new() {
    all_stand("an error at every call", error_at_every_step);
}

#[test]
fn a_step_that_is_done_twice_leaves_what_it_leaves_when_done_once() {
    all_stand("every step twice", repeat_every_action);
}

#[test]
fn a_way_back_that_is_taken_twice_leaves_what_it_leaves_when_taken_once() {
    all_stand("every step back twice", repeat_every_undo);
}

/// Tells one order: `AT` (its place in `HeldAt::ALL`), `ORDER` (0, 1, 2), `CLASS` (0, 1, 2), `CLONE` for a clone, and `CALL` and `FAULT` (its place in
/// `Fault::TABLE`).
#[test]
fn retell_order() {
    let number = |name: &str| -> Option<usize> { std::env::var(name).ok()?.parse().ok() };
    let (Some(at), Some(order), Some(class)) = (number("AT"), number("ORDER"), number("CLASS"))
    else {
        return;
    };
    let order = [Order::Resume, Order::Rollback, Order::Release][order];
    let method = match (number("CLONE"), number("PHYSICAL")) {
        (Some(_), _) => Method::Clone,
        (None, Some(_)) => Method::Physical,
        (None, None) => Method::Logical,
    };
    let case = Case::order(CLASSES[class], method, HeldAt::ALL[at], order, true);
    let mut case = case.expect("a run that is held there");
    if let (Some(call), Some(fault)) = (number("CALL"), number("FAULT")) {
        let call = u32::try_from(call).unwrap();
        case.schedule.insert(call, Fault::TABLE[fault]);
    }
    println!("{}", case.told());
}

/// Where the new version was let in, or may have been, and the old code does not run on its schema, the way back needs
/// consent; without it, nothing moves.
#[test]
fn what_nobody_agreed_to_lose_is_not_lost() {
    for (class, method) in classes_and_methods() {
        for at in HeldAt::ALL {
            let Some(case) = Case::order(class, method, at, Order::Rollback, false) else {
                continue;
            };
            let went = case.run();
            let loses = match at {
                HeldAt::Opening | HeldAt::Finalising | HeldAt::Emptied | HeldAt::JournalLost => {
                    class == MigrationClass::M2
                }
                HeldAt::OldStarted => true,
                HeldAt::WayBack => false,
            };
            let wanted = if loses {
                Verdict::Held
            } else {
                Verdict::RolledBack
            };
            assert_eq!(went.verdict, Ok(wanted), "{}", case.told());
            let before = held(at, class, method).unwrap();
            assert!(
                went.world.acknowledged.starts_with(&before.acknowledged),
                "{at:?} {class:?}: posts were given up that nobody agreed to lose"
            );
            if loses {
                assert_eq!(as_it_stood(before, &went.world), Ok(()), "{at:?} {class:?}");
            }
        }
    }
}
