//! The schemas that are checked in are those of the types.

use std::path::PathBuf;
use std::{env, fs};

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;

use super::*;
use crate::cli::output::Envelope;

/// Every schema by the name of its file.
fn schemas() -> Vec<(&'static str, String)> {
    vec![
        ("advisories", schema::<AdvisoriesAnswer<'_>>("advisories")),
        ("approve", schema::<ApproveAnswer<'_>>("approve")),
        ("check", schema::<CheckAnswer<'_>>("check and explain")),
        ("doctor", schema::<DoctorAnswer<'_>>("doctor")),
        ("error", schema::<ErrorAnswer>("a command that failed")),
        ("hold", schema::<HoldAnswer<'_>>("hold and unhold")),
        ("pin", schema::<PinAnswer<'_>>("pin and unpin")),
        ("rehearse", schema::<RehearseAnswer<'_>>("rehearse")),
        ("releases", schema::<ReleasesAnswer<'_>>("releases")),
        ("snapshot-create", schema::<CreateAnswer>("snapshot create")),
        ("snapshot-list", schema::<ListAnswer>("snapshot list")),
        ("snapshot-prune", schema::<PruneAnswer>("snapshot prune")),
        ("snapshot-verify", schema::<VerifyAnswer>("snapshot verify")),
        ("window-next", schema::<WindowNextAnswer<'_>>("window next")),
        (
            "window-open",
            schema::<WindowOpenAnswer<'_>>("window open and window close"),
        ),
    ]
}

/// What a command prints, as it is written: every field that is always there is required, and more may be added.
fn schema<T: JsonSchema>(whose: &str) -> String {
    let open = RecursiveTransform(|schema: &mut Schema| {
        if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
            schema.remove("additionalProperties");
        }
    });
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with_transform(open);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<Envelope<'_, T>>();
    schema.insert("title".to_owned(), format!("mastopatch: {whose}").into());
    let text = serde_json::to_string_pretty(&schema).unwrap();
    // Links between comments lead nowhere here.
    text.replace("[`", "`").replace("`]", "`") + "\n"
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/cli/schemas")
}

#[test]
fn the_schemas_that_are_checked_in_are_those_of_the_program() {
    for (name, schema) in schemas() {
        let file = folder().join(name).with_extension("json");
        if env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::write(&file, &schema).unwrap();
        }
        let checked_in = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            checked_in == schema,
            "{} is not what is printed; write it anew: UPDATE_SCHEMAS=1 cargo test --lib cli::answers",
            file.display()
        );
    }
    let mut found: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let wanted: Vec<String> = schemas()
        .iter()
        .map(|(name, _)| format!("{name}.json"))
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_schema_says_what_is_always_there_and_lets_more_be_added() {
    for (name, text) in schemas() {
        let schema: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!(schema["properties"]["format"]["const"], 1, "{name}");
        for closed in ["additionalProperties\": false", "unevaluatedProperties"] {
            assert!(!text.contains(closed), "{name}");
        }
        let required = schema["required"].as_array().unwrap();
        assert!(required.contains(&"format".into()), "{name}");
        assert!(!required.contains(&"error".into()) || name == "error");
    }
}
