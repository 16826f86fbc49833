//! Takes one case from its beginning to its end, and looks whether all is old, all is new, or held.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mastopatch::domain::event::{Entry, Event, Outcome};
use mastopatch::ports::store::{Journal as _, StoredRun};

use crate::acts::start_again;
use crate::cases::Case;
use crate::moments::Watch;
use crate::place::Place;
use crate::support::product::Product;
use crate::support::world::{self, World};
use crate::support::writer::{Writer, WriterReport};
use crate::support::{check, eventually};

/// More is not allowed for any interruption.
const RESTARTS: u32 = 2;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    AllOld,
    AllNew,
    Held,
}

impl Ended {
    /// The words people read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AllOld => "all old",
            Self::AllNew => "all new",
            Self::Held => "held",
        }
    }
}

/// What a case showed.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The last durable entry when the interruption came.
    pub(crate) last: String,
    pub(crate) ended: Ended,
    /// What the journal says, where a person has to decide.
    pub(crate) why_held: String,
    pub(crate) restarts: u32,
    pub(crate) acknowledged: usize,
    pub(crate) took: Duration,
}

/// Runs a case; a half-state is a panic. `number` makes every second restart one by the daemon.
pub(crate) fn run(place: &mut Place, case: &Case, number: usize) -> Seen {
    let start = Instant::now();
    let update = place.update;
    let mut product = place.product();
    product.change(|settings| case.method.name().clone_into(&mut settings.snapshot));
    place.github.show(update.releases());
    let mails = product.mailbox.all().len();
    let writer = Writer::start(&place.instance);
    writer.wait_for_more(3);
    let before = World::of(&place.instance);

    let mut watch = Watch::on(&product);
    let mut apply = product.spawn(&["apply", "--to", update.to(), "--yes"]);
    let last = watch.until(case.moment, &place.instance, &mut apply);
    case.act.happen(place, &product, apply);
    let committed_then = watch.labels().iter().any(|label| label == "committed");

    // The interruption was not the release's fault: who still saw it would try it again.
    if !committed_then {
        place.github.show(&[update.from()]);
    }
    let mut restarts = 0;
    while restarts < RESTARTS && (restarts == 0 && died(case) || outcome(&product).is_none()) {
        restarts += 1;
        start_again(&product, mails, number % 2 == 1);
    }

    let run = the_one_run(&product);
    let ended = ended(&product, restarts);
    let report = settle(place, ended, writer);
    assert_eq!(
        report.missing(&place.instance),
        Vec::<String>::new(),
        "acknowledged writes that are missing"
    );
    if died(case) {
        let wanted = if committed_then {
            Ended::AllNew
        } else {
            Ended::AllOld
        };
        assert_eq!(ended, wanted, "the commit record decides:\n{}", told(&run));
    }
    one_mail(&product, mails, update.to());
    match ended {
        Ended::AllNew => all_new(place, &product),
        Ended::AllOld => all_old(place, &product, case, &before),
        Ended::Held => assert!(
            case.act.may_be_held(),
            "held, though nobody opened the old version:\n{}",
            told(&run)
        ),
    }
    Seen {
        last,
        ended,
        why_held: if ended == Ended::Held {
            told(&run)
        } else {
            String::new()
        },
        restarts,
        acknowledged: report.acknowledged.len(),
        took: start.elapsed(),
    }
}

fn all_new(place: &Place, product: &Product) {
    let (instance, tag) = (&place.instance, place.update.to());
    world::assert_one_version(instance, tag);
    world::assert_files_name(instance, tag);
    world::assert_no_leftovers(instance, product);
    world::assert_up_changes_nothing(instance);
}

fn all_old(place: &Place, product: &Product, case: &Case, before: &World) {
    let (instance, tag) = (&place.instance, place.update.from());
    world::assert_one_version(instance, tag);
    world::assert_files_name(instance, tag);
    world::assert_no_leftovers(instance, product);
    let names = instance.databases();
    let aside = names.iter().find(|name| name.contains("_before_"));
    assert_eq!(aside, None, "the original of a clone is still put aside");
    let now = World::of(instance);
    if case.act.keeps_containers() {
        now.assert_same_but_for_new_statuses(before);
        return;
    }
    let difference = before.dump.difference(&now.dump).without_new_statuses();
    assert!(
        difference.is_empty(),
        "the database is not what it was:\n{difference}"
    );
}

fn ended(product: &Product, restarts: u32) -> Ended {
    match outcome(product) {
        Some(Outcome::Committed) => Ended::AllNew,
        Some(Outcome::RolledBack | Outcome::Aborted) => Ended::AllOld,
        Some(Outcome::Held | Outcome::Released) => Ended::Held,
        None => panic!(
            "the run is not over after {restarts} restarts:\n{}",
            told(&the_one_run(product))
        ),
    }
}

/// Whether the process is gone for certain, so that somebody has to start it again.
fn died(case: &Case) -> bool {
    case.act == crate::acts::Act::Kill
}

/// Waits until the version that was decided for serves and takes writes.
fn settle(place: &Place, ended: Ended, writer: Writer) -> WriterReport {
    let tag = match ended {
        Ended::AllOld => place.update.from(),
        Ended::AllNew => place.update.to(),
        Ended::Held => return writer.stop(),
    };
    place.instance.wait_healthy(tag);
    writer.wait_for_more(3);
    writer.stop()
}

fn outcome(product: &Product) -> Option<Outcome> {
    let run = the_one_run(product);
    run.journal.iter().find_map(|entry| end(&entry.event))
}

fn end(event: &Event) -> Option<Outcome> {
    if let Event::Finished { outcome, .. } = event {
        Some(*outcome)
    } else {
        None
    }
}

/// One run, and at most one end of it.
fn the_one_run(product: &Product) -> StoredRun {
    let runs = product.store().runs(&product.name, 10).expect("runs");
    assert_eq!(runs.len(), 1, "runs in the journal");
    let run = runs.into_iter().next().expect("just counted");
    let ends = run
        .journal
        .iter()
        .filter(|entry| matches!(entry.event, Event::Finished { .. }))
        .count();
    assert!(ends <= 1, "ends in the journal: \n{}", told(&run));
    run
}

/// The journal, a line for each entry.
fn told(run: &StoredRun) -> String {
    let line = |entry: &Entry| match &entry.event {
        Event::Failed { step, error, .. } => format!("failed {step}: {error}"),
        Event::UndoFailed { step, error, .. } => format!("undo-failed {step}: {error}"),
        Event::Intent { step } => format!("intent {step}"),
        Event::UndoIntent { step, attempt } => format!("undo-intent {step}, attempt {attempt}"),
        Event::Done { step, .. } => format!("done {step}"),
        Event::UndoDone { step, .. } => format!("undo-done {step}"),
        Event::Planned { .. }
        | Event::Resumed { .. }
        | Event::Rebuilt(_)
        | Event::Ordered { .. }
        | Event::Committed
        | Event::RollbackBegun { .. }
        | Event::Finished { .. } => format!("{:?}", entry.event),
    };
    let lines = run
        .journal
        .iter()
        .map(|entry| format!("{:>3} {}", entry.seq, line(entry)));
    lines.collect::<Vec<_>>().join("\n")
}

/// One message, be it delivered again after a kill between the server's answer and its note.
fn one_mail(product: &Product, before: usize, to: &str) {
    let ids = eventually("the mail", Duration::from_secs(45), || {
        let mails = product.mailbox.all();
        let new = mails.get(before..).unwrap_or_default();
        check(!new.is_empty(), "no mail")?;
        let off: Vec<&str> = new
            .iter()
            .map(|mail| mail.subject.as_str())
            .filter(|subject| !subject.contains(world::plain(to)))
            .collect();
        check(
            off.is_empty(),
            format!("mails about something else: {off:?}"),
        )?;
        Ok(new
            .iter()
            .map(|mail| mail.message_id.clone())
            .collect::<BTreeSet<_>>())
    });
    assert_eq!(ids.len(), 1, "messages");
}
