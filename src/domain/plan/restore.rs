//! What a run brings back, where it is no update.

use serde::{Deserialize, Serialize};

use super::{Asked, Plan};
use crate::domain::event::Outcome;
use crate::domain::run::RunState;
use crate::domain::version::ReleaseVersion;

/// What a run brings back that a person ordered: a version that ran before, the data of a snapshot, or both.
///
/// Such a run is made like an update: the snapshot's data take the place that a migrated clone takes, and the database that
/// was in use stands aside as its original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The run whose snapshot it is, or whose update is taken back.
    pub run: String,
    /// Whether the data of its snapshot are put in; else only the version changes, and nothing is lost.
    pub data: bool,
    /// Where the snapshot is a clone, the database that it consists of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Ids of the images that ran then: what comes back has to be one of them, whatever its tag names now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_ids: Vec<String>,
}

impl Plan {
    /// The version that a quarantine of this run is about: the one that was tried, or the one that was taken back.
    pub fn judged(&self) -> &ReleaseVersion {
        match self.restore {
            None => &self.to,
            Some(_) => &self.from,
        }
    }

    /// Why [`Self::judged`] is not to be tried again by itself, once the run is over.
    pub fn quarantine(&self, state: &RunState) -> Option<String> {
        let Some(restore) = &self.restore else {
            return state.quarantine_reason().map(str::to_owned);
        };
        let is_done = matches!(state.outcome(), Some((Outcome::Committed, _)));
        // What was brought back is no release that is tried: if it does not start, nothing is said of it.
        (is_done && self.to.precedes(&self.from)).then(|| {
            let by = match &self.why.asked_by {
                Asked::Person(name) | Asked::Rule(name) => name,
            };
            format!("{by} took it back, which had come with run {}", restore.run)
        })
    }

    /// What of a snapshot's data the run puts in, if it does.
    pub fn brings_data(&self) -> Option<&Restore> {
        self.restore.as_ref().filter(|restore| restore.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::report::samples;

    #[test]
    fn a_plan_that_brings_nothing_back_keeps_its_bytes_and_one_that_does_judges_what_it_replaces() {
        let update = samples::plan();
        assert!(!update.canonical().unwrap().contains("restore"));
        assert_eq!(update.judged(), &update.to);
        let back = Plan {
            from: update.to.clone(),
            to: update.from.clone(),
            restore: Some(Restore {
                run: update.run.clone(),
                data: true,
                database: None,
                image_ids: Vec::new(),
            }),
            ..update
        };
        let text = back.canonical().unwrap();
        let end = format!(r#""restore":{{"run":"{}","data":true}}}}"#, back.run);
        assert!(text.ends_with(&end), "{text}");
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), back);
        assert_eq!(back.judged(), &back.from);
        let committed = RunState::fold(&samples::committed_m2()).unwrap();
        let said = back.quarantine(&committed).unwrap();
        assert!(said.contains("took it back"), "{said}");
        // A version that does not start again is no release that failed.
        let failed = RunState::fold(&samples::rolled_back()).unwrap();
        assert!(failed.quarantine_reason().is_some());
        assert_eq!(back.quarantine(&failed), None);
        // Forth again, nothing is judged.
        let forth = Plan {
            from: back.to.clone(),
            to: back.from.clone(),
            ..back
        };
        assert_eq!(forth.quarantine(&committed), None);
    }
}
