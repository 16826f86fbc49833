//! Time decides what starts, and when: the clock, windows, blackouts and deadlines, with the daemon that acts by them.
//!
//! Times are made of the present one, in UTC. Each scenario has a state of its own.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mastopatch::adapters::clock::SystemClock;
use mastopatch::domain::clock::ClockState;
use mastopatch::domain::event::{Blame, Event, Finding, Outcome, Step, UndoStep};
use mastopatch::domain::plan::Plan;
use mastopatch::domain::run::RunState;
use mastopatch::ports::clock::Clock as _;
use mastopatch::ports::store::Journal as _;
use serde_json::Value;

use crate::crash::{UNTIL_MIGRATION, UNTIL_ROLLED_BACK, migration};
use crate::knowing::{UNTIL_LOOKED, decision, reasons, until_updated};
use crate::runner::{Scenario, Skip, Stage, Verdict, scenarios};
use crate::support::lab::InstanceOptions;
use crate::support::mailbox::Mailbox;
use crate::support::product::Product;
use crate::support::shell;
use crate::support::world::{self, World};

/// From a decision to the plan of its run, beside two other stacks on two cores.
const UNTIL_PLANNED: SignedDuration = SignedDuration::from_secs(20);

/// What keeps updates back.
pub(crate) fn closed_suite() -> Vec<Scenario> {
    scenarios![
        a_hard_blackout_stops_every_update_and_a_soft_one_all_but_the_emergency,
        a_clock_that_is_not_synchronised_keeps_updates_back_until_the_policy_says_otherwise,
        a_deadline_that_will_be_missed_is_mailed_at_once_and_once,
        a_run_that_would_outlast_its_window_is_taken_back_in_time_and_may_be_tried_again,
    ]
}

/// What lets them start.
pub(crate) fn opening_suite() -> Vec<Scenario> {
    scenarios![
        a_policy_with_mistakes_changes_nothing_and_is_mailed_once_until_a_good_one_is_read,
        a_run_starts_when_its_window_opens_not_before_and_is_bound_by_its_end,
        a_window_that_a_person_opens_once_counts_unless_it_is_closed_again,
    ]
}

/// A policy whose rules are these, in a zone that every host has.
pub(crate) fn policy(require_sync: bool, rest: &[&str]) -> Option<String> {
    let time = format!("[time]\nzone = \"UTC\"\nrequire_sync = {require_sync}\n");
    Some(time + &rest.join(""))
}

fn window(id: &str, opens: &str, lasts: &str) -> String {
    format!(
        "[[window]]\nid = \"{id}\"\nopens = \"{opens}\"\nlasts = \"{lasts}\"\nallow = [\"*\"]\n"
    )
}

/// A window that is not open today.
pub(crate) fn another_day() -> String {
    let day = Timestamp::now() + SignedDuration::from_hours(3 * 24);
    window("another-day", &in_utc(day, "%a 03:00"), "4h")
}

/// A blackout that holds now.
fn blackout(strength: &str) -> String {
    let from = Timestamp::now() - SignedDuration::from_hours(1);
    let to = Timestamp::now() + SignedDuration::from_hours(5);
    let show = |at| in_utc(at, "%Y-%m-%dT%H:%M");
    format!(
        "[[blackout]]\nid = \"election\"\nfrom = \"{}\"\nto = \"{}\"\nstrength = \"{strength}\"\nreason = \"live coverage\"\n",
        show(from),
        show(to)
    )
}

pub(crate) fn rule(name: &str, keys: &str) -> String {
    format!("[[policy]]\nname = \"{name}\"\napproval = \"none\"\n{keys}\n")
}

pub(crate) const AT_ONCE: &str = "outside_windows = \"at-once\"";

pub(crate) fn in_utc(at: Timestamp, format: &str) -> String {
    at.to_zoned(TimeZone::UTC).strftime(format).to_string()
}

/// Every mail that was ever queued, delivered or not.
fn mails_made(product: &Product) -> u64 {
    let outbox = product.store().outbox_summary().expect("outbox");
    outbox.waiting + outbox.sent
}

/// A mail's text as one line.
fn flat(text: Option<&str>) -> String {
    let words: Vec<&str> = text.unwrap_or_default().split_whitespace().collect();
    words.join(" ")
}

fn a_hard_blackout_stops_every_update_and_a_soft_one_all_but_the_emergency(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.6"));
    let mut product = site.product.newcomer("blackout");
    let administrator = Mailbox::of(
        &site.instance.lab,
        &format!("administrator-{}", site.instance.project),
    );
    site.github.show(&["v4.5.6", "v4.5.7"]);
    let (mails, administrators) = (product.mailbox.all().len(), administrator.all().len());
    let before = World::of(&site.instance);
    let plain = rule("plain", AT_ONCE);
    let emergency = rule(
        "emergency",
        &format!("match = {{ class = [\"security\"] }}\nmay_break = [\"soft\"]\n{AT_ONCE}"),
    );
    let closed = another_day();

    // Nothing may break a hard one.
    product.change(|settings| {
        settings.administrator = Some(administrator.address().to_owned());
        settings.policy = policy(false, &[&closed, &blackout("hard"), &emergency]);
    });
    let (mut daemon, statuses) = product.daemon();
    statuses.until(&mut daemon, &["4.5.7", "waits until"], UNTIL_LOOKED);
    let held = decision(&product);
    assert_eq!(held["when"]["state"], "wait", "{held:#}");
    let told = reasons(&held, "window").join("\n");
    for words in ["Blackout `election` (hard) holds until", "live coverage"] {
        assert!(told.contains(words), "`{words}`: {held:#}");
    }

    // A soft one gives way only to a rule that says so.
    product.change(|settings| {
        settings.policy = policy(false, &[&closed, &blackout("soft"), &plain]);
    });
    statuses.after_reload(&mut daemon, &["4.5.7", "waits until"], UNTIL_LOOKED);
    let held = decision(&product);
    assert_eq!(held["when"]["state"], "wait", "{held:#}");
    let told = reasons(&held, "window").join("\n");
    assert!(
        told.contains("Blackout `election` (soft) holds until"),
        "{held:#}"
    );
    assert_eq!(product.runs(), Vec::<Value>::new(), "runs");
    world::assert_untouched(&site.instance, &product, &before, "v4.5.6");

    product.change(|settings| {
        settings.policy = policy(false, &[&closed, &blackout("soft"), &emergency, &plain]);
    });
    daemon.reload();
    until_updated(&mut daemon, &product);
    daemon.terminate().expect_code(0);
    world::assert_committed(&site.instance, &product, mails, "v4.5.6", "v4.5.7");
    let justified = "Why it did not wait for a maintenance window";
    let manager = flat(product.mailbox.all()[mails].text.as_deref());
    for words in [justified, "It closes security holes"] {
        assert!(manager.contains(words), "`{words}`: {manager}");
    }
    let theirs = administrator.wait_beyond(administrators);
    assert_eq!(theirs.len(), 1, "mails: {theirs:#?}");
    let text = flat(theirs[0].text.as_deref());
    for words in [
        justified,
        "Rule `emergency` lets it start at once",
        "Blackout `election` (soft) holds until",
        "which rule `emergency` may break: live coverage",
        "public since",
    ] {
        assert!(text.contains(words), "`{words}`: {text}");
    }
    Ok(())
}

fn a_clock_that_is_not_synchronised_keeps_updates_back_until_the_policy_says_otherwise(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.7"));
    let mut product = site.product.newcomer("clock");
    site.github.show(&["v4.5.7", "v4.5.8"]);
    let mails = product.mailbox.all().len();
    let before = World::of(&site.instance);
    let synchronised = SystemClock::start().synchronised() == ClockState::Synchronised;
    let at_once = rule("at-once", AT_ONCE);
    product.change(|settings| settings.policy = policy(true, &[&another_day(), &at_once]));
    let (mut daemon, statuses) = product.daemon();
    if !synchronised {
        statuses.until(&mut daemon, &["4.5.7 -> 4.5.8", "blocked"], UNTIL_LOOKED);
        let explained = product.run(&["explain"]).expect_code(11);
        let told = flat(Some(&explained.stdout));
        for words in [
            "clock is",
            "synchronised",
            "timedatectl set-ntp true",
            "require_sync = false",
            "every window is closed",
        ] {
            assert!(told.contains(words), "`{words}`\n{explained}");
        }
        assert_eq!(decision(&product)["when"]["state"], "blocked");
        assert_eq!(product.runs(), Vec::<Value>::new(), "runs");
        world::assert_untouched(&site.instance, &product, &before, "v4.5.7");
        product.change(|settings| settings.policy = policy(false, &[&another_day(), &at_once]));
        daemon.reload();
    }
    until_updated(&mut daemon, &product);
    daemon.terminate().expect_code(0);
    world::assert_committed(&site.instance, &product, mails, "v4.5.7", "v4.5.8");
    if synchronised {
        return Err(Skip(
            "its clock is synchronised; checked was that the update starts".to_owned(),
        ));
    }
    Ok(())
}

fn a_deadline_that_will_be_missed_is_mailed_at_once_and_once(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    let mut product = site.product.newcomer("deadline");
    let mails = product.mailbox.all().len();
    let release = "2026-09-15T12:10:44Z";
    let today = Timestamp::now() - SignedDuration::from_hours(1);
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.9"]);
    site.github
        .edit("v4.6.9", "published_at", today.to_string().into());
    let soon = rule("soon", "deadline = \"3h\"");
    product.change(|settings| settings.policy = policy(false, &[&another_day(), &soon]));
    let before = World::of(&site.instance);
    // The health check of the compose file looks for an old Sidekiq: a person must agree.
    product.run(&["approve", "4.6.9", "--yes"]).expect_code(0);
    let (mut daemon, statuses) = product.daemon();
    let waits = ["4.5.8 -> 4.6.9", "waits until"];
    statuses.until(&mut daemon, &waits, UNTIL_LOOKED);
    let told = product.mailbox.wait_beyond(mails);
    statuses.after_reload(&mut daemon, &waits, UNTIL_LOOKED);
    statuses.after_reload(&mut daemon, &waits, UNTIL_LOOKED);
    daemon.terminate().expect_code(0);
    assert_eq!(mails_made(&product), 1, "mails of three rounds");
    assert_eq!(told.len(), 1, "mails: {told:#?}");
    let subject = &told[0].subject;
    assert!(
        subject.contains("the update to 4.6.9 WILL BE LATE"),
        "{subject}"
    );
    let text = flat(told[0].text.as_deref());
    for words in [
        "No maintenance window lets it start in time.",
        "mastopatch window open",
    ] {
        assert!(text.contains(words), "`{words}`: {text}");
    }
    assert_eq!(product.runs(), Vec::<Value>::new(), "runs");
    world::assert_untouched(&site.instance, &product, &before, "v4.5.8");
    site.github.edit("v4.6.9", "published_at", release.into());
    Ok(())
}

/// What the way back of the last run took, so that it is due early in a window that just fits.
const WAY_BACK: SignedDuration = SignedDuration::from_secs(14 * 60 + 50);
/// How long a run has to close the site before it no longer fits.
const TO_CLOSE: SignedDuration = SignedDuration::from_secs(60);

/// A history of two runs, as they would have been on a slow host: one that took a long way back, then one that
/// committed.
fn remember_a_long_way_back(product: &Product) {
    let planned = product.json(&["plan"]);
    let plan: Plan = serde_json::from_value(planned["plan"].clone()).expect("a plan");
    let store = product.store();
    let failed = Some("the host was slow");
    for (age, run, failure) in [
        (2, "00000000-0000-7000-8000-000000000001", failed),
        (1, "00000000-0000-7000-8000-000000000002", None),
    ] {
        let plan = Plan {
            run: run.to_owned(),
            ..plan.clone()
        };
        let at = Timestamp::now() - SignedDuration::from_hours(24 * age);
        store.begin(&plan, at).expect("begin");
        let events = if failure.is_some() {
            way_back()
        } else {
            way_forward()
        };
        for event in events {
            store.append(run, at, &event).expect("append");
        }
        let end = Event::Finished {
            outcome: failure.map_or(Outcome::Committed, |_| Outcome::RolledBack),
            because: failure.unwrap_or("all went well").to_owned(),
        };
        store.finish(run, at, &end, &[], None).expect("finish");
        let journal = store.run(run).expect("run").journal;
        RunState::fold(&journal).expect("a journal as the product writes it");
    }
}

fn steps(steps: &[Step]) -> Vec<Event> {
    let both = |&step: &Step| {
        [
            Event::Intent { step },
            Event::Done {
                step,
                elapsed_ms: 500,
                finding: Finding::Nothing,
            },
        ]
    };
    steps.iter().flat_map(both).collect()
}

fn way_forward() -> Vec<Event> {
    let mut events = steps(&Step::ALL[..8]);
    events.push(Event::Committed);
    events.extend(steps(&Step::ALL[8..]));
    events
}

fn way_back() -> Vec<Event> {
    let mut events = steps(&Step::ALL[..5]);
    let because = "the host was slow".to_owned();
    events.push(Event::Intent {
        step: Step::Migrate,
    });
    events.push(Event::Failed {
        step: Step::Migrate,
        elapsed_ms: 500,
        error: because.clone(),
        blame: Blame::Host,
        not_begun: false,
    });
    events.push(Event::RollbackBegun { because });
    for step in UndoStep::ALL {
        let length = if step == UndoStep::RestoreData {
            u64::try_from(WAY_BACK.as_millis()).expect("positive")
        } else {
            0
        };
        events.push(Event::UndoIntent { step, attempt: 1 });
        events.push(Event::UndoDone {
            step,
            elapsed_ms: length,
            finding: Finding::Nothing,
        });
    }
    events
}

fn a_run_that_would_outlast_its_window_is_taken_back_in_time_and_may_be_tried_again(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    let mut product = site.product.newcomer("overrun");
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.9"]);
    let only_in_windows = rule("in-windows", "");
    product.change(|settings| {
        settings.migrate_timeout = "5m".to_owned();
        settings.policy = policy(false, &[&another_day(), &only_in_windows]);
    });
    let mails = product.mailbox.all().len();
    let before = World::of(&site.instance);
    remember_a_long_way_back(&product);
    product.run(&["approve", "4.6.9", "--yes"]).expect_code(0);

    // It fits when it starts, with a minute to spare; the way back is due ten seconds later.
    let end = Timestamp::now() + SignedDuration::from_mins(15) + TO_CLOSE;
    let opened = (end - SignedDuration::from_mins(17)).to_string();
    let order = [
        "window",
        "open",
        &opened,
        "--lasts",
        "17m",
        "--allow",
        "minor",
        "--reason",
        "now or never",
    ];
    product.run(&order).expect_code(0);
    let (mut daemon, _statuses) = product.daemon();
    daemon.until("the migration runs", UNTIL_MIGRATION, || {
        migration(&product)
    });
    // The database stands still until it is time to turn back.
    let database = site.instance.container("db").expect("database").id;
    shell::run("docker", ["pause", &database]);
    let due = end - WAY_BACK;
    let left = due.duration_since(Timestamp::now()) + SignedDuration::from_secs(1);
    std::thread::sleep(Duration::try_from(left).unwrap_or_default());
    shell::run("docker", ["unpause", &database]);
    daemon.until("the run is over", UNTIL_ROLLED_BACK, || {
        let run = product.store().unfinished(&product.name).expect("runs");
        crate::support::check(run.is_none(), "it is not")
    });
    daemon.terminate().expect_code(0);

    site.instance.wait_healthy("v4.5.8");
    let run = world::assert_journal(&product, "v4.5.8", "v4.6.9", "rolled_back");
    let because = "the maintenance window ends at";
    let reason = run["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(because), "{run:#}");
    let stored = product.stored_run();
    assert_eq!(stored.plan.hard_deadline, Some(end), "its deadline");
    let is = |wanted: &dyn Fn(&Event) -> bool| {
        let entry = stored.journal.iter().find(|entry| wanted(&entry.event));
        entry.map(|entry| entry.at)
    };
    let migrated = is(&|event| {
        matches!(
            event,
            Event::Done {
                step: Step::Migrate,
                ..
            }
        )
    });
    let turned = is(&|event| matches!(event, Event::RollbackBegun { .. }));
    let over = is(&|event| matches!(event, Event::Finished { .. }));
    assert!(migrated.is_some(), "{:#?}", stored.journal);
    assert!(turned >= migrated && turned >= Some(due), "{turned:?}");
    assert!(over.is_some() && over < Some(end), "{over:?}");
    let switched = is(&|event| matches!(event, Event::Intent { step: Step::Switch }));
    assert_eq!(switched, None, "the switch");
    assert_eq!(
        product.quarantine_reason("4.6.9"),
        None,
        "it was not the release's fault"
    );
    world::assert_one_mail(&product, mails, "v4.6.9");
    let text = flat(product.mailbox.all()[mails].text.as_deref());
    assert!(text.contains(because), "{text}");
    world::assert_one_version(&site.instance, "v4.5.8");
    world::assert_no_leftovers(&site.instance, &product);
    World::of(&site.instance).assert_same_as(&before);
    Ok(())
}

fn a_policy_with_mistakes_changes_nothing_and_is_mailed_once_until_a_good_one_is_read(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.6"));
    let mut product = site.product.newcomer("mistakes");
    site.github.show(&["v4.5.6", "v4.5.7"]);
    let mails = product.mailbox.all().len();
    let before = World::of(&site.instance);
    let good = policy(false, &[&another_day(), &rule("in-windows", "")]);
    // It would start the update, if it were taken.
    let bad = policy(
        false,
        &[
            &another_day(),
            &rule("at-once", &format!("{AT_ONCE}\naproval = \"one\"")),
        ],
    );
    product.change(|settings| settings.policy = good.clone());
    let (mut daemon, statuses) = product.daemon();
    statuses.until(&mut daemon, &["4.5.7", "waits until"], UNTIL_LOOKED);
    let store = product.store();
    let made = || {
        let outbox = store.outbox_summary().expect("outbox");
        outbox.waiting + outbox.sent
    };
    assert_eq!(made(), 0, "mails");

    product.change(|settings| settings.policy = bad.clone());
    let refused = ["the old configuration stays: ", "aproval", "waits until"];
    statuses.after_reload(&mut daemon, &refused, UNTIL_LOOKED);
    statuses.after_reload(&mut daemon, &refused, UNTIL_LOOKED);
    assert_eq!(made(), 1, "mails");
    let told = product.mailbox.wait_beyond(mails);
    assert_eq!(told.len(), 1, "mails: {told:#?}");
    let subject = &told[0].subject;
    assert!(
        subject.contains("ACTION NEEDED, the changed configuration is refused"),
        "{subject}"
    );
    let text = flat(told[0].text.as_deref());
    assert!(
        text.contains("policy.toml:") && text.contains("aproval"),
        "{text}"
    );

    product.change(|settings| settings.policy = good);
    let line = statuses.after_reload(&mut daemon, &["4.5.7", "waits until"], UNTIL_LOOKED);
    assert!(!line.contains("configuration"), "{line}");
    assert_eq!(made(), 1, "mails");
    product.change(|settings| settings.policy = bad);
    statuses.after_reload(&mut daemon, &refused, UNTIL_LOOKED);
    assert_eq!(made(), 2, "a relapse is told anew");
    let ended = daemon.terminate().expect_code(0);
    assert!(
        ended.stderr.contains("the old configuration stays"),
        "{ended}"
    );
    product.change(|settings| settings.policy = policy(false, &[&another_day(), &rule("r", "")]));
    assert_eq!(product.runs(), Vec::<Value>::new(), "runs");
    world::assert_untouched(&site.instance, &product, &before, "v4.5.6");
    Ok(())
}

fn a_run_starts_when_its_window_opens_not_before_and_is_bound_by_its_end(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.6"));
    let mut product = site.product.newcomer("opening");
    site.github.show(&["v4.5.6", "v4.5.7"]);
    let mails = product.mailbox.all().len();
    // The next full minute before which the daemon can surely lie down to sleep.
    let soon = Timestamp::now().as_second() + 30;
    let opens = Timestamp::from_second(soon - soon.rem_euclid(60) + 60).expect("an instant");
    let soon = window("soon", &in_utc(opens, "%H:%M"), "1h");
    product.change(|settings| settings.policy = policy(false, &[&soon, &rule("in-windows", "")]));
    let (mut daemon, statuses) = product.daemon();
    let until = format!("waits until {opens}");
    statuses.until(&mut daemon, &["4.5.7", &until], UNTIL_LOOKED);
    assert_eq!(product.runs(), Vec::<Value>::new(), "runs before it opens");
    until_updated(&mut daemon, &product);
    daemon.terminate().expect_code(0);

    world::assert_committed(&site.instance, &product, mails, "v4.5.6", "v4.5.7");
    let stored = product.stored_run();
    let (plan, begun) = (&stored.plan, stored.journal[0].at);
    assert!(
        plan.created_at >= opens && begun <= opens + UNTIL_PLANNED,
        "opens at {opens}, planned at {}, begun at {begun}",
        plan.created_at
    );
    let end = opens + SignedDuration::from_hours(1);
    assert_eq!(
        (plan.hard_deadline, plan.close_by),
        // Before anything was measured here, a run and its way back need 45 minutes, 5 of them before it is closed.
        (Some(end), Some(end - SignedDuration::from_mins(40)))
    );
    let mail = flat(product.mailbox.all()[mails].text.as_deref());
    assert!(!mail.contains("did not wait"), "{mail}");
    Ok(())
}

fn a_window_that_a_person_opens_once_counts_unless_it_is_closed_again(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.7"));
    let mut product = site.product.newcomer("once");
    site.github.show(&["v4.5.7", "v4.5.8"]);
    let mails = product.mailbox.all().len();
    let before = World::of(&site.instance);
    let only_in_windows = rule("in-windows", "");
    product.change(|settings| settings.policy = policy(false, &[&another_day(), &only_in_windows]));
    let product = product;
    let ordered = |at: &str| {
        let answer = product.json(&[
            "window",
            "open",
            at,
            "--lasts",
            "2h",
            "--reason",
            "announced",
        ]);
        let id = answer["window"]["id"].as_str().map(str::to_owned);
        id.unwrap_or_else(|| panic!("{answer:#}"))
    };
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let later = in_utc(later, "%Y-%m-%dT%H:%M");
    let another_day = ["4.5.7 -> 4.5.8", "waits until", "`another-day`"];

    // One for now that was closed before anybody looked.
    let id = ordered(&in_utc(Timestamp::now(), "%Y-%m-%dT%H:%MZ"));
    assert_eq!(decision(&product)["when"]["state"], "now");
    product.run(&["window", "close", &id]).expect_code(0);
    let (mut daemon, statuses) = product.daemon();
    statuses.until(&mut daemon, &another_day, UNTIL_LOOKED);

    // The daemon hears of orders at once, without being told to read anything again.
    statuses.clear();
    let id = ordered(&format!("{later}Z"));
    let at = format!("waits until {later}:00Z");
    statuses.until(&mut daemon, &["4.5.7 -> 4.5.8", &at], UNTIL_LOOKED);
    statuses.clear();
    product.run(&["window", "close", &id]).expect_code(0);
    statuses.until(&mut daemon, &another_day, UNTIL_LOOKED);
    assert_eq!(product.runs(), Vec::<Value>::new(), "runs");
    world::assert_untouched(&site.instance, &product, &before, "v4.5.7");

    let opens = in_utc(Timestamp::now(), "%Y-%m-%dT%H:%MZ");
    ordered(&opens);
    until_updated(&mut daemon, &product);
    daemon.terminate().expect_code(0);
    world::assert_committed(&site.instance, &product, mails, "v4.5.7", "v4.5.8");
    let opened: Timestamp = opens.replace('Z', ":00Z").parse().expect("an instant");
    let plan = product.stored_run().plan;
    assert_eq!(
        plan.hard_deadline,
        Some(opened + SignedDuration::from_hours(2))
    );
    assert_eq!(plan.why.emergency, None, "it did wait for a window");
    Ok(())
}
