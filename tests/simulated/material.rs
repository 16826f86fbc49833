//! A run whose material is not what it was: nobody can undo it, so a person gets it, and it ends only by a person.

use mastopatch::domain::event::{Event, MigrationClass, Order, Outcome, Step};
use mastopatch::domain::plan::Method;
use mastopatch::engine::material::Material;
use secrecy::ExposeSecret as _;

use crate::sim::fault::{Fault, Schedule, When};
use crate::sim::fixture::{Fixture, fixture};
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::{carry_order, carry_through, first_process, first_recovery};
use crate::sim::world::{Place, World};

/// The world after a run was killed in the middle of a step, and its material altered.
fn without_material(start: &Fixture, step: Step) -> World {
    let mut world = start.world.clone();
    world.made = Some(Vec::new());
    let made = carry_through(world, Some(start.plan.clone())).world.made;
    let made = made.unwrap();
    let call = made.iter().find(|made| made.place == Place::Step(step));
    let mut world = start.world.clone();
    let kill = (call.unwrap().number, Fault::Kill(When::After));
    world.schedule = Schedule::from([kill]).into();
    let mut world = first_process(world, start.plan.clone());
    world.keep_material("{}");
    world
}

fn order(order: Order) -> Event {
    Event::Ordered {
        order,
        by: "ada".to_owned(),
        accept_loss: true,
    }
}

#[test]
fn a_run_that_lost_its_material_is_held_until_it_is_there_again_or_a_person_releases_it() {
    for class in [MigrationClass::M0, MigrationClass::M1, MigrationClass::M2] {
        let start = fixture(class, Method::Logical);
        for (step, wanted) in [
            (Step::Pull, Verdict::Aborted),
            (Step::Fence, Verdict::Aborted),
            (Step::Switch, Verdict::RolledBack),
            (Step::Open, Verdict::Committed),
        ] {
            let at = format!("{class:?} in {step}");
            let world = carry_through(without_material(start, step), None).world;
            let outcome = |world: &World| world.state.outcome().map(|(outcome, _)| outcome);
            assert_eq!(world.violation, None, "{at}");
            assert_eq!(outcome(&world), Some(Outcome::Held), "{at}");
            let (_, because) = world.state.outcome().unwrap();
            for word in ["material", "`mastopatch resume` or `rollback`"] {
                assert!(because.contains(word), "{at}: {because}");
            }
            let n_entries = world.log.len();

            // What it cannot do is refused before anything is written.
            let world = carry_order(world, &order(Order::Resume)).world;
            assert_eq!(outcome(&world), Some(Outcome::Held), "{at}");
            assert_eq!(world.log.len(), n_entries, "{at}");

            let released = carry_order(world.clone(), &order(Order::Release)).world;
            assert_eq!(released.violation, None, "{at}");
            assert_eq!(outcome(&released), Some(Outcome::Released), "{at}");

            let mut world = world;
            let material = start.world.material.clone();
            world.keep_material(&material);
            let mut resumed = carry_order(world, &order(Order::Resume)).world;
            let verdict = judge(&mut resumed, &start.world, &start.plan);
            assert_eq!(verdict, Ok(wanted), "{at}");
        }
    }
}

/// With its journal gone as well, nobody knows what to look for: it stands still, and goes on by itself once the material is
/// there again.
#[test]
fn a_run_that_lost_journal_and_material_goes_on_once_the_material_is_back() {
    let start = fixture(MigrationClass::M2, Method::Logical);
    for (step, wanted) in [
        (Step::Switch, Verdict::RolledBack),
        (Step::Finalise, Verdict::Committed),
    ] {
        let mut world = without_material(start, step);
        world.journal_holds(0);
        let world = first_recovery(world);
        assert_eq!(world.violation, None);
        assert!(world.begun.is_none(), "nothing was begun without it");
        let mut world = world;
        world.keep_material(&start.world.material.clone());
        let mut over = carry_through(world, None).world;
        let verdict = judge(&mut over, &start.world, &start.plan);
        assert_eq!(verdict, Ok(wanted), "{step}");
    }
}

/// What a container wrote last goes into journal and mail: without the values of secrets, and otherwise as it was.
#[test]
fn a_material_gives_its_secrets_to_the_tools_and_to_nobody_else() {
    let start = fixture(MigrationClass::M0, Method::Logical);
    let material = Material::parse(&start.world.material, &start.plan).unwrap();
    assert_eq!(
        material.database_password().expose_secret(),
        "a-secret-password"
    );
    assert_eq!(material.redis_password().expose_secret(), "");
    // Neither what is no secret nor what is so short that it stands in texts by chance.
    let said = "a-secret-password is refused by social.example, 1 of 3";
    let masked = "[secret] is refused by social.example, 1 of 3";
    assert_eq!(material.masked(said.to_owned()), masked);
    assert_eq!(
        format!("{material:?}"),
        "Material { project: \"mastodon\", .. }"
    );
}

#[test]
fn passwords_in_addresses_are_used_decoded_and_shown_in_no_form() {
    let start = fixture(MigrationClass::M0, Method::Logical);
    let mut material = Material::parse(&start.world.material, &start.plan).unwrap();
    for container in material.containers.values_mut() {
        // Only web's environment counts, and it wins over the single keys.
        let is_web = container.command.join(" ").contains("puma");
        let word = if is_web {
            "s3cret%2Fword"
        } else {
            "an0ther%2Fword"
        };
        for (key, url) in [
            ("DATABASE_URL", format!("postgres://ada:{word}@db/social")),
            ("REDIS_URL", format!("redis://:{word}%40@redis")),
        ] {
            container.env.insert(key.to_owned(), url);
        }
    }
    let password = material.database_password();
    assert_eq!(password.expose_secret(), "s3cret/word");
    assert_eq!(material.redis_password().expose_secret(), "s3cret/word@");
    let said = "no s3cret/word, s3cret%2Fword, s3cret/word@, an0ther%2Fword, a-secret-password";
    let masked = "no [secret], [secret], [secret], [secret], [secret]";
    assert_eq!(material.masked(said.to_owned()), masked);
}
