//! The steps of an update, as far as their words can be understood.

use serde::{Deserialize, Serialize};

use super::minimum::{self, Minimum};
use crate::domain::version::ReleaseVersion;

/// One step that a release's text asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStep {
    /// What it is. A sentence that asks for several things makes several steps.
    #[serde(flatten)]
    pub kind: StepKind,
    /// Its words, on one line.
    pub text: String,
}

/// What a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StepKind {
    /// Restart what belongs to Mastodon.
    RestartAll,
    /// Run the database's migrations.
    Migrate {
        /// Which of them.
        phase: Phase,
    },
    /// Fetch the new images.
    Pull,
    /// Compile assets, install libraries: has no meaning for ready-made images.
    Precompile,
    /// Environment keys that must be set from now on.
    NewKey {
        /// The keys.
        keys: Vec<String>,
    },
    /// Environment keys with which the new version does not start.
    RefusedKey {
        /// The keys.
        keys: Vec<String>,
    },
    /// Environment keys that mean nothing any more.
    UnusedKey {
        /// The keys.
        keys: Vec<String>,
    },
    /// Streaming gets an image of its own.
    ImageSplit,
    /// The search index must be made or refreshed, where there is one.
    SearchDeploy,
    /// Something in the Compose file must change.
    ComposeChange,
    /// Something is no longer supported, or a newer one is required.
    NoLongerSupported {
        /// Whether all of it was read as [`Minimum`]s, so that a host can be compared with it.
        compared: bool,
    },
    /// The migrations refuse a schema that is older than this version's.
    SchemaFloor {
        /// The version.
        at_least: ReleaseVersion,
    },
    /// The steps start from this version; from an older one the notes of every release in between count, too.
    ReadSkippedNotes {
        /// The version.
        from: ReleaseVersion,
    },
    /// Not understood.
    Other,
}

/// Which migrations, as seen from the switch to the new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Those before it.
    Pre,
    /// Those after it.
    Post,
    /// Both, or the text does not say.
    Both,
}

impl UpdateStep {
    /// Whether a person must do it, or at least have read it.
    ///
    /// What an update does by itself (restart, migrate, pull), what has no meaning for images, and what is compared with
    /// the host anyway need nobody. Everything else does, above all what was not understood.
    pub const fn needs_person(&self) -> bool {
        match &self.kind {
            StepKind::RestartAll
            | StepKind::Migrate { .. }
            | StepKind::Pull
            | StepKind::Precompile
            | StepKind::UnusedKey { .. }
            | StepKind::NoLongerSupported { compared: true }
            | StepKind::SchemaFloor { .. }
            | StepKind::ReadSkippedNotes { .. } => false,
            StepKind::NewKey { .. }
            | StepKind::RefusedKey { .. }
            | StepKind::ImageSplit
            | StepKind::SearchDeploy
            | StepKind::ComposeChange
            | StepKind::NoLongerSupported { compared: false }
            | StepKind::Other => true,
        }
    }
}

/// What was read from one piece of a list of steps.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Empty for what asks for nothing: where to get the code, that backups are good.
    pub(super) kinds: Vec<StepKind>,
    pub(super) minimums: Vec<Minimum>,
    /// Whether the migrations are said to be beyond recall.
    pub(super) irreversible: bool,
}

/// What the lead-in of a list says of the keys in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Refused,
    Unused,
}

/// A step is a few sentences. What is longer is for a person, and is not worth the time to read it.
const MOST_BYTES: usize = 4_000;

/// Words that add nothing to a step which an update does by itself. A step with any other word in it is for a person.
const PLAIN: &str = "a about above across additional after again all also always an and any any apply are as asset assets at back \
    backed backup backups be been before below bin build bundle by can cannot checkout code coming command compile completed complete \
    compose container containers database databases db deployed deployment docker docker-compose done during e each ensure \
    every example exec execute fetch finished finally first following for from frontend fully get git has have how if \
    image images immutable in install instructions irreversible is it latest line list look make mastodon may might migrate \
    migrated migration migrations need needed new newer newest next notes now of old older on once one ones only or order \
    perform performing phase phases please post pre precompile process processes production pull puma rails rails_env rake read \
    recompile release releases required restart restarted restarting reverse reversed rm run running same second see \
    server servers service services sidekiq since skip_post_deployment_migrations skipped specifying start started \
    starting step steps stop stopped streaming sure take tag tags than that the their them then there these they third this \
    those three time to true two two-step until up update updated updating upgrade upgraded upgrades upgrading use using variable \
    environment version versions via web when which while with yarn you your zero downtime long unusually \
    fc u d postgres pg_dump name_of_the_backup dump mastodon_db_1 usual normal norm usually dependencies gems libraries no longer gone unused ignored effect schema refuse refuses directly earlier carefully well often extra such particular particularly especially require previous";

/// Keys of commands, which say nothing about the instance's settings.
const COMMAND_KEYS: [&str; 5] = [
    "RAILS_ENV",
    "NODE_ENV",
    "SKIP_POST_DEPLOYMENT_MIGRATIONS",
    "IGNORE_ALREADY_SET_SECRETS",
    "MASTODON_DB_1",
];

/// Reads one piece of a list of steps, given what the line before the list said.
pub(super) fn read(text: &str, lead: Option<Verdict>) -> Reading {
    if text.len() > MOST_BYTES {
        return Reading {
            kinds: vec![StepKind::Other],
            ..Reading::default()
        };
    }
    let lower = text.to_lowercase();
    let phrase = words(&lower).join(" ");
    let has = |phrases: &[&str]| phrases.iter().any(|words| contains(&phrase, words));
    let keys = keys(text);
    let covered = is_plain(&without_keys(&lower, &keys));
    let mut found = Reading::default();
    if covered && keys.is_empty() && starts_from(&lower).is_none() && asks_for_nothing(&phrase) {
        return found;
    }
    let kinds = &mut found.kinds;
    if let Some(from) = starts_from(&lower) {
        kinds.push(StepKind::ReadSkippedNotes { from });
    }
    read_keys(text, &keys, lead, kinds);
    let streaming_image = has(&["streaming"])
        && has(&["image"])
        && has(&["separate", "own", "needs", "dedicated", "different", "new"]);
    if has(&["mastodon-streaming", "image is split", "images are split"])
        || (streaming_image && !covered)
    {
        kinds.push(StepKind::ImageSplit);
    }
    let of_search = has(&["search", "elasticsearch", "opensearch"]);
    if of_search
        && has(&[
            "deploy", "mapping", "mappings", "index", "indexes", "indices", "reindex", "rebuild",
            "refresh",
        ])
    {
        kinds.push(StepKind::SearchDeploy);
    }
    if has(&[
        "compose file",
        "compose files",
        "compose yml",
        "compose yaml",
        "health check",
        "health checks",
        "healthcheck",
        "healthchecks",
    ]) || lower.contains("compose.y")
    {
        kinds.push(StepKind::ComposeChange);
    }
    if let Some(at_least) = schema_floor(&lower) {
        kinds.push(StepKind::SchemaFloor { at_least });
    }
    let demands = has(&[
        "no longer",
        "dropped",
        "removed",
        "unsupported",
        "not supported",
        "minimum",
        "minimal",
        "requires",
        "required",
        "at least",
        "or newer",
        "or later",
    ]);
    let plus = lower
        .as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, [digit, b'+'] if digit.is_ascii_digit()));
    let versions = minimum::read(text);
    if (demands || plus) && !versions.minimums.is_empty() {
        found.minimums = versions.minimums;
        kinds.push(StepKind::NoLongerSupported {
            compared: versions.unread.is_empty(),
        });
    } else if has(&[
        "no longer supported",
        "not supported anymore",
        "unsupported",
        "dropped",
        "removed",
    ]) && kinds.is_empty()
    {
        kinds.push(StepKind::NoLongerSupported { compared: false });
    }
    let settled = kinds.iter().any(is_settled);
    let floor = kinds
        .iter()
        .any(|kind| matches!(kind, StepKind::SchemaFloor { .. }));
    if !settled && !floor {
        read_plain(&phrase, kinds);
        found.irreversible = has(&[
            "reversed",
            "irreversible",
            "undone",
            "reverted",
            "rolled back",
        ]) && has(&["migrations", "migration", "ones"]);
    }
    // What needs nobody must be understood to the last word.
    let nothing_to_do = kinds.is_empty() && covered && says_no_migrations(&phrase);
    if !settled && !nothing_to_do && (kinds.is_empty() || !covered) {
        kinds.push(StepKind::Other);
    }
    found
}

/// What a line says of the keys that follow it.
pub(super) fn verdict(text: &str) -> Option<Verdict> {
    let phrase = words(&text.to_lowercase()).join(" ");
    let has = |phrases: &[&str]| phrases.iter().any(|words| contains(&phrase, words));
    const UNUSED: [&str; 12] = [
        "no longer used",
        "no longer needed",
        "no longer required",
        "no longer necessary",
        "not needed anymore",
        "is gone",
        "are gone",
        "unused",
        "can be removed",
        "no effect",
        "is ignored",
        "are ignored",
    ];
    if has(&[
        "refused",
        "refuses",
        "must be unset",
        "must not be set",
        "no longer supported",
        "not supported",
        "unsupported",
        "rejected",
        "forbidden",
        "must be removed",
        "will not start",
        "support removed",
        "dropped",
    ]) {
        return Some(Verdict::Refused);
    }
    let mut without = phrase.clone();
    for words in UNUSED {
        without = without.replace(words, "");
    }
    let mandatory = [
        "mandatory",
        "required",
        "requires",
        "require",
        "must",
        "need",
        "needs",
        "has to",
        "have to",
        "necessary",
        "new secret",
        "new secrets",
        "set the following",
        "generate",
        "add the",
    ];
    if mandatory.iter().any(|words| contains(&without, words)) {
        return Some(Verdict::New);
    }
    has(&UNUSED).then_some(Verdict::Unused)
}

/// The version that the steps start from. A line without a patch, "from 4.3.x", is read as its first release.
pub(super) fn starts_from(lower: &str) -> Option<ReleaseVersion> {
    const LEADS: [&str; 7] = [
        "start from",
        "starting from",
        "updating from",
        "upgrading from",
        "update from",
        "upgrade from",
        "coming from",
    ];
    let about_these = [
        "these steps",
        "these instructions",
        "following instructions",
        "following steps",
        "instructions below",
        "steps below",
    ];
    if !about_these.iter().any(|words| lower.contains(words)) {
        return None;
    }
    LEADS.iter().find_map(|lead| {
        let (_, rest) = lower.split_once(lead)?;
        let word = rest
            .split_whitespace()
            .find(|word| !["mastodon", "version", "release"].contains(word))?;
        loose_version(word)
    })
}

/// `4.5.7`, `v4.5.7,`, `4.3.x` and `4.3`.
fn loose_version(word: &str) -> Option<ReleaseVersion> {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let word = word.strip_suffix(".x").unwrap_or(word);
    ReleaseVersion::parse_partial(word)
        .ok()
        .map(|(version, _)| version)
}

fn schema_floor(lower: &str) -> Option<ReleaseVersion> {
    let (_, rest) = lower.split_once("schema")?;
    let (_, rest) = ["older than", "before", "below", "at least"]
        .iter()
        .find_map(|words| rest.split_once(words))?;
    rest.split_whitespace().next().and_then(loose_version)
}

/// A step that a person must see anyway, so that its other words lose nothing.
const fn is_settled(kind: &StepKind) -> bool {
    match kind {
        StepKind::NewKey { .. }
        | StepKind::RefusedKey { .. }
        | StepKind::ImageSplit
        | StepKind::SearchDeploy
        | StepKind::ComposeChange
        | StepKind::NoLongerSupported { .. }
        | StepKind::Other => true,
        StepKind::RestartAll
        | StepKind::Migrate { .. }
        | StepKind::Pull
        | StepKind::Precompile
        | StepKind::UnusedKey { .. }
        | StepKind::SchemaFloor { .. }
        | StepKind::ReadSkippedNotes { .. } => false,
    }
}

/// Each key belongs to what its own clause says; a clause that says nothing follows the line before the list.
fn read_keys(text: &str, keys_in_all: &[String], lead: Option<Verdict>, kinds: &mut Vec<StepKind>) {
    if keys_in_all.is_empty() {
        return;
    }
    let (mut new, mut refused, mut unused, mut unclear) =
        (Vec::new(), Vec::new(), Vec::new(), false);
    let clauses = text.replace(". ", ";").replace(" but ", ";");
    for clause in clauses.split([';', '(', ')']) {
        let keys = keys(clause);
        match verdict(clause).or(lead) {
            _ if keys.is_empty() => {}
            Some(Verdict::New) => new.extend(keys),
            Some(Verdict::Refused) => refused.extend(keys),
            Some(Verdict::Unused) => unused.extend(keys),
            None => unclear = true,
        }
    }
    if !new.is_empty() {
        kinds.push(StepKind::NewKey { keys: new });
    }
    if !refused.is_empty() {
        kinds.push(StepKind::RefusedKey { keys: refused });
    }
    if !unused.is_empty() {
        kinds.push(StepKind::UnusedKey { keys: unused });
    }
    if unclear {
        kinds.push(StepKind::Other);
    }
}

/// Names of environment keys: capitals with an underscore inside, each once.
fn keys(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let fits = word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.contains('_')
            && !word.ends_with('_')
            && !word.bytes().any(|byte| byte.is_ascii_lowercase());
        if fits && !COMMAND_KEYS.contains(&word) && found.iter().all(|key| key != word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// The steps that an update does by itself.
fn read_plain(phrase: &str, kinds: &mut Vec<StepKind>) {
    let mut rest = without_absent_migrations(phrase);
    let mut none = Vec::new();
    for phase in ["pre", "post"] {
        for gap in ["", "new ", "further ", "additional "] {
            for end in ["", "s"] {
                let words = format!("no {gap}{phase} deployment migration{end}");
                if contains(&rest, &words) {
                    rest = rest.replace(&words, "");
                    none.push(phase);
                }
            }
        }
    }
    let has = |phrases: &[&str]| phrases.iter().any(|words| contains(&rest, words));
    let migrates = has(&["migration", "migrations", "migrate"]);
    if migrates {
        let pre = has(&["pre", "skip_post_deployment_migrations"]);
        let post = has(&["post"]);
        let phase = match (pre, post) {
            (true, false) => Phase::Pre,
            (false, true) => Phase::Post,
            (true, true) => Phase::Both,
            (false, false) if none == ["post"] => Phase::Pre,
            (false, false) if none == ["pre"] => Phase::Post,
            (false, false) => Phase::Both,
        };
        kinds.push(StepKind::Migrate { phase });
    }
    if has(&["restart", "restarted", "restarting"]) {
        kinds.push(StepKind::RestartAll);
    }
    if has(&["pull"]) {
        kinds.push(StepKind::Pull);
    }
    if has(&[
        "precompile",
        "recompile",
        "compile assets",
        "bundle install",
        "yarn install",
        "install dependencies",
    ]) {
        kinds.push(StepKind::Precompile);
    }
}

/// Where to get the code, what to back up, where the list is: nothing that an update has to do in addition.
fn asks_for_nothing(phrase: &str) -> bool {
    let begins = [
        "to get the code",
        "docker see the list",
        "docker see above",
        "see the list above",
        "see above",
    ];
    let leads = ["following instructions", "following steps"];
    let acts = [
        "restart",
        "migrate",
        "migrations",
        "pull",
        "install",
        "stop",
    ];
    let has = |words: &[&str]| words.iter().any(|words| contains(phrase, words));
    let skipped =
        has(&["read"]) && has(&["notes"]) && has(&["skipped", "earlier", "older", "previous"]);
    let backs_up = has(&["back up", "backup", "backups"]);
    (skipped && !has(&["restart", "run", "pull", "stop"]))
        || begins.iter().any(|words| phrase.starts_with(words))
        || (backs_up && !has(&acts))
        || (has(&leads) && !has(&acts) && !phrase.contains("from"))
}

/// "There are no migrations": nothing to do, and nothing unread.
fn says_no_migrations(phrase: &str) -> bool {
    without_absent_migrations(phrase).len() < phrase.len()
}

fn without_absent_migrations(phrase: &str) -> String {
    [
        "no new database migrations",
        "no database migrations",
        "no new migrations",
        "no migrations",
    ]
    .iter()
    .fold(phrase.to_owned(), |rest, words| rest.replace(words, ""))
}

fn without_keys(lower: &str, keys: &[String]) -> String {
    keys.iter().fold(lower.to_owned(), |rest, key| {
        rest.replace(&key.to_lowercase(), "")
    })
}

fn is_plain(lower: &str) -> bool {
    words(lower).iter().all(|word| {
        let numeric = word
            .trim_start_matches('v')
            .starts_with(|c: char| c.is_ascii_digit())
            && word.len() <= 6;
        let suffix = ["x", "beta", "rc"].iter().any(|suffix| {
            word.strip_prefix(suffix)
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        });
        numeric || suffix || PLAIN.split_whitespace().any(|plain| plain == *word)
    })
}

fn words(lower: &str) -> Vec<&str> {
    lower
        .split(|c: char| (!c.is_alphanumeric() && c != '_') || c == '\u{2139}')
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether whole words stand in a row of words.
fn contains(phrase: &str, words: &str) -> bool {
    let spaced: String = words.replace('-', " ");
    format!(" {phrase} ").contains(&format!(" {spaced} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<StepKind> {
        read(text, None).kinds
    }

    fn names(text: &str) -> String {
        let short = |kind: &StepKind| match kind {
            StepKind::RestartAll => "restart".to_owned(),
            StepKind::Migrate { phase } => format!("migrate {phase:?}").to_lowercase(),
            StepKind::Pull => "pull".to_owned(),
            StepKind::Precompile => "precompile".to_owned(),
            StepKind::NewKey { keys } => format!("new {}", keys.join(" ")),
            StepKind::RefusedKey { keys } => format!("refused {}", keys.join(" ")),
            StepKind::UnusedKey { keys } => format!("unused {}", keys.join(" ")),
            StepKind::ImageSplit => "split".to_owned(),
            StepKind::SearchDeploy => "search".to_owned(),
            StepKind::ComposeChange => "compose".to_owned(),
            StepKind::NoLongerSupported { compared } => format!("dropped {compared}"),
            StepKind::SchemaFloor { at_least } => format!("floor {at_least}"),
            StepKind::ReadSkippedNotes { from } => format!("from {from}"),
            StepKind::Other => "other".to_owned(),
        };
        kinds(text).iter().map(short).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_an_update_does_by_itself_is_recognised_and_needs_nobody() {
        for (text, expected) in [
            ("Restart all Mastodon processes.", "restart"),
            (
                "Restart the web, streaming and Sidekiq containers",
                "restart",
            ),
            (
                "Run the pre-deployment database migrations by specifying the SKIP_POST_DEPLOYMENT_MIGRATIONS=true environment variable: \
              docker compose run --rm -e SKIP_POST_DEPLOYMENT_MIGRATIONS=true web bundle exec rails db:migrate",
                "migrate pre",
            ),
            (
                "Run the post-deployment database migrations: docker compose run --rm web bundle exec rails db:migrate",
                "migrate post",
            ),
            (
                "docker compose run --rm web bundle exec rails db:migrate",
                "migrate both",
            ),
            (
                "pre-deployment migrations, restart, post-deployment migrations (62 pre, 5 post)",
                "migrate both, restart",
            ),
            (
                "15 new migrations, all pre-deployment; there is no post-deployment migration",
                "migrate pre",
            ),
            ("Pull the new images", "pull"),
            (
                "Precompile the assets: RAILS_ENV=production bundle exec rails assets:precompile",
                "precompile",
            ),
            (
                "Install dependencies with bundle install and yarn install --immutable",
                "precompile",
            ),
            (
                "These steps start from 4.5.7. Coming from an older version, read the notes of every skipped release, above all those of 4.5.0.",
                "from 4.5.7",
            ),
            (
                "The following instructions are for updating from v4.4.x",
                "from 4.4.0",
            ),
            (
                "two-step migration refuses to start from a schema older than 4.2.0",
                "floor 4.2.0",
            ),
            ("PostgreSQL 13 is no longer supported", "dropped true"),
            (
                "OTP_SECRET is gone after the post-deployment step of 4.3",
                "unused OTP_SECRET",
            ),
            (
                "To get the code for v4.5.8, use git fetch && git checkout v4.5.8.",
                "",
            ),
            (
                "Back up the database first, for example docker exec mastodon_db_1 pg_dump -Fc -U postgres postgres > name_of_the_backup.dump",
                "",
            ),
            ("Docker: see the list above.", ""),
            ("There are no new migrations", ""),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_for_a_person_is_named_and_what_is_not_understood_is_said() {
        for (text, expected) in [
            (
                "three new secrets are mandatory: A_KEY, A_B_SALT (make them once with bin/rails db:encryption:init, never change them)",
                "new A_KEY A_B_SALT",
            ),
            (
                "You must set NEW_SECRET; OTP_SECRET is no longer needed",
                "new NEW_SECRET, unused OTP_SECRET",
            ),
            (
                "REDIS_NAMESPACE is refused at start; a Redis rename is needed first",
                "refused REDIS_NAMESPACE",
            ),
            (
                "REDIS_NAMESPACE is no longer supported",
                "refused REDIS_NAMESPACE",
            ),
            ("built-in update check starts (UPDATE_CHECK_URL)", "other"),
            (
                "Docker image is split: streaming now needs ghcr.io/mastodon/mastodon-streaming with command node ./streaming/index.js",
                "split",
            ),
            (
                "run tootctl search deploy when Elasticsearch is on",
                "search",
            ),
            (
                "search mapping refresh for accounts when Elasticsearch is on",
                "search",
            ),
            ("compose health checks moved from wget to curl", "compose"),
            ("Update your docker-compose.yml", "compose"),
            ("The OAuth password grant is removed", "dropped false"),
            (
                "Restart all Mastodon processes, then run tootctl cache clear",
                "restart, other",
            ),
            ("Do not restart anything", "other, restart"),
            ("Restart Redis", "restart, other"),
            (
                "Set the new environment variable and restart",
                "restart, other",
            ),
            ("Run rails mastodon:something", "other"),
            ("Sacrifice a goat", "other"),
            ("", "other"),
        ] {
            let found = kinds(text);
            let found_names = names(text);
            let mut sorted: Vec<&str> = found_names.split(", ").collect();
            let mut wanted: Vec<&str> = expected.split(", ").collect();
            sorted.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(sorted, wanted, "{text}");
            let steps = found.into_iter().map(|kind| UpdateStep {
                kind,
                text: text.to_owned(),
            });
            assert!(steps.into_iter().any(|step| step.needs_person()), "{text}");
        }
        assert_eq!(
            read("A_KEY", Some(Verdict::New)).kinds,
            [StepKind::NewKey {
                keys: vec!["A_KEY".to_owned()]
            }]
        );
        assert_eq!(
            verdict("These variables are mandatory:"),
            Some(Verdict::New)
        );
    }
}
