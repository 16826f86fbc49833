//! The program as a shell meets it: exit codes, streams, sentences. Nothing here needs Docker or a network.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use mastopatch::daemon::lock;
use mastopatch::exit::Exit;
use serde_json::{Value, json};
use tempfile::TempDir;

const POLICY: &str = include_str!("data/policies/sunday.toml");

/// A configuration in a folder of its own. Its engine's socket does not exist.
struct Case {
    dir: TempDir,
}

/// What a command left.
struct Ended {
    code: u8,
    stdout: String,
    stderr: String,
}

impl Case {
    fn new() -> Self {
        let case = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::write(case.path("policy.toml"), POLICY).unwrap();
        let text = format!(
            "policy = \"policy.toml\"\n\
             state_dir = \"{}\"\n\n\
             [[instance]]\n\
             name = \"social.example\"\n\
             project = \"mastodon\"\n\n\
             [docker]\n\
             socket = \"{}\"\n",
            case.state_dir().display(),
            case.path("no-engine.sock").display()
        );
        case.write(&text);
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    fn config(&self) -> PathBuf {
        self.path("mastopatch.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.config()).unwrap()
    }

    fn write(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Ended {
        let config = self.config();
        let mut all = vec!["--config", config.to_str().unwrap()];
        all.extend(args);
        run(&all)
    }

    fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(args).expect(Exit::Done);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|err| panic!("{err}: {}", ended.stdout))
    }
}

impl Ended {
    #[track_caller]
    fn expect(self, exit: Exit) -> Self {
        assert_eq!(self.code, exit.code(), "\n{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(
                self.stderr.contains(word),
                "no {word:?} in:\n{}",
                self.stderr
            );
        }
        self
    }
}

/// Runs the program without a terminal. Whatever it does, it prints no escape codes then.
fn run(args: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_mastopatch"))
        .args(args)
        .env_remove("CREDENTIALS_DIRECTORY")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ended = Ended {
        code: u8::try_from(output.status.code().expect("no signal")).unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    for stream in [&ended.stdout, &ended.stderr] {
        assert!(!stream.contains('\u{1b}'), "escape codes in {stream:?}");
        assert!(!stream.contains("panicked"), "{stream}");
    }
    ended
}

#[test]
fn every_command_has_help_that_names_its_flags() {
    let everywhere = ["--config", "--instance", "--json", "--help"];
    let commands: [(&[&str], &[&str]); 24] = [
        (
            &[],
            &["check", "plan", "apply", "approve", "daemon", "Exit codes"],
        ),
        (&["check"], &[]),
        (
            &["doctor"],
            &["Exit codes: 0 nothing stands in the way, 11"],
        ),
        (&["plan"], &["--to", "--force"]),
        (&["apply"], &["--to", "--force", "--yes"]),
        (&["explain"], &[]),
        (&["advisories"], &["--for", "--all"]),
        (&["releases"], &["--line", "--all"]),
        (&["approve"], &["[VERSION]", "--withdraw", "--yes"]),
        (&["hold"], &["--reason", "--until"]),
        (&["unhold"], &[]),
        (&["pin"], &["<LINE|VERSION>", "--reason", "--until"]),
        (&["unpin"], &[]),
        (&["status"], &[]),
        (&["history"], &["--limit"]),
        (&["show"], &["[RUN]"]),
        (&["snapshot"], &["list", "verify", "create", "prune"]),
        (&["snapshot", "list"], &[]),
        (&["snapshot", "verify"], &["[RUN]", "23 a snapshot is not"]),
        (&["snapshot", "create"], &[]),
        (&["snapshot", "prune"], &["--dry-run", "--yes"]),
        (&["config"], &["check"]),
        (&["config", "check"], &[]),
        (&["daemon"], &[]),
    ];
    for (command, flags) in commands {
        let mut args = command.to_vec();
        args.push("--help");
        let ended = run(&args).expect(Exit::Done);
        assert_eq!(ended.stderr, "");
        for flag in everywhere.iter().chain(flags) {
            assert!(
                ended.stdout.contains(flag),
                "{command:?}: no {flag} in:\n{}",
                ended.stdout
            );
        }
    }
}

#[test]
fn the_version_is_printed() {
    let ended = run(&["--version"]).expect(Exit::Done);
    assert_eq!(
        ended.stdout,
        concat!("mastopatch ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn wrong_usage_ends_with_2_and_a_hint_on_standard_error() {
    let wrong: [&[&str]; 7] = [
        &[],
        &["updat"],
        &["plan", "--too", "4.5.8"],
        &["apply", "--force"],
        &["hold"],
        &["pin", "4.5"],
        &["history", "--limit", "many"],
    ];
    for args in wrong {
        let ended = run(args).expect(Exit::Usage).says(&["--help"]);
        assert_eq!(ended.stdout, "", "{args:?}");
    }
    run(&["updat"]).says(&["updat"]);
}

#[test]
fn an_instance_or_a_version_that_is_none_is_wrong_usage() {
    let case = Case::new();
    case.run(&["--instance", "other.example", "show"])
        .expect(Exit::Usage)
        .says(&["other.example", "social.example"]);
    case.run(&["--instance", "other.example", "doctor"])
        .expect(Exit::Usage)
        .says(&["other.example", "social.example"]);
    case.run(&["approve", "newest"])
        .expect(Exit::Usage)
        .says(&["newest"]);
}

#[test]
fn a_missing_configuration_is_named() {
    for command in [&["config", "check"][..], &["status"], &["daemon"]] {
        let mut args = vec!["--config", "/nonexistent/mastopatch.toml"];
        args.extend(command);
        let ended = run(&args)
            .expect(Exit::Config)
            .says(&["/nonexistent/mastopatch.toml", "No such file"]);
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn a_configuration_that_is_right_is_called_right() {
    let case = Case::new();
    let ended = case.run(&["config", "check"]).expect(Exit::Done);
    let (config, policy) = (case.config(), case.path("policy.toml"));
    let line = format!("{} and {} are right.\n", config.display(), policy.display());
    assert_eq!(ended.stdout, line);
    let json = case.json(&["config", "check", "--json"]);
    assert_eq!(json["instances"], json!(["social.example"]));
}

#[test]
fn every_mistake_is_told_at_once_with_file_and_line() {
    let case = Case::new();
    let text = case.text().replace("project =", "projct =") + "\n[run]\nsettle = \"9h\"\n";
    case.write(&text);
    let line_of = |key: &str| text.lines().position(|line| line.starts_with(key)).unwrap() + 1;
    let at = |key: &str| format!("{}:{}:", case.config().display(), line_of(key));
    case.run(&["config", "check"]).expect(Exit::Config).says(&[
        &at("projct"),
        "unknown key, did you mean `project`?",
        &at("settle"),
        "must be from 0s to 10m, not `9h`",
    ]);
}

#[test]
fn a_mistake_in_the_policy_is_told_with_its_own_file() {
    let case = Case::new();
    let policy = POLICY.replace("lasts = ", "last = ");
    let line = policy
        .lines()
        .position(|line| line.starts_with("last = "))
        .unwrap()
        + 1;
    fs::write(case.path("policy.toml"), &policy).unwrap();
    let place = format!("{}:{line}:", case.path("policy.toml").display());
    case.run(&["config", "check"])
        .expect(Exit::Config)
        .says(&[&place, "did you mean `lasts`?"]);
}

#[test]
fn an_engine_that_does_not_answer_is_told_with_its_socket() {
    let case = Case::new();
    let socket = case.path("no-engine.sock");
    for command in [&["check"][..], &["plan"], &["doctor"], &["apply", "--yes"]] {
        let ended = case
            .run(command)
            .expect(Exit::Unreachable)
            .says(&[socket.to_str().unwrap(), "is it running"]);
        assert_eq!(ended.stdout, "");
    }
    // A file that is there, but is no socket.
    fs::write(&socket, "").unwrap();
    case.run(&["check"])
        .expect(Exit::Unreachable)
        .says(&[socket.to_str().unwrap()]);
}

#[test]
fn apply_asks_nobody_who_is_not_there() {
    let case = Case::new();
    case.run(&["apply"]).expect(Exit::Usage).says(&["--yes"]);
}

#[test]
fn a_second_daemon_is_refused() {
    let case = Case::new();
    case.run(&["status"]).expect(Exit::Done);
    let _held = lock::daemon(&case.state_dir()).unwrap();
    case.run(&["daemon"])
        .expect(Exit::Locked)
        .says(&["the daemon is busy", "daemon.lock"]);
}

#[test]
fn an_empty_state_is_shown_as_empty() {
    let case = Case::new();
    let status = case.run(&["status"]).expect(Exit::Done);
    assert!(
        status.stdout.starts_with("social.example "),
        "{}",
        status.stdout
    );
    assert_eq!(status.stderr, "");
    let history = case.run(&["history"]).expect(Exit::Done);
    assert_eq!(history.stdout, "There has been no run yet.\n");
    let show = case
        .run(&["show"])
        .expect(Exit::Refused)
        .says(&["no run yet"]);
    assert_eq!(show.stdout, "");
}

#[test]
fn snapshots_are_listed_without_an_engine_and_damaged_ones_say_why() {
    let case = Case::new();
    let ended = case.run(&["snapshot", "list"]).expect(Exit::Done);
    assert_eq!(ended.stdout, "There is no snapshot.\n");
    let run = "019aa000-0000-7000-8000-0000000000aa";
    let dir = case.state_dir().join("snapshots").join(run);
    fs::create_dir_all(&dir).unwrap();
    let list = case.json(&["snapshot", "list", "--json"]);
    assert_eq!(list["format"], 1);
    let one = &list["snapshots"][0];
    assert_eq!((&one["run"], &one["goes"]), (&json!(run), &json!(false)));
    assert_eq!(one["flaw"]["kind"], "unfinished");
    let text = case.run(&["snapshot", "list"]).expect(Exit::Done).stdout;
    assert!(text.contains("does not count"), "{text}");
    // What is not of the instance that was asked for is not shown.
    let config = case.text();
    case.write(&format!(
        "{config}\n[[instance]]\nname = \"b\"\nproject = \"b\"\n"
    ));
    let list = case.json(&["snapshot", "list", "--instance", "b", "--json"]);
    assert_eq!(list["snapshots"], json!([]));
}

#[test]
fn snapshots_are_removed_only_where_somebody_agrees() {
    let case = Case::new();
    case.run(&["snapshot", "prune"])
        .expect(Exit::Usage)
        .says(&["nobody is at the terminal", "--yes"]);
    // To look through one, its engine is needed.
    let socket = "no-engine.sock";
    for command in ["verify", "create"] {
        case.run(&["snapshot", command])
            .expect(Exit::Unreachable)
            .says(&[socket]);
    }
}

#[test]
fn an_empty_state_as_json_has_a_format_and_no_runs() {
    let case = Case::new();
    assert_eq!(
        case.json(&["history", "--json"]),
        json!({ "format": 1, "runs": [] })
    );
    let status = case.json(&["status", "--json"]);
    assert_eq!(status["format"], 1);
    assert_eq!(
        status["instances"],
        json!([{ "name": "social.example", "hold": null, "last_run": null, "rehearsal": null, "pin": null, "quarantined": [], "approvals": [] }])
    );
    assert_eq!(status["mail"]["waiting"], 0);
}

#[test]
fn an_error_is_json_too_where_json_was_asked_for() {
    let case = Case::new();
    let ended = case.run(&["check", "--json"]).expect(Exit::Unreachable);
    let json: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|err| panic!("{err}: {}", ended.stdout));
    assert_eq!(json["format"], 1);
    assert_eq!(json["error"]["exit_code"], Exit::Unreachable.code());
    assert!(
        json["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no-engine.sock")
    );
    ended.says(&["error: no Docker Engine answers"]);
}

#[test]
fn an_approval_needs_somebody_to_look_at_the_plan() {
    let case = Case::new();
    case.run(&["approve"])
        .expect(Exit::Usage)
        .says(&["nobody is at the terminal", "--yes"]);
    case.run(&["approve", "--yes"])
        .expect(Exit::Unreachable)
        .says(&["no-engine.sock"]);
    case.run(&["approve", "--withdraw"])
        .expect(Exit::Usage)
        .says(&["approve --withdraw VERSION"]);
    let json = case.json(&["approve", "--withdraw", "4.5.8", "--json"]);
    assert_eq!(json["taken_back"]["was_there"], false);
}

#[test]
fn a_hold_and_a_pin_are_kept_with_their_reason_and_shown_until_they_are_taken_back() {
    let case = Case::new();
    let ended = case
        .run(&[
            "hold",
            "--reason",
            "election  week",
            "--until",
            "9999-01-01",
        ])
        .expect(Exit::Done);
    assert!(
        ended
            .stdout
            .starts_with("Nothing starts by itself on social.example until Fri 9999-01-01"),
        "{}",
        ended.stdout
    );
    let json = case.json(&["pin", "4.5", "--reason", "themes", "--json"]);
    assert_eq!(json["pin"]["to"], "4.5");
    let status = case.json(&["status", "--json"]);
    assert_eq!(status["instances"][0]["hold"]["reason"], "election week");
    assert_eq!(status["instances"][0]["pin"]["to"], "4.5");
    case.run(&["status"]).expect(Exit::Done);
    let text = case.run(&["status"]).stdout;
    assert!(
        text.contains("ON HOLD until") && text.contains("election week"),
        "{text}"
    );
    assert!(text.contains("pinned to 4.5"), "{text}");
    case.run(&["unhold"]).expect(Exit::Done);
    case.run(&["unpin"]).expect(Exit::Done);
    let status = case.json(&["status", "--json"]);
    assert_eq!(status["instances"][0]["hold"], Value::Null);
    let again = case.run(&["unhold"]).expect(Exit::Done);
    assert!(
        again.stdout.contains("had no such hold"),
        "{}",
        again.stdout
    );
    for (args, sentence) in [
        (&["hold", "--reason", " "][..], "give a reason"),
        (
            &["hold", "--reason", "x", "--until", "yesterday"],
            "is no end",
        ),
        (
            &["hold", "--reason", "x", "--until", "2020-01-01"],
            "is over already",
        ),
        (&["pin", "edge", "--reason", "x"], "neither a line"),
    ] {
        case.run(args).expect(Exit::Usage).says(&[sentence]);
    }
}

#[test]
fn a_look_at_the_windows_leaves_nothing_behind() {
    let case = Case::new();
    let text = case
        .run(&["window", "next", "--count", "2"])
        .expect(Exit::Done);
    assert_eq!(text.stderr, "");
    assert!(
        text.stdout.starts_with("social.example   policy "),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.contains("zone Europe/Berlin"),
        "{}",
        text.stdout
    );
    assert_eq!(
        text.stdout.matches("sunday-night  Sun 20").count(),
        2,
        "{}",
        text.stdout
    );
    case.run(&["config", "check"]).expect(Exit::Done);
    assert!(!case.state_dir().exists(), "a look makes no state folder");
    for count in ["0", "201", "many"] {
        case.run(&["window", "next", "--count", count])
            .expect(Exit::Usage)
            .says(&["--count"]);
    }
    case.run(&["--instance", "other", "window", "next"])
        .expect(Exit::Usage)
        .says(&["social.example"]);
}

#[test]
fn every_instance_shows_its_own_windows_as_the_schema_says() {
    let case = Case::new();
    let second =
        "\n[[instance]]\nname = \"b.example\"\nproject = \"b\"\npolicy = \"conservative\"\n";
    case.write(&(case.text() + second));
    let json = case.json(&["window", "next", "--count", "3", "--json"]);
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/cli/schemas/window-next.json"
    );
    let schema: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let schema = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let wrong: Vec<String> = schema
        .iter_errors(&json)
        .map(|err| err.to_string())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let instances = json["instances"].as_array().unwrap();
    let names: Vec<&Value> = instances.iter().map(|one| &one["instance"]).collect();
    assert_eq!(names, [&json!("social.example"), &json!("b.example")]);
    assert_eq!(instances[0]["next"].as_array().unwrap().len(), 3);
    assert_eq!(instances[0]["needed_s"], 2_700);
    let one = case.json(&["--instance", "b.example", "window", "next", "--json"]);
    assert_eq!(one["instances"].as_array().unwrap().len(), 1);
}

#[test]
fn a_window_that_is_opened_once_is_shown_until_it_is_taken_back() {
    let case = Case::new();
    let json = case.json(&["window", "next", "--json"]);
    let now: jiff::Timestamp = json["instances"][0]["now"]["utc"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let tomorrow = now + jiff::SignedDuration::from_hours(24);
    let start = tomorrow.strftime("%Y-%m-%dT%H:%MZ").to_string();
    let id = format!("once-{}", tomorrow.strftime("%Y%m%dT%H%MZ"));
    let open = [
        "window",
        "open",
        &start,
        "--lasts",
        "2h",
        "--reason",
        "announced",
    ];
    let ended = case.run(&open).expect(Exit::Done);
    assert!(ended.stdout.contains(&id), "{}", ended.stdout);
    let ids = || {
        let json = case.json(&["window", "next", "--json"]);
        let next = json["instances"][0]["next"].as_array().unwrap().clone();
        let once = next.into_iter().filter(|one| one["one_off"] == true);
        once.map(|one| one["window"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(), std::slice::from_ref(&id));
    let text = case.run(&["window", "next"]).expect(Exit::Done).stdout;
    assert!(text.contains(&id), "{text}");
    let unknown = case
        .run(&["window", "close", "once-2"])
        .expect(Exit::Refused);
    assert!(unknown.stderr.contains(&id), "{}", unknown.stderr);
    let twice = case.run(&open).expect(Exit::Refused).stderr;
    assert!(twice.contains("is there already"), "{twice}");
    assert_eq!(ids(), std::slice::from_ref(&id));
    case.run(&["window", "close", &id]).expect(Exit::Done);
    assert!(ids().is_empty());
    for at in ["2026-12-01T13:00[Asia/Tokyo]", "13:00", "now", ""] {
        case.run(&["window", "open", at, "--lasts", "2h", "--reason", "x"])
            .expect(Exit::Usage)
            .says(&["is no time; write"]);
    }
}

#[test]
fn windows_that_are_no_longer_right_are_refused_where_a_person_looks() {
    let case = Case::new();
    for (bad, said) in [
        (
            "Sun *-13-1 02:00",
            "policy.toml:7:16: window.opens: `13` is not a month",
        ),
        (
            "2020-01-05 02:00",
            "policy.toml:7:10: window.opens: `2020-01-05 02:00` does not open within 400 days",
        ),
    ] {
        fs::write(case.path("policy.toml"), POLICY.replace("Sun 02:00", bad)).unwrap();
        case.run(&["config", "check"])
            .expect(Exit::Config)
            .says(&[said]);
    }
    assert!(!case.state_dir().exists());
}
