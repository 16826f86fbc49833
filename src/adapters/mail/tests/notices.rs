//! Notices as people get them.

use super::*;
use crate::domain::notice::samples::{at_risk, on_sunday, refused, risk};
use crate::domain::notice::{Cause, DeadlineAtRisk, Start};

fn notice_mail(notice: &Notice, role: RecipientRole) -> String {
    let mail = render_notice(notice, &to(role), FROM, now()).unwrap();
    String::from_utf8(mail.message).unwrap()
}

#[test]
fn a_manager_reads_in_plain_words_what_is_late_why_and_what_can_be_done() {
    let message = notice_mail(&at_risk(on_sunday()), RecipientRole::Manager);
    assert_eq!(
        text_part(&message).replace("\r\n", "\n").replace("=20\n", " \n"),
        "\
social.example will be late: the update to Mastodon 4.5.4 is wanted by Fri 2026-11-27 15:00 CET, but as things are it starts on Sun 2026-11-29 02:00 CET at the earliest. If that is too late, somebody must act, see below.

Update:     Mastodon 4.5.2 -> 4.5.4
Closes:     GHSA-aaaa-bbbb-cccc (severity high)
Wanted by:  Fri 2026-11-27 15:00 CET, by rule `security`
Starts:     Sun 2026-11-29 02:00 CET at the earliest
Release:    https://github.com/mastodon/mastodon/releases/tag/v4.5.4

Why
  - No maintenance window lets it start in time.

What can be done
  - Open a window once: `mastopatch window open`.
  - Have it done now, whatever the windows say: `mastopatch apply`.

-- 
mastopatch, for social.example
"
    );
    let html = html_part(&message);
    assert!(html.contains("social.example: late"), "{html}");
    assert!(html.contains("No maintenance window lets it start in time."));
}

#[test]
fn an_administrator_reads_what_the_decision_is_made_of_too() {
    let message = notice_mail(&at_risk(Start::Never), RecipientRole::Administrator);
    let text = text_part(&message);
    for wanted in [
        "Starts:     not by itself",
        "What the decision is made of\r\n  - The next window that fits is `sunday-night`",
        "To type next\r\n  mastopatch explain\r\n",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    assert!(html_part(&message).contains("social.example: action needed"));
}

#[test]
fn a_refused_configuration_is_mailed_with_every_mistake() {
    let notice = refused(&["/etc/mastopatch/policy.toml:9:9: window.opens: no such day"]);
    for role in [RecipientRole::Manager, RecipientRole::Administrator] {
        let text = text_part(&notice_mail(&notice, role));
        assert!(text.starts_with(&notice.line()), "{text}");
        for wanted in [
            "Mistakes:   1\r\nIn force:   what was read on 2026-11-20 08:00:00 UTC",
            "  - /etc/mastopatch/policy.toml:9:9: window.opens: no such day",
            "`mastopatch config check`",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
    }
}

#[test]
fn a_run_that_stands_still_is_mailed_with_what_is_in_its_way() {
    let notice = Notice::stands_still("social.example", "no engine answers");
    for role in [RecipientRole::Manager, RecipientRole::Administrator] {
        let message = notice_mail(&notice, role);
        let text = text_part(&message).replace("=20\r\n", " ");
        assert!(text.starts_with(&notice.line()), "{text}");
        assert!(text.contains("Why\r\n  - no engine answers"), "{text}");
        assert!(html_part(&message).contains("action needed"), "{message}");
    }
}

#[test]
fn the_same_notice_is_the_same_mail_and_a_relapse_is_another() {
    let notice = at_risk(on_sunday());
    let message = notice_mail(&notice, RecipientRole::Manager);
    assert_eq!(message, notice_mail(&notice, RecipientRole::Manager));
    let id = |message: &str| {
        let headers = headers(message);
        let id = headers.iter().find(|line| line.starts_with("Message-ID: "));
        id.unwrap().clone()
    };
    assert!(
        id(&message).starts_with("Message-ID: <deadline-"),
        "{message}"
    );
    assert!(id(&message).ends_with("@social.example>"));
    assert!(headers(&message).contains(&"Auto-Submitted: auto-generated".to_owned()));
    let later = now() + SignedDuration::from_hours(9);
    let relapse = render_notice(&notice, &to(RecipientRole::Manager), FROM, later).unwrap();
    assert_ne!(
        id(&message),
        id(&String::from_utf8(relapse.message).unwrap())
    );
}

#[test]
fn nothing_in_a_notice_adds_a_header_or_markup() {
    let evil = "x\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>";
    let notices = [
        Notice::DeadlineAtRisk(Box::new(DeadlineAtRisk {
            instance: crate::domain::report::words::clean(evil),
            reasons: vec![crate::domain::report::words::clean(evil)],
            causes: [Cause::Hold].into(),
            ..risk(Start::Never)
        })),
        Notice::config_refused(&[evil], &[evil.to_owned()], now()),
        Notice::stands_still(evil, evil),
        Notice::orphaned(evil, evil),
    ];
    for notice in notices {
        for role in [RecipientRole::Manager, RecipientRole::Administrator] {
            let message = notice_mail(&notice, role);
            assert!(
                headers(&message)
                    .iter()
                    .all(|line| !line.starts_with("Bcc"))
            );
            assert!(!html_part(&message).contains("<script"), "{message}");
            assert!(message.is_ascii());
        }
    }
}

#[test]
fn a_run_that_did_not_wait_for_a_window_says_why_and_calls_only_what_closes_holes_an_emergency() {
    let why = "Rule `exploited` lets it start at once. Mastodon 4.5.4 closes GHSA-aaaa-bbbb-cccc.";
    let mut plan = plan();
    let texts = |plan: &Plan| {
        let report = Report::new(plan, &samples::committed_m0());
        [RecipientRole::Manager, RecipientRole::Administrator].map(|role| {
            let message = mail(&report, role);
            let title = "Why it did not wait for a maintenance window";
            let has = text_part(&message).contains(title);
            assert_eq!(html_part(&message).contains(title), has);
            text_part(&message)
        })
    };
    let [manager, administrator] = texts(&plan);
    assert!(!manager.contains("did not wait") && !administrator.contains("did not wait"));
    plan.why.emergency = Some(why.to_owned());
    let [manager, administrator] = texts(&plan);
    assert!(manager.contains("\r\n\r\nWhy it did not wait for a maintenance window\r\nIt closes security holes (severity high) that are public."), "{manager}");
    assert!(!manager.contains("NIS2"));
    assert!(administrator.contains(&format!(
        "{why} It is an emergency change under the change-management procedure, and this is its justification (NIS2 implementing regulation (EU) 2024/2690, annex 6.4.3)."
    )), "{administrator}");
    plan.why.severity = None;
    let [manager, administrator] = texts(&plan);
    assert!(manager.contains("Your policy lets such an update start at any time."));
    assert!(administrator.contains(why) && !administrator.contains("emergency change"));
}
