//! The poller: asks the outside sources when they are due, keeps what they say, and knows how each of them does.
//!
//! A failure is a state, not an end: what was known stays known, and whoever asks is told by an alarm.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::knowledge::{KnowledgeError, Known};
use crate::adapters::github::GitHub;
use crate::adapters::store::{CachedAnswer, Store};
use crate::adapters::update_check::UpdateChecker;
use crate::config::Settings;
use crate::domain::feed::{
    Ask, Failure, Feed, FeedState, Ledger, Listing, Memorable, Outlook, Remembered, States,
    Timetable, UpdateCheck, alarms,
};
use crate::domain::version::ReleaseVersion;
use crate::engine::chain;
use crate::ports::Retry;
use crate::ports::release_source::{
    AskAgain, CachedPages, Fetched, Reach, ReleaseSource, ReleaseSourceError, UpdateCheckSource,
};
use crate::ports::store::StoreError;

/// Under this name the questions of the last hour are kept.
const LEDGER: &str = "questions of the last hour";
/// Under this name the versions that run here are kept.
const VERSIONS: &str = "installed versions";
/// First sights: versions that the update check offered, and those that it called urgent.
const OFFERED: &str = "offered version";
const URGENT: &str = "urgent version";
/// A plan that could not be made is not tried at once again: each try asks for the commit of its release.
const AFTER_FAILED_PLAN: SignedDuration = SignedDuration::from_mins(5);

/// Asks the sources of one configuration.
#[derive(Debug)]
pub struct Poller<'a, S, U> {
    store: &'a Store,
    github: &'a S,
    update_check: Option<&'a U>,
    places: Places,
    timetable: Timetable,
}

/// Who is asked about what, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The address of GitHub's API.
    pub base_url: String,
    /// `owner/name`.
    pub repository: String,
    /// The names of the configured instances.
    pub instances: Vec<String>,
}

/// What came of asking.
#[derive(Debug, Default)]
pub struct Round {
    /// What was asked, in order.
    pub asked: Vec<Feed>,
    /// What came to nothing.
    pub failures: Vec<(Feed, ReleaseSourceError)>,
    /// What is new or different, as sentences.
    pub news: Vec<String>,
}

impl<'a, S: ReleaseSource + Sync, U: UpdateCheckSource + Sync> Poller<'a, S, U> {
    /// A poller for these sources. `poll` lies between two looks at the releases.
    pub fn new(
        store: &'a Store,
        github: &'a S,
        update_check: Option<&'a U>,
        places: Places,
        poll: SignedDuration,
    ) -> Self {
        let seed = seed(&places.instances);
        Self {
            store,
            github,
            update_check,
            places,
            timetable: Timetable::new(poll, seed),
        }
    }

    /// Asks what is due by the timetable, and nothing else. Failures are states; only the state file can fail this.
    pub async fn poll(&self, now: Timestamp) -> Result<Round, StoreError> {
        let states = self.states()?;
        let ledger = self.ledger()?;
        let mut round = Round::default();
        for ask in self.timetable.due(&states, &ledger, now) {
            self.ask(&ask, now, false, &mut round).await?;
        }
        Ok(round)
    }

    /// Asks for releases and advisories at once, because a person wants to know; the update check only if it is due.
    /// A failure does not lengthen the pauses of the timetable.
    pub async fn ask_now(&self, now: Timestamp) -> Result<Round, StoreError> {
        let mut round = Round::default();
        let states = self.states()?;
        for feed in [Feed::Releases, Feed::Advisories] {
            self.ask(&Ask { feed, page: None }, now, true, &mut round)
                .await?;
        }
        for (feed, state) in states {
            if matches!(feed, Feed::UpdateCheck(_)) && state.is_due(now) {
                self.ask(&Ask { feed, page: None }, now, true, &mut round)
                    .await?;
            }
        }
        Ok(round)
    }

    /// When something can be due next.
    pub fn wake(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        Ok(self.timetable.wake(&self.states()?, &self.ledger()?, now))
    }

    /// Ends all waits that failures made: a person changed something, and wants to see whether it helps.
    pub fn start_afresh(&self) -> Result<(), StoreError> {
        for (feed, mut state) in self.states()? {
            if state.failures > 0 {
                let source = self.source(&feed);
                state.start_afresh(&source);
                self.put_state(&feed, &state)?;
            }
        }
        Ok(())
    }

    /// Whether GitHub may be asked for the commit of a release by itself; if not, when.
    pub fn may_plan(&self, now: Timestamp) -> Result<Result<(), Timestamp>, StoreError> {
        let due = self.state(&Feed::Commits)?.due_at(now);
        Ok(if due <= now { Ok(()) } else { Err(due) })
    }

    /// Notes how making a plan went: `asked` is what GitHub said to the question for the commit.
    pub fn planned(
        &self,
        asked: Result<(), &ReleaseSourceError>,
        made: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let feed = Feed::Commits;
        let mut state = self.state(&feed)?;
        match asked {
            Ok(()) if made => state.succeed(now, now),
            Ok(()) => {
                let later = now.saturating_add(AFTER_FAILED_PLAN);
                state.succeed(now, later.unwrap_or(now));
            }
            Err(err) => self.note_failure(&mut state, err, now),
        }
        self.put_state(&feed, &state)
    }

    /// Everything that is known, with the alarms that hold at `now`. Asks nothing.
    pub fn known(&self, now: Timestamp) -> Result<Known, StoreError> {
        let states = self.states()?;
        let mut known = Known {
            releases: self.recall()?,
            advisories: self.recall()?,
            ..Known::default()
        };
        for (feed, state) in &states {
            if matches!(feed, Feed::Releases | Feed::Advisories) {
                known.problems.extend(state.problems.iter().cloned());
            }
        }
        if known.releases.is_empty() {
            known
                .problems
                .push("No release at all is known.".to_owned());
        }
        let offered = self.take_offers(&states, &mut known)?;
        for text in self.store.seen(URGENT)?.keys() {
            known.urgent.extend(text.parse::<ReleaseVersion>());
        }
        let listed: Vec<ReleaseVersion> = known
            .releases
            .iter()
            .filter(|release| release.gone_since.is_none())
            .map(|release| release.version.clone())
            .collect();
        let dates = known.releases.iter().map(|release| release.published_at);
        let advised = known.advisories.iter().filter_map(|it| it.published_at);
        let outlook = Outlook {
            states: &states,
            listed: &listed,
            offered: &offered,
            newest: dates.chain(advised).max(),
        };
        known.alarms = alarms(&outlook, now);
        Ok(known)
    }

    /// One question, and what becomes of it.
    async fn ask(
        &self,
        ask: &Ask,
        now: Timestamp,
        by_person: bool,
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let before = self.asked();
        let reach = ask.page.map_or(Reach::First, Reach::FirstAnd);
        let failed = match &ask.feed {
            Feed::Releases => {
                let known = self.pages(&ask.feed)?;
                match self.github.releases(&known, reach).await {
                    Ok(fetched) => self.take_in(ask, fetched, now, round)?,
                    Err(err) => Some(err),
                }
            }
            Feed::Advisories => {
                let known = self.pages(&ask.feed)?;
                match self.github.advisories(&known, reach).await {
                    Ok(fetched) => self.take_in(ask, fetched, now, round)?,
                    Err(err) => Some(err),
                }
            }
            Feed::UpdateCheck(version) => match self.update_check {
                Some(source) => match source.updates_for(version).await {
                    Ok(check) => self.take_check(&ask.feed, &check, now)?,
                    Err(err) => Some(err),
                },
                None => None,
            },
            Feed::Commits => None,
        };
        if let Some(err) = failed {
            self.failed(&ask.feed, &err, now, by_person)?;
            round.failures.push((ask.feed.clone(), err));
        }
        round.asked.push(ask.feed.clone());
        let sent = usize::try_from(self.asked().saturating_sub(before)).unwrap_or(usize::MAX);
        // The first pages have their place in every hour; everything else shares the rest.
        let first = matches!(ask.feed, Feed::Releases | Feed::Advisories);
        let own = usize::from(first && !by_person);
        let mut ledger = self.ledger()?;
        ledger.note(sent.saturating_sub(own), now);
        self.store.put_feed(LEDGER, &ledger)
    }

    fn asked(&self) -> u64 {
        let second = self.update_check.map_or(0, UpdateCheckSource::asked);
        self.github.asked().saturating_add(second)
    }

    /// Keeps a complete answer. Memory first: after an interruption the same answer comes once more.
    fn take_in<T: Memorable>(
        &self,
        ask: &Ask,
        fetched: Fetched<T>,
        now: Timestamp,
        round: &mut Round,
    ) -> Result<Option<ReleaseSourceError>, StoreError> {
        let feed = &ask.feed;
        let mut state = self.state(feed)?;
        let pages = fetched.pages.pages.len();
        let listing = Listing {
            items: fetched
                .items
                .into_iter()
                .map(|item| (item.value, item.digest))
                .collect(),
            unread: fetched.unread,
            before: state.succeeded_at,
        };
        let (repository, back) = (&self.places.repository, state.back.take());
        let update = self
            .store
            .take_in(repository, listing, state.newest, back, now)?;
        if fetched.changed {
            let body = serde_json::to_vec(&fetched.pages).unwrap_or_default();
            self.keep(feed, body, now)?;
        }
        let mut problems = fetched.problems;
        problems.extend(update.problems);
        state.problems_since = match (problems.is_empty(), state.problems_since) {
            (true, _) => None,
            (false, since) => since.or(Some(now)),
        };
        state.problems = problems;
        state.newest = update.newest;
        state.back = update.back;
        state.swept(ask.page, fetched.all_asked, pages, now);
        let vanished = update.memory.iter();
        if vanished
            .filter(|one| one.entry.gone_since == Some(now))
            .count()
            > 0
        {
            // A deletion while the pages were read can hide an entry that is still there; the next looks tell.
            state.swept_at = None;
        }
        state.succeed(now, self.timetable.after_success(feed, now));
        self.put_state(feed, &state)?;
        let news = update.changes.into_iter().map(|change| change.what);
        round.news.extend(news);
        Ok(None)
    }

    fn take_check(
        &self,
        feed: &Feed,
        check: &UpdateCheck,
        now: Timestamp,
    ) -> Result<Option<ReleaseSourceError>, StoreError> {
        for offered in &check.available {
            let version = offered.version.to_string();
            self.store.first_seen(OFFERED, &version, now)?;
            if offered.urgent {
                self.store.first_seen(URGENT, &version, now)?;
            }
        }
        self.keep(feed, serde_json::to_vec(check).unwrap_or_default(), now)?;
        let mut state = self.state(feed)?;
        state.succeed(now, self.timetable.after_success(feed, now));
        state.problems.clone_from(&check.problems);
        self.put_state(feed, &state)?;
        Ok(None)
    }

    fn failed(
        &self,
        feed: &Feed,
        err: &ReleaseSourceError,
        now: Timestamp,
        by_person: bool,
    ) -> Result<(), StoreError> {
        let mut state = self.state(feed)?;
        if by_person && !state.is_due(now) && err.ask_again().is_none() {
            state.last_error = Some(chain(err));
            state.failing_since = state.failing_since.or(Some(now));
        } else {
            self.note_failure(&mut state, err, now);
        }
        self.put_state(feed, &state)
    }

    fn note_failure(&self, state: &mut FeedState, err: &ReleaseSourceError, now: Timestamp) {
        let failure = failure(err, now);
        let failures = state.failures.saturating_add(1);
        let next_at = self.timetable.after_failure(failures, &failure, now);
        state.fail(now, &failure, next_at);
    }

    fn recall<T: Memorable>(&self) -> Result<Vec<T>, StoreError> {
        let memory = self.store.memory::<T>(&self.places.repository)?;
        Ok(memory.iter().filter_map(Remembered::recall).collect())
    }

    /// Takes what the update check offers into `known`, and gives since when.
    fn take_offers(
        &self,
        states: &States,
        known: &mut Known,
    ) -> Result<BTreeMap<ReleaseVersion, Timestamp>, StoreError> {
        let seen = self.store.seen(OFFERED)?;
        let mut offered = BTreeMap::new();
        for feed in states.keys() {
            if !matches!(feed, Feed::UpdateCheck(_)) {
                continue;
            }
            let Some(answer) = self.store.cached(&feed.name(&self.places.repository))? else {
                continue;
            };
            let Ok(check) = serde_json::from_slice::<UpdateCheck>(&answer.body) else {
                continue;
            };
            known.ends(check.asked_for.line(), check.current_end_of_support);
            for one in check.available {
                known.ends(one.version.line(), one.end_of_support);
                let since = seen.get(&one.version.to_string());
                offered.insert(
                    one.version.clone(),
                    since.copied().unwrap_or(answer.fetched_at),
                );
                if !known.offered.contains(&one) {
                    known.offered.push(one);
                }
            }
        }
        Ok(offered)
    }

    /// The states of everything that is asked with this configuration.
    fn states(&self) -> Result<States, StoreError> {
        let mut feeds = BTreeSet::from([Feed::Releases, Feed::Advisories, Feed::Commits]);
        if self.update_check.is_some() {
            feeds.extend(self.versions()?.into_iter().map(Feed::UpdateCheck));
        }
        let mut states = States::new();
        for feed in feeds {
            let state = self.state(&feed)?;
            if feed != Feed::Commits || state.asked_at.is_some() {
                states.insert(feed, state);
            }
        }
        Ok(states)
    }

    fn versions(&self) -> Result<BTreeSet<ReleaseVersion>, StoreError> {
        let versions: BTreeMap<String, String> = self.store.feed(VERSIONS)?.unwrap_or_default();
        let ours = versions
            .iter()
            .filter(|(name, _)| self.places.instances.contains(name));
        Ok(ours
            .filter_map(|(_, version)| version.parse().ok())
            .collect())
    }

    fn state(&self, feed: &Feed) -> Result<FeedState, StoreError> {
        let name = feed.name(&self.places.repository);
        let mut state: FeedState = self.store.feed(&name)?.unwrap_or_default();
        let source = self.source(feed);
        if state.source != source {
            state.start_afresh(&source);
        }
        Ok(state)
    }

    fn source(&self, feed: &Feed) -> String {
        match feed {
            Feed::Releases | Feed::Advisories | Feed::Commits => self.places.base_url.clone(),
            Feed::UpdateCheck(_) => "update check".to_owned(),
        }
    }

    fn put_state(&self, feed: &Feed, state: &FeedState) -> Result<(), StoreError> {
        self.store
            .put_feed(&feed.name(&self.places.repository), state)
    }

    fn ledger(&self) -> Result<Ledger, StoreError> {
        Ok(self.store.feed(LEDGER)?.unwrap_or_default())
    }

    fn pages(&self, feed: &Feed) -> Result<CachedPages, StoreError> {
        let cached = self.store.cached(&feed.name(&self.places.repository))?;
        // Pages that cannot be read any more are as good as none.
        Ok(cached
            .and_then(|answer| serde_json::from_slice(&answer.body).ok())
            .unwrap_or_default())
    }

    fn keep(&self, feed: &Feed, body: Vec<u8>, now: Timestamp) -> Result<(), StoreError> {
        let answer = CachedAnswer {
            etag: None,
            body,
            fetched_at: now,
        };
        self.store
            .put_cached(&feed.name(&self.places.repository), &answer)
    }
}

impl Round {
    /// The first failure among the questions that a person's answer rests on.
    pub fn into_failure(self) -> Option<KnowledgeError> {
        self.failures
            .into_iter()
            .find_map(|(feed, source)| match feed {
                Feed::Releases => Some(("releases", source)),
                Feed::Advisories => Some(("advisories", source)),
                Feed::UpdateCheck(_) | Feed::Commits => None,
            })
            .map(|(what, source)| KnowledgeError::Source { what, source })
    }
}

/// The poller of these settings.
pub fn poller<'a>(
    store: &'a Store,
    github: &'a GitHub,
    update_check: Option<&'a UpdateChecker>,
    settings: &Settings,
) -> Poller<'a, GitHub, UpdateChecker> {
    let places = Places {
        base_url: settings.github.base_url.clone(),
        repository: settings.github.repository.clone(),
        instances: settings
            .instances
            .iter()
            .map(|it| it.name.clone())
            .collect(),
    };
    let poll = SignedDuration::try_from(settings.github.poll).unwrap_or(SignedDuration::MAX);
    Poller::new(store, github, update_check, places, poll)
}

/// Keeps which version an instance runs; the update check is asked for it from then on. Forks are asked for by the
/// version that they are built on.
pub fn note_version(
    store: &Store,
    instance: &str,
    version: &ReleaseVersion,
) -> Result<(), StoreError> {
    let tag = version.tag();
    let plain = tag.trim_start_matches('v');
    let mut versions: BTreeMap<String, String> = store.feed(VERSIONS)?.unwrap_or_default();
    if versions.get(instance).is_some_and(|known| known == plain) {
        return Ok(());
    }
    versions.insert(instance.to_owned(), plain.to_owned());
    store.put_feed(VERSIONS, &versions)
}

fn failure(err: &ReleaseSourceError, now: Timestamp) -> Failure {
    let again = err.ask_again().and_then(|again| match again {
        AskAgain::At(at) => Some(at),
        AskAgain::After(length) => {
            let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
            Some(now.saturating_add(length).unwrap_or(Timestamp::MAX))
        }
        AskAgain::Unknown => None,
    });
    let ours = matches!(
        err,
        ReleaseSourceError::Address { .. }
            | ReleaseSourceError::Unauthorized { .. }
            | ReleaseSourceError::Forbidden { .. }
            | ReleaseSourceError::NotFound { .. }
            | ReleaseSourceError::Redirected { .. }
    );
    Failure {
        sentence: chain(err),
        needs_person: ours && err.retry() == Retry::Permanent,
        again,
    }
}

/// The same host, the same number: FNV-1a over the names of its instances.
fn seed(instances: &[String]) -> u64 {
    let bytes = instances.iter().flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
