//! The policy file: windows and rules as written become a [`Policy`].

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use crate::config::Problem;
use crate::config::fragments::{PolicyFile, Rule as RuleFragment, Window as WindowFragment};
use crate::config::reader::{File, Located, Place, Problems, Reader};
use crate::config::values;
use crate::domain::advisory::Severity;
use crate::domain::policy::{Approvals, Class, Matches, Policy, PolicyError, Rule, StartRule};
use crate::domain::window::Window;

/// The oldest a release may be asked to be: beyond this, a policy means "never", and should say so with an approval.
const LONGEST_MIN_AGE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Parses and checks a policy; `None` when a problem was reported.
pub(super) fn parse(name: &Path, text: &str, problems: &Problems) -> Option<Policy> {
    let mine = Problems::default();
    let file = File {
        name,
        text,
        problems: &mine,
        // A policy names no files.
        read: |_| Err(io::ErrorKind::Unsupported.into()),
    };
    let policy = file.parse().and_then(|table| {
        let fragment = PolicyFile::read(Reader::root(file, &table));
        check(file, &fragment)
    });
    let clean = mine.is_empty();
    mine.into_errors()
        .errors
        .into_iter()
        .for_each(|error| problems.push(error));
    policy.filter(|_| clean)
}

fn check(file: File<'_>, fragment: &PolicyFile) -> Option<Policy> {
    let zone = zone(file, fragment);
    // Windows are checked even without a usable zone, so that all mistakes come out at once.
    let checked_in = zone.clone().unwrap_or(TimeZone::UTC);
    let windows: Vec<Option<Window>> = fragment
        .windows
        .iter()
        .map(|window| check_window(file, window, &checked_in))
        .collect();
    let rules: Vec<Option<Rule>> = fragment
        .rules
        .iter()
        .map(|rule| check_rule(file, rule))
        .collect();
    let windows = windows.into_iter().collect::<Option<Vec<_>>>()?;
    let rules = rules.into_iter().collect::<Option<Vec<_>>>()?;
    match Policy::new(zone?, windows, rules) {
        Ok(policy) => Some(policy),
        Err(errors) => {
            for error in errors {
                file.refuse(&place_of(fragment, &error), &error);
            }
            None
        }
    }
}

fn zone(file: File<'_>, fragment: &PolicyFile) -> Option<TimeZone> {
    let Some(name) = &fragment.zone else {
        missing(file, &fragment.place, "time.zone");
        return None;
    };
    let text = name.value.as_str();
    let named = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.eq_ignore_ascii_case("localtime");
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where zones are resolved"
    )]
    let found = TimeZone::get(text).ok().filter(|_| named);
    if found.is_none() {
        file.refuse(
            &name.place,
            &format!("`{text}` is not a time zone by name, such as `Europe/Berlin`"),
        );
    }
    found
}

fn check_window(file: File<'_>, fragment: &WindowFragment, zone: &TimeZone) -> Option<Window> {
    let id = required(file, &fragment.place, "id", fragment.id.as_ref())
        .and_then(|id| file.check(id, values::name));
    let opens = required(file, &fragment.place, "opens", fragment.opens.as_ref())
        .and_then(|lines| all(lines.iter().map(|line| file.check(line, str::parse))));
    let lasts = required(file, &fragment.place, "lasts", fragment.lasts.as_ref())
        .and_then(|lasts| span(file, lasts));
    let allow = required(file, &fragment.place, "allow", fragment.allow.as_ref())
        .and_then(|classes| allowed(file, classes));
    match Window::new(id?, opens?, lasts?, zone.clone(), allow?) {
        Ok(window) => Some(window),
        Err(error) => {
            file.refuse(&fragment.place, &error);
            None
        }
    }
}

fn check_rule(file: File<'_>, fragment: &RuleFragment) -> Option<Rule> {
    let name = required(file, &fragment.place, "name", fragment.name.as_ref())
        .and_then(|name| file.check(name, values::name));
    let classes = set(file, fragment.class.as_deref(), &CLASSES);
    let severities = set(file, fragment.severity.as_deref(), &SEVERITIES);
    let when = required(file, &fragment.place, "when", fragment.when.as_ref())
        .and_then(|when| word(file, when, &WHEN));
    let approval = required(
        file,
        &fragment.place,
        "approval",
        fragment.approval.as_ref(),
    )
    .and_then(|approval| word(file, approval, &APPROVALS));
    let min_age = match &fragment.min_age {
        None => Some(SignedDuration::ZERO),
        Some(age) => span(file, age).filter(|length| {
            let good = *length <= LONGEST_MIN_AGE;
            if !good {
                file.refuse(
                    &age.place,
                    "a minimum age above 90 days means never; ask for an approval instead",
                );
            }
            good
        }),
    };
    let matches = Matches {
        classes: classes?,
        severities: severities?,
    };
    Some(Rule {
        name: name?,
        matches,
        when: when?,
        approval: approval?,
        min_age: min_age?,
    })
}

const CLASSES: [(&str, Class); 4] = [
    ("security", Class::Security),
    ("patch", Class::Patch),
    ("minor", Class::Minor),
    ("major", Class::Major),
];
const SEVERITIES: [(&str, Severity); 4] = [
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];
const WHEN: [(&str, StartRule); 2] = [
    ("window", StartRule::Window),
    ("at-once", StartRule::AtOnce),
];
const APPROVALS: [(&str, Approvals); 2] = [("none", Approvals::None), ("one", Approvals::One)];

fn allowed(file: File<'_>, classes: &[Located<String>]) -> Option<BTreeSet<Class>> {
    match classes {
        [only] if only.value == "*" => Some(Class::ALL.into_iter().collect()),
        _ => all(classes.iter().map(|class| word(file, class, &CLASSES)))
            .map(|list| list.into_iter().collect()),
    }
}

/// Nothing written means anything; an empty list is a mistake.
fn set<T: Copy + Ord>(
    file: File<'_>,
    texts: Option<&[Located<String>]>,
    words: &[(&str, T)],
) -> Option<BTreeSet<T>> {
    match texts {
        None => Some(BTreeSet::new()),
        Some(texts) => all(texts.iter().map(|text| word(file, text, words)))
            .map(|list| list.into_iter().collect()),
    }
}

pub(super) fn word<T: Copy>(
    file: File<'_>,
    text: &Located<String>,
    words: &[(&str, T)],
) -> Option<T> {
    let found = words
        .iter()
        .find(|(word, _)| *word == text.value)
        .map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        file.refuse(
            &text.place,
            &format!("`{}` is none of {}", text.value, known.join(", ")),
        );
    }
    found
}

fn span(file: File<'_>, text: &Located<String>) -> Option<SignedDuration> {
    let span = file.check(text, values::span)?;
    SignedDuration::try_from(span)
        .map_err(|err| file.refuse(&text.place, &err))
        .ok()
}

/// All or nothing, but only after every item was looked at.
fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<Option<T>> = items.collect();
    items.into_iter().collect()
}

pub(super) fn missing(file: File<'_>, place: &Place, key: &str) {
    let key = if place.key.is_empty() {
        key.to_owned()
    } else {
        format!("{}.{key}", place.key)
    };
    file.problem(&Place { at: place.at, key }, Problem::Missing);
}

pub(super) fn required<'a, T>(
    file: File<'_>,
    place: &Place,
    key: &str,
    value: Option<&'a T>,
) -> Option<&'a T> {
    if value.is_none() {
        missing(file, place, key);
    }
    value
}

fn place_of(fragment: &PolicyFile, error: &PolicyError) -> Place {
    let rule = |name: &String| {
        let mut named = fragment
            .rules
            .iter()
            .filter(|rule| rule.name.as_ref().is_some_and(|text| text.value == *name));
        named.next_back().map(|rule| rule.place.clone())
    };
    let window = |id: &String| {
        let mut named = fragment
            .windows
            .iter()
            .filter(|window| window.id.as_ref().is_some_and(|text| text.value == *id));
        named.next_back().map(|window| window.place.clone())
    };
    let place = match error {
        PolicyError::NoRules => None,
        PolicyError::WindowTwice(id) => window(id),
        PolicyError::RuleTwice(name)
        | PolicyError::NegativeAge(name)
        | PolicyError::NoWindow { rule: name, .. }
        | PolicyError::NeverReached { rule: name, .. } => rule(name),
    };
    place.unwrap_or_else(|| fragment.place.clone())
}
