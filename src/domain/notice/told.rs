//! What people were told already.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Notice, Topic};
use crate::domain::report::words::clean;

/// How long a deadline must have been out of danger before a relapse is told anew. What decides about it (free disk
/// space, a source that answers now and then) can change with every look, and looks are minutes apart.
const CALM: SignedDuration = SignedDuration::from_hours(1);

/// What people were told about one [`Topic`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    matters: BTreeMap<String, Matter>,
}

/// Whether something has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "news that nobody is told are lost"]
pub enum News {
    /// It was not told yet, or has become worse.
    New,
    /// It was noticed, but there was nobody to write to.
    Unheard,
    /// It was told.
    Old,
}

/// One matter, by the key of its notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Matter {
    /// The worst grade that was told.
    grade: u8,
    /// Whether anybody was written to.
    heard: bool,
    /// Since when it has been out of danger.
    well_since: Option<Timestamp>,
}

impl Told {
    /// Takes note that a notice holds at `now`; says whether people have to be told. Other deadlines of the same instance
    /// are out of danger then.
    pub fn raise(&mut self, notice: &Notice, now: Timestamp) -> News {
        let key = notice.key();
        match notice {
            Notice::DeadlineAtRisk(_) => self.calm(&notice.topic(), Some(&key), now),
            // Until a good one was read, every mistake that was told stays told. An instance has one run at most.
            Notice::ConfigRefused(_) | Notice::StandsStill(_) | Notice::NotRehearsed(_) => {}
        }
        let Some(matter) = self.matters.get_mut(&key) else {
            let matter = Matter {
                grade: notice.grade(),
                heard: false,
                well_since: None,
            };
            self.matters.insert(key, matter);
            return News::New;
        };
        matter.well_since = None;
        if notice.grade() > matter.grade {
            matter.grade = notice.grade();
            matter.heard = false;
            News::New
        } else if matter.heard {
            News::Old
        } else {
            News::Unheard
        }
    }

    /// Takes note that mails tell it.
    pub fn heard(&mut self, notice: &Notice) {
        if let Some(matter) = self.matters.get_mut(&notice.key()) {
            matter.heard = true;
        }
    }

    /// Takes note that nothing of the topic is amiss at `now`. What stays well is forgotten: a deadline after an hour, a
    /// configuration and a run at once.
    pub fn rest(&mut self, topic: &Topic, now: Timestamp) {
        self.calm(topic, None, now);
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.matters.is_empty()
    }

    fn calm(&mut self, topic: &Topic, but: Option<&str>, now: Timestamp) {
        let calm = match topic {
            Topic::Deadlines(_) => CALM,
            Topic::Configuration | Topic::Runs(_) | Topic::Rehearsals(_) => SignedDuration::ZERO,
        };
        self.matters.retain(|key, matter| {
            // After a clock that was ahead was set right, the hour begins anew.
            let since = matter.well_since.map(|since| since.min(now));
            let over = |since| now.duration_since(since) >= calm;
            if but == Some(key.as_str()) {
                return !since.is_some_and(over);
            }
            let since = since.unwrap_or(now);
            matter.well_since = Some(since);
            !over(since)
        });
    }
}

impl Topic {
    /// The deadlines of an instance, by its name.
    pub fn deadlines(instance: &str) -> Self {
        Self::Deadlines(clean(instance))
    }

    /// The interrupted runs of an instance, by its name.
    pub fn runs(instance: &str) -> Self {
        Self::Runs(clean(instance))
    }

    /// The rehearsals of an instance, by its name.
    pub fn rehearsals(instance: &str) -> Self {
        Self::Rehearsals(clean(instance))
    }

    /// Its name, under which it is remembered.
    pub fn name(&self) -> String {
        match self {
            Self::Deadlines(instance) => format!("notice deadlines {instance}"),
            Self::Configuration => "notice configuration".to_owned(),
            Self::Runs(instance) => format!("notice runs {instance}"),
            Self::Rehearsals(instance) => format!("notice rehearsals {instance}"),
        }
    }
}
