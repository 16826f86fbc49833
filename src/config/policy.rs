//! Policies: windows and rules as written become a [`Policy`].
//!
//! A policy is a file: one that is shipped, or the operator's own. The main file may change it: another zone, other
//! windows, single keys of single rules.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use crate::config::checks::{bounded, missing, optional, required, span, word, words};
use crate::config::fragments::{
    Blackout as BlackoutFragment, Match, PolicyChanges, PolicyFile, Rule as RuleFragment,
};
use crate::config::reader::{File, Located, Place, Problems, Reader};
use crate::config::values;
use crate::config::windows::{self, Drafted, STRENGTHS, Times, WrittenWindow};
use crate::domain::advisory::Severity;
use crate::domain::policy::{
    Action, Approvals, Class, Matches, OutsideWindows, Policy, PolicyError, Rule,
};
use crate::domain::window::{Blackout, Schedule, Strength};

/// The policies that are part of the program, by name; the same files are installed for reading and copying.
pub const SHIPPED: [(&str, &str); 4] = [
    (
        "security-first",
        include_str!("../../policies/security-first.toml"),
    ),
    (
        "conservative",
        include_str!("../../policies/conservative.toml"),
    ),
    (
        "notify-only",
        include_str!("../../policies/notify-only.toml"),
    ),
    ("canary", include_str!("../../policies/canary.toml")),
];

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const QUARTER: SignedDuration = SignedDuration::from_hours(90 * 24);
const YEAR: SignedDuration = SignedDuration::from_hours(366 * 24);

/// How long an approval holds where the rule does not say: a week has every window of a weekly calendar.
const APPROVAL_HOLDS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A policy's parts, each of them good, not yet checked against each other.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    zone: TimeZone,
    require_sync: bool,
    pre_releases: bool,
    windows: Vec<Drafted>,
    blackouts: Vec<Blackout>,
    rules: Vec<Rule>,
}

/// What the main file changes, each part of it good.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    times: Times,
    windows: Vec<Drafted>,
    blackouts: Vec<Blackout>,
    rules: Vec<(Located<String>, RuleKeys)>,
    places: Vec<(Named, Place)>,
}

/// A policy, and where its windows stand.
pub(super) type Placed = (Policy, Vec<WrittenWindow>);

/// The keys of a rule that are there.
#[derive(Debug, Clone, Default)]
struct RuleKeys {
    matches: Option<MatchKeys>,
    action: Option<Action>,
    outside_windows: Option<OutsideWindows>,
    may_break: Option<BTreeSet<Strength>>,
    approval: Option<Approvals>,
    approval_expires: Option<SignedDuration>,
    min_age: Option<SignedDuration>,
    deadline: Option<SignedDuration>,
}

/// The keys of `match` that are there; `any` is there, and means nothing in particular.
#[derive(Debug, Clone, Default)]
#[allow(
    clippy::option_option,
    reason = "the outer one says whether the key is there"
)]
struct MatchKeys {
    classes: Option<BTreeSet<Class>>,
    severities: Option<BTreeSet<Severity>>,
    exploited: Option<Option<bool>>,
    fork: Option<Option<bool>>,
    older_than: Option<SignedDuration>,
}

/// What a problem of a whole policy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Rule(String),
    Window(String),
    /// A line of a window's calendar.
    Line(String, usize),
    Blackout(String),
}

/// Parses and checks a policy; `None` when a problem was reported.
pub(super) fn parse(
    name: &Path,
    text: &str,
    changes: Option<(&Path, &Changes)>,
    host: &str,
    problems: &Problems,
) -> Option<Placed> {
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
        let draft = draft(file, &fragment, host)?;
        complete(file, &fragment, draft, changes)
    });
    let clean = mine.is_empty();
    mine.into_errors()
        .errors
        .into_iter()
        .for_each(|error| problems.push(error));
    policy.filter(|_| clean)
}

/// Checks what the main file changes by itself; `None` when a problem was reported.
pub(super) fn changes(file: File<'_>, fragment: &PolicyChanges, host: &str) -> Option<Changes> {
    let times = windows::times(file, &fragment.time);
    let zone = times
        .clone()
        .and_then(|times| times.zone)
        .unwrap_or(TimeZone::UTC);
    let windows = windows::windows(file, &fragment.windows, &zone, host);
    let blackouts = windows::blackouts(file, &fragment.blackouts, &zone);
    let rules: Vec<Option<(Located<String>, RuleKeys)>> = fragment
        .rules
        .iter()
        .map(|rule| {
            let name = required(file, &rule.place, "name", rule.name.as_ref());
            let keys = rule_keys(file, rule);
            Some((name?.clone(), keys?))
        })
        .collect();
    let windows = windows?;
    Some(Changes {
        times: times?,
        places: places(&windows, &fragment.blackouts, &fragment.rules),
        windows,
        blackouts: blackouts?,
        rules: rules.into_iter().collect::<Option<_>>()?,
    })
}

fn draft(file: File<'_>, fragment: &PolicyFile, host: &str) -> Option<Draft> {
    let times = windows::times(file, &fragment.time);
    if fragment.time.zone.is_none() {
        match &fragment.time.place {
            Some(place) => missing(file, place, "zone"),
            None => missing(file, &fragment.place, "time.zone"),
        }
    }
    let zone = times.clone().and_then(|times| times.zone);
    // Windows are checked even without a usable zone, so that all mistakes come out at once.
    let checked_in = zone.clone().unwrap_or(TimeZone::UTC);
    let windows = windows::windows(file, &fragment.windows, &checked_in, host);
    let blackouts = windows::blackouts(file, &fragment.blackouts, &checked_in);
    let rules: Vec<Option<Rule>> = fragment
        .rules
        .iter()
        .map(|rule| check_rule(file, rule))
        .collect();
    Some(Draft {
        windows: windows?,
        blackouts: blackouts?,
        rules: rules.into_iter().collect::<Option<_>>()?,
        pre_releases: fragment
            .pre_releases
            .as_ref()
            .is_some_and(|flag| flag.value),
        require_sync: times?.require_sync.unwrap_or(true),
        zone: zone?,
    })
}

/// Applies the changes and checks everything against everything.
fn complete(
    file: File<'_>,
    fragment: &PolicyFile,
    mut draft: Draft,
    changes: Option<(&Path, &Changes)>,
) -> Option<Placed> {
    let foreign = changes.map(|(name, changes)| (File { name, ..file }, changes));
    let mine = places(&draft.windows, &fragment.blackouts, &fragment.rules);
    if let Some((main, changes)) = foreign {
        draft.require_sync = changes.times.require_sync.unwrap_or(draft.require_sync);
        if !changes.windows.is_empty() {
            draft.windows.clone_from(&changes.windows);
        }
        if let Some(zone) = &changes.times.zone {
            draft.zone = zone.clone();
        }
        // The main file's blackouts come on top: what one file forbids, another does not allow.
        draft.blackouts.extend(changes.blackouts.iter().cloned());
        draft.use_zone();
        for (name, keys) in &changes.rules {
            match draft.rules.iter_mut().find(|rule| rule.name == name.value) {
                Some(rule) => keys.change(rule),
                None => {
                    let names: Vec<String> = draft
                        .rules
                        .iter()
                        .map(|rule| format!("`{}`", rule.name))
                        .collect();
                    main.refuse(
                        &name.place,
                        &format!(
                            "the policy {} has no rule `{}` to change; it has {}",
                            file.name.display(),
                            name.value,
                            names.join(", ")
                        ),
                    );
                }
            }
        }
    }
    let (drafted, written): (Vec<_>, Vec<_>) = draft
        .windows
        .into_iter()
        .map(|drafted| (drafted.window, drafted.written))
        .unzip();
    let schedule = Schedule::new(drafted, draft.blackouts);
    let errors = match Policy::new(draft.zone, schedule, draft.rules, draft.pre_releases) {
        Ok(policy) => return Some((policy.requiring_sync(draft.require_sync), written)),
        Err(errors) => errors,
    };
    for error in errors {
        let about = about(&error);
        let place = |places: &[(Named, Place)]| {
            let mut named = places
                .iter()
                .filter(|(named, _)| Some(named) == about.as_ref());
            named.next_back().map(|(_, place)| place.clone())
        };
        let changed = foreign.and_then(|(main, changes)| Some((main, place(&changes.places)?)));
        match changed {
            Some((main, place)) => main.refuse(&place, &error),
            None => file.refuse(
                &place(&mine).unwrap_or_else(|| fragment.place.clone()),
                &error,
            ),
        }
    }
    None
}

impl Draft {
    /// What names no zone of its own is meant in the policy's.
    fn use_zone(&mut self) {
        for drafted in self.windows.iter_mut().filter(|drafted| !drafted.zoned) {
            drafted.window = drafted.window.clone().in_zone(self.zone.clone());
        }
        for blackout in &mut self.blackouts {
            *blackout = blackout.clone().in_zone(self.zone.clone());
        }
    }
}

fn check_rule(file: File<'_>, fragment: &RuleFragment) -> Option<Rule> {
    let name = required(file, &fragment.place, "name", fragment.name.as_ref())
        .and_then(|name| file.check(name, values::name));
    let keys = rule_keys(file, fragment);
    let notifies = keys
        .as_ref()
        .is_some_and(|keys| keys.action == Some(Action::Notify));
    if fragment.approval.is_none() && !notifies {
        missing(file, &fragment.place, "approval");
    }
    let mut rule = Rule {
        name: name?,
        matches: Matches::default(),
        action: Action::Update,
        outside_windows: OutsideWindows::Never,
        may_break: BTreeSet::new(),
        approval: Approvals::One,
        approval_expires: APPROVAL_HOLDS,
        min_age: SignedDuration::ZERO,
        deadline: None,
    };
    keys?.change(&mut rule);
    Some(rule)
}

/// Reads every key before giving up on any; `None` when a problem was reported.
fn rule_keys(file: File<'_>, fragment: &RuleFragment) -> Option<RuleKeys> {
    let matches = optional(fragment.matches.as_ref(), |matches| {
        check_match(file, matches)
    });
    let action = optional(fragment.action.as_ref(), |text| word(file, text, &ACTIONS));
    let outside = optional(fragment.outside_windows.as_ref(), |text| {
        outside_windows(file, text)
    });
    let may_break = optional(fragment.may_break.as_ref(), |texts| {
        words(file, Some(texts), &STRENGTHS)
    });
    let approval = optional(fragment.approval.as_ref(), |text| {
        word(file, text, &APPROVALS)
    });
    let expires = bounded(file, &fragment.approval_expires, HOUR, QUARTER);
    let min_age = match &fragment.min_age {
        None => Some(None),
        Some(age) => span(file, age)
            .filter(|length| {
                let good = *length <= QUARTER;
                if !good {
                    file.refuse(
                        &age.place,
                        "a minimum age above 90 days means never; ask for an approval instead",
                    );
                }
                good
            })
            .map(Some),
    };
    let deadline = bounded(file, &fragment.deadline, HOUR, YEAR);
    Some(RuleKeys {
        matches: matches?,
        action: action?,
        outside_windows: outside?,
        may_break: may_break?,
        approval: approval?,
        approval_expires: expires?,
        min_age: min_age?,
        deadline: deadline?,
    })
}

fn check_match(file: File<'_>, fragment: &Match) -> Option<MatchKeys> {
    let classes = words(file, fragment.class.as_deref(), &CLASSES);
    let severities = words(file, fragment.severity.as_deref(), &SEVERITIES);
    let exploited = optional(fragment.exploited.as_ref(), |text| {
        word(file, text, &YES_OR_NO)
    });
    let fork = optional(fragment.fork.as_ref(), |text| word(file, text, &YES_OR_NO));
    let older_than = bounded(file, &fragment.older_than, HOUR, YEAR);
    Some(MatchKeys {
        classes: fragment.class.is_some().then_some(classes?),
        severities: fragment.severity.is_some().then_some(severities?),
        exploited: exploited?,
        fork: fork?,
        older_than: older_than?,
    })
}

impl RuleKeys {
    /// Puts every key that is there over the rule's own.
    fn change(&self, rule: &mut Rule) {
        fn put<T: Clone>(new: Option<&T>, old: &mut T) {
            if let Some(new) = new {
                old.clone_from(new);
            }
        }
        if let Some(matches) = &self.matches {
            matches.change(&mut rule.matches);
        }
        put(self.action.as_ref(), &mut rule.action);
        put(self.outside_windows.as_ref(), &mut rule.outside_windows);
        put(self.may_break.as_ref(), &mut rule.may_break);
        put(self.approval.as_ref(), &mut rule.approval);
        put(self.approval_expires.as_ref(), &mut rule.approval_expires);
        put(self.min_age.as_ref(), &mut rule.min_age);
        rule.deadline = self.deadline.or(rule.deadline);
    }
}

impl MatchKeys {
    /// The same for what a rule speaks about: a class that is not named stays, so that no rule takes more than it says.
    fn change(&self, matches: &mut Matches) {
        if let Some(classes) = &self.classes {
            matches.classes.clone_from(classes);
        }
        if let Some(severities) = &self.severities {
            matches.severities.clone_from(severities);
        }
        matches.exploited = self.exploited.unwrap_or(matches.exploited);
        matches.fork = self.fork.unwrap_or(matches.fork);
        matches.older_than = self.older_than.or(matches.older_than);
    }
}

pub(super) const CLASSES: [(&str, Class); 4] = [
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
const APPROVALS: [(&str, Approvals); 2] = [("none", Approvals::None), ("one", Approvals::One)];
const ACTIONS: [(&str, Action); 2] = [("update", Action::Update), ("notify", Action::Notify)];
const YES_OR_NO: [(&str, Option<bool>); 3] =
    [("any", None), ("yes", Some(true)), ("no", Some(false))];

fn outside_windows(file: File<'_>, text: &Located<String>) -> Option<OutsideWindows> {
    match text.value.as_str() {
        "never" => return Some(OutsideWindows::Never),
        "at-once" => return Some(OutsideWindows::AtOnce),
        _ => {}
    }
    let span = text
        .value
        .strip_prefix("after ")
        .and_then(|rest| values::span(rest.trim()).ok())
        .and_then(|span| SignedDuration::try_from(span).ok())
        .filter(|span| *span <= QUARTER);
    if span.is_none() {
        file.refuse(
            &text.place,
            &format!(
                "`{}` is none of `never`, `at-once`, `after 4h` (a time up to 90 days)",
                text.value
            ),
        );
    }
    span.map(OutsideWindows::After)
}

fn places(
    windows: &[Drafted],
    blackouts: &[BlackoutFragment],
    rules: &[RuleFragment],
) -> Vec<(Named, Place)> {
    let windows = windows.iter().flat_map(|drafted| {
        let (written, id) = (&drafted.written, &drafted.written.id);
        let lines = written.lines.iter().enumerate();
        let lines = lines.map(|(line, place)| (Named::Line(id.clone(), line), place.clone()));
        lines.chain([(Named::Window(id.clone()), written.place.clone())])
    });
    let blackouts = blackouts.iter().filter_map(|blackout| {
        let id = blackout.id.as_ref()?;
        Some((Named::Blackout(id.value.clone()), blackout.place.clone()))
    });
    let rules = rules.iter().filter_map(|rule| {
        let name = rule.name.as_ref()?;
        Some((Named::Rule(name.value.clone()), rule.place.clone()))
    });
    windows.chain(blackouts).chain(rules).collect()
}

fn about(error: &PolicyError) -> Option<Named> {
    match error {
        PolicyError::NoRules => None,
        PolicyError::WindowTwice(id) | PolicyError::Within { window: id, .. } => {
            Some(Named::Window(id.clone()))
        }
        PolicyError::Overlaps { window, line, .. } => Some(Named::Line(window.clone(), *line)),
        PolicyError::BlackoutTwice(id) => Some(Named::Blackout(id.clone())),
        PolicyError::RuleTwice(name)
        | PolicyError::NegativeAge(name)
        | PolicyError::DeadlineTooEarly(name)
        | PolicyError::BreaksHard(name)
        | PolicyError::NoWindow { rule: name, .. }
        | PolicyError::NeverReached { rule: name, .. } => Some(Named::Rule(name.clone())),
    }
}
