//! Runs without a fault: the world itself has to be right first.

use mastopatch::domain::event::MigrationClass;
use mastopatch::domain::plan::Method;

use crate::sim::fixture::fixture;
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::carry_through;
use crate::sim::world::Target;

#[test]
fn without_a_fault_a_good_target_is_committed_and_a_bad_one_rolled_back() {
    let classes = [MigrationClass::M0, MigrationClass::M1, MigrationClass::M2];
    let methods = [Method::Logical, Method::Clone, Method::Physical];
    for (class, method) in classes.into_iter().flat_map(|it| methods.map(|m| (it, m))) {
        for target in [
            Target::Good,
            Target::MigrationFails,
            Target::MigrationHangs,
            Target::Unhealthy,
            Target::Dies,
        ] {
            let fixture = fixture(class, method);
            let mut world = fixture.world.clone();
            world.target = target;
            world.trace = Some(Vec::new());
            let mut carried = carry_through(world, Some(fixture.plan.clone()));
            let verdict = judge(&mut carried.world, &fixture.world, &fixture.plan);
            let wanted = match target {
                Target::Good => Verdict::Committed,
                Target::MigrationFails | Target::MigrationHangs if class == MigrationClass::M0 => {
                    Verdict::Committed
                }
                _ => Verdict::RolledBack,
            };
            assert_eq!(
                verdict,
                Ok(wanted),
                "{class:?} {method:?} {target:?}\n{}",
                carried.world.trace.unwrap().join("\n")
            );
        }
    }
}
