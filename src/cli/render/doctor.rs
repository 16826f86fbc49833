//! What was found on a host: who says what runs, and what stands in the way.

use schemars::JsonSchema;
use serde::Serialize;

use super::fields;
use crate::cli::answers::{DiagnosisAnswer, DoctorAnswer, FindingsAnswer, Found};
use crate::domain::installed::{Installed, Origin, Said};
use crate::domain::path::lines::Support;
use crate::domain::path::{Host, Obstacle, Path, Weight};
use crate::domain::report::words::clean;

/// What was found about one instance.
#[derive(Debug)]
pub struct Diagnosis {
    /// Its name.
    pub instance: String,
    /// What was found, or why nothing can be said.
    pub findings: Result<Box<Findings>, String>,
}

/// What was found.
#[derive(Debug)]
pub struct Findings {
    /// What runs, and who says so.
    pub installed: Installed,
    /// What an update depends on.
    pub host: Host,
    /// How the support of the line that runs stands.
    pub support: Support,
    /// The way to the newest line, or why the releases are not known.
    pub way: Result<Path, String>,
    /// Why no update could be planned today, whatever the version.
    pub refusal: Option<String>,
    /// In which containers the data are.
    pub data_in: Vec<String>,
    /// How a run would copy the database, and why so.
    pub copies: Vec<String>,
    /// Why nothing starts by itself, in whole or in part: the clock, the windows.
    pub only_by_hand: Vec<String>,
}

/// What it comes to, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing stands in the way.
    Clear,
    /// A person must look at something.
    NeedsPerson,
    /// Something cannot work as things are, or mastopatch would refuse.
    Blocked,
}

impl Diagnosis {
    /// What it comes to: the worst of everything found, on the whole way.
    pub fn verdict(&self) -> Verdict {
        match &self.findings {
            Err(_) => Verdict::Blocked,
            Ok(findings) => findings.verdict(),
        }
    }
}

impl Findings {
    fn verdict(&self) -> Verdict {
        let way = self.way.as_ref().ok();
        let worst = way.and_then(Path::worst);
        let is_refused = self.refusal.is_some() || self.installed.origin_refusal().is_some();
        if is_refused || worst == Some(Weight::Blocks) {
            return Verdict::Blocked;
        }
        let ends_early = way.is_none_or(|way| way.dead_end.is_some());
        let told = self
            .installed
            .disagreements
            .iter()
            .chain(&self.only_by_hand);
        let contradicted = told.count() > 0;
        if worst == Some(Weight::NeedsPerson) || ends_early || contradicted {
            Verdict::NeedsPerson
        } else {
            Verdict::Clear
        }
    }
}

/// Every instance, for people.
pub fn doctor(diagnoses: &[Diagnosis]) -> String {
    let parts: Vec<String> = diagnoses.iter().map(diagnosis).collect();
    parts.join("\n\n")
}

/// Every instance, for programs.
pub fn doctor_answer(diagnoses: &[Diagnosis]) -> DoctorAnswer<'_> {
    DoctorAnswer {
        instances: diagnoses.iter().map(diagnosis_answer).collect(),
    }
}

fn diagnosis(diagnosis: &Diagnosis) -> String {
    let name = clean(&diagnosis.instance);
    let findings = match &diagnosis.findings {
        Err(why) => return format!("{name}   nothing can be said: {}", clean(why)),
        Ok(findings) => findings,
    };
    let installed = &findings.installed;
    let mut lines = vec![
        format!(
            "{name}   {}   {}",
            installed.version,
            origin(&installed.origin)
        ),
        format!("  {}", summary(findings.verdict())),
        String::new(),
        "  Who says what runs:".to_owned(),
    ];
    let rows: Vec<(&str, String)> = installed
        .testimonies
        .iter()
        .map(|it| (it.witness.name(), said(&it.said)))
        .collect();
    lines.extend(indented(&fields(&rows), "    "));
    for sentence in &installed.disagreements {
        lines.push(format!("    They disagree: {}", clean(sentence)));
    }
    let line = installed.version.line();
    lines.push(String::new());
    lines.push(match findings.support {
        Support::Open => format!("  Nobody has said when the support of line {line} ends."),
        Support::Until(end) => format!("  Support of line {line} ends on {end}."),
        Support::LongOver => format!("  Support of line {line} ended long ago."),
        Support::Over(end) => format!("  Support of line {line} ended on {end}."),
    });
    let dead_end = findings
        .way
        .as_ref()
        .ok()
        .and_then(|way| way.dead_end.clone());
    let refused = installed
        .origin_refusal()
        .filter(|it| dead_end.as_ref() != Some(it));
    for refusal in [refused, findings.refusal.clone()].iter().flatten() {
        lines.push(String::new());
        lines.push(format!("  No update can be planned: {}", clean(refusal)));
    }
    for (title, told) in [
        ("Where the data are", &findings.data_in),
        ("How the database would be copied", &findings.copies),
    ] {
        if !told.is_empty() {
            lines.push(String::new());
            lines.push(format!("  {title}:"));
            let told = told.iter();
            lines.extend(told.map(|sentence| format!("    {}", clean(sentence))));
        }
    }
    for sentence in &findings.only_by_hand {
        lines.push(String::new());
        lines.push(format!("  Nothing starts by itself: {}", clean(sentence)));
    }
    lines.push(String::new());
    lines.extend(way(&findings.way));
    lines.join("\n")
}

fn summary(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clear => "Nothing stands in the way of updates.",
        Verdict::NeedsPerson => "A person must look at something before everything can be updated.",
        Verdict::Blocked => "Something must be changed before everything can be updated.",
    }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Upstream => "Mastodon's own images".to_owned(),
        Origin::Fork { name } => format!("a build of its own: {}", clean(name)),
        Origin::AllInOne { name } => format!("one container with everything: {}", clean(name)),
        Origin::Moving { tag } => format!("a tag that is no release: {}", clean(tag)),
    }
}

fn said(said: &Said) -> String {
    match said {
        Said::Version { version } => version.to_string(),
        Said::Fits { what } => clean(what),
        Said::Conflict { what } => format!("does not fit: {}", clean(what)),
        Said::Silent { why } => format!("silent: {}", clean(why)),
    }
}

fn way(way: &Result<Path, String>) -> Vec<String> {
    let way = match way {
        Err(why) => {
            return vec![format!(
                "  The way ahead is not known, because the releases are not: {}",
                clean(why)
            )];
        }
        Ok(way) => way,
    };
    let mut lines = vec![if !way.stops.is_empty() {
        "  The way to the newest line:".to_owned()
    } else if way.dead_end.is_some() {
        "  No way leads on:".to_owned()
    } else {
        "  There is no newer release to go to.".to_owned()
    }];
    for stop in &way.stops {
        lines.push(format!("    {} ({})", stop.version, stop.kind));
        if stop.obstacles.is_empty() {
            lines.push("      nothing more in its way".to_owned());
        }
        lines.extend(stop.obstacles.iter().flat_map(obstacle));
    }
    for end in [&way.dead_end, &way.not_yet].into_iter().flatten() {
        lines.push(format!("    {}", clean(end)));
    }
    lines
}

fn obstacle(obstacle: &Obstacle) -> [String; 2] {
    let weight = match obstacle.weight {
        Weight::Blocks => "BLOCKS",
        Weight::NeedsPerson => "PERSON",
        Weight::Notice => "notice",
    };
    [
        format!("      {weight}  {}", clean(&obstacle.what)),
        format!("              -> {}", clean(&obstacle.todo)),
    ]
}

fn indented<'a>(text: &'a str, by: &'a str) -> impl Iterator<Item = String> + 'a {
    text.lines().map(move |line| format!("{by}{line}"))
}

fn diagnosis_answer(diagnosis: &Diagnosis) -> DiagnosisAnswer<'_> {
    DiagnosisAnswer {
        instance: &diagnosis.instance,
        verdict: diagnosis.verdict(),
        found: match &diagnosis.findings {
            Err(why) => Found::Nothing { error: why },
            Ok(findings) => Found::Something(FindingsAnswer {
                installed: &findings.installed,
                origin_refusal: findings.installed.origin_refusal(),
                host: &findings.host,
                support: findings.support,
                way: findings.way.as_ref().ok(),
                way_unknown_because: findings.way.as_ref().err().map(String::as_str),
                refusal: findings.refusal.as_deref(),
                data_in: &findings.data_in,
                copies: &findings.copies,
                only_by_hand: &findings.only_by_hand,
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::installed::{Testimony, Witness};
    use crate::domain::path::{ObstacleKind, Stop};
    use crate::domain::version::UpdateKind;

    fn stop(version: &str, obstacles: Vec<Obstacle>) -> Stop {
        Stop {
            version: version.parse().unwrap(),
            kind: UpdateKind::Minor,
            obstacles,
        }
    }

    fn found(weight: Weight) -> Obstacle {
        Obstacle {
            weight,
            about: ObstacleKind::Postgresql,
            what: "It is\ntoo old.".to_owned(),
            todo: "Move it.".to_owned(),
        }
    }

    fn findings(stops: Vec<Stop>) -> Findings {
        let mut installed = Installed::taken_for_granted("4.4.7".parse().unwrap());
        installed.testimonies.push(Testimony {
            witness: Witness::Api,
            said: Said::Version {
                version: installed.version.clone(),
            },
        });
        Findings {
            installed,
            host: Host::default(),
            support: Support::Until("2026-12-17".parse().unwrap()),
            way: Ok(Path {
                stops,
                ..Path::default()
            }),
            refusal: None,
            data_in: Vec::new(),
            copies: Vec::new(),
            only_by_hand: Vec::new(),
        }
    }

    fn of(findings: Findings) -> Diagnosis {
        Diagnosis {
            instance: "social.example".to_owned(),
            findings: Ok(Box::new(findings)),
        }
    }

    #[test]
    fn the_worst_that_was_found_decides() {
        let verdict = |findings: Findings| of(findings).verdict();
        let with = |weights: &[Weight]| {
            let stops = weights
                .iter()
                .map(|weight| stop("4.5.8", vec![found(*weight)]));
            findings(stops.collect())
        };
        assert_eq!(verdict(findings(Vec::new())), Verdict::Clear);
        assert_eq!(verdict(with(&[Weight::Notice])), Verdict::Clear);
        assert_eq!(verdict(with(&[Weight::NeedsPerson])), Verdict::NeedsPerson);
        assert_eq!(
            verdict(with(&[Weight::NeedsPerson, Weight::Blocks])),
            Verdict::Blocked
        );
        let unknown = Findings {
            way: Err("no route".to_owned()),
            ..findings(Vec::new())
        };
        assert_eq!(verdict(unknown), Verdict::NeedsPerson);
        let refused = Findings {
            refusal: Some("no internal network".to_owned()),
            ..findings(Vec::new())
        };
        assert_eq!(verdict(refused), Verdict::Blocked);
        let mut contradicted = findings(Vec::new());
        contradicted.installed.disagreements.push("x".to_owned());
        assert_eq!(verdict(contradicted), Verdict::NeedsPerson);
        let by_hand = Findings {
            only_by_hand: vec!["The clock is not synchronised.".to_owned()],
            ..findings(Vec::new())
        };
        let told = doctor(&[of(Findings {
            only_by_hand: by_hand.only_by_hand.clone(),
            ..findings(Vec::new())
        })]);
        assert!(
            told.contains("\n  Nothing starts by itself: The clock is not synchronised.\n"),
            "{told}"
        );
        assert_eq!(verdict(by_hand), Verdict::NeedsPerson);
        let mut fork = findings(Vec::new());
        fork.installed.origin = Origin::Fork {
            name: "glitch".to_owned(),
        };
        assert_eq!(verdict(fork), Verdict::Blocked);
        let nothing = Diagnosis {
            instance: "a".to_owned(),
            findings: Err("no container".to_owned()),
        };
        assert_eq!(nothing.verdict(), Verdict::Blocked);
    }

    #[test]
    fn people_read_who_says_what_and_what_to_do() {
        let text = doctor(&[of(findings(vec![
            stop("4.5.8", vec![found(Weight::Blocks)]),
            stop("4.6.9", Vec::new()),
        ]))]);
        assert_eq!(
            text,
            "social.example   4.4.7   Mastodon's own images\n\
             \x20 Something must be changed before everything can be updated.\n\
             \n\
             \x20 Who says what runs:\n\
             \x20   the running web  4.4.7\n\
             \n\
             \x20 Support of line 4.4 ends on 2026-12-17.\n\
             \n\
             \x20 The way to the newest line:\n\
             \x20   4.5.8 (minor)\n\
             \x20     BLOCKS  It is too old.\n\
             \x20             -> Move it.\n\
             \x20   4.6.9 (minor)\n\
             \x20     nothing more in its way"
        );
    }

    #[test]
    fn people_read_where_the_data_are_and_how_they_would_be_copied() {
        let text = doctor(&[of(Findings {
            data_in: vec!["PostgreSQL: container `pg` of project `shared`".to_owned()],
            copies: vec!["clone: there is room.".to_owned()],
            ..findings(Vec::new())
        })]);
        let wanted = "\n\n  Where the data are:\n    PostgreSQL: container `pg` of project `shared`\n\n  How the database would be copied:\n    clone: there is room.\n\n";
        assert!(text.contains(wanted), "{text}");
    }

    #[test]
    fn programs_get_every_part() {
        let diagnoses = [of(findings(vec![stop(
            "4.5.8",
            vec![found(Weight::NeedsPerson)],
        )]))];
        let json = json!(doctor_answer(&diagnoses));
        let one = &json["instances"][0];
        assert_eq!(one["verdict"], "needs-person");
        assert_eq!(one["installed"]["version"], "4.4.7");
        assert_eq!(
            one["support"],
            json!({"state": "until", "day": "2026-12-17"})
        );
        assert_eq!(
            one["way"]["stops"][0]["obstacles"][0]["weight"],
            "needs-person"
        );
        assert_eq!(one["refusal"], Value::Null);
    }
}
