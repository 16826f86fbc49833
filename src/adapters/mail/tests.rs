//! Mails as people get them, and their way to a server.

use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::adapters::store::Store;
use crate::domain::clock::ClockState;
use crate::domain::event::Outcome;
use crate::domain::report::samples::{self, plan};
use crate::ports::clock::{Clock, Woke};
use crate::ports::mailer::{DeliveryError, MailTransport, Security, SmtpSettings};
use crate::ports::reporter::Reporter as _;
use crate::ports::store::OutboxItem;

mod notices;

const FROM: &str = "mastopatch <mastopatch@social.example>";

fn now() -> Timestamp {
    "2026-11-21T02:03:00Z".parse().unwrap()
}

fn to(role: RecipientRole) -> Recipient {
    Recipient {
        address: "Marge Boss <marge@example.org>".to_owned(),
        role,
    }
}

fn mail(report: &Report, role: RecipientRole) -> String {
    String::from_utf8(render(report, &to(role), FROM, now()).unwrap().message).unwrap()
}

/// The mail with soft line breaks of quoted-printable taken out, to look for words in it.
fn readable(message: &str) -> String {
    message
        .replace("=\r\n", "")
        .replace("=3D", "=")
        .replace("=E2=80=A6", "…")
}

fn text_part(message: &str) -> String {
    let message = readable(message);
    let text = message.split("Content-Type: text/plain").nth(1).unwrap();
    let (_headers, body) = text.split_once("\r\n\r\n").unwrap();
    body.split("\r\n--mastopatch-").next().unwrap().to_owned()
}

fn html_part(message: &str) -> String {
    let message = readable(message);
    message
        .split("Content-Type: text/html")
        .nth(1)
        .unwrap()
        .to_owned()
}

fn headers(message: &str) -> Vec<String> {
    let (head, _body) = message.split_once("\r\n\r\n").unwrap();
    head.replace("\r\n ", " ")
        .split("\r\n")
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_managers_first_line_answers_the_four_questions() {
    let report = Report::new(&plan(), &samples::committed_m0());
    let message = mail(&report, RecipientRole::Manager);
    let text = text_part(&message);
    assert_eq!(
        text.lines().next().unwrap(),
        "social.example is patched: it runs Mastodon 4.5.4. The site is up. Nothing was lost. You need not do anything."
    );
    assert!(
        text.contains("\r\nUpdate:     Mastodon 4.5.2 -> 4.5.4\r\n"),
        "{text}"
    );
    assert!(text.contains("\r\nCloses:     GHSA-aaaa-bbbb-cccc (severity high)\r\n"));
    assert!(text.contains("\r\nDowntime:   16 s\r\n"), "{text}");
    // Old mail programs on servers show what arrives as it is.
    assert!(
        message.contains("\r\n\r\nsocial.example is patched: it runs Mastodon 4.5.4. The site")
    );
    assert!(!text.contains("Timeline") && !text.contains("sha256"));
    let html = html_part(&message);
    assert!(html.contains("social.example: patched"));
    assert!(html.contains("max-width:600px"), "{html}");
    assert!(html.contains("color-scheme"));
}

#[test]
fn an_administrator_gets_everything() {
    let report = Report::new(&plan(), &samples::rolled_back());
    let message = mail(&report, RecipientRole::Administrator);
    let text = text_part(&message);
    for wanted in [
        "is NOT patched: the update to Mastodon 4.5.4 failed and was taken back",
        "Reason:     failed to migrate: migration 20261101000000 failed: column \"x\" does not exist",
        "Run:        019aa3f0-0000-7000-8000-00000000abcd",
        "Class:      M1",
        "Snapshot:   /var/lib/mastopatch/snapshots/0001 (3.0 MiB)",
        "Proved:     12,345 rows",
        "Restored:   12,345 rows",
        "Quarantine: 4.5.4 is not tried again by itself",
        "  migrate             5.0 s  failed   failed to migrate",
        "  restore-data         10 s  done     4 tables, 12,345 rows back from the snapshot",
        "       sha256:2222",
        "  mastopatch show 00000000abcd",
        "  journalctl -u mastopatchd --since \"2026-11-21 02:00:01 UTC\"",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    let html = html_part(&message);
    assert!(
        html.contains("column &quot;x&quot; does not exist"),
        "{html}"
    );
    assert!(html.contains("max-width:760px"));
}

#[test]
fn every_outcome_can_be_mailed_to_everybody() {
    for journal in [
        samples::committed_m0(),
        samples::committed_m2(),
        samples::rolled_back(),
        samples::aborted(),
        samples::held(),
        samples::interrupted(),
    ] {
        let report = Report::new(&plan(), &journal);
        for role in [RecipientRole::Manager, RecipientRole::Administrator] {
            let message = mail(&report, role);
            assert!(text_part(&message).starts_with(&report.answers().line()));
            assert!(!message.contains('\u{1b}'));
            assert!(message.is_ascii());
        }
    }
}

#[test]
fn a_mail_says_what_it_is_and_is_the_same_when_made_again() {
    let report = Report::new(&plan(), &samples::committed_m0());
    let message = mail(&report, RecipientRole::Manager);
    let headers = headers(&message);
    for wanted in [
        "Subject: [mastopatch] social.example: updated 4.5.2 -> 4.5.4, down 16 s",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Date: Sat, 21 Nov 2026 02:03:00 +0000",
    ] {
        assert!(headers.iter().any(|line| line == wanted), "{headers:#?}");
    }
    let id = |message: &str| {
        let headers = self::headers(message);
        headers
            .into_iter()
            .find(|line| line.starts_with("Message-ID: "))
            .unwrap()
    };
    assert!(id(&message).starts_with("Message-ID: <019aa3f0-0000-7000-8000-00000000abcd."));
    assert!(id(&message).ends_with("@social.example>"));
    assert_eq!(message, mail(&report, RecipientRole::Manager));
    let other = Recipient {
        address: "other@example.org".to_owned(),
        role: RecipientRole::Manager,
    };
    let other = render(&report, &other, FROM, now()).unwrap().message;
    assert_ne!(id(&message), id(&String::from_utf8(other).unwrap()));
}

#[test]
fn nothing_in_a_report_adds_a_header_or_markup() {
    let evil = "x\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>\u{1b}[31m";
    let mut plan = plan();
    plan.instance = evil.to_owned();
    plan.why.reasons = vec![evil.to_owned()];
    plan.why.url = "javascript:alert(1)".to_owned();
    let mut scribe = samples::Scribe::new();
    let journal = scribe.ends(Outcome::Aborted, evil);
    let report = Report::new(&plan, &journal);
    for role in [RecipientRole::Manager, RecipientRole::Administrator] {
        let message = mail(&report, role);
        assert!(
            headers(&message)
                .iter()
                .all(|line| !line.starts_with("Bcc"))
        );
        assert!(!html_part(&message).contains("<script"));
        assert!(!html_part(&message).contains("href"));
        assert!(!message.contains('\u{1b}'));
    }
}

#[test]
fn names_that_are_not_ascii_are_encoded() {
    let mut plan = plan();
    plan.instance = "Grüße.example".to_owned();
    let report = Report::new(&plan, &samples::aborted());
    let message = mail(&report, RecipientRole::Manager);
    assert!(message.is_ascii());
    assert!(
        readable(&message).contains("Gr=C3=BC=C3=9Fe.example"),
        "{message}"
    );
}

#[test]
fn an_address_with_a_line_feed_is_refused() {
    let report = Report::new(&plan(), &samples::aborted());
    let bad = Recipient {
        address: "a@example.org\r\nBcc: b@example.org".to_owned(),
        role: RecipientRole::Manager,
    };
    let err = render(&report, &bad, FROM, now()).unwrap_err();
    assert!(matches!(err, MailError::Address { .. }), "{err}");
    assert!(check_address("a@example.org").is_ok());
    assert!(check_address("nobody").is_err());
}

#[test]
fn a_recipient_who_cannot_get_mail_costs_the_others_nothing() {
    let bad = Recipient {
        address: "nobody".to_owned(),
        role: RecipientRole::Manager,
    };
    let reporter = MailReporter::new(FROM.to_owned(), vec![bad, to(RecipientRole::Administrator)]);
    let mails = reporter.mails(&plan(), &samples::committed_m0());
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].recipient, "Marge Boss <marge@example.org>");
}

fn settings(port: u16) -> SmtpSettings {
    SmtpSettings {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::PlainLoopback,
        username: None,
        password: None,
        from: FROM.to_owned(),
    }
}

#[test]
fn settings_that_would_leak_or_cannot_work_are_refused() {
    let outside = SmtpSettings {
        host: "mail.example.org".to_owned(),
        ..settings(25)
    };
    assert!(matches!(
        Smtp::new(&outside),
        Err(SetupError::PlainOutside { .. })
    ));
    let half = SmtpSettings {
        username: Some("mastopatch".to_owned()),
        ..settings(25)
    };
    assert!(matches!(
        Smtp::new(&half),
        Err(SetupError::HalfLogIn { .. })
    ));
    let nobody = SmtpSettings {
        from: "nobody".to_owned(),
        ..settings(25)
    };
    assert!(matches!(Smtp::new(&nobody), Err(SetupError::Sender { .. })));
}

#[test]
fn a_password_is_never_shown() {
    let settings = SmtpSettings {
        username: Some("mastopatch".to_owned()),
        password: Some(SecretString::from("hunter2-planted")),
        ..settings(25)
    };
    let smtp = Smtp::new(&settings).unwrap();
    assert!(!format!("{settings:?} {smtp:?}").contains("hunter2"));
}

/// A mail server that answers each line by `answer`, and gives back what it was told. `None` hangs up.
async fn sink(answer: fn(&str) -> Option<&'static str>) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = tokio::spawn(async move {
        let (stream, _peer) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut told = String::new();
        let mut in_message = false;
        write.write_all(b"220 sink\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            told.push_str(&line);
            told.push('\n');
            if in_message && line != "." {
                continue;
            }
            in_message = line == "DATA";
            let Some(reply) = answer(&line) else { break };
            if write.write_all(reply.as_bytes()).await.is_err() {
                break;
            }
        }
        told
    });
    (port, told)
}

fn willing(line: &str) -> Option<&'static str> {
    let reply = match line.split([' ', ':']).next() {
        Some("DATA") => "354 go on\r\n",
        Some("QUIT") => "221 bye\r\n",
        Some("BYE") => return None,
        Some(_) | None => "250 ok\r\n",
    };
    Some(reply)
}

fn item() -> OutboxItem {
    let report = Report::new(&plan(), &samples::committed_m0());
    let mail = render(&report, &to(RecipientRole::Manager), FROM, now()).unwrap();
    OutboxItem {
        id: 1,
        run: None,
        recipient: mail.recipient,
        message: mail.message,
        attempts: 0,
        sent_at: None,
        last_error: None,
    }
}

async fn answer_to(answer: fn(&str) -> Option<&'static str>) -> Result<(), DeliveryError> {
    let (port, _told) = sink(answer).await;
    Smtp::new(&settings(port)).unwrap().deliver(&item()).await
}

#[tokio::test]
async fn a_willing_server_gets_the_whole_mail() {
    let (port, told) = sink(willing).await;
    let smtp = Smtp::new(&settings(port)).unwrap();
    smtp.deliver(&item()).await.unwrap();
    let told = told.await.unwrap();
    assert!(
        told.contains("MAIL FROM:<mastopatch@social.example>"),
        "{told}"
    );
    assert!(told.contains("RCPT TO:<marge@example.org>"), "{told}");
    assert!(
        told.contains("\nSubject: [mastopatch] social.example"),
        "{told}"
    );
    assert!(told.contains("\n.\n"), "{told}");
}

#[tokio::test]
async fn a_4xx_is_for_now_and_a_5xx_is_for_good() {
    let err = answer_to(|line| {
        if line.starts_with("RCPT") {
            Some("450 greylisted, come back\r\n")
        } else {
            willing(line)
        }
    })
    .await
    .unwrap_err();
    assert!(matches!(err, DeliveryError::Deferred { .. }), "{err:?}");
    assert!(err.to_string().contains("greylisted"), "{err}");
    let err = answer_to(|line| {
        if line.starts_with("RCPT") {
            Some("550 no such user\r\n")
        } else {
            willing(line)
        }
    })
    .await
    .unwrap_err();
    assert!(matches!(err, DeliveryError::Refused { .. }), "{err:?}");
    assert!(err.to_string().contains("no such user"), "{err}");
}

#[tokio::test]
async fn a_refused_log_in_is_for_now() {
    let (port, _told) = sink(|line| {
        Some(match line.split(' ').next() {
            Some("EHLO") => "250-sink\r\n250 AUTH PLAIN\r\n",
            Some("AUTH") => "535 wrong password\r\n",
            Some(_) | None => "250 ok\r\n",
        })
    })
    .await;
    let settings = SmtpSettings {
        username: Some("mastopatch".to_owned()),
        password: Some(SecretString::from("hunter2-planted")),
        ..settings(port)
    };
    let err = Smtp::new(&settings)
        .unwrap()
        .deliver(&item())
        .await
        .unwrap_err();
    assert!(matches!(err, DeliveryError::Deferred { .. }), "{err:?}");
    assert!(!err.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_server_that_hangs_up_in_the_middle_may_have_taken_the_mail() {
    let err = answer_to(|line| (line != ".").then(|| willing(line)).flatten())
        .await
        .unwrap_err();
    assert!(matches!(err, DeliveryError::BrokenOff { .. }), "{err:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_cannot_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let smtp = Smtp::new(&settings(port)).unwrap();
    let err = smtp.deliver(&item()).await.unwrap_err();
    assert!(matches!(err, DeliveryError::Unreachable { .. }), "{err:?}");
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing() {
    let (port, told) = sink(willing).await;
    let settings = SmtpSettings {
        security: Security::StartTls,
        ..settings(port)
    };
    let smtp = Smtp::new(&settings).unwrap();
    let err = smtp.deliver(&item()).await.unwrap_err();
    assert!(matches!(err, DeliveryError::Deferred { .. }), "{err:?}");
    assert!(!told.await.unwrap().contains("MAIL FROM"));
}

struct StoppedClock(Mutex<Timestamp>);

impl StoppedClock {
    fn advance(&self, by: SignedDuration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn since_boot(&self) -> Duration {
        Duration::ZERO
    }

    fn synchronised(&self) -> ClockState {
        ClockState::Synchronised
    }

    async fn pause(&self, length: Duration) {
        self.advance(length.try_into().unwrap());
    }

    async fn sleep_until(&self, at: Timestamp) -> Woke {
        *self.0.lock().unwrap() = at;
        Woke::Time
    }
}

/// Answers every mail alike.
struct Answers(Option<DeliveryError>);

impl MailTransport for Answers {
    async fn deliver(&self, _item: &OutboxItem) -> Result<(), DeliveryError> {
        self.0.clone().map_or(Ok(()), Err)
    }
}

fn outbox_of(mails: usize) -> (tempfile::TempDir, Store, StoppedClock) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).unwrap();
    let mail = NewMail {
        recipient: "a@example.org".to_owned(),
        message: b"x".to_vec(),
    };
    store.enqueue(&vec![mail; mails], now()).unwrap();
    (folder, store, StoppedClock(Mutex::new(now())))
}

fn deferred() -> Answers {
    Answers(Some(DeliveryError::Deferred {
        server: "mail:25".to_owned(),
        reply: "later".to_owned(),
    }))
}

#[tokio::test]
async fn what_is_delivered_is_not_delivered_again() {
    let (_folder, store, clock) = outbox_of(2);
    let delivery = deliver_due(&store, &Answers(None), &clock).await.unwrap();
    assert_eq!((delivery.sent, delivery.failed), (2, 0));
    let again = deliver_due(&store, &Answers(None), &clock).await.unwrap();
    assert_eq!(again, Delivery::default());
    assert_eq!(store.outbox_summary().unwrap().sent, 2);
}

#[tokio::test]
async fn waits_double_up_to_six_hours_and_end_after_five_days() {
    let (_folder, store, clock) = outbox_of(1);
    let mut waits = Vec::new();
    let mut minutes = 0;
    while store.outbox_summary().unwrap().waiting == 1 {
        let delivery = deliver_due(&store, &deferred(), &clock).await.unwrap();
        if delivery.failed == 1 {
            waits.push(minutes);
            minutes = 0;
        }
        clock.advance(SignedDuration::from_mins(1));
        minutes += 1;
    }
    assert_eq!(waits[..11], [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 360]);
    assert!(waits[11..].iter().all(|wait| *wait == 360));
    let total: i64 = waits.iter().sum();
    assert!((5 * 24 * 60..5 * 24 * 60 + 360).contains(&total), "{total}");
    let summary = store.outbox_summary().unwrap();
    assert_eq!((summary.dead, summary.sent), (1, 0));
    assert!(summary.last_error.unwrap().contains("later"));
    assert_eq!(store.revive_dead(clock.now()).unwrap(), 1);
    let delivery = deliver_due(&store, &Answers(None), &clock).await.unwrap();
    assert_eq!(delivery.sent, 1);
}

#[tokio::test]
async fn a_host_that_was_off_for_a_week_still_tries() {
    let (_folder, store, clock) = outbox_of(1);
    clock.advance(SignedDuration::from_hours(7 * 24));
    let delivery = deliver_due(&store, &deferred(), &clock).await.unwrap();
    assert_eq!((delivery.failed, delivery.given_up), (1, 0));
}

#[tokio::test]
async fn a_refusal_for_good_is_not_repeated() {
    let (_folder, store, clock) = outbox_of(1);
    let refuse = Answers(Some(DeliveryError::Refused {
        server: "mail:25".to_owned(),
        reply: "no such user".to_owned(),
    }));
    let delivery = deliver_due(&store, &refuse, &clock).await.unwrap();
    assert_eq!((delivery.failed, delivery.given_up), (1, 1));
    assert_eq!(store.outbox_summary().unwrap().dead, 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_asked_once_a_pass() {
    let (_folder, store, clock) = outbox_of(3);
    let gone = Answers(Some(DeliveryError::Unreachable {
        server: "mail:25".to_owned(),
        reason: "refused".to_owned(),
    }));
    let delivery = deliver_due(&store, &gone, &clock).await.unwrap();
    assert_eq!(delivery.failed, 1);
    assert_eq!(store.outbox_summary().unwrap().waiting, 3);
}
