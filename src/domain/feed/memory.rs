//! The memory: everything that was ever published, at its worst.
//!
//! A publisher may edit, take back and delete; a mirror may lose or withhold. What was once said to be a security hole
//! stays one here, and what was seen once keeps the day on which it was seen.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::advisory::{Advisory, Severity};
use crate::domain::release::Release;

/// So many entries may vanish at once and be believed to be gone. Mastodon deletes a release now and then; a list that
/// lacks more than these is a list that was cut.
const BELIEVED: usize = 3;

/// Something that is published and remembered.
pub trait Memorable: Clone + PartialEq + Serialize + DeserializeOwned {
    /// What it is called in sentences.
    const WHAT: &'static str;
    /// Its name: a tag, an id.
    fn id(&self) -> &str;
    /// When it was published.
    fn published(&self) -> Option<Timestamp>;
    /// What must outlive an edit of its text.
    fn keep(&self) -> Kept;
    /// The same, with what is remembered of it.
    #[must_use]
    fn recalled(&self, entry: &Entry, kept: &Kept) -> Self;
}

/// What of earlier texts must not get lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Signs of a security release, as they are stored.
    pub security: Value,
    /// Ids of advisories.
    pub ids: BTreeSet<String>,
    /// The worst grade that was given.
    pub severity: Option<Severity>,
    /// The publication date as it was seen first.
    pub published_at: Option<Timestamp>,
}

/// When something was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When this host saw it first.
    pub first_seen: Timestamp,
    /// When it was last listed, or its text last changed; older than the last answer for what is unchanged.
    pub last_seen: Timestamp,
    /// Since when it is no longer listed.
    pub gone_since: Option<Timestamp>,
}

/// One thing as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered<T> {
    /// Its name.
    pub id: String,
    /// When it was seen.
    pub entry: Entry,
    /// SHA-256 of the text that it was last read from.
    pub digest: String,
    /// What was last read; none where another version of the program stored it in a way that this one cannot read.
    pub parsed: Option<T>,
    /// What earlier texts said.
    pub kept: Kept,
}

/// A complete list, as it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// What was read, each with the digest of its text.
    pub items: Vec<(T, String)>,
    /// Names of what is listed, but could not be read.
    pub unread: Vec<String>,
    /// When the list was last answered completely before, if ever.
    pub before: Option<Timestamp>,
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub id: String,
    /// What, in a sentence.
    pub what: String,
}

/// A list that went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Back {
    /// Since when.
    pub since: Timestamp,
    /// How, in a sentence.
    pub what: String,
    /// The newest publication date before. A list that shows something newer has moved on.
    pub newest: Option<Timestamp>,
}

/// What an answer made of the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update<T> {
    /// Everything that is remembered now.
    pub memory: Vec<Remembered<T>>,
    /// The names of what differs from before.
    pub touched: BTreeSet<String>,
    /// What happened, one sentence each.
    pub changes: Vec<Change>,
    /// Whether, and how, the list went back.
    pub back: Option<Back>,
    /// The newest publication date that was ever listed.
    pub newest: Option<Timestamp>,
    /// What is odd about the answer or the memory, as sentences.
    pub problems: Vec<String>,
}

/// Takes a complete answer into the memory.
///
/// What the answer does not list is gone, unless too much of it is missing at once: then nothing is believed to be gone
/// until the list has moved on, and [`Update::back`] says so.
pub fn remember<T: Memorable>(
    memory: Vec<Remembered<T>>,
    listing: Listing<T>,
    newest: Option<Timestamp>,
    back: Option<Back>,
    now: Timestamp,
) -> Update<T> {
    let mut update = Update {
        memory: Vec::new(),
        touched: BTreeSet::new(),
        changes: Vec::new(),
        back: None,
        newest,
        problems: Vec::new(),
    };
    let mut known: BTreeMap<String, Remembered<T>> = memory
        .into_iter()
        .map(|one| (one.id.clone(), one))
        .collect();
    // Dates ahead of this host's clock are somebody's mistake; they are no measure of what comes after them.
    let dates = listing
        .items
        .iter()
        .filter_map(|(item, _)| item.published());
    let listed_newest = dates.filter(|at| *at <= now).max();
    let mut listed: BTreeSet<String> = listing.unread.into_iter().collect();
    for (item, digest) in listing.items {
        let id = item.id().to_owned();
        let twice = !listed.insert(id.clone());
        match known.get_mut(&id) {
            Some(one) => meet(one, item, digest, twice, now, &mut update),
            None => {
                update.touched.insert(id.clone());
                if listing.before.is_some() {
                    update.changed(&id, format!("{} {id} is new.", T::WHAT));
                }
                known.insert(id.clone(), Remembered::new(id, item, digest, now));
            }
        }
    }
    update.look_back(&known, &listed, listed_newest, back, now);
    let believed = update.back.is_none() || missing(&known, &listed).len() <= BELIEVED;
    for id in missing(&known, &listed) {
        if let (true, Some(one)) = (believed, known.get_mut(&id)) {
            one.entry.gone_since = Some(now);
            one.entry.last_seen = listing.before.unwrap_or(one.entry.last_seen);
            update.touched.insert(id.clone());
            update.changed(&id, format!("{} {id} is no longer listed.", T::WHAT));
        }
    }
    for one in known.values() {
        if one.parsed.is_none() {
            update.problems.push(format!(
                "{} {} is remembered, but cannot be read any more.",
                T::WHAT,
                one.id
            ));
        }
    }
    update.newest = newest.max(listed_newest);
    update.memory = known.into_values().collect();
    update
}

/// An entry that is listed and was known.
fn meet<T: Memorable>(
    one: &mut Remembered<T>,
    item: T,
    digest: String,
    twice: bool,
    now: Timestamp,
    update: &mut Update<T>,
) {
    let id = one.id.clone();
    if one.entry.gone_since.take().is_some() {
        one.entry.last_seen = now;
        update.touched.insert(id.clone());
        update.changed(&id, format!("{} {id} is listed again.", T::WHAT));
    }
    if one.digest == digest {
        // The same text read by a newer program may say more, or less; what earlier texts said stays.
        if one.parsed.as_ref() != Some(&item) {
            one.parsed = Some(item);
            update.touched.insert(id);
        }
        return;
    }
    if twice {
        // Two texts in one answer: both count, and the first one is shown.
        let kept = one.kept.clone().with(&item.keep());
        if kept != one.kept {
            one.kept = kept;
            update.touched.insert(id.clone());
        }
        update.problems.push(format!(
            "{} {id} is listed twice, with different texts.",
            T::WHAT
        ));
        return;
    }
    if let Some(old) = &one.parsed {
        one.kept = one.kept.clone().with(&old.keep());
        let what = differences(old, &item);
        update.changed(&id, format!("{} {id} was edited: {what}.", T::WHAT));
    }
    one.parsed = Some(item);
    one.digest = digest;
    one.entry.last_seen = now;
    update.touched.insert(id);
}

impl<T: Memorable> Update<T> {
    fn changed(&mut self, id: &str, what: String) {
        self.changes.push(Change {
            id: id.to_owned(),
            what,
        });
    }

    fn look_back(
        &mut self,
        known: &BTreeMap<String, Remembered<T>>,
        listed: &BTreeSet<String>,
        listed_newest: Option<Timestamp>,
        back: Option<Back>,
        now: Timestamp,
    ) {
        let newest = back
            .as_ref()
            .map_or(self.newest, |back| back.newest)
            .filter(|at| *at <= now);
        let moved_on = back.is_some() && listed_newest > newest;
        let count = missing(known, listed).len();
        let cut = count > BELIEVED;
        if moved_on || !(listed_newest < newest || cut) {
            return;
        }
        let what = if listed.is_empty() {
            format!("it is empty, and {count} entries were known")
        } else if cut {
            format!("{count} of the entries that were known are missing")
        } else {
            let show =
                |at: Option<Timestamp>| at.map_or("no day at all".to_owned(), |at| at.to_string());
            format!(
                "its newest entry is of {}, and one of {} was known",
                show(listed_newest),
                show(newest)
            )
        };
        self.back = Some(Back {
            since: back.map_or(now, |back| back.since),
            what,
            newest: newest.max(listed_newest),
        });
    }
}

/// What is known, not gone and not listed.
fn missing<T: Memorable>(
    known: &BTreeMap<String, Remembered<T>>,
    listed: &BTreeSet<String>,
) -> Vec<String> {
    let missing = known
        .values()
        .filter(|one| one.entry.gone_since.is_none() && !listed.contains(&one.id));
    missing.map(|one| one.id.clone()).collect()
}

/// Nothing can be seen before it was published. A clock that was behind must not make everything old for ever; a date that
/// lies far ahead is nobody's clock.
fn first_sight(published: Option<Timestamp>, now: Timestamp) -> Timestamp {
    const FAR_AHEAD: SignedDuration = SignedDuration::from_hours(90 * 24);
    published
        .filter(|published| *published > now && published.duration_since(now) < FAR_AHEAD)
        .unwrap_or(now)
}

impl<T: Memorable> Remembered<T> {
    fn new(id: String, item: T, digest: String, now: Timestamp) -> Self {
        Self {
            id,
            entry: Entry {
                first_seen: first_sight(item.published(), now),
                last_seen: now,
                gone_since: None,
            },
            digest,
            kept: Kept {
                published_at: item.published(),
                ..Kept::default()
            },
            parsed: Some(item),
        }
    }

    /// The thing itself, at its worst; none where it cannot be read.
    pub fn recall(&self) -> Option<T> {
        let parsed = self.parsed.as_ref()?;
        Some(parsed.recalled(&self.entry, &self.kept))
    }
}

impl Kept {
    /// Both together: the worst of each.
    #[must_use]
    fn with(mut self, other: &Self) -> Self {
        self.security = worst_of(&self.security, &other.security);
        self.ids.extend(other.ids.iter().cloned());
        self.severity = self.severity.max(other.severity);
        self.published_at = self.published_at.or(other.published_at);
        self
    }
}

impl Memorable for Release {
    const WHAT: &'static str = "Release";

    fn id(&self) -> &str {
        &self.tag
    }

    fn published(&self) -> Option<Timestamp> {
        Some(self.published_at)
    }

    fn keep(&self) -> Kept {
        Kept {
            security: serde_json::to_value(&self.security).unwrap_or_default(),
            ids: self.ids.clone(),
            severity: None,
            published_at: Some(self.published_at),
        }
    }

    fn recalled(&self, entry: &Entry, kept: &Kept) -> Self {
        let mut release = self.clone();
        let now = serde_json::to_value(&self.security).unwrap_or_default();
        if let Ok(security) = serde_json::from_value(worst_of(&kept.security, &now)) {
            release.security = security;
        }
        release.ids.extend(kept.ids.iter().cloned());
        release.published_at = kept.published_at.unwrap_or(self.published_at);
        release.first_seen = Some(entry.first_seen);
        release.gone_since = entry.gone_since;
        release
    }
}

impl Memorable for Advisory {
    const WHAT: &'static str = "Advisory";

    fn id(&self) -> &str {
        &self.id
    }

    fn published(&self) -> Option<Timestamp> {
        self.published_at
    }

    fn keep(&self) -> Kept {
        Kept {
            // High for want of a grade is our own word, not the publisher's.
            severity: (!self.severity_missing).then_some(self.severity),
            published_at: self.published_at,
            ..Kept::default()
        }
    }

    fn recalled(&self, entry: &Entry, kept: &Kept) -> Self {
        let mut advisory = self.clone();
        advisory.graded_before = kept.severity.filter(|worst| *worst > self.severity);
        advisory.published_at = kept.published_at.or(self.published_at);
        advisory.first_seen = Some(entry.first_seen);
        advisory.gone_since = entry.gone_since;
        advisory
    }
}

/// Every sign of both: a yes of either, all entries of both lists, and the newer text.
fn worst_of(before: &Value, now: &Value) -> Value {
    match (before, now) {
        (Value::Bool(before), Value::Bool(now)) => Value::Bool(*before || *now),
        (Value::Array(before), Value::Array(now)) => {
            let mut all = now.clone();
            all.extend(before.iter().filter(|one| !now.contains(one)).cloned());
            Value::Array(all)
        }
        (Value::Object(before), Value::Object(now)) => {
            let mut all = now.clone();
            for (key, old) in before {
                let both = now.get(key).map_or(old.clone(), |new| worst_of(old, new));
                all.insert(key.clone(), both);
            }
            Value::Object(all)
        }
        (before, Value::Null) => before.clone(),
        (_, now) => now.clone(),
    }
}

/// Which parts of a thing differ, in words.
fn differences<T: Serialize>(old: &T, new: &T) -> String {
    const WORDS: [(&str, &str); 12] = [
        ("security", "its security signals"),
        ("ids", "the advisories it names"),
        ("published_at", "its publication date"),
        ("pre_release", "whether it is final"),
        ("described", "whether it has a text"),
        ("notes", "its upgrade notes"),
        ("title", "its title"),
        ("severity", "its grade"),
        ("withdrawn", "whether it is withdrawn"),
        ("vulnerable", "the versions it lists"),
        ("cve", "its CVE id"),
        ("summary", "its summary"),
    ];
    let (old, new) = (
        serde_json::to_value(old).unwrap_or_default(),
        serde_json::to_value(new).unwrap_or_default(),
    );
    let words: Vec<&str> = WORDS
        .iter()
        .filter(|(key, _)| old.get(key) != new.get(key))
        .map(|(_, words)| *words)
        .collect();
    if words.is_empty() {
        "only its text".to_owned()
    } else {
        words.join(", ")
    }
}

#[cfg(test)]
mod tests;
