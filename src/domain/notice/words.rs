//! What a notice says, in plain words.

use super::{Cause, ConfigRefused, DeadlineAtRisk, NotRehearsed, Notice, StandsStill, Start};
use crate::domain::report::words::{clean, cut, human_time};

/// Longest subject of a mail.
const LONGEST_SUBJECT: usize = 180;

impl Notice {
    /// Who it concerns: the instance, or all that the configuration names.
    pub fn concerns(&self) -> String {
        match self {
            Self::DeadlineAtRisk(risk) => risk.instance.clone(),
            Self::ConfigRefused(refused) => refused.instances.join(", "),
            Self::StandsStill(still) => still.instance.clone(),
            Self::NotRehearsed(it) => it.instance.clone(),
        }
    }

    /// The subject of its mails.
    pub fn subject(&self) -> String {
        let what = match self {
            Self::DeadlineAtRisk(risk) => risk.headline(),
            Self::ConfigRefused(_) => {
                "ACTION NEEDED, the changed configuration is refused, the old one stays".to_owned()
            }
            Self::StandsStill(_) => {
                "ACTION NEEDED, an update is not over and cannot be carried to its end".to_owned()
            }
            Self::NotRehearsed(it) if it.is_quarantined => {
                format!(
                    "the update to {} FAILED ITS REHEARSAL and is not done",
                    it.to
                )
            }
            Self::NotRehearsed(it) => {
                format!("ACTION NEEDED, the update to {} cannot be rehearsed", it.to)
            }
        };
        let subject = format!("[mastopatch] {}: {what}", self.concerns());
        cut(&clean(&subject), LONGEST_SUBJECT)
    }

    /// The first line of its mails: what is amiss, and whether somebody must act.
    pub fn line(&self) -> String {
        match self {
            Self::DeadlineAtRisk(risk) => format!("{} {}", risk.sentence(), risk.to_do()),
            Self::ConfigRefused(refused) => refused.sentence(),
            Self::StandsStill(still) => still.sentence(),
            Self::NotRehearsed(it) => it.sentence(),
        }
    }

    /// Why, in words for everybody.
    pub fn why(&self) -> Vec<String> {
        match self {
            Self::DeadlineAtRisk(risk) => risk
                .causes
                .iter()
                .map(|cause| cause.plain().to_owned())
                .collect(),
            Self::ConfigRefused(refused) => refused.why(),
            Self::StandsStill(still) => vec![still.because.clone()],
            Self::NotRehearsed(it) => vec![it.because.clone()],
        }
    }

    /// What somebody can do about it, the most obvious first.
    pub fn remedies(&self) -> Vec<String> {
        match self {
            Self::DeadlineAtRisk(risk) => risk.remedies(),
            Self::ConfigRefused(_) => vec![
                "Correct the files; `mastopatch config check` names every mistake.".to_owned(),
                "Then let it be read again: `systemctl reload mastopatchd`.".to_owned(),
            ],
            Self::StandsStill(StandsStill {
                is_orphaned: true, ..
            }) => vec![
                "Put the instance back into the configuration, by that name, until its update is over.".to_owned(),
            ],
            Self::StandsStill(_) => vec![
                "Take away what is in the way; within a minute it goes on by itself.".to_owned(),
                "See what the update has done so far: `mastopatch show`.".to_owned(),
            ],
            Self::NotRehearsed(it) if it.is_quarantined => vec![
                "Wait for the next release: it is rehearsed and installed as usual.".to_owned(),
                format!(
                    "If the reason is on this host, repair it, and try this version again: `mastopatch rehearse --to {} --force`.",
                    it.to
                ),
            ],
            Self::NotRehearsed(it) => vec![
                format!("Take away what is in the way, then: `mastopatch rehearse --to {}`.", it.to),
                "Or let it go on without: `rehearse = \"when-possible\"` in [run].".to_owned(),
            ],
        }
    }

    /// Whether nothing gets better unless a person acts.
    pub fn is_urgent(&self) -> bool {
        match self {
            Self::DeadlineAtRisk(risk) => matches!(risk.start, Start::Never | Start::OnceAgreed(_)),
            Self::ConfigRefused(_) | Self::StandsStill(_) => true,
            Self::NotRehearsed(it) => !it.is_quarantined,
        }
    }
}

impl DeadlineAtRisk {
    fn headline(&self) -> String {
        let Self { to, wanted_by, .. } = self;
        let tense = if self.is_over { "was" } else { "is" };
        match self.start {
            Start::Never => format!(
                "ACTION NEEDED, the update to {to} does not start by itself and {tense} wanted by {wanted_by}"
            ),
            Start::OnceAgreed(_) => format!(
                "ACTION NEEDED, the update to {to} waits for an approval and {tense} wanted by {wanted_by}"
            ),
            Start::Now | Start::At(_) if self.is_over => {
                format!("the update to {to} IS LATE, it was wanted by {wanted_by}")
            }
            Start::Now | Start::At(_) => {
                format!("the update to {to} WILL BE LATE, it is wanted by {wanted_by}")
            }
        }
    }

    fn sentence(&self) -> String {
        let Self {
            instance,
            to,
            wanted_by,
            ..
        } = self;
        let (late, wanted) = if self.is_over {
            ("is late", "was wanted")
        } else {
            ("will be late", "is wanted")
        };
        format!(
            "{instance} {late}: the update to Mastodon {to} {wanted} by {wanted_by}, {}.",
            self.start.words(if self.is_over { "and" } else { "but" })
        )
    }

    fn to_do(&self) -> String {
        match self.start {
            Start::Now => "You need not do anything.".to_owned(),
            Start::At(_) => "If that is too late, somebody must act, see below.".to_owned(),
            Start::OnceAgreed(_) | Start::Never => "Somebody must act, see below.".to_owned(),
        }
    }

    fn remedies(&self) -> Vec<String> {
        let has = |cause| self.causes.contains(&cause);
        let mut remedies = Vec::new();
        if has(Cause::Fork) {
            return vec![format!(
                "Ask whoever builds your Mastodon for a build with what {} closes, and have it installed.",
                self.to
            )];
        }
        if has(Cause::Approval) {
            remedies.push(format!("Agree to it: `mastopatch approve {}`.", self.to));
        }
        if has(Cause::Hold) {
            remedies.push("End the hold: `mastopatch unhold`.".to_owned());
        }
        if has(Cause::Obstacle) || has(Cause::Version) {
            remedies.push(
                "Change what stands in the way: `mastopatch doctor` says what it is and what to do."
                    .to_owned(),
            );
        }
        if has(Cause::Attempts) {
            remedies
                .push("Look at why the last run did not succeed: `mastopatch show`.".to_owned());
        }
        if has(Cause::Window) {
            remedies.push("Open a window once: `mastopatch window open`.".to_owned());
        }
        if has(Cause::Closed) {
            remedies.push("See why the windows are closed to it: `mastopatch explain`.".to_owned());
        }
        // What nobody can start needs no such word; what starts now needs no hand.
        if !has(Cause::Obstacle) && !has(Cause::Version) && self.start != Start::Now {
            remedies
                .push("Have it done now, whatever the windows say: `mastopatch apply`.".to_owned());
        }
        remedies
    }
}

impl StandsStill {
    fn sentence(&self) -> String {
        let Self { instance, .. } = self;
        if self.is_orphaned {
            return format!(
                "An update of {instance} is not over, the site may be closed, and nobody looks after it. Somebody must act, \
                 see below."
            );
        }
        format!(
            "An interrupted update of {instance} cannot be carried to its end, and the site may be closed. It is tried \
             again every minute. Somebody must act, see below."
        )
    }
}

impl NotRehearsed {
    fn sentence(&self) -> String {
        let Self {
            instance, from, to, ..
        } = self;
        if self.is_quarantined {
            return format!(
                "The update of {instance} from Mastodon {from} to {to} was rehearsed on a copy and failed there. The site \
                 was never closed and is as before; {to} is not tried again by itself."
            );
        }
        format!(
            "The update of {instance} from Mastodon {from} to {to} does not start, because it could not be rehearsed. The \
             site is as before. Somebody must act, see below."
        )
    }
}

impl Start {
    /// As the end of a sentence, after `and` or `but`.
    fn words(&self, link: &str) -> String {
        match self {
            Self::Now => format!("{link} it starts now"),
            Self::At(at) => format!("{link} as things are it starts on {at} at the earliest"),
            Self::OnceAgreed(at) => {
                format!("{link} it starts only when somebody agrees to it, on {at} at the earliest")
            }
            Self::Never => format!("{link} it does not start by itself"),
        }
    }

    /// As a fact of its own.
    pub fn fact(&self) -> String {
        match self {
            Self::Now => "now".to_owned(),
            Self::At(at) => format!("{at} at the earliest"),
            Self::OnceAgreed(at) => format!("{at} at the earliest, once somebody agrees"),
            Self::Never => "not by itself".to_owned(),
        }
    }
}

impl Cause {
    const fn plain(self) -> &'static str {
        match self {
            Self::Fork => {
                "This server runs a build that is not Mastodon's own, so mastopatch only tells what Mastodon has."
            }
            Self::LeftToPeople => "The policy leaves this update to people.",
            Self::Hold => "Somebody put all updates on hold.",
            Self::Obstacle => "Something on the server stands in the way.",
            Self::Version => "It is not certain which version the server runs.",
            Self::Attempts => "Earlier attempts did not succeed.",
            Self::Approval => "Somebody must agree to it first, and nobody has yet.",
            Self::Age => "The policy wants the release to be older before it is installed.",
            Self::Window => "No maintenance window lets it start in time.",
            Self::Closed => "The maintenance windows are closed to it.",
        }
    }
}

impl ConfigRefused {
    fn sentence(&self) -> String {
        format!(
            "The changed configuration of mastopatch is not in force: it has mistakes. {} is kept patched as before, by the configuration that was read on {}. Somebody must correct the mistakes.",
            self.instances.join(", "),
            human_time(self.since)
        )
    }

    fn why(&self) -> Vec<String> {
        let mut why = self.mistakes.clone();
        if self.more > 0 {
            why.push(format!("and {} more", self.more));
        }
        why
    }
}
