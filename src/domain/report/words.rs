//! Words for people: the four answers, subjects, durations, sizes; and cleaning of foreign texts.

use jiff::Timestamp;

use super::{Report, RestoreNote, SiteState};
use crate::domain::event::Outcome;
use crate::domain::plan::short;
use crate::domain::rehearsal::Rehearsed;

/// Longest subject of a mail; longer ones are cut by mail programs anyway.
const LONGEST_SUBJECT: usize = 180;

/// What a manager wants to know of a run, as sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// Are we patched?
    pub patched: String,
    /// Is the site up?
    pub site: String,
    /// Was anything lost?
    pub lost: String,
    /// Must I do something?
    pub to_do: String,
}

impl Answers {
    /// All four in one line.
    pub fn line(&self) -> String {
        format!(
            "{} {} {} {}",
            self.patched, self.site, self.lost, self.to_do
        )
    }
}

/// What a rehearsal says of a plan, as people read it.
pub fn rehearsed(said: &Rehearsed) -> String {
    match said {
        Rehearsed::Passed {
            at, downtime_ms, ..
        } => format!(
            "rehearsed on {}, expected downtime {}",
            human_time(*at),
            human_ms(*downtime_ms)
        ),
        Rehearsed::Not { because } => format!("not rehearsed: {}", clean(because)),
    }
}

impl Report {
    /// Whether a person has to act now.
    pub fn is_urgent(&self) -> bool {
        self.outcome == Some(Outcome::Held) || (self.outcome.is_some() && !self.is_open())
    }

    fn is_open(&self) -> bool {
        self.site == SiteState::Open
    }

    /// The subject of the run's mails: [`Self::headline`], marked as ours.
    pub fn subject(&self) -> String {
        cut(
            &format!("[mastopatch] {}", self.headline()),
            LONGEST_SUBJECT,
        )
    }

    /// One line with instance, outcome, versions and downtime.
    pub fn headline(&self) -> String {
        let Self {
            instance, from, to, ..
        } = self;
        if let Some(restore) = &self.restore {
            let what = self.restore_headline(restore);
            return clean(&format!("{instance}: {what}, {}", self.downtime_words()));
        }
        let what = match self.outcome {
            None => format!("update {from} -> {to} is running"),
            Some(Outcome::Committed) => format!("updated {from} -> {to}"),
            Some(Outcome::RolledBack) => {
                format!("update {from} -> {to} rolled back, {from} runs again")
            }
            Some(Outcome::Aborted) => format!("update {from} -> {to} aborted, {from} still runs"),
            Some(Outcome::Held) => format!("ACTION NEEDED, update {from} -> {to} is held"),
            Some(Outcome::Released) => format!("update {from} -> {to} was taken over by a person"),
        };
        clean(&format!("{instance}: {what}, {}", self.downtime_words()))
    }

    /// How long the site was down, or is, after the word "downtime".
    pub fn downtime(&self) -> String {
        let about = if self.downtime_estimated {
            "about "
        } else {
            ""
        };
        match (self.downtime_ms, self.site) {
            (None, _) => "none".to_owned(),
            (Some(ms), SiteState::Open) => format!("{about}{}", human_ms(ms)),
            (Some(_), SiteState::Closed) if self.outcome.is_some() => "the site is DOWN".to_owned(),
            (Some(_), SiteState::Unknown) if self.outcome.is_some() => {
                "the site may be down".to_owned()
            }
            (Some(ms), _) => format!("{about}{} so far", human_ms(ms)),
        }
    }

    fn downtime_words(&self) -> String {
        match (self.downtime_ms, self.site) {
            (None, _) => "no downtime".to_owned(),
            (Some(_), SiteState::Closed | SiteState::Unknown) if self.outcome.is_some() => {
                self.downtime()
            }
            (Some(_), _) => format!("down {}", self.downtime()),
        }
    }

    /// The four answers.
    pub fn answers(&self) -> Answers {
        Answers {
            patched: self.patched(),
            site: match self.site {
                SiteState::Open => "The site is up.",
                SiteState::Closed => "The site is DOWN.",
                SiteState::Unknown => "The site may be down.",
            }
            .to_owned(),
            lost: self.lost(),
            to_do: self.to_do(),
        }
    }

    /// What a restore is called.
    fn restore_noun(&self, restore: &RestoreNote) -> String {
        if self.from == self.to {
            format!("restore of the data of run {}", short(&restore.run))
        } else {
            format!("rollback {} -> {}", self.from, self.to)
        }
    }

    fn restore_headline(&self, restore: &RestoreNote) -> String {
        let noun = self.restore_noun(restore);
        match self.outcome {
            None => format!("{noun} is running"),
            Some(Outcome::Committed) if self.from == self.to => {
                format!("data of run {} restored", short(&restore.run))
            }
            Some(Outcome::Committed) => format!("taken back {} -> {}", self.from, self.to),
            Some(Outcome::RolledBack) => format!("{noun} failed and was undone"),
            Some(Outcome::Aborted) => format!("{noun} aborted, nothing was changed"),
            Some(Outcome::Held) => format!("ACTION NEEDED, {noun} is held"),
            Some(Outcome::Released) => format!("{noun} was taken over by a person"),
        }
    }

    fn restored(&self, restore: &RestoreNote) -> String {
        let Self {
            instance, from, to, ..
        } = self;
        let noun = self.restore_noun(restore);
        match self.outcome {
            None => format!("{noun} is under way on {instance}."),
            Some(Outcome::Committed) if restore.data => format!(
                "{instance} runs Mastodon {to} with the data of the snapshot of run {}, as {} ordered.",
                short(&restore.run),
                self.asked_by
            ),
            Some(Outcome::Committed) => format!(
                "{instance} was taken back from Mastodon {from} to {to}, as {} ordered.",
                self.asked_by
            ),
            Some(Outcome::RolledBack | Outcome::Aborted) => format!(
                "{instance} is as it was before: the {noun} did not succeed, Mastodon {from} runs."
            ),
            Some(Outcome::Held) => {
                format!("The {noun} of {instance} could not be brought to its end.")
            }
            Some(Outcome::Released) => format!(
                "{instance} was left as it stood when the {noun} was held; a person has taken it over."
            ),
        }
    }

    fn patched(&self) -> String {
        let Self {
            instance, from, to, ..
        } = self;
        if let Some(restore) = &self.restore {
            return self.restored(restore);
        }
        match (self.outcome, self.committed_at.is_some()) {
            (None, _) => format!("{instance} is being updated to Mastodon {to}."),
            (Some(Outcome::Committed), _) => {
                format!("{instance} is patched: it runs Mastodon {to}.")
            }
            (Some(Outcome::RolledBack), _) => format!(
                "{instance} is NOT patched: the update to Mastodon {to} failed and was taken back, {from} runs again."
            ),
            (Some(Outcome::Aborted), _) => format!(
                "{instance} is NOT patched yet: the update to Mastodon {to} was stopped before anything was changed, {from} still runs."
            ),
            (Some(Outcome::Held), true) => format!(
                "{instance} is patched: Mastodon {to} is in place, but the update could not be brought to its end."
            ),
            (Some(Outcome::Held), false) => format!(
                "{instance} is NOT patched: the update to Mastodon {to} failed, and the way back to {from} failed too."
            ),
            (Some(Outcome::Released), _) => format!(
                "{instance} was left as it stood when the update to Mastodon {to} was held; a person has taken it over."
            ),
        }
    }

    /// Between fence and commit no outside write is accepted, so a way back that was taken to its end
    /// loses nothing. What was not taken to its end claims less.
    fn lost(&self) -> String {
        if self.outcome == Some(Outcome::Held) && self.committed_at.is_none() {
            return match (&self.snapshot, self.rows_proved) {
                (Some(_), Some(_)) => {
                    "A checked copy of all data from before the update is kept.".to_owned()
                }
                (Some(_), None) => {
                    "A copy of the data from before the update is kept; it was not checked."
                        .to_owned()
                }
                (None, _) => "The data was not touched by the update.".to_owned(),
            };
        }
        if self.outcome.is_none() {
            return "Nothing is lost so far.".to_owned();
        }
        let put_in = self.restore.as_ref().filter(|restore| restore.data);
        if let Some(restore) = put_in.filter(|_| self.outcome == Some(Outcome::Committed)) {
            return format!(
                "What was written after the snapshot of run {} is not there any more; {} agreed to that. The database from \
                 before is kept beside it.",
                short(&restore.run),
                self.asked_by
            );
        }
        if let Some(by) = self
            .loss_accepted_by
            .as_ref()
            .filter(|_| self.data_restored)
        {
            return format!("What was written after the snapshot is lost; {by} agreed to that.");
        }
        if self.outcome == Some(Outcome::Released) {
            return "Nothing was removed.".to_owned();
        }
        "Nothing was lost.".to_owned()
    }

    fn to_do(&self) -> String {
        let to = &self.to;
        let nothing = "You need not do anything";
        match self.outcome {
            Some(_) if self.is_urgent() => format!(
                "You must act: ask your administrator to log in to the server now and to run `mastopatch show {}`; then \
                 `mastopatch resume`, `rollback` or `release`, each of which first says what it will do.",
                self.short_id()
            ),
            Some(Outcome::RolledBack | Outcome::Aborted) if self.quarantined => format!(
                "{nothing} at once; {to} is not tried again until your administrator has looked at it."
            ),
            Some(Outcome::RolledBack | Outcome::Aborted) => format!(
                "{nothing} at once; your administrator should look at the cause before the next attempt."
            ),
            None | Some(Outcome::Committed | Outcome::Held | Outcome::Released) => {
                format!("{nothing}.")
            }
        }
    }

    /// The end of the run's id: enough to type.
    pub fn short_id(&self) -> &str {
        let start = self.id.len().saturating_sub(12);
        self.id.get(start..).unwrap_or(&self.id)
    }
}

/// A length of time: `820 ms`, `4.2 s`, `1 min 50 s`, `2 h 5 min`, `3 d 4 h`.
pub fn human_ms(ms: u64) -> String {
    if ms < 1_000 {
        return format!("{ms} ms");
    }
    let tenths = ms.saturating_add(50).div_euclid(100);
    if tenths < 100 {
        return format!("{}.{} s", tenths.div_euclid(10), tenths.rem_euclid(10));
    }
    human_s(ms.saturating_add(500).div_euclid(1_000))
}

/// A length of time in whole seconds.
pub fn human_s(s: u64) -> String {
    let (large, large_unit, small, small_unit) = if s < 60 {
        return format!("{s} s");
    } else if s < 3_600 {
        (s.div_euclid(60), "min", s.rem_euclid(60), "s")
    } else if s < 86_400 {
        let min = s.div_euclid(60);
        (min.div_euclid(60), "h", min.rem_euclid(60), "min")
    } else {
        let h = s.div_euclid(3_600);
        (h.div_euclid(24), "d", h.rem_euclid(24), "h")
    };
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// A size: `512 B`, `3.0 MiB`.
pub fn human_bytes(bytes: u64) -> String {
    let mut tenths = bytes.saturating_mul(10);
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if tenths < 10_240 {
            break;
        }
        tenths = tenths.saturating_add(512).div_euclid(1_024);
        unit = larger;
    }
    if unit == "B" {
        return format!("{bytes} B");
    }
    format!("{}.{} {unit}", tenths.div_euclid(10), tenths.rem_euclid(10))
}

/// A number with its thousands set apart: `12,345`.
pub fn human_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(place);
        if place > 0 && left.rem_euclid(3) == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A moment: `2026-11-21 02:00:05 UTC`.
pub fn human_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `once`, `twice`, `3 times`.
pub fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

/// A foreign text as one line that is safe to show anywhere: terminal control sequences and characters
/// that steer the direction of writing are dropped, every run of blanks and control characters becomes
/// one blank.
pub fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => skip_sequence(&mut chars),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {}
            blank if blank.is_whitespace() || blank.is_control() => {
                if !line.is_empty() && !line.ends_with(' ') {
                    line.push(' ');
                }
            }
            other => line.push(other),
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// What follows an escape: `[` with parameters and a final letter, `]` up to BEL or the next escape, or
/// one character.
fn skip_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            while let Some(char) = chars.peek() {
                if !char.is_ascii() || char.is_ascii_control() {
                    return;
                }
                let is_last = ('@'..='~').contains(char);
                chars.next();
                if is_last {
                    return;
                }
            }
        }
        Some(']') => {
            while let Some(char) = chars.peek() {
                if *char == '\u{1b}' || *char == '\n' {
                    return;
                }
                if chars.next() == Some('\u{7}') {
                    return;
                }
            }
        }
        Some(char) if char.is_ascii_graphic() => {
            chars.next();
        }
        Some(_) | None => {}
    }
}

/// At most `longest` characters, the last of them `…` when something was cut.
pub fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(longest.saturating_sub(1)).collect();
    short.push('…');
    short
}
