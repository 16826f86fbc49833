//! The poller against a GitHub that fails in every way it can: real client, real state file, virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests may fail loudly"
)]

#[allow(
    dead_code,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "shared with the scenarios, which need more of it"
)]
#[path = "support/github.rs"]
mod github;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mastopatch::adapters::github::GitHub;
use mastopatch::adapters::store::Store;
use mastopatch::adapters::update_check::UpdateChecker;
use mastopatch::daemon::feeds::{Places, Poller, Round, note_version};
use mastopatch::daemon::knowledge::Known;
use mastopatch::domain::feed::{AlarmKind, Feed, FeedState};
use mastopatch::domain::release::Release;
use serde_json::json;

use github::{Fault, GitHub as LocalGitHub, Seen};

const REPOSITORY: &str = "mastodon/mastodon";
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn noon() -> Timestamp {
    "2026-12-01T12:00:00Z".parse().unwrap()
}

/// One host, one state file, one local GitHub.
struct Host {
    _folder: tempfile::TempDir,
    path: PathBuf,
    github: LocalGitHub,
    now: Timestamp,
    runtime: tokio::runtime::Runtime,
    clients: (GitHub, UpdateChecker),
}

/// A release on the second page.
const OLD: &str = "v4.0.1";
const OLD_BODY: &str = "### Security\n- Fix ([GHSA-q4g8-82c5-9h33](..))";
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(400);

impl Host {
    /// All captured releases are published, and the first look at them was good.
    fn new() -> Self {
        let mut host = Self::unasked(&captured());
        host.first_look();
        host
    }

    /// The same with short texts, for whoever looks at them hundreds of times.
    fn brief() -> Self {
        let mut host = Self::unasked(&captured());
        for tag in captured() {
            let body = if tag == OLD { OLD_BODY } else { "Fixes." };
            host.github.edit(tag, "body", json!(body));
        }
        host.first_look();
        host
    }

    fn first_look(&mut self) {
        let (round, known) = self.poll();
        assert!(round.failures.is_empty(), "{:?}", round.failures);
        assert!(known.releases.len() > 100);
        assert_eq!(known.alarms, []);
        self.github.clear_log();
    }

    fn unasked(tags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let github = LocalGitHub::with_releases(tags);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let clients = runtime.block_on(async { clients(&github, LONG) });
        Self {
            path: folder.path().join("state.db"),
            _folder: folder,
            github,
            now: noon(),
            runtime,
            clients,
        }
    }

    /// From now on an answer may take this long.
    fn patience(&mut self, timeout: Duration) {
        self.clients = self
            .runtime
            .block_on(async { clients(&self.github, timeout) });
    }

    /// A new process: opens the state file, asks what is due, and ends.
    fn poll(&mut self) -> (Round, Known) {
        self.with(async |poller, now| {
            let round = poller.poll(now).await.unwrap();
            (round, poller.known(now).unwrap())
        })
    }

    /// A person asks.
    fn ask_now(&mut self) -> (Round, Known) {
        self.with(async |poller, now| {
            let round = poller.ask_now(now).await.unwrap();
            (round, poller.known(now).unwrap())
        })
    }

    fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Poller<'_, GitHub, UpdateChecker>, Timestamp) -> T,
    ) -> T {
        self.runtime.block_on(async {
            let store = self.store();
            let places = Places {
                base_url: self.github.base_url(),
                repository: REPOSITORY.to_owned(),
                instances: vec!["social.example".to_owned()],
            };
            let (github, check) = &self.clients;
            let poll = SignedDuration::from_mins(10);
            let poller = Poller::new(&store, github, Some(check), places, poll);
            work(&poller, self.now).await
        })
    }

    fn store(&self) -> Store {
        Store::open(&self.path).unwrap()
    }

    fn state(&self, feed: &Feed) -> FeedState {
        let name = feed.name(REPOSITORY);
        self.store().feed(&name).unwrap().unwrap()
    }

    fn due(&self) -> Timestamp {
        self.state(&Feed::Releases).next_at.unwrap()
    }

    /// Lets time pass until releases are due.
    fn wait(&mut self) -> &mut Self {
        self.now = self.due();
        self
    }

    fn later(&mut self, minutes: i64) -> &mut Self {
        self.now += SignedDuration::from_mins(minutes);
        self
    }

    fn releases_asked(&self) -> Vec<Seen> {
        let log = self.github.log().into_iter();
        log.filter(|seen| seen.path.ends_with("/releases"))
            .collect()
    }
}

/// The tags of all captured releases; the lab's own ones are of the future.
fn captured() -> Vec<&'static str> {
    static TAGS: LazyLock<Vec<String>> = LazyLock::new(LocalGitHub::all_tags);
    let ours = |tag: &&str| tag.starts_with("v4.5.9") || tag.starts_with("v4.6.");
    TAGS.iter()
        .map(String::as_str)
        .filter(|tag| !ours(tag))
        .collect()
}

fn clients(github: &LocalGitHub, timeout: Duration) -> (GitHub, UpdateChecker) {
    let token = Some("tk_1".to_owned().into());
    (
        GitHub::new(&github.base_url(), REPOSITORY, timeout, token).unwrap(),
        UpdateChecker::new(&github.update_check_url(), timeout).unwrap(),
    )
}

fn kinds(known: &Known) -> Vec<AlarmKind> {
    known.alarms.iter().map(|alarm| alarm.kind).collect()
}

fn release<'a>(known: &'a Known, tag: &str) -> &'a Release {
    known.releases.iter().find(|it| it.tag == tag).unwrap()
}

fn said(round: &Round, feed: &Feed) -> String {
    let (_, err) = round.failures.iter().find(|(of, _)| of == feed).unwrap();
    let mut text = err.to_string();
    let mut cause = std::error::Error::source(err);
    while let Some(err) = cause {
        text = format!("{text}: {err}");
        cause = err.source();
    }
    text
}

/// After `fault` the poller lives, says `words`, keeps what it knew, waits as long as it should, and recovers.
fn survives(fault: Fault, words: &[&str], kind: AlarmKind, minutes: std::ops::RangeInclusive<i64>) {
    let mut host = Host::new();
    let before = host.poll().1;
    if [Fault::Silence, Fault::Drip].contains(&fault) {
        host.patience(SHORT);
    }
    host.wait();
    host.github.fail_with(Some(fault));
    let (round, known) = host.poll();
    let text = said(&round, &Feed::Releases);
    let alarm = known
        .alarms
        .iter()
        .find(|alarm| alarm.kind == kind && alarm.sentence.starts_with("The list of releases"))
        .unwrap_or_else(|| panic!("{fault:?}: {:?}", known.alarms));
    for word in words {
        assert!(text.contains(word), "{fault:?}: `{word}` in {text}");
        assert!(alarm.sentence.contains(word), "{fault:?}: {alarm:?}");
    }
    assert_eq!(known.releases, before.releases, "{fault:?}");
    assert_eq!(known.advisories, before.advisories, "{fault:?}");
    let pause = host.due().duration_since(host.now);
    let (least, most) = (*minutes.start(), *minutes.end());
    assert!(
        pause >= SignedDuration::from_secs(least * 54) && pause <= SignedDuration::from_mins(most),
        "{fault:?}: waits {pause:#}"
    );

    // A process that is started again and again asks nothing before it is due.
    host.github.clear_log();
    for _ in 0..5 {
        let (round, known) = host.poll();
        assert!(!round.asked.contains(&Feed::Releases), "{fault:?}");
        assert!(kinds(&known).contains(&kind), "{fault:?}");
    }
    assert_eq!(host.releases_asked().len(), 0, "{fault:?}");

    host.github.fail_with(None);
    if [Fault::Silence, Fault::Drip].contains(&fault) {
        host.patience(LONG);
    }
    host.wait();
    let (round, known) = host.poll();
    assert!(round.failures.is_empty(), "{fault:?}: {:?}", round.failures);
    assert_eq!(host.releases_asked()[0].status, 304, "{fault:?}");
    assert_eq!(known.releases, before.releases, "{fault:?}");
    // What failed beside the releases is asked at its own time.
    host.later(60);
    let (round, known) = host.poll();
    assert!(round.failures.is_empty(), "{fault:?}: {:?}", round.failures);
    assert_eq!(known.alarms, [], "{fault:?}");
}

#[test]
fn what_passes_by_itself_is_asked_again_after_a_minute() {
    use AlarmKind::Failing;
    for (fault, words) in [
        (Fault::ServerError, &["failed with status 500"][..]),
        (Fault::TooMany, &["the rate limit is reached"]),
        (Fault::CutBody, &["broke off"]),
        (Fault::GarbageJson, &["broke off"]),
        (Fault::Silence, &["did not answer within 400ms"]),
        (Fault::Drip, &["did not answer within 400ms"]),
        (Fault::Html, &["is not what was expected"]),
        (Fault::BadUtf8, &["is not what was expected", "utf-8"]),
        (Fault::OtherShape, &["is not what was expected"]),
        (
            Fault::PageLoop,
            &["as its next page, which was read already"],
        ),
        (
            Fault::PageCircle,
            &["as its next page, which was read already"],
        ),
        (Fault::EndlessPages, &["has more than 20 pages"]),
    ] {
        survives(fault, words, Failing, 1..=1);
    }
}

#[test]
fn what_only_a_person_can_end_is_told_so_and_asked_again_every_hour() {
    use AlarmKind::NeedsPerson;
    for (fault, words) in [
        (Fault::Unauthorized, &["valid token", "token_file"][..]),
        (Fault::Forbidden, &["is forbidden to us"]),
        (Fault::NotFound, &["does not exist"]),
    ] {
        survives(fault, words, NeedsPerson, 60..=60);
    }
}

#[test]
fn a_limit_is_waited_for_as_long_as_it_says_but_not_for_ever() {
    use AlarmKind::Failing;
    let reset = |minutes: i64| {
        // The second look of `survives` is at most ten minutes after noon.
        Fault::ResetAt(noon().as_second() + minutes * 60)
    };
    survives(Fault::RetryAfter(1_200), &["rate limit"], Failing, 20..=20);
    survives(Fault::RetryAfter(5), &["rate limit"], Failing, 1..=1);
    survives(
        Fault::RetryAfter(u64::MAX / 2),
        &["rate limit"],
        Failing,
        360..=360,
    );
    survives(
        reset(60),
        &["rate limit", "ask again at 2026-12-01T13:00:00Z"],
        Failing,
        50..=51,
    );
    survives(reset(100_000_000), &["rate limit"], Failing, 360..=360);
    survives(reset(-60), &["rate limit"], Failing, 1..=1);
}

#[test]
fn an_endless_answer_is_not_taken_in() {
    survives(
        Fault::Huge,
        &["is larger than 16777216 bytes"],
        AlarmKind::Failing,
        1..=1,
    );
    let mut host = Host::new();
    host.wait();
    host.github.fail_with(Some(Fault::Huge));
    host.poll();
    let sent = host.github.sent();
    // Releases alone were due; what lies in the sockets' buffers was sent as well.
    assert!(sent < github::HUGE / 2, "{sent} bytes were taken");
}

#[test]
fn a_redirection_to_another_place_is_not_followed_and_gets_no_token() {
    let other = LocalGitHub::with_releases(&[]);
    survives(
        Fault::RedirectTo(other.port()),
        &["is redirected to", "is not followed"],
        AlarmKind::NeedsPerson,
        60..=60,
    );
    assert_eq!(other.log().len(), 0);
    let host = Host::new();
    host.with(async |poller, now| poller.ask_now(now).await.unwrap());
    let token = host.releases_asked()[0].authorization.clone();
    assert_eq!(token.as_deref(), Some("Bearer tk_1"));
}

#[test]
fn pauses_grow_while_it_lasts_and_a_silent_feed_makes_every_all_clear_impossible() {
    let mut host = Host::new();
    host.wait();
    let failing_since = host.now;
    host.github.fail_with(Some(Fault::ServerError));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        host.poll();
        pauses.push(host.due().duration_since(host.now).as_secs());
        host.wait();
    }
    for (pause, minutes) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 60, 60]) {
        assert!((minutes * 54..=minutes * 60).contains(pause), "{pauses:?}");
    }
    let known = host.poll().1;
    assert!(
        !kinds(&known).contains(&AlarmKind::Stale),
        "{:?}",
        known.alarms
    );
    host.now = failing_since + SignedDuration::from_hours(6);
    let known = host.poll().1;
    let stale = &known.alarms[0];
    assert_eq!(stale.kind, AlarmKind::Stale);
    assert!(
        stale
            .sentence
            .contains("was last answered at 2026-12-01T12:00:00Z; the last error: "),
        "{stale:?}"
    );
    assert!(known.obstacles().contains(&stale.sentence));
    host.github.fail_with(None);
    host.later(61);
    let known = host.poll().1;
    assert_eq!((known.alarms.len(), known.obstacles().len()), (0, 0));
}

#[test]
fn a_restart_asks_nothing_before_its_time_and_then_by_the_mark_it_knows() {
    let mut host = Host::new();
    for _ in 0..10 {
        let (round, known) = host.poll();
        assert_eq!(round.asked, []);
        assert!(known.releases.len() > 100);
    }
    assert_eq!(host.github.log().len(), 0);
    host.wait();
    host.poll();
    let asked = host.releases_asked();
    assert_eq!(asked.len(), 1, "only the first page: {asked:?}");
    assert!(asked[0].if_none_match.is_some());
    assert_eq!(asked[0].status, 304);
}

#[test]
fn a_day_without_news_costs_at_most_ten_questions_an_hour_and_looks_at_every_page() {
    let mut host = Host::brief();
    note_version(&host.store(), "social.example", &"4.5.8".parse().unwrap()).unwrap();
    host.github
        .offer(json!({ "currentVersion": null, "updatesAvailable": [] }));
    let end = host.now + SignedDuration::from_hours(26);
    let mut sent: Vec<Timestamp> = Vec::new();
    while host.now < end {
        host.poll();
        let log = host.github.log().len();
        sent.extend(std::iter::repeat_n(host.now, log - sent.len()));
        host.now = host.with(async |poller, now| poller.wake(now).unwrap());
    }
    let hour = SignedDuration::from_hours(1);
    let counts = sent.iter().enumerate().map(|(first, from)| {
        sent[first..]
            .iter()
            .take_while(|at| at.duration_since(*from) < hour)
            .count()
    });
    let most = counts.max().unwrap();
    assert!(most <= 10, "{most} questions in one hour");
    let log = host.github.log();
    let of = |part: &str| {
        log.iter()
            .filter(|seen| seen.query.contains(part) || seen.path.contains(part))
            .count()
    };
    assert_eq!(
        of("page=2"),
        1,
        "the second page of releases is looked at once a day"
    );
    assert!(
        (11..=14).contains(&of("update-check")),
        "{}",
        of("update-check")
    );
    assert!(
        log.iter()
            .filter(|seen| !seen.path.contains("update-check"))
            .all(|seen| seen.status == 304)
    );
}

#[test]
fn a_new_release_is_known_at_the_next_look_and_pages_behind_it_are_read_again() {
    let mut host = Host::new();
    let mut tags = captured();
    tags.push("v4.5.90");
    host.github.show(&tags);
    host.wait();
    let (round, known) = host.poll();
    assert_eq!(round.news, ["Release v4.5.90 is new."]);
    assert_eq!(release(&known, "v4.5.90").first_seen, Some(host.now));
    let pages: Vec<u16> = host
        .releases_asked()
        .iter()
        .map(|seen| seen.status)
        .collect();
    assert_eq!(pages, [200, 200]);
    assert!(host.now.duration_since(noon()) <= MINUTE * 10);
    assert_eq!(known.alarms, []);
}

#[test]
fn an_empty_list_after_a_full_one_is_a_list_that_went_back_and_nothing_is_forgotten() {
    let mut host = Host::new();
    let before = host.poll().1;
    for fault in [None, Some(Fault::EmptyList)] {
        host.github.show(&[]);
        host.github.fail_with(fault);
        host.wait();
        let (round, known) = host.poll();
        assert!(round.failures.is_empty());
        assert_eq!(known.releases, before.releases);
        let back = &known.alarms[0];
        assert_eq!(back.kind, AlarmKind::WentBack);
        assert!(back.sentence.contains("it is empty, and "), "{back:?}");
        assert!(known.obstacles().contains(&back.sentence));
    }
    host.github.fail_with(None);
    host.github.show(&captured());
    host.wait();
    let known = host.poll().1;
    assert_eq!(known.releases, before.releases);
    host.later(40);
    assert_eq!(host.poll().1.alarms, []);
}

#[test]
fn the_newest_release_that_vanishes_is_remembered_as_gone_and_alarming_until_there_is_a_newer_one()
{
    let mut host = Host::unasked(&["v4.5.6", "v4.5.7", "v4.5.8"]);
    host.poll();
    host.github.show(&["v4.5.6", "v4.5.7"]);
    host.wait();
    let (round, known) = host.poll();
    assert_eq!(round.news, ["Release v4.5.8 is no longer listed."]);
    assert_eq!(release(&known, "v4.5.8").gone_since, Some(host.now));
    assert_eq!(kinds(&known), [AlarmKind::WentBack]);
    host.github.show(&["v4.5.6", "v4.5.7", "v4.5.90"]);
    host.wait();
    let known = host.poll().1;
    assert_eq!(kinds(&known), []);
    assert!(release(&known, "v4.5.8").gone_since.is_some());
    host.github.show(&["v4.5.6", "v4.5.7", "v4.5.8", "v4.5.90"]);
    host.wait();
    let known = host.poll().1;
    let back = release(&known, "v4.5.8");
    assert_eq!((back.gone_since, back.first_seen), (None, Some(noon())));
}

#[test]
fn an_edit_behind_the_first_page_is_found_within_a_day_and_takes_no_security_sign_away() {
    let mut host = Host::brief();
    host.github.edit(OLD, "body", json!("Nothing to see here."));
    let end = host.now + SignedDuration::from_hours(25);
    let mut news = Vec::new();
    while host.now < end && news.is_empty() {
        host.now = host.with(async |poller, now| poller.wake(now).unwrap());
        news.extend(host.poll().0.news);
    }
    assert_eq!(news.len(), 1, "{news:?}");
    assert!(news[0].starts_with(&format!("Release {OLD} was edited: its security signals")));
    let known = host.poll().1;
    assert!(release(&known, OLD).is_security());
    assert!(release(&known, OLD).ids.contains("GHSA-q4g8-82c5-9h33"));
    let changes = host.store().changes(REPOSITORY, 10).unwrap();
    assert_eq!((changes[0].id.as_str(), &changes[0].what), (OLD, &news[0]));
}

#[test]
fn advisories_are_remembered_through_withdrawal_regrading_and_deletion() {
    let mut host = Host::new();
    let known = host.poll().1;
    let worst = known
        .advisories
        .iter()
        .max_by_key(|it| it.severity)
        .unwrap()
        .clone();
    host.github.edit_advisories(|all| {
        for one in all
            .iter_mut()
            .filter(|one| one["ghsa_id"] == worst.id.as_str())
        {
            // The word and the scores: the worse of them would count.
            one["severity"] = json!("low");
            one["cvss"] = json!(null);
            one["cvss_severities"] = json!(null);
        }
    });
    host.later(40);
    let known = host.poll().1;
    let find = |known: &Known| {
        known
            .advisories
            .iter()
            .find(|it| it.id == worst.id)
            .unwrap()
            .clone()
    };
    assert_eq!(find(&known).graded_before, Some(worst.severity));
    host.github
        .edit_advisories(|all| all.retain(|one| one["ghsa_id"] != worst.id.as_str()));
    host.later(40);
    let known = host.poll().1;
    assert_eq!(find(&known).gone_since, Some(host.now));
    assert_eq!(find(&known).graded_before, Some(worst.severity));
    assert!(!find(&known).withdrawn);
}

#[test]
fn what_cannot_be_read_is_told_and_not_taken_for_gone() {
    let mut host = Host::unasked(&["v4.5.6", "v4.5.7", "v4.5.8"]);
    host.poll();
    host.github.edit("v4.5.8", "published_at", json!("soon"));
    host.wait();
    let known = host.poll().1;
    assert_eq!(release(&known, "v4.5.8").gone_since, None);
    assert!(
        kinds(&known).contains(&AlarmKind::Unreadable),
        "{:?}",
        known.alarms
    );
    assert!(
        known
            .obstacles()
            .iter()
            .any(|it| it.contains("`soon` is not a date")),
        "{:?}",
        known.obstacles()
    );
}

#[test]
fn a_release_that_github_withholds_is_noticed_by_the_second_source() {
    let mut host = Host::unasked(&["v4.5.7", "v4.5.8"]);
    note_version(
        &host.store(),
        "social.example",
        &"4.5.8+glitch".parse().unwrap(),
    )
    .unwrap();
    host.github.offer(json!({
        "currentVersion": { "endOfSupport": "2027-02-20" },
        "updatesAvailable": [
            { "version": "4.5.90", "urgent": true, "type": "patch", "releaseNotes": "https://x/90", "endOfSupport": "2027-02-21" }
        ]
    }));
    let known = host.poll().1;
    let asked = host.github.log();
    let asked = asked
        .iter()
        .find(|seen| seen.path == "/update-check")
        .unwrap();
    assert_eq!(
        (asked.query.as_str(), &asked.authorization),
        ("version=4.5.8", &None)
    );
    assert_eq!(known.alarms, []);
    let version = "4.5.90".parse().unwrap();
    assert!(known.urgent.contains(&version));
    assert_eq!(known.offered[0].version, version);
    let line = "4.5.8"
        .parse::<mastopatch::domain::version::ReleaseVersion>()
        .unwrap()
        .line();
    assert_eq!(known.end_of_support[&line].to_string(), "2027-02-20");
    while host.now < noon() + SignedDuration::from_hours(2) {
        host.now = host.with(async |poller, now| poller.wake(now).unwrap());
        host.poll();
    }
    let known = host.poll().1;
    assert_eq!(kinds(&known), [AlarmKind::SecondSourceAhead]);
    assert!(known.obstacles()[0].contains("has offered 4.5.90 since 2026-12-01T12:00:00Z"));
    host.github.show(&["v4.5.7", "v4.5.8", "v4.5.90"]);
    host.wait();
    assert_eq!(kinds(&host.poll().1), []);
    // What was urgent once stays so.
    host.github.offer(json!({ "updatesAvailable": [] }));
    host.later(300);
    host.poll();
    let known = host.poll().1;
    assert!(known.offered.is_empty() && known.urgent.contains(&version));
}

#[test]
fn the_second_source_may_fail_and_nothing_else_suffers() {
    let mut host = Host::unasked(&["v4.5.7", "v4.5.8"]);
    note_version(&host.store(), "social.example", &"4.5.8".parse().unwrap()).unwrap();
    host.github.offer(json!([1, 2]));
    let (round, known) = host.poll();
    assert_eq!(round.failures.len(), 1);
    assert_eq!((known.releases.len(), known.obstacles().len()), (2, 0));
    assert_eq!(kinds(&known), [AlarmKind::Failing]);
}

#[test]
fn a_person_who_asks_is_answered_now_and_does_not_lengthen_the_pauses() {
    let mut host = Host::new();
    let due = host.due();
    host.github.fail_with(Some(Fault::ServerError));
    for _ in 0..5 {
        host.later(1);
        let (round, known) = host.ask_now();
        assert_eq!(round.failures.len(), 2);
        assert!(known.releases.len() > 100);
        assert_eq!(host.due(), due);
    }
    host.github.fail_with(None);
    let (round, known) = host.ask_now();
    assert!(round.failures.is_empty());
    assert_eq!(known.alarms, []);
    let failure = host.ask_now().0.into_failure();
    assert!(failure.is_none());
}

#[test]
fn a_first_look_that_fails_leaves_nothing_known_and_says_so() {
    let mut host = Host::unasked(&["v4.5.8"]);
    host.github.fail_with(Some(Fault::ServerError));
    let known = host.poll().1;
    assert!(known.releases.is_empty());
    assert!(kinds(&known).contains(&AlarmKind::Stale));
    assert!(
        known
            .obstacles()
            .iter()
            .any(|it| it == "No release at all is known.")
    );
    assert!(
        known
            .obstacles()
            .iter()
            .any(|it| it.starts_with("The list of releases was never answered; the last error:"))
    );
}

#[test]
fn an_answer_that_nothing_changed_without_a_mark_is_no_answer() {
    let mut host = Host::unasked(&["v4.5.8"]);
    host.github.fail_with(Some(Fault::NotModified));
    let (round, known) = host.poll();
    assert!(said(&round, &Feed::Releases).contains("nothing of it is known"));
    assert!(known.releases.is_empty());
    // With a mark it is one, and costs nothing.
    let mut host = Host::new();
    host.wait();
    host.github.fail_with(Some(Fault::NotModified));
    let (round, known) = host.poll();
    assert!(round.failures.is_empty() && known.releases.len() > 100);
    assert_eq!(known.alarms, []);
}

#[test]
fn another_address_is_asked_at_once_and_its_shorter_memory_takes_nothing_away() {
    let mut host = Host::new();
    let before = host.poll().1;
    host.github.fail_with(Some(Fault::NotFound));
    host.wait().poll();
    let mirror = LocalGitHub::with_releases(&["v4.5.6", "v4.5.7"]);
    drop(std::mem::replace(&mut host.github, mirror));
    host.patience(LONG);
    let (round, known) = host.poll();
    assert!(round.asked.contains(&Feed::Releases));
    assert!(round.failures.is_empty());
    assert_eq!(known.releases, before.releases);
    assert!(kinds(&known).contains(&AlarmKind::WentBack));
}

#[test]
fn a_clock_that_was_set_back_is_told_and_does_not_stop_the_questions() {
    let mut host = Host::new();
    host.now = "2026-03-01T00:00:00Z".parse().unwrap();
    let (round, known) = host.poll();
    assert!(round.asked.contains(&Feed::Releases));
    assert!(
        kinds(&known).contains(&AlarmKind::ClockBehind),
        "{:?}",
        known.alarms
    );
}
