//! What a release's text says about upgrading to it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::markdown::{Block, Kind, Part};
use super::minimum::{self, Minimum, Numbers, Software};
use super::step::{self, Phase, StepKind, UpdateStep, Verdict};
use super::words::listed;
use crate::domain::version::ReleaseVersion;

/// What a release's text says about upgrading to it from the version just before.
///
/// The absence of a mark is not a promise; whoever acts must look at the world as well. What stands in the parts about
/// upgrading and was not understood is in [`unread`](Self::unread): while there is any, a person should have read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks of a closed set"
)]
pub struct UpgradeNotes {
    /// Database migrations are due.
    pub migrations: bool,
    /// They may take unusually long.
    pub long_migrations: bool,
    /// They come in two steps, before and after the switch.
    pub two_step: bool,
    /// Some of them cannot be taken back by themselves.
    pub irreversible: bool,
    /// The streaming server must be restarted.
    pub streaming_restart: bool,
    /// Assets must be compiled; without meaning for ready-made images.
    pub assets: bool,
    /// Another Ruby is recommended; without meaning for ready-made images.
    pub ruby: bool,
    /// What is demanded of other software. Several for one program hold together.
    pub minimums: Vec<Minimum>,
    /// The steps, in their order, but for those that do not concern containers.
    pub steps: Vec<UpdateStep>,
    /// Steps for those who do not use containers, as they stand.
    pub without_docker: Vec<String>,
    /// The version that the steps start from; from an older one, the notes of every release in between count, too.
    pub starts_from: Option<ReleaseVersion>,
    /// "Requires …" and :warning: lines that none of the marks above covers, as they stand. All of them are unread, too.
    pub other: Vec<String>,
    /// Boxes such as `> [!WARNING]`.
    pub callouts: Vec<Callout>,
    /// What stands in the parts about upgrading and was not, or not wholly, understood. Each text once.
    pub unread: Vec<String>,
}

/// A box in the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Callout {
    /// `warning`, `note`, `tip`, `important` or `caution`; in small letters.
    pub kind: String,
    /// The text inside, on one line.
    pub text: String,
}

/// Real releases have less than twenty entries in any of the lists. More would fill mails and the state file.
const MOST_ENTRIES: usize = 60;
/// A paragraph; longer ones are cut, and say so.
const MOST_CHARACTERS: usize = 600;

impl UpgradeNotes {
    /// Whether a version of some software will do, as far as these notes say; the demands that it does not meet.
    pub fn unmet(&self, software: &Software, version: &Numbers) -> Vec<&Minimum> {
        self.minimums
            .iter()
            .filter(|minimum| minimum.software == *software && !minimum.holds(version))
            .collect()
    }

    /// The oldest version of some software that is named as good enough.
    pub fn at_least(&self, software: &Software) -> Option<&Numbers> {
        self.minimums
            .iter()
            .filter(|minimum| minimum.software == *software)
            .map(|minimum| &minimum.at_least)
            .max()
    }

    /// The steps for a person. Where [`unread`](Self::unread) has more, that is for a person as well.
    pub fn for_person(&self) -> impl Iterator<Item = &UpdateStep> {
        self.steps.iter().filter(|step| step.needs_person())
    }

    pub(super) fn read(blocks: &[Block]) -> Self {
        let mut reader = Reader::default();
        for block in blocks {
            reader.block(block);
        }
        reader.finish()
    }
}

#[derive(Debug, Default)]
struct Reader {
    notes: UpgradeNotes,
    /// What the line before a list says of the keys in it.
    lead: Option<Verdict>,
    n_more: usize,
}

impl Reader {
    fn block(&mut self, block: &Block) {
        let text = block.text.as_str();
        if let Kind::Callout(kind) = &block.kind {
            let callout = Callout {
                kind: kind.clone(),
                text: cut(text),
            };
            if self.notes.callouts.len() < MOST_ENTRIES {
                self.notes.callouts.push(callout);
            } else {
                self.n_more = self.n_more.saturating_add(1);
            }
        }
        if let Kind::Heading { known } = block.kind {
            self.lead = None;
            if !known && block.part.is_about_upgrading() && block.part != Part::WithoutDocker {
                self.unread(text);
            }
            return;
        }
        match block.part {
            Part::Overview => self.overview(text),
            Part::Dependencies => self.dependencies(text),
            Part::Steps => self.step(block),
            Part::WithoutDocker => {
                if self.notes.without_docker.len() < MOST_ENTRIES {
                    self.notes.without_docker.push(cut(text));
                }
            }
            Part::Other | Part::Changelog | Part::Security => self.elsewhere(text),
        }
    }

    fn overview(&mut self, text: &str) {
        let lower = text.to_lowercase();
        let bare = lower.trim_start_matches(|c: char| !c.is_alphanumeric() || c == '\u{2139}');
        if bare.contains("deviate from the norm") && bare.ends_with(':') {
            return;
        }
        let denied =
            bare.starts_with("no ") || bare.contains("not require") || bare.contains("not need");
        let marked = !denied && self.marks(bare);
        if (marked || denied) && is_mark_alone(bare) {
            return;
        }
        // A line that is not understood is no step here; it is kept as unread.
        let mut reading = step::read(text, None);
        let n_read = reading.kinds.len();
        reading.kinds.retain(|kind| *kind != StepKind::Other);
        let understood = !marked && reading.kinds.len() == n_read;
        self.take(text, reading);
        if !understood {
            self.odd_mark(text);
        }
    }

    /// Sets what a line of the overview names; says whether there was anything.
    fn marks(&mut self, lower: &str) -> bool {
        let has = |parts: &str| parts.split('|').any(|part| lower.contains(part));
        let migration = has("database migration|db migration|migrations");
        let long =
            (migration || has("migration")) && has("unusually long|long time|take long|hours");
        let two_step = migration && has("two-step|two step|post-deployment");
        let assets = has("asset") && has("compil");
        let streaming = has("streaming") && has("restart");
        let ruby = has("ruby version") && has("updated|changed") && has("default|recommended");
        self.notes.migrations |= migration || long || two_step;
        self.notes.long_migrations |= long;
        self.notes.two_step |= two_step;
        self.notes.assets |= assets;
        self.notes.streaming_restart |= streaming;
        self.notes.ruby |= ruby;
        migration || long || assets || streaming || ruby
    }

    fn dependencies(&mut self, text: &str) {
        let found = minimum::read(text);
        self.minimums(found.minimums);
        for unread in found.unread {
            self.unread(&unread);
        }
    }

    fn step(&mut self, block: &Block) {
        let reading = step::read(&block.text, self.lead);
        self.take(&block.text, reading);
        if block.kind != Kind::Item {
            self.lead = block
                .text
                .ends_with(':')
                .then(|| step::verdict(&block.text))
                .flatten();
        }
    }

    /// Marks are also understood where there is no overview.
    fn elsewhere(&mut self, text: &str) {
        let lower = text.to_lowercase();
        let signed = text.starts_with(['\u{2139}', '\u{26a0}']) || lower.starts_with("requires ");
        if signed {
            self.overview(text);
        } else if lower.contains("migrations may take a long time")
            || lower.contains("requires two-step database migration")
            || lower.contains("requires database migration")
            || lower.contains("requires unusually long database migration")
        {
            self.marks(&lower);
        }
    }

    fn take(&mut self, text: &str, reading: step::Reading) {
        let lower = text.to_lowercase();
        self.minimums(reading.minimums);
        self.notes.irreversible |= reading.irreversible;
        for kind in reading.kinds {
            match &kind {
                StepKind::Migrate { phase } => {
                    self.notes.migrations = true;
                    self.notes.two_step |= *phase == Phase::Post
                        || (*phase == Phase::Both && lower.contains("post-deployment"));
                    self.notes.long_migrations |=
                        lower.contains("unusually long") || lower.contains("long time");
                }
                StepKind::ReadSkippedNotes { from } => {
                    self.notes.starts_from.get_or_insert_with(|| from.clone());
                }
                StepKind::Other => self.unread(text),
                StepKind::RestartAll
                | StepKind::Pull
                | StepKind::Precompile
                | StepKind::NewKey { .. }
                | StepKind::RefusedKey { .. }
                | StepKind::UnusedKey { .. }
                | StepKind::ImageSplit
                | StepKind::SearchDeploy
                | StepKind::ComposeChange
                | StepKind::NoLongerSupported { .. }
                | StepKind::SchemaFloor { .. } => {}
            }
            if self.notes.steps.len() < MOST_ENTRIES {
                let text = cut(text);
                self.notes.steps.push(UpdateStep { kind, text });
            } else {
                self.n_more = self.n_more.saturating_add(1);
            }
        }
    }

    fn minimums(&mut self, minimums: Vec<Minimum>) {
        for mut minimum in minimums {
            minimum.text = cut(&minimum.text);
            if self.notes.minimums.contains(&minimum) {
                continue;
            }
            if self.notes.minimums.len() < MOST_ENTRIES {
                self.notes.minimums.push(minimum);
            } else {
                self.n_more = self.n_more.saturating_add(1);
            }
        }
    }

    fn odd_mark(&mut self, text: &str) {
        let signed = text.starts_with(['\u{2139}', '\u{26a0}'])
            || text.to_lowercase().starts_with("requires ");
        if signed && self.notes.other.len() < MOST_ENTRIES {
            self.notes.other.push(cut(text));
        }
        self.unread(text);
    }

    fn unread(&mut self, text: &str) {
        let text = cut(text);
        if text.is_empty() || self.notes.unread.contains(&text) {
            return;
        }
        if self.notes.unread.len() < MOST_ENTRIES {
            self.notes.unread.push(text);
        } else {
            self.n_more = self.n_more.saturating_add(1);
        }
    }

    fn finish(mut self) -> UpgradeNotes {
        if self.n_more > 0 {
            let more = format!("and {} more that were not kept", self.n_more);
            self.notes.unread.push(more);
        }
        self.notes
    }
}

/// Whether a line of the overview says nothing but its mark.
fn is_mark_alone(lower: &str) -> bool {
    const WORDS: &str = "a all api assets asset be been changed compilation compiling database db default deployment deployments does \
        downtime for has have in is it long may migration migrations need needs new no not of only or post pre process ran \
        recommended recompilation recompile recompiled recompiling precompilation release require required requires restart \
        restarted restarting ruby run server servers some step streaming take the this time to two unusually update updated very \
        version zero";
    lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .all(|word| listed(WORDS, word) || word.bytes().all(|byte| byte.is_ascii_digit()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::markdown::blocks;
    use super::*;

    fn notes(body: &str) -> UpgradeNotes {
        UpgradeNotes::read(&blocks(body))
    }

    #[test]
    fn the_overview_is_read_with_any_sign_bullet_and_emphasis() {
        for body in [
            "## Upgrade overview\n\u{2139}\u{fe0f} Requires database migrations\\\n\u{2139} Requires streaming server restart",
            "## Upgrade Overview\n\nThis release contains upgrade notes that deviate from the norm:\n\n- :information_source: **Requires database migrations**\n* requires Streaming API restart",
            "### UPGRADE OVERVIEW\n1. Requires *database migrations*.\n2. \u{26a0}\u{fe0f} Requires streaming server restart",
            "**Upgrade overview**\n\nRequires database migrations\nRequires streaming server restart",
            "<details><summary>Upgrade overview</summary>\n\n- [ ] Requires [database migrations](https://x)\n- Requires a streaming server restart",
        ] {
            let notes = notes(body);
            assert!(notes.migrations && notes.streaming_restart, "{body}");
            assert!(
                !notes.long_migrations && !notes.two_step && !notes.assets,
                "{body}"
            );
            assert_eq!(notes.unread, Vec::<String>::new(), "{body}");
            assert_eq!(notes.other, notes.unread, "{body}");
        }
    }

    #[test]
    fn every_mark_of_both_generations_is_known_and_the_rest_is_kept() {
        let long = notes("## Upgrade overview\n- Requires unusually long database migrations");
        assert!(long.migrations && long.long_migrations && long.unread.is_empty());
        let old = notes(
            "## Upgrade overview\n\u{2139} Requires two-step database migration process for zero-downtime deployment\n\u{2139} Some migrations may take a long time to run",
        );
        assert!(old.two_step && old.migrations && old.long_migrations && old.unread.is_empty());
        let images = notes(
            "## Upgrade overview\n\u{2139} Requires assets recompilation\n\u{2139} The recommended Ruby version has been updated\n- Default Ruby version has been updated to 3.4.2",
        );
        assert!(images.assets && images.ruby && !images.migrations && images.unread.is_empty());
        let none = notes(
            "## Upgrade overview\n- No database migrations\n- Does not require streaming server restart",
        );
        assert!(!none.migrations && !none.streaming_restart && none.unread.is_empty());

        let odd = notes(
            "## Upgrade overview\n- Requires database migrations and a full moon\n- :warning: The default PostgreSQL image is now 16\n\
             - :warning: The minimal PostgreSQL version is now 14\n- :warning: A_NEW_SECRET is now mandatory\n- Good luck\n- Good luck",
        );
        assert!(odd.migrations);
        assert_eq!(
            odd.at_least(&Software::Postgresql),
            Some(&Numbers::new([14]))
        );
        assert_eq!(odd.for_person().count(), 1);
        assert_eq!(
            odd.unread,
            [
                "Requires database migrations and a full moon",
                "\u{26a0} The default PostgreSQL image is now 16",
                "Good luck"
            ]
        );
        assert_eq!(odd.other, odd.unread.get(..2).unwrap());
    }

    #[test]
    fn steps_for_docker_are_kept_apart_from_the_others() {
        let notes = notes(
            "## Upgrade notes\n\nTo get the code for v4.6.2, use `git fetch && git checkout v4.6.2`.\n\n\
             > [!NOTE]\n> As always, make sure you have backups of the database before performing any upgrades.\n\n\
             ### Dependencies\n\nExternal dependencies have not changed since v4.6.0, the compatible Ruby, PostgreSQL and Redis versions are the same, that is:\n\n\
             - Ruby: 3.3 or newer\n- PostgreSQL: 14 or newer\n- Elasticsearch (recommended, for full-text search): 7.x (OpenSearch should also work)\n\
             - Redis: 7.0 or newer\n\n### Update steps\n\nThe following instructions are for updating from 4.6.1.\n\n\
             If you are upgrading directly from an earlier release, please carefully read the upgrade notes for the skipped releases as well, \
             as they often require extra steps such as database migrations.\n\n\
             #### Non-Docker\n\n1. Sacrifice a goat\n2. Restart all Mastodon processes\n\n#### When using Docker\n\n\
             1. Pull the new images\n2. Run the pre-deployment database migrations:\n   ```\n   docker compose run --rm -e SKIP_POST_DEPLOYMENT_MIGRATIONS=true web bundle exec rails db:migrate\n   ```\n\
             3. Restart all Mastodon processes.\n\n#### Kubernetes\n\n- Sing",
        );
        assert_eq!(
            notes.without_docker,
            ["Sacrifice a goat", "Restart all Mastodon processes"]
        );
        assert_eq!(notes.starts_from, Some("4.6.1".parse().unwrap()));
        assert_eq!(notes.unread, ["Kubernetes", "Sing"]);
        assert!(notes.migrations && !notes.two_step);
        assert_eq!(notes.at_least(&Software::Redis), Some(&Numbers::new([7])));
        let unmet = notes.unmet(&Software::Postgresql, &Numbers::new([13, 9]));
        assert_eq!(unmet.len(), 1);
        let kinds: Vec<&StepKind> = notes.steps.iter().map(|step| &step.kind).collect();
        assert_eq!(
            kinds,
            [
                &StepKind::ReadSkippedNotes {
                    from: "4.6.1".parse().unwrap()
                },
                &StepKind::Pull,
                &StepKind::Migrate { phase: Phase::Pre },
                &StepKind::RestartAll,
                &StepKind::Other,
            ]
        );
    }

    #[test]
    fn keys_below_a_line_that_makes_them_mandatory_are_new_keys() {
        let notes = notes(
            "## Update steps\n\nThe following environment variables are now mandatory:\n\n- `FIRST_KEY`\n- `SECOND_KEY`\n\n1. Set:\n   - THIRD_KEY (required)\n",
        );
        let mut keys = Vec::new();
        for step in &notes.steps {
            if let StepKind::NewKey { keys: new } = &step.kind {
                keys.extend(new.iter().map(String::as_str));
            }
        }
        assert_eq!(keys, ["FIRST_KEY", "SECOND_KEY", "THIRD_KEY"]);
    }

    #[test]
    fn a_flood_is_bounded_and_says_so() {
        use std::fmt::Write as _;
        let mut body = "## Upgrade overview\n".to_owned();
        for n in 0..500 {
            writeln!(body, "- Odd {n} {}", "x".repeat(2_000)).unwrap();
        }
        let notes = notes(&body);
        assert_eq!(notes.unread.len(), MOST_ENTRIES + 1);
        assert_eq!(
            notes.unread.last().unwrap(),
            "and 440 more that were not kept"
        );
        assert!(
            notes
                .unread
                .iter()
                .all(|text| text.chars().count() <= MOST_CHARACTERS + 2)
        );
    }
}
