//! What the notes of the releases on the way ask for, beside the table of lines.

use std::collections::BTreeSet;

use super::services::{OF_THE_TABLE, has, named};
use super::{L4_3, Step};
use crate::domain::path::{HostService, ObstacleKind, Weight, lines};
use crate::domain::plan::Role;
use crate::domain::release::{Release, StepKind, UpdateStep, UpgradeNotes};
use crate::domain::version::{ReleaseLine, ReleaseVersion};

mod demands;
mod way;
mod words;

use way::{Way, missing, way};

/// The reader of notes keeps so many entries of a list and no more: what is as long may not be the whole.
const MOST_ENTRIES: usize = 60;

impl Step<'_> {
    /// What the notes of every release after the second version and up to the third ask for, where the first runs.
    pub(super) fn releases(&mut self, [from, since, to]: [&ReleaseVersion; 3], known: &[Release]) {
        let way = way([from, since, to], known);
        self.unknown(since, to, &way);
        self.demands(&way);
        // A text that several releases of a line repeat is told once, of the first.
        let mut told: BTreeSet<(ReleaseLine, &str)> = BTreeSet::new();
        for release in &way.releases {
            let line = release.version.line();
            let notes = &release.notes;
            let steps = notes.steps.iter();
            let fresh: Vec<&UpdateStep> = steps
                .filter(|step| concerns_somebody(step))
                .filter(|step| !told.contains(&(line, step.text.as_str())))
                .collect();
            for step in &fresh {
                self.asked(release, step, from);
            }
            told.extend(fresh.iter().map(|step| (line, step.text.as_str())));
            for text in &notes.unread {
                if told.insert((line, text)) {
                    self.unread(release, text, way.running);
                }
            }
            for callout in &notes.callouts {
                let known = steps_say(notes, &callout.text)
                    || !words::calls_for(callout, release.version.patch() == 0);
                if !known && told.insert((line, &callout.text)) {
                    let weight = if self.opens(release) {
                        Weight::NeedsPerson
                    } else {
                        Weight::Notice
                    };
                    let what = cite(release, &callout.text);
                    self.add(weight, ObstacleKind::ManualStep, what, read(release));
                }
            }
            self.overflow(release);
            self.migrations(release);
        }
    }

    /// Releases of whose notes nothing is known.
    fn unknown(&mut self, since: &ReleaseVersion, to: &ReleaseVersion, way: &Way<'_>) {
        for release in way.releases.iter().filter(|release| !release.described) {
            self.add(
                Weight::NeedsPerson,
                ObstacleKind::ManualStep,
                format!(
                    "Release {} has no text: nobody says what it asks for.",
                    release.version
                ),
                "Look at its page, and at the notes of the releases around it, before you agree.",
            );
        }
        for version in missing(since, to, &way.releases) {
            // Within a line, a number that nobody lists was skipped by its publisher, as far as anybody knows.
            let skipped = version != *to && version.patch() > 0 && !self.enters_a_line();
            let weight = if skipped {
                Weight::Notice
            } else {
                Weight::NeedsPerson
            };
            self.add(
                weight,
                ObstacleKind::ManualStep,
                format!(
                    "The notes of {version}, which lies on the way, are not known: nobody says what it asks for."
                ),
                "Look for them where Mastodon publishes its releases, before you agree.",
            );
        }
    }

    /// One step for somebody.
    fn asked(&mut self, release: &Release, step: &UpdateStep, from: &ReleaseVersion) {
        let text = step.text.as_str();
        match &step.kind {
            StepKind::RestartAll
            | StepKind::Migrate { .. }
            | StepKind::Pull
            | StepKind::Precompile
            | StepKind::UnusedKey { .. }
            | StepKind::NoLongerSupported { compared: true }
            | StepKind::ReadSkippedNotes { .. } => {}
            StepKind::NewKey { keys } => self.new_keys(release, text, keys),
            StepKind::RefusedKey { keys } => self.refused_keys(release, text, keys),
            StepKind::ImageSplit => self.image_split(release, text),
            StepKind::SearchDeploy => self.search(release, text),
            StepKind::ComposeChange => self.compose_change(release, text),
            StepKind::NoLongerSupported { compared: false } => {
                if !words::only_about_the_image(text) {
                    self.for_a_person(release, text);
                }
            }
            StepKind::SchemaFloor { at_least } => {
                if from.precedes(at_least) && !self.said(ObstacleKind::SchemaFloor, "") {
                    self.add(
                        Weight::Notice,
                        ObstacleKind::SchemaFloor,
                        cite(release, text),
                        "Nothing, as long as every line between is passed through: mastopatch does that, with every \
                         service stopped.",
                    );
                }
            }
            StepKind::Other => self.for_a_person(release, text),
        }
    }

    fn for_a_person(&mut self, release: &Release, text: &str) {
        self.add(
            Weight::NeedsPerson,
            ObstacleKind::ManualStep,
            cite(release, text),
            read(release),
        );
    }

    /// A step that asks for something this host has. Its words may ask for more.
    fn met(&mut self, release: &Release, text: &str, how: &str) {
        self.add(
            Weight::Notice,
            ObstacleKind::ManualStep,
            cite(release, text),
            format!("{how} If the sentence asks for more than that, do it."),
        );
    }

    fn new_keys(&mut self, release: &Release, text: &str, keys: &[String]) {
        if self.host.services.is_empty() || words::is_conditional(text) {
            self.for_a_person(release, text);
            return;
        }
        let mut all_here = true;
        for key in keys {
            let lacking = named(&self.main_services(|service| !has(service, key)));
            let Some(services) = lacking else { continue };
            all_here = false;
            if !self.said(ObstacleKind::MissingKey, key) {
                self.add(
                    Weight::Blocks,
                    ObstacleKind::MissingKey,
                    format!("{} {key} is not set for {services}.", cite(release, text)),
                    format!(
                        "Set it for every service, and keep it with your backups. {}",
                        read(release)
                    ),
                );
            }
        }
        let of_the_table = keys.iter().all(|key| OF_THE_TABLE.contains(&key.as_str()));
        if all_here && !(of_the_table && opens_a_known_line(release)) {
            self.met(release, text, "What it names is set here.");
        }
    }

    fn refused_keys(&mut self, release: &Release, text: &str, keys: &[String]) {
        if self.host.services.is_empty() {
            self.for_a_person(release, text);
            return;
        }
        let mut none_here = true;
        for key in keys {
            let set = |service: &&HostService| service.keys.contains_key(key);
            let names: Vec<&str> = self
                .host
                .services
                .iter()
                .filter(set)
                .map(|service| service.name.as_str())
                .collect();
            let Some(services) = named(&names) else {
                continue;
            };
            none_here = false;
            if words::is_conditional(text) {
                self.for_a_person(release, text);
            } else if !self.said(ObstacleKind::ForbiddenKey, key) {
                self.add(
                    Weight::Blocks,
                    ObstacleKind::ForbiddenKey,
                    format!("{} {key} is set for {services}.", cite(release, text)),
                    format!(
                        "Take it out of the environment as they say. {}",
                        read(release)
                    ),
                );
            }
        }
        let of_the_table = keys.iter().all(|key| OF_THE_TABLE.contains(&key.as_str()));
        if none_here && !(of_the_table && opens_a_known_line(release)) {
            self.met(release, text, "What it refuses is not set here.");
        }
    }

    /// The split of 4.3 is looked for in the services themselves.
    fn image_split(&mut self, release: &Release, text: &str) {
        if release.version.line() == L4_3 {
            return;
        }
        let mut streaming = self
            .host
            .services
            .iter()
            .filter(|service| service.role == Role::Streaming)
            .peekable();
        let split = streaming.peek().is_some() && streaming.all(|service| service.streaming_image);
        // A patch that names both images, so that both are pulled.
        if split && !self.opens(release) && text.contains("mastodon-streaming") {
            self.met(release, text, "Streaming runs its own image here.");
        } else {
            self.for_a_person(release, text);
        }
    }

    fn search(&mut self, release: &Release, text: &str) {
        let line = lines::known(release.version.line());
        let in_the_table = line.is_some_and(|line| line.steps.iter().any(|step| step.search));
        if in_the_table && opens_a_known_line(release) {
            return;
        }
        if !self.host.services.is_empty() && !self.searches() {
            self.met(release, text, "Search is off here.");
            return;
        }
        self.add(
            Weight::Notice,
            ObstacleKind::ManualStep,
            cite(release, text),
            "Do it after the update, where search is on; the site works meanwhile, only search does not find everything.",
        );
    }

    fn compose_change(&mut self, release: &Release, text: &str) {
        let in_the_table = self.opens(release)
            && lines::known(release.version.line()).is_some()
            && !self.host.services.is_empty();
        if words::only_about_health_checks(text) && (in_the_table || !self.opens(release)) {
            self.add(
                Weight::Notice,
                ObstacleKind::HealthCheck,
                cite(release, text),
                "Follow it when you next edit the Compose file; mastopatch itself does not go by these checks.",
            );
        } else {
            self.for_a_person(release, text);
        }
    }

    /// A sentence that nobody here understands.
    fn unread(&mut self, release: &Release, text: &str, running: Option<&UpgradeNotes>) {
        let notes = &release.notes;
        let mut about = notes
            .minimums
            .iter()
            .filter(|it| it.text == text)
            .peekable();
        if about.peek().is_some() && about.all(|it| it.software.is_in_the_image()) {
            return;
        }
        let grave = notes.other.iter().any(|it| it == text) && words::is_a_warning(text);
        if self.opens(release) || grave {
            self.for_a_person(release, text);
        } else if !running.is_some_and(|notes| notes.unread.iter().any(|it| it == text)) {
            self.add(
                Weight::Notice,
                ObstacleKind::ManualStep,
                cite(release, text),
                "It is not understood, and was said of a release within the line; read it when you can.",
            );
        }
    }

    fn overflow(&mut self, release: &Release) {
        let UpgradeNotes { steps, unread, .. } = &release.notes;
        if steps.len() >= MOST_ENTRIES || unread.len() >= MOST_ENTRIES {
            let version = &release.version;
            self.add(
                Weight::NeedsPerson,
                ObstacleKind::ManualStep,
                format!("The notes of {version} are longer than what is kept of them."),
                read(release),
            );
        }
    }

    fn migrations(&mut self, release: &Release) {
        let notes = &release.notes;
        let opens = self.opens(release);
        let line = lines::known(release.version.line());
        if opens && line.is_some_and(|line| line.migrations.is_some()) {
            return;
        }
        let said: Vec<&str> = [
            (notes.migrations && !opens, "there are some, within a line"),
            (notes.long_migrations, "they may take unusually long"),
            (notes.two_step, "they come in two steps"),
            (notes.irreversible, "some cannot be undone"),
        ]
        .into_iter()
        .filter_map(|(is, what)| is.then_some(what))
        .collect();
        if !said.is_empty() {
            self.add(
                Weight::Notice,
                ObstacleKind::Migrations,
                format!(
                    "The notes of {} say of its migrations: {}.",
                    release.version,
                    said.join(", ")
                ),
                "Choose a quiet hour. mastopatch takes its snapshot first; after the site has opened again there is no way \
                 back.",
            );
        }
    }

    /// Whether a release enters another line, or begins the one that runs as a pre-release.
    fn opens(&self, release: &Release) -> bool {
        release.version.line() > self.from || release.version.patch() == 0
    }

    /// Whether something was found already about this and in these words.
    fn said(&self, about: ObstacleKind, words: &str) -> bool {
        let mut found = self.found.iter();
        found.any(|it| it.about == about && it.what.contains(words))
    }
}

/// Whether a step can be of interest to anybody.
const fn concerns_somebody(step: &UpdateStep) -> bool {
    step.needs_person() || matches!(step.kind, StepKind::SchemaFloor { .. })
}

/// Whether a release is the first of a line whose notes are in the table.
fn opens_a_known_line(release: &Release) -> bool {
    release.version.patch() == 0 && lines::known(release.version.line()).is_some()
}

fn cite(release: &Release, text: &str) -> String {
    format!("The notes of {} say: \"{text}\"", release.version)
}

fn read(release: &Release) -> String {
    match &release.url {
        Some(url) => format!("Read {url} and do what it asks for, then agree to the update."),
        None => format!(
            "Read the notes of {} and do what they ask for, then agree to the update.",
            release.version
        ),
    }
}

/// Whether the steps have the sentence already.
fn steps_say(notes: &UpgradeNotes, text: &str) -> bool {
    notes.steps.iter().any(|step| step.text == text)
        || notes.unread.iter().any(|unread| unread == text)
}

#[cfg(test)]
mod tests;
