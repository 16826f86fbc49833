//! What is printed as JSON is what the schemas promise, with real releases and advisories.

use jsonschema::Validator;
use mastopatch::cli::answers::{
    AdvisoriesAnswer, CheckAnswer, CreateAnswer, DoctorAnswer, ErrorAnswer, Held, HoldAnswer,
    ListAnswer, Problem, PruneAnswer, ReleasesAnswer, SnapshotAnswer, StaysAnswer, VerifiedAnswer,
    VerifyAnswer,
};
use mastopatch::cli::output::to_json;
use mastopatch::cli::render::{AdvisoryAnswer, Diagnosis, Findings, doctor_answer};
use mastopatch::domain::advisory::Advisory;
use mastopatch::domain::decide::{Decision, Exposure};
use mastopatch::domain::feed::{Alarm, AlarmKind};
use mastopatch::domain::path::lines::support;
use mastopatch::domain::path::path;
use mastopatch::domain::release::Release;
use mastopatch::domain::retention::KeptFor;
use mastopatch::engine::snapshots::{Defect, Listed, Verified};
use mastopatch::ports::files::{Flaw, Found, MANIFEST_FORMAT, Manifest};
use serde::Serialize;
use serde_json::{Value, json};

use crate::known::{KNOWN, WEDNESDAY, at, decided, facts, facts_on, seen, version};

/// A schema that is checked in. Dates are looked at, too.
fn schema(name: &str) -> Validator {
    let file = format!("{}/src/cli/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap()
}

/// What is printed, once it was found to be as the schema of `name` says.
fn printed(name: &str, answer: &impl Serialize) -> Value {
    let value: Value = serde_json::from_str(&to_json(answer)).unwrap();
    let wrong: Vec<String> = schema(name)
        .iter_errors(&value)
        .map(|err| format!("{}: {err}", err.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    value
}

/// Every object in `value` by its place, below `place`.
fn objects(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(place.to_owned());
            for (name, value) in fields {
                objects(value, &format!("{place}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (idx, item) in items.iter().enumerate() {
                objects(item, &format!("{place}/{idx}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn problem() -> Problem {
    Problem {
        message: "no route".to_owned(),
        exit_code: 69,
    }
}

fn alarm() -> Alarm {
    Alarm {
        kind: AlarmKind::WentBack,
        sentence: "The list went back.".to_owned(),
        since: at(WEDNESDAY),
    }
}

fn decisions() -> Vec<Decision> {
    let mut all: Vec<Decision> = ["3.5.5", "4.2.0", "4.3.12", "4.4.7", "4.5.8", "4.5.6+glitch"]
        .iter()
        .map(|installed| decided(&facts(installed), WEDNESDAY))
        .collect();
    all.push(decided(
        &facts_on("4.5.3", "2026-01-21T00:00:00Z"),
        "2026-01-21T00:30:00Z",
    ));
    all
}

fn advisories<'a>(of: &'a [Advisory], installed: &str) -> Vec<AdvisoryAnswer<'a>> {
    let answer = |advisory: &'a Advisory| AdvisoryAnswer {
        advisory,
        affected: advisory.affects(&version(installed)),
        counts: true,
        repaired_in: Some(version("4.5.8")),
    };
    of.iter().map(answer).collect()
}

#[test]
fn decisions_are_as_their_schema_says() {
    let decisions = decisions();
    for error in [None, Some(problem())] {
        let answer = CheckAnswer {
            instances: decisions.iter().collect(),
            alarms: &[alarm()],
            error,
        };
        printed("check", &answer);
    }
}

#[test]
fn every_release_and_every_advisory_is_as_its_schema_says() {
    let (releases, known) = &*KNOWN;
    let mut listed: Vec<&Release> = releases.iter().collect();
    listed.reverse();
    let answer = ReleasesAnswer {
        releases: listed,
        problems: &["one was not read".to_owned()],
        alarms: &[alarm()],
        error: Some(problem()),
    };
    printed("releases", &answer);
    for installed in ["4.2.0", "4.5.8"] {
        let facts = facts(installed);
        let answer = AdvisoriesAnswer {
            version: facts.version(),
            standing: Exposure::of(&facts, at(WEDNESDAY)).standing,
            n_known: known.len(),
            advisories: &advisories(known, installed),
            problems: &[],
            alarms: &[],
            error: None,
        };
        printed("advisories", &answer);
    }
}

fn diagnoses() -> Vec<Diagnosis> {
    let now = at(WEDNESDAY);
    let releases: Vec<&Release> = KNOWN.0.iter().collect();
    let mut host = seen();
    host.postgresql = Some(120_004);
    host.redis = None;
    let mut all: Vec<Diagnosis> = ["3.5.5", "4.4.7", "4.5.6+glitch"]
        .iter()
        .map(|text| {
            let running = version(text);
            let ends = std::collections::BTreeMap::new();
            let way = path(&running, &releases, None)
                .with_obstacles(&host, &running, &KNOWN.0, now, &ends);
            let findings = Findings {
                data_in: Vec::new(),
                installed: facts(text).installed,
                host: host.clone(),
                support: support(running.line(), now, &ends),
                way: Ok(way),
                refusal: None,
                copies: vec!["clone: there is room.".to_owned()],
                only_by_hand: Vec::new(),
            };
            Diagnosis {
                instance: "social.example".to_owned(),
                findings: Ok(Box::new(findings)),
            }
        })
        .collect();
    all.push(Diagnosis {
        instance: "b".to_owned(),
        findings: Err("no container".to_owned()),
    });
    all
}

#[test]
fn diagnoses_orders_and_errors_are_as_their_schemas_say() {
    let diagnoses = diagnoses();
    let answer: DoctorAnswer<'_> = doctor_answer(&diagnoses);
    printed("doctor", &answer);
    printed("error", &ErrorAnswer { error: problem() });
    let hold = Held {
        instance: "social.example",
        reason: "election",
        by: "anna",
        at: at(WEDNESDAY),
        until: None,
    };
    printed("hold", &HoldAnswer::Held { hold });
}

/// One that counts, one that goes and one that is damaged.
fn snapshots() -> Vec<SnapshotAnswer> {
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        run: "r1".to_owned(),
        instance: "social.example".to_owned(),
        version: "4.5.7".to_owned(),
        taken_at: at(WEDNESDAY),
        images: [].into(),
        method: "test".to_owned(),
        original: Some("mastodon_before_r1".to_owned()),
        postgres: 150_000,
        schema: [].into(),
        rows: [].into(),
        redis_keys: 0,
        files: [].into(),
        hot: false,
    };
    let all = [
        (
            Ok(manifest.clone()),
            Some([KeptFor::NewestCommitted].into()),
        ),
        (Ok(manifest), Some([].into())),
        (Err(Flaw::Unfinished), None),
    ];
    let listed = all.map(|(manifest, kept_for)| Listed {
        found: Found {
            run: "r1".to_owned(),
            path: "/var/lib/mastopatch/snapshots/r1".into(),
            manifest,
        },
        kept_for,
    });
    listed.iter().map(SnapshotAnswer::new).collect()
}

#[test]
fn snapshots_are_as_their_schemas_say() {
    let list = ListAnswer {
        snapshots: snapshots(),
        problems: vec!["the journal cannot be read".to_owned()],
    };
    let value = printed("snapshot-list", &list);
    assert_eq!(
        value["snapshots"][0]["kept_for"],
        json!(["newest-committed"])
    );
    assert_eq!(value["snapshots"][1]["goes"], true);
    assert_eq!(value["snapshots"][2]["flaw"]["kind"], "unfinished");
    for snapshot in snapshots() {
        printed("snapshot-create", &CreateAnswer { snapshot });
    }
    let stays = StaysAnswer {
        run: "r1".to_owned(),
        because: "somebody uses its database".to_owned(),
    };
    let prune = PruneAnswer {
        instance: "social.example".to_owned(),
        dry_run: false,
        goes: snapshots(),
        removed: vec!["/var/lib/mastopatch/snapshots/r1".to_owned()],
        stays: vec![stays],
    };
    printed("snapshot-prune", &prune);
    let whole = Verified {
        files: 12,
        bytes: 1 << 20,
        tables: 10,
        rows: 20_629,
        migrations: 300,
        redis_keys: 8,
    };
    let results = [Ok(whole), Err(Defect::Small { bytes: 1_500 })];
    let verify = VerifyAnswer {
        instance: "social.example".to_owned(),
        snapshots: results
            .iter()
            .map(|result| VerifiedAnswer::new("r1", result))
            .collect(),
        error: Some(problem()),
    };
    let value = printed("snapshot-verify", &verify);
    assert_eq!(value["snapshots"][1]["flaw"]["kind"], "too-small");
    assert_eq!(value["snapshots"][1]["whole"], false);
}

#[test]
fn nothing_that_is_always_there_may_be_missing() {
    let decisions = decisions();
    let diagnoses = diagnoses();
    let (releases, known) = &*KNOWN;
    let check = CheckAnswer {
        instances: decisions.iter().take(2).collect(),
        alarms: &[alarm()],
        error: None,
    };
    let listed = ReleasesAnswer {
        releases: releases.iter().take(2).collect(),
        problems: &[],
        alarms: &[alarm()],
        error: None,
    };
    let counted = AdvisoriesAnswer {
        version: &version("4.5.8"),
        standing: decisions[0].exposure.standing,
        n_known: 2,
        advisories: &advisories(&known[..2], "4.5.8"),
        problems: &[],
        alarms: &[],
        error: None,
    };
    for (name, value) in [
        ("check", printed("check", &check)),
        ("releases", printed("releases", &listed)),
        ("advisories", printed("advisories", &counted)),
        ("doctor", printed("doctor", &doctor_answer(&diagnoses))),
    ] {
        let schema = schema(name);
        let mut places = Vec::new();
        objects(&value, "", &mut places);
        // A service's keys are names that the schema does not know.
        places.retain(|place| !place.ends_with("/keys"));
        let mut taken_out = 0;
        for place in places {
            let fields = value.pointer(&place).unwrap().as_object().unwrap();
            for field in fields.keys() {
                let mut less = value.clone();
                let object = less.pointer_mut(&place).unwrap().as_object_mut().unwrap();
                object.remove(field);
                assert!(!schema.is_valid(&less), "{name}: {place}/{field}");
                taken_out += 1;
            }
        }
        assert!(taken_out > 20, "{name}");
    }
}

#[test]
fn a_word_that_is_not_of_the_format_does_not_pass() {
    let decisions = decisions();
    let answer = CheckAnswer {
        instances: decisions.iter().collect(),
        alarms: &[],
        error: None,
    };
    let value = printed("check", &answer);
    let schema = schema("check");
    for (place, word) in [
        ("/format", Value::from(2)),
        ("/instances/0/exposure/standing", "safe".into()),
        ("/instances/0/when/state", "soon".into()),
        ("/instances/0/target/published_at", "yesterday".into()),
    ] {
        let mut other = value.clone();
        *other.pointer_mut(place).unwrap() = word;
        assert!(!schema.is_valid(&other), "{place}");
    }
    let mut more = value;
    more["instances"][0]["added_later"] = 1.into();
    assert!(schema.is_valid(&more));
}
