//! Reading the words of a step.

use super::super::minimum::{self, Minimum};
use super::super::words::{Phrase, listed};
use super::keys::{Verdict, keys, read_keys};
use super::{Phase, StepKind};
use crate::domain::version::ReleaseVersion;

/// What was read from one piece of a list of steps.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::domain::release) struct Reading {
    /// Empty for what asks for nothing: where to get the code, that backups are good.
    pub(in crate::domain::release) kinds: Vec<StepKind>,
    pub(in crate::domain::release) minimums: Vec<Minimum>,
    /// Whether the migrations are said to be beyond recall.
    pub(in crate::domain::release) irreversible: bool,
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

const NO_MIGRATIONS: &str =
    "no new database migrations|no database migrations|no new migrations|no migrations";
const NO_PRE: &str = "no pre deployment migration|no pre deployment migrations|no new pre deployment migration|\
    no new pre deployment migrations";
const NO_POST: &str = "no post deployment migration|no post deployment migrations|no new post deployment migration|\
    no new post deployment migrations";

/// Reads one piece of a list of steps, given what the line before the list said.
pub(in crate::domain::release) fn read(text: &str, lead: Option<Verdict>) -> Reading {
    if text.len() > MOST_BYTES {
        return Reading {
            kinds: vec![StepKind::Other],
            ..Reading::default()
        };
    }
    let lower = text.to_lowercase();
    let phrase = Phrase::of(text);
    let keys = keys(text);
    let covered = is_plain(&lower, &keys);
    let from = starts_from(&lower);
    let mut found = Reading::default();
    if covered && keys.is_empty() && from.is_none() && asks_for_nothing(&phrase) {
        return found;
    }
    let kinds = &mut found.kinds;
    kinds.extend(from.map(|from| StepKind::ReadSkippedNotes { from }));
    read_keys(text, &keys, lead, kinds);
    read_changes(&lower, &phrase, covered, kinds);
    found.minimums = read_versions(text, &phrase, kinds);
    let settled = kinds.iter().any(is_settled);
    let floor = kinds
        .iter()
        .any(|kind| matches!(kind, StepKind::SchemaFloor { .. }));
    if !settled && !floor {
        read_plain(&phrase, kinds);
        found.irreversible = phrase.has("reversed|irreversible|undone|reverted|rolled back")
            && phrase.has("migrations|migration|ones");
    }
    // What needs nobody must be understood to the last word.
    let nothing_to_do = kinds.is_empty() && covered && phrase.has(NO_MIGRATIONS);
    if !settled && !nothing_to_do && (kinds.is_empty() || !covered) {
        kinds.push(StepKind::Other);
    }
    found
}

/// What changes around Mastodon: images, search, the Compose file, the schema.
fn read_changes(lower: &str, phrase: &Phrase, covered: bool, kinds: &mut Vec<StepKind>) {
    let split = phrase.has("mastodon-streaming|image is split|images are split");
    let own_image = phrase.has("streaming")
        && phrase.has("image")
        && phrase.has("separate|own|needs|dedicated|different|new");
    if split || (own_image && !covered) {
        kinds.push(StepKind::ImageSplit);
    }
    if phrase.has("search|elasticsearch|opensearch")
        && phrase.has("deploy|mapping|mappings|index|indexes|indices|reindex|rebuild|refresh")
    {
        kinds.push(StepKind::SearchDeploy);
    }
    if phrase.has("compose file|compose files|health check|health checks|healthcheck|healthchecks")
        || phrase.has("compose yml|compose yaml")
    {
        kinds.push(StepKind::ComposeChange);
    }
    kinds.extend(schema_floor(lower).map(|at_least| StepKind::SchemaFloor { at_least }));
}

/// What is demanded of other software, and what is said to be over.
fn read_versions(text: &str, phrase: &Phrase, kinds: &mut Vec<StepKind>) -> Vec<Minimum> {
    let over = phrase.has("no longer supported|not supported anymore|unsupported|dropped|removed");
    let demands = phrase.has(
        "no longer|not supported|minimum|minimal|requires|required|at least|or newer|or later",
    );
    let plus = text
        .as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, [digit, b'+'] if digit.is_ascii_digit()));
    let versions = minimum::read(text);
    if (over || demands || plus) && !versions.minimums.is_empty() {
        let compared = versions.unread.is_empty();
        kinds.push(StepKind::NoLongerSupported { compared });
        return versions.minimums;
    }
    if over && kinds.is_empty() {
        kinds.push(StepKind::NoLongerSupported { compared: false });
    }
    Vec::new()
}

/// The version that the steps start from. A line without a patch, "from 4.3.x", is read as its first release.
fn starts_from(lower: &str) -> Option<ReleaseVersion> {
    const LEADS: &str = "start from|starting from|updating from|upgrading from|update from|upgrade from|coming from";
    let about_these = Phrase::of(lower)
        .has("these steps|these instructions|following instructions|following steps|instructions below|steps below");
    if !about_these {
        return None;
    }
    LEADS.split('|').find_map(|lead| {
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

/// The steps that an update does by itself.
fn read_plain(phrase: &Phrase, kinds: &mut Vec<StepKind>) {
    let no_pre = phrase.has(NO_PRE);
    let no_post = phrase.has(NO_POST);
    let phrase = phrase
        .without(NO_MIGRATIONS)
        .without(NO_PRE)
        .without(NO_POST);
    if phrase.has("migration|migrations|migrate") {
        let pre = phrase.has("pre|skip_post_deployment_migrations");
        let post = phrase.has("post");
        let phase = match (pre, post) {
            (true, false) => Phase::Pre,
            (false, true) => Phase::Post,
            (false, false) if no_post && !no_pre => Phase::Pre,
            (false, false) if no_pre && !no_post => Phase::Post,
            (true, true) | (false, false) => Phase::Both,
        };
        kinds.push(StepKind::Migrate { phase });
    }
    if phrase.has("restart|restarted|restarting") {
        kinds.push(StepKind::RestartAll);
    }
    if phrase.has("pull") {
        kinds.push(StepKind::Pull);
    }
    if phrase
        .has("precompile|recompile|compile assets|bundle install|yarn install|install dependencies")
    {
        kinds.push(StepKind::Precompile);
    }
}

/// Where to get the code, what to back up, where the list is: nothing that an update has to do in addition.
fn asks_for_nothing(phrase: &Phrase) -> bool {
    let acts = phrase.has("restart|migrate|migrations|pull|install|stop");
    let skipped =
        phrase.has("read") && phrase.has("notes") && phrase.has("skipped|earlier|older|previous");
    phrase.begins_with(
        "to get the code|docker see the list|docker see above|see the list above|see above",
    ) || (skipped && !phrase.has("restart|run|pull|stop"))
        || (!acts && phrase.has("back up|backup|backups"))
        || (!acts && phrase.has("following instructions|following steps") && !phrase.has("from"))
}

/// Whether every word is one that adds nothing, or a number, or one of the keys.
fn is_plain(lower: &str, keys: &[String]) -> bool {
    Phrase::of(lower).words().all(|word| {
        let number = word.trim_start_matches('v');
        let numeric = word.len() <= 6 && number.starts_with(|c: char| c.is_ascii_digit());
        let suffix = ["x", "beta", "rc"]
            .iter()
            .filter_map(|suffix| word.strip_prefix(suffix))
            .any(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        let is_key = keys.iter().any(|key| key.eq_ignore_ascii_case(word));
        numeric || suffix || is_key || listed(PLAIN, word)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{UpdateStep, verdict};
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
