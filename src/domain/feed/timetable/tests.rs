//! The timetable over virtual time.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "tests may fail loudly"
)]

use super::*;
use crate::domain::version::ReleaseVersion;

fn start() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

fn version(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

/// What a host asked: when, and how many questions.
struct Host {
    table: Timetable,
    states: States,
    ledger: Ledger,
    pages: (usize, usize),
    releases: Vec<Timestamp>,
    advisories: Vec<Timestamp>,
    checks: Vec<Timestamp>,
    swept: Vec<Timestamp>,
    sent: Vec<Timestamp>,
}

impl Host {
    fn new(seed: u64, pages: (usize, usize), versions: &[&str]) -> Self {
        let mut states = States::new();
        states.insert(Feed::Releases, FeedState::default());
        states.insert(Feed::Advisories, FeedState::default());
        for text in versions {
            states.insert(Feed::UpdateCheck(version(text)), FeedState::default());
        }
        Self {
            table: Timetable::new(SignedDuration::from_mins(10), seed),
            states,
            ledger: Ledger::default(),
            pages,
            releases: Vec::new(),
            advisories: Vec::new(),
            checks: Vec::new(),
            swept: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Lives until `end`; every question is answered with "nothing changed".
    fn live(&mut self, mut now: Timestamp, end: Timestamp) {
        while now < end {
            for ask in self.table.due(&self.states, &self.ledger, now) {
                self.answer(&ask, now);
            }
            let wake = self.table.wake(&self.states, &self.ledger, now);
            assert!(wake > now, "asked again at once at {now}");
            now = wake;
        }
    }

    fn answer(&mut self, ask: &Ask, now: Timestamp) {
        let first_time = self.states[&ask.feed].succeeded_at.is_none();
        let all = match ask.feed {
            Feed::Releases => self.pages.0,
            _ => self.pages.1,
        };
        let pages = if first_time && !matches!(ask.feed, Feed::UpdateCheck(_)) {
            all
        } else {
            1 + usize::from(ask.page.is_some())
        };
        self.sent.extend(std::iter::repeat_n(now, pages));
        let own = usize::from(!matches!(ask.feed, Feed::UpdateCheck(_)));
        self.ledger.note(pages - own, now);
        match ask.feed {
            Feed::Releases => self.releases.push(now),
            Feed::Advisories => self.advisories.push(now),
            _ => self.checks.push(now),
        }
        let next = self.table.after_success(&ask.feed, now);
        let state = self.states.get_mut(&ask.feed).unwrap();
        state.swept(ask.page, pages >= all, all, now);
        if state.swept_at == Some(now) && ask.feed == Feed::Releases {
            self.swept.push(now);
        }
        state.succeed(now, next);
    }
}

/// The most questions in any hour.
fn most_in_an_hour(sent: &[Timestamp]) -> usize {
    let counts = sent.iter().enumerate().map(|(first, from)| {
        let end = plus(*from, HOUR);
        sent[first..].iter().take_while(|at| **at < end).count()
    });
    counts.max().unwrap_or_default()
}

fn longest_gap(asked: &[Timestamp]) -> SignedDuration {
    let gaps = asked.windows(2).map(|two| two[1].duration_since(two[0]));
    gaps.max().unwrap()
}

#[test]
fn in_thirty_days_without_news_no_hour_has_more_than_ten_questions_and_no_look_comes_late() {
    for (seed, pages, versions) in [
        (1, (3, 1), &["4.5.8"][..]),
        (2, (3, 1), &["4.5.8", "4.6.2"]),
        (3, (2, 1), &[]),
        (4, (6, 3), &["4.3.1", "4.4.1", "4.5.1"]),
        (u64::MAX, (8, 2), &["4.5.8"]),
    ] {
        let mut host = Host::new(seed, pages, versions);
        // The first answers are news; afterwards there is none.
        host.live(start(), plus(start(), SignedDuration::from_hours(2)));
        let begin = plus(start(), SignedDuration::from_hours(2));
        host.sent.clear();
        host.live(begin, plus(begin, SignedDuration::from_hours(30 * 24)));
        let most = most_in_an_hour(&host.sent);
        assert!(most <= 10, "{most} questions in an hour, seed {seed}");
        let gap = longest_gap(&host.releases);
        assert!(gap <= SignedDuration::from_mins(10), "{gap} between looks");
        let advisories = longest_gap(&host.advisories);
        assert!(
            advisories <= SignedDuration::from_mins(34),
            "{advisories} between looks at advisories, seed {seed}"
        );
        for feed in host.states.keys() {
            let state = &host.states[feed];
            let silent = plus(begin, SignedDuration::from_hours(30 * 24))
                .duration_since(state.succeeded_at.unwrap());
            assert!(silent <= SignedDuration::from_hours(12), "{feed}: {silent}");
        }
        let sweeps = longest_gap(&host.swept);
        assert!(
            sweeps <= SignedDuration::from_hours(48),
            "{sweeps} between sweeps, seed {seed}"
        );
    }
}

#[test]
fn hosts_do_not_ask_in_step_and_a_host_is_always_the_same() {
    let next = |seed| {
        let table = Timetable::new(SignedDuration::from_mins(10), seed);
        table.after_success(&Feed::Releases, start())
    };
    assert_eq!(next(7), next(7));
    let distinct: std::collections::BTreeSet<_> = (0..100).map(next).collect();
    assert!(distinct.len() > 80, "{}", distinct.len());
    for at in distinct {
        let pause = at.duration_since(start());
        assert!(
            pause > SignedDuration::from_mins(9) - MINUTE
                && pause >= SignedDuration::from_secs(540)
                && pause <= SignedDuration::from_secs(600),
            "{pause}"
        );
    }
}

#[test]
fn pauses_after_failures_double_up_to_an_hour() {
    let table = Timetable::new(SignedDuration::from_mins(10), 3);
    let failure = |needs_person, again: Option<i64>| Failure {
        sentence: "x".to_owned(),
        needs_person,
        again: again.map(|seconds| plus(start(), SignedDuration::from_secs(seconds))),
    };
    let pause = |failures, failure: &Failure| {
        let next = table.after_failure(failures, failure, start());
        next.duration_since(start()).as_secs()
    };
    for (failures, minutes) in [
        (1, 1),
        (2, 2),
        (3, 4),
        (4, 8),
        (5, 16),
        (6, 32),
        (7, 60),
        (8, 60),
        (200, 60),
        (u32::MAX, 60),
    ] {
        let seconds = pause(failures, &failure(false, None));
        assert!(
            (minutes * 54..=minutes * 60).contains(&seconds),
            "{failures}: {seconds}"
        );
    }
    assert!((54 * 60..=3_600).contains(&pause(1, &failure(true, None))));
    // What the source asks for counts if it is longer, and no more than six hours.
    assert_eq!(pause(1, &failure(false, Some(1_800))), 1_800);
    assert!((54..=60).contains(&pause(1, &failure(false, Some(5)))));
    assert!((54..=60).contains(&pause(1, &failure(false, Some(-9_999)))));
    assert_eq!(
        pause(1, &failure(false, Some(1_000_000_000))),
        6 * 3_600,
        "a wrong header must not silence a source"
    );
}

#[test]
fn a_clock_that_was_set_back_does_not_silence_a_feed() {
    let mut state = FeedState::default();
    assert!(state.is_due(start()));
    let ahead = plus(start(), SignedDuration::from_hours(24 * 365));
    state.succeed(ahead, plus(ahead, HOUR));
    assert!(state.is_due(start()));
    assert!(!state.is_due(ahead));
    let mut ledger = Ledger::default();
    ledger.note(6, ahead);
    assert!(ledger.is_free(start()));
    assert!(!ledger.is_free(ahead));
    assert_eq!(ledger.free_at(ahead), plus(ahead, HOUR));
}

#[test]
fn a_sweep_takes_one_page_at_a_time_and_begins_again_a_day_later() {
    let mut state = FeedState {
        pages: 1,
        ..FeedState::default()
    };
    assert_eq!(sweep(&state, start()), None);
    state.pages = 3;
    assert_eq!(sweep(&state, start()), Some((start(), 1)));
    state.swept(Some(1), false, 3, start());
    assert_eq!(sweep(&state, start()), Some((start(), 2)));
    state.swept(None, false, 3, start());
    assert_eq!(sweep(&state, start()), Some((start(), 2)));
    state.swept(Some(2), false, 3, start());
    let tomorrow = plus(start(), SWEEP);
    assert_eq!(sweep(&state, start()), Some((tomorrow, 1)));
    state.swept(None, true, 3, tomorrow);
    assert_eq!(sweep(&state, tomorrow), Some((plus(tomorrow, SWEEP), 1)));
}
