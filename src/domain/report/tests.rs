//! Reports of every way a run can go.

use super::samples::{self, Scribe, plan};
use super::words::{clean, cut, human_bytes, human_count, human_ms, human_s};
use super::{Report, RowResult, SiteState};
use crate::domain::event::{Blame, Event, Finding, MigrationClass, Order, Outcome, Step};
use crate::domain::plan::{Plan, Restore};

fn report(journal: &[crate::domain::event::Entry]) -> Report {
    Report::new(&plan(), journal)
}

fn row<'a>(report: &'a Report, step: &str) -> &'a super::Row {
    report.steps.iter().find(|row| row.step == step).unwrap()
}

#[test]
fn the_sample_journals_are_legal() {
    for journal in [
        samples::committed_m0(),
        samples::committed_m2(),
        samples::rolled_back(),
        samples::aborted(),
        samples::held(),
        samples::interrupted(),
    ] {
        let state = crate::domain::run::RunState::fold(&journal).unwrap();
        assert!(state.outcome().is_some());
    }
}

#[test]
fn a_patch_without_migrations_is_down_from_the_first_stop_to_the_first_answer() {
    let report = report(&samples::committed_m0());
    assert_eq!(report.outcome, Some(Outcome::Committed));
    assert_eq!(report.class, Some(MigrationClass::M0));
    assert_eq!(
        report.downtime_ms,
        Some(800 + 4_000 + 2_000 + 6_000 + 3_000 + 250)
    );
    assert!(!report.downtime_estimated);
    assert_eq!(report.site, SiteState::Open);
    assert_eq!(row(&report, "migrate").result, RowResult::Skipped);
    assert_eq!(row(&report, "migrate").detail, "no migration is pending");
    assert_eq!(row(&report, "open").elapsed_ms, Some(500));
    assert_eq!(
        report.subject(),
        "[mastopatch] social.example: updated 4.5.2 -> 4.5.4, down 16 s"
    );
    assert_eq!(
        report.answers().line(),
        "social.example is patched: it runs Mastodon 4.5.4. The site is up. Nothing was lost. You need not do anything."
    );
}

#[test]
fn exposure_runs_from_the_publication_to_the_commit() {
    let journal = samples::committed_m0();
    let committed = journal
        .iter()
        .find(|e| e.event == Event::Committed)
        .unwrap()
        .at;
    let expected = committed.duration_since(plan().why.published_at).as_secs();
    assert_eq!(
        report(&journal).exposure_s,
        Some(u64::try_from(expected).unwrap())
    );
    assert_eq!(report(&samples::rolled_back()).exposure_s, None);
}

#[test]
fn a_minor_step_says_what_it_migrated_and_proved() {
    let report = report(&samples::committed_m2());
    assert_eq!(report.class, Some(MigrationClass::M2));
    assert_eq!(report.downtime_ms, Some(46_050));
    assert_eq!(
        row(&report, "pull").detail,
        "2 images; 2 migrations pending, 1 of them post-deployment"
    );
    assert_eq!(row(&report, "migrate").detail, "2 migrations applied");
    assert_eq!(
        row(&report, "prove").detail,
        "4 tables, 12,345 rows and 7 Redis keys read back"
    );
    assert_eq!(report.rows_proved, Some(12_345));
    assert_eq!(report.rows_restored, None);
    assert_eq!(report.snapshot.unwrap().bytes, 3 << 20);
}

#[test]
fn what_was_taken_back_is_told_as_that_and_its_loss_too() {
    let update = plan();
    let (from, to, run) = (update.to.clone(), update.from.clone(), update.run.clone());
    let with = |data| Plan {
        from: from.clone(),
        to: to.clone(),
        restore: Some(Restore {
            run: run.clone(),
            data,
            database: None,
            image_ids: Vec::new(),
        }),
        ..update.clone()
    };
    let back = Report::new(&with(true), &samples::committed_m0());
    assert!(
        back.subject().contains("taken back 4.5.4 -> 4.5.2"),
        "{}",
        back.subject()
    );
    assert!(back.quarantined);
    assert_eq!(back.judged(), "4.5.4");
    assert_eq!(back.exposure_s, None);
    let answers = back.answers();
    assert!(
        answers.patched.contains("runs Mastodon 4.5.2"),
        "{}",
        answers.patched
    );
    assert!(answers.lost.contains("kept beside it"), "{}", answers.lost);
    let code_only = Report::new(&with(false), &samples::committed_m0());
    assert_eq!(code_only.answers().lost, "Nothing was lost.");
    let failed = Report::new(&with(true), &samples::rolled_back());
    assert!(!failed.quarantined);
    assert!(
        failed.subject().contains("failed and was undone"),
        "{}",
        failed.subject()
    );
    assert!(!failed.answers().to_do.contains("not tried again"));
    let put_in = |tables| {
        let mut journal = samples::committed_m2();
        for entry in &mut journal {
            if let Event::Done { finding, .. } = &mut entry.event
                && matches!(finding, Finding::Migrated { .. })
            {
                *finding = Finding::PutIn { tables, rows: 9 };
            }
        }
        let report = Report::new(&with(true), &journal);
        assert!(!report.data_restored);
        row(&report, "migrate").detail.clone()
    };
    assert_eq!(put_in(0), "the snapshot's data are in place");
    assert_eq!(put_in(3), "3 tables, 9 rows of the snapshot are in place");
}

#[test]
fn a_way_back_counts_as_downtime_until_the_old_version_is_verified() {
    let report = report(&samples::rolled_back());
    assert_eq!(report.outcome, Some(Outcome::RolledBack));
    assert_eq!(report.downtime_ms, Some(31_900));
    assert!(!report.downtime_estimated);
    assert_eq!(report.rows_restored, Some(12_345));
    assert!(report.quarantined);
    assert_eq!(row(&report, "migrate").result, RowResult::Failed);
    assert_eq!(
        report.subject(),
        "[mastopatch] social.example: update 4.5.2 -> 4.5.4 rolled back, 4.5.2 runs again, down 32 s"
    );
    let answers = report.answers();
    assert!(answers.patched.contains("NOT patched"));
    assert_eq!(answers.site, "The site is up.");
    assert_eq!(answers.lost, "Nothing was lost.");
    assert!(answers.to_do.contains("not tried again"));
}

#[test]
fn a_run_that_never_closed_the_site_has_no_downtime() {
    let report = report(&samples::aborted());
    assert_eq!(report.outcome, Some(Outcome::Aborted));
    assert_eq!(report.downtime_ms, None);
    assert_eq!(report.class, None);
    assert!(!report.quarantined);
    assert_eq!(
        report.subject(),
        "[mastopatch] social.example: update 4.5.2 -> 4.5.4 aborted, 4.5.2 still runs, no downtime"
    );
}

#[test]
fn a_held_run_says_that_the_site_is_down_and_who_must_act() {
    let report = report(&samples::held());
    assert_eq!(report.outcome, Some(Outcome::Held));
    assert_eq!(report.site, SiteState::Closed);
    assert!(report.is_urgent());
    assert_eq!(
        report.subject(),
        "[mastopatch] social.example: ACTION NEEDED, update 4.5.2 -> 4.5.4 is held, the site is DOWN"
    );
    let answers = report.answers();
    assert_eq!(answers.site, "The site is DOWN.");
    assert_eq!(
        answers.lost,
        "A checked copy of all data from before the update is kept."
    );
    assert!(answers.to_do.starts_with("You must act"));
    assert!(answers.to_do.contains("mastopatch show 00000000abcd"));
    let last = report.steps.last().unwrap();
    assert_eq!(last.detail, "attempt 3: the engine does not answer");
}

#[test]
fn an_interruption_counts_by_the_wall_clock_and_is_told() {
    let report = report(&samples::interrupted());
    // Fence, snapshot and proof; the gap; the way back without its cleaning up.
    assert_eq!(report.downtime_ms, Some(6_800 + 600_000 + 20_100));
    assert!(report.downtime_estimated);
    assert_eq!(report.interruptions, 1);
    assert_eq!(
        row(&report, "migrate").detail,
        "interrupted: the process ended"
    );
    assert_eq!(row(&report, "migrate").result, RowResult::Failed);
    assert!(report.notes[0].contains("interrupted once"));
    assert!(!report.quarantined);
}

#[test]
fn an_interruption_while_the_site_is_being_closed_counts_from_the_announcement() {
    let mut scribe = Scribe::new();
    scribe
        .step(Step::Preflight, 300, Finding::Nothing)
        .step(Step::Pull, 8_000, Finding::Nothing)
        .push(Event::Intent { step: Step::Fence })
        .after(
            30,
            Event::Resumed {
                because: "the process ended".to_owned(),
            },
        );
    let report = report(&scribe.entries());
    assert_eq!(report.downtime_ms, Some(30_000));
    assert_eq!(report.site, SiteState::Closed);
    assert_eq!(report.outcome, None);
}

#[test]
fn a_running_run_has_no_outcome_and_shows_its_open_step() {
    let mut scribe = Scribe::new();
    scribe.push(Event::Intent {
        step: Step::Preflight,
    });
    let report = report(&scribe.entries());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["outcome"], serde_json::Value::Null);
    assert_eq!(json["finished_at"], serde_json::Value::Null);
    assert_eq!(json["steps"][0]["result"], "running");
    assert_eq!(json["steps"][0]["elapsed_ms"], serde_json::Value::Null);
}

/// The rows of a clone's original are not counted when it comes back: what was written to the clone is lost all the same.
#[test]
fn a_loss_that_a_person_agreed_to_is_told_whether_rows_were_counted_or_not() {
    for (tables, rows) in [(4, 12_345), (0, 0)] {
        let mut journal = samples::rolled_back();
        for entry in &mut journal {
            if let Event::UndoDone { finding, .. } = &mut entry.event
                && matches!(finding, Finding::Restored { .. })
            {
                *finding = Finding::Restored { tables, rows };
            }
        }
        let without = report(&journal);
        assert_eq!(without.answers().lost, "Nothing was lost.");
        let mut ordered = journal[0].clone();
        ordered.event = Event::Ordered {
            order: Order::Rollback,
            by: "ada".to_owned(),
            accept_loss: true,
        };
        journal.insert(1, ordered);
        let report = report(&journal);
        assert!(report.data_restored);
        assert_eq!(report.rows_restored, (tables > 0).then_some(rows));
        assert_eq!(
            report.answers().lost,
            "What was written after the snapshot is lost; ada agreed to that."
        );
    }
}

#[test]
fn the_json_has_the_agreed_fields() {
    let json = serde_json::to_value(report(&samples::rolled_back())).unwrap();
    assert_eq!(json["id"], "019aa3f0-0000-7000-8000-00000000abcd");
    assert_eq!(json["instance"], "social.example");
    assert_eq!(json["from"], "4.5.2");
    assert_eq!(json["to"], "4.5.4");
    assert_eq!(json["outcome"], "rolled_back");
    assert_eq!(json["started_at"], "2026-11-21T02:00:01Z");
    assert_eq!(json["downtime_ms"], 31_900);
    assert_eq!(json["class"], "M1");
    assert!(json["reason"].is_string() && json["finished_at"].is_string());
    let migrate = &json["steps"][5];
    assert_eq!(migrate["step"], "migrate");
    assert_eq!(migrate["elapsed_ms"], 5_000);
    assert_eq!(migrate["result"], "failed");
    assert!(migrate["detail"].as_str().unwrap().contains("column"));
}

#[test]
fn foreign_texts_are_one_clean_line() {
    assert_eq!(
        clean("\u{1b}[31mbad\u{1b}[0m\r\nSubject: x\u{202e}\u{7}"),
        "bad Subject: x"
    );
    assert_eq!(clean("\u{1b}]0;title\u{7}after"), "after");
    assert_eq!(clean("  \n a \t\t b \u{0}\n"), "a b");
    assert_eq!(clean("ends in\u{1b}"), "ends in");
    assert_eq!(cut("abcdef", 4), "abc…");
    assert_eq!(cut("abcd", 4), "abcd");
}

#[test]
fn an_errors_control_characters_never_reach_the_report() {
    let evil = "boom\u{1b}[2J\r\nBcc: everybody@example.org";
    let mut scribe = Scribe::until_proved(&[], &[]);
    scribe.fails(Step::Switch, 10, evil, Blame::Target);
    let mut plan = plan();
    plan.instance = "social\r\nBcc: x@y.example".to_owned();
    let report = Report::new(&plan, &scribe.ends(Outcome::RolledBack, evil));
    assert_eq!(
        report.reason.as_deref(),
        Some("boom Bcc: everybody@example.org")
    );
    let json = serde_json::to_string(&report).unwrap();
    assert!(!json.contains("\\u001b") && !json.contains("\\r") && !json.contains("\\n"));
    assert!(!report.subject().contains('\n'));
}

#[test]
fn lengths_of_time_read_well() {
    for (ms, text) in [
        (0, "0 ms"),
        (820, "820 ms"),
        (1_000, "1.0 s"),
        (4_249, "4.2 s"),
        (9_949, "9.9 s"),
        (9_960, "10 s"),
        (59_400, "59 s"),
        (59_600, "1 min"),
        (110_000, "1 min 50 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (273_600_000, "3 d 4 h"),
    ] {
        assert_eq!(human_ms(ms), text);
    }
    assert_eq!(human_s(59), "59 s");
    assert_eq!(human_ms(u64::MAX), human_ms(u64::MAX));
}

#[test]
fn sizes_and_counts_read_well() {
    assert_eq!(human_bytes(512), "512 B");
    assert_eq!(human_bytes(1_536), "1.5 KiB");
    assert_eq!(human_bytes(3 << 20), "3.0 MiB");
    assert_eq!(human_bytes(5 << 40), "5.0 TiB");
    assert_eq!(human_count(0), "0");
    assert_eq!(human_count(999), "999");
    assert_eq!(human_count(12_345), "12,345");
    assert_eq!(human_count(1_234_567), "1,234,567");
}

#[test]
fn why_a_run_did_not_wait_is_in_its_json_and_a_plan_from_before_has_no_such_word() {
    let before = plan();
    assert!(!before.canonical().unwrap().contains("emergency"));
    let read: Plan = serde_json::from_str(&before.canonical().unwrap()).unwrap();
    assert_eq!(read, before);
    let mut plan = before;
    plan.why.emergency = Some("Rule `exploited`\r\nlets it start\u{1b}[31m at once.".to_owned());
    let read: Plan = serde_json::from_str(&plan.canonical().unwrap()).unwrap();
    assert_eq!(read, plan);
    let report = Report::new(&plan, &samples::committed_m0());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["emergency"], "Rule `exploited` lets it start at once.");
}
