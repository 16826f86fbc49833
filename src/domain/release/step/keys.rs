//! Environment keys in a step, and what becomes of them.

use super::super::words::Phrase;
use super::StepKind;

/// What the lead-in of a list says of the keys in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain::release) enum Verdict {
    New,
    Refused,
    Unused,
}

/// Keys of commands, which say nothing about the instance's settings.
const COMMAND_KEYS: [&str; 5] = [
    "RAILS_ENV",
    "NODE_ENV",
    "SKIP_POST_DEPLOYMENT_MIGRATIONS",
    "IGNORE_ALREADY_SET_SECRETS",
    "MASTODON_DB_1",
];

/// What a line says of the keys in it, or of those that follow it.
pub(in crate::domain::release) fn verdict(text: &str) -> Option<Verdict> {
    const UNUSED: &str = "no longer used|no longer needed|no longer required|no longer necessary|not needed anymore|is gone|are gone|unused|\
        can be removed|no effect|is ignored|are ignored";
    const REFUSED: &str = "refused|refuses|must be unset|must not be set|no longer supported|not supported|unsupported|rejected|forbidden|\
        must be removed|will not start|support removed|dropped";
    const MANDATORY: &str = "mandatory|required|requires|require|must|need|needs|has to|have to|necessary|new secret|new secrets|\
        set the following|generate|add the";
    let phrase = Phrase::of(text);
    if phrase.has(REFUSED) {
        Some(Verdict::Refused)
    } else if phrase.without(UNUSED).has(MANDATORY) {
        Some(Verdict::New)
    } else {
        phrase.has(UNUSED).then_some(Verdict::Unused)
    }
}

/// Each key belongs to what its own clause says; a clause that says nothing follows the line before the list.
pub(super) fn read_keys(
    text: &str,
    keys_in_all: &[String],
    lead: Option<Verdict>,
    kinds: &mut Vec<StepKind>,
) {
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
pub(super) fn keys(text: &str) -> Vec<String> {
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
