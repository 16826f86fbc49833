//! The standing of what runs, in sentences.

use super::{Exposed, Exposure, Standing};
use crate::domain::decide::{About, Facts, Reason};
use crate::domain::policy::Policy;
use crate::domain::version::{ReleaseLine, ReleaseVersion};

impl Exposure {
    pub(in crate::domain::decide) fn reasons(&self, facts: &Facts, policy: &Policy) -> Vec<Reason> {
        let data = gaps(facts)
            .into_iter()
            .map(|text| Reason::new(About::Data, text));
        let exposure = self
            .sentences(facts, policy)
            .into_iter()
            .map(|text| Reason::new(About::Exposure, text));
        data.chain(exposure).collect()
    }

    fn sentences(&self, facts: &Facts, policy: &Policy) -> Vec<String> {
        let (installed, line) = (facts.version(), facts.version().line());
        let published = &facts.published;
        let mut texts = Vec::new();
        for item in &self.listed {
            texts.push(format!(
                "{installed} is listed as affected by {} ({}): {}.",
                item.id,
                item.grade(),
                item.why
            ));
        }
        for item in &self.undecided {
            let (id, severity, why) = (&item.id, item.grade(), &item.why);
            texts.push(format!(
                "Whether {id} ({severity}) affects {installed} cannot be decided: {why}."
            ));
        }
        for version in &self.newer_security {
            let mut named = published.all_of(version).iter();
            let Some(release) = named.find(|release| published.is_security(release)) else {
                texts.push(format!(
                    "{version} is called urgent by Mastodon's own update check, and GitHub does not list it (yet)."
                ));
                continue;
            };
            let day = policy.show(release.published_at);
            let mut why = release.security.why();
            if published.is_urgent(release) {
                why.push("Mastodon's own update check calls it urgent");
            }
            let why = why.join(", ");
            texts.push(format!(
                "{version}, published {day}, is a security release of line {line}: {why}."
            ));
        }
        texts.extend(self.doubts(line));
        if self.standing == Standing::NotListed {
            let known = published.advisories().len();
            let others = if self.set_aside.is_empty() {
                "any"
            } else {
                "any other"
            };
            texts.push(format!(
                "{installed} is not listed as affected by {others} of the {known} known advisories, and line {line} has no newer security release."
            ));
        }
        texts
    }

    /// What keeps an answer from being certain, and what was not counted.
    fn doubts(&self, line: ReleaseLine) -> Vec<String> {
        let mut texts = Vec::new();
        if !self.taken_back.is_empty() {
            texts.push(format!(
                "{} published as a security release of line {line}, and is taken back or not called final: {}. What it repaired is still open here.",
                if self.taken_back.len() == 1 { "One was" } else { "Each of several was" },
                join(&self.taken_back)
            ));
        }
        if !self.other_lines.is_empty() {
            texts.push(format!(
                "Other lines got security releases after the last one of line {line}: {}. Whether line {line} needs the same is not known.",
                join(&self.other_lines)
            ));
        }
        if self.support_over {
            let since = self
                .support_ended
                .map_or_else(|| "for years".to_owned(), |end| format!("since {end}"));
            texts.push(format!(
                "Line {line} has had no support {since}: nobody says any more whether a new hole is in it."
            ));
        }
        if !self.withdrawn.is_empty() {
            texts.push(format!(
                "Withdrawn by the publisher, and not counted: {}.",
                self.withdrawn.join(", ")
            ));
        }
        if !self.set_aside.is_empty() {
            let many = match self.set_aside.len() {
                1 => "One advisory is".to_owned(),
                n => format!("{n} advisories are"),
            };
            let first: Vec<&str> = self.set_aside.iter().take(3).map(String::as_str).collect();
            let more = if self.set_aside.len() > first.len() {
                ", ..."
            } else {
                ""
            };
            texts.push(format!(
                "{many} not counted, because the range cannot be used as written and the repair is older than what runs \
                 ({}{more}); `mastopatch advisories --all` lists them.",
                first.join(", ")
            ));
        }
        texts
    }
}

impl Exposed {
    fn grade(&self) -> String {
        if self.exploited {
            return format!("{}, being exploited", self.severity);
        }
        if self.severity_missing {
            return format!("not graded, taken as {}", self.severity);
        }
        self.severity.to_string()
    }
}

/// What is missing from the knowledge, as sentences.
fn gaps(facts: &Facts) -> Vec<String> {
    let (installed, published) = (facts.version(), &facts.published);
    let mut texts: Vec<String> = facts
        .problems
        .iter()
        .chain(published.problems())
        .map(|problem| format!("{}.", problem.trim_end_matches('.')))
        .collect();
    if published.release(installed).is_none() {
        texts.push(format!("{installed} is not among the known releases."));
    }
    if published.advisories().is_empty() {
        texts.push("No advisory is known.".to_owned());
    }
    let silent = published
        .line(installed.line())
        .filter(|release| installed.precedes(&release.version) && !release.described);
    texts.extend(silent.map(|release| {
        format!(
            "{} has no release notes, so what it repairs is not known.",
            release.version
        )
    }));
    texts
}

/// The first six of them, and how many more there are.
fn join(versions: &[ReleaseVersion]) -> String {
    const SHOWN: usize = 6;
    let first: Vec<String> = versions
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    match versions.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
