//! A held run whose journal came back from a backup: whatever the journal still knows, what people wrote is not lost
//! without their consent, and no site that served is left closed.

use mastopatch::domain::event::{Event, MigrationClass, Order, Outcome};
use mastopatch::domain::plan::Method;

use crate::sim::fixture::fixture;
use crate::sim::held::{HeldAt, held};
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::{carry_order, carry_through};

#[test]
fn an_order_on_a_held_run_whose_journal_came_back_from_a_backup_loses_nothing() {
    let classes = [MigrationClass::M0, MigrationClass::M1, MigrationClass::M2];
    let places = [HeldAt::Finalising, HeldAt::Emptied, HeldAt::WayBack];
    let mut n_ended = 0;
    for (class, at) in classes.into_iter().flat_map(|it| places.map(|at| (it, at))) {
        let Some(before) = held(at, class, Method::Logical) else {
            continue;
        };
        let start = fixture(class, Method::Logical);
        for entries in 1..before.log.len() {
            for order in [Order::Resume, Order::Rollback] {
                let told = format!("{class:?} {at:?}, {entries} entries, {order:?}");
                let mut world = before.clone();
                world.harmed = true;
                world.journal_holds(entries);
                let world = carry_through(world, None).world;
                assert_eq!(world.violation, None, "{told}");
                let outcome = world.state.outcome().map(|(outcome, _)| outcome);
                assert_eq!(outcome, Some(Outcome::Held), "{told}");
                let event = Event::Ordered {
                    order,
                    by: "ada".to_owned(),
                    accept_loss: false,
                };
                let mut world = carry_order(world, &event).world;
                world.n_faults = world.n_faults.max(2);
                let verdict = judge(&mut world, &start.world, &start.plan);
                assert!(verdict.is_ok(), "{told}: {verdict:?}");
                assert!(
                    world.acknowledged.starts_with(&before.acknowledged),
                    "{told}: posts were given up that nobody agreed to lose"
                );
                n_ended += u32::from(matches!(
                    verdict,
                    Ok(Verdict::Committed | Verdict::RolledBack | Verdict::Aborted)
                ));
            }
        }
    }
    assert!(n_ended > 0, "all were refused");
}
