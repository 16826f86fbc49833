//! Whole files: what is accepted, and every mistake with its place.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::domain::advisory::Severity;
use crate::domain::plan::OnDeadline;
use crate::domain::policy::{Approvals, Class};
use crate::domain::window::Window;

mod windows;

const POLICY: &str = include_str!("../../tests/data/policies/sunday.toml");
const LEAST: &str =
    "policy = \"policy.toml\"\n[[instance]]\nname = \"social.example\"\nproject = \"mastodon\"\n";

/// A directory with a configuration and the standard policy.
fn written(main: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mastopatch.toml"), main).unwrap();
    fs::write(dir.path().join("policy.toml"), POLICY).unwrap();
    dir
}

fn read(dir: &TempDir) -> Result<Settings, ConfigErrors> {
    load(&dir.path().join("mastopatch.toml"), None)
}

/// Every mistake as shown, without the directory.
fn mistakes(main: &str) -> Vec<String> {
    let dir = written(main);
    let errors = read(&dir).unwrap_err();
    let prefix = format!("{}/", dir.path().display());
    errors
        .all()
        .iter()
        .map(|error| error.to_string().replace(&prefix, ""))
        .collect()
}

fn policy_mistakes(text: &str) -> Vec<String> {
    let errors = parse_policy(Path::new("policy.toml"), text).unwrap_err();
    errors.all().iter().map(ToString::to_string).collect()
}

#[test]
fn the_least_configuration_gets_the_documented_defaults() {
    let dir = written(LEAST);
    let settings = read(&dir).unwrap();
    assert_eq!(settings.state_dir, Path::new("/var/lib/mastopatch"));
    assert_eq!(settings.policy_file, dir.path().join("policy.toml"));
    assert_eq!(settings.docker.socket, Path::new("/var/run/docker.sock"));
    assert_eq!(settings.github.base_url, "https://api.github.com");
    assert_eq!(settings.github.repository, "mastodon/mastodon");
    assert_eq!(settings.github.poll, Duration::from_secs(600));
    assert_eq!(settings.github.timeout, Duration::from_secs(30));
    assert!(settings.github.token.is_none() && settings.mail.is_none());
    let instance = settings.instances.first().unwrap();
    assert_eq!(instance.main_image, "ghcr.io/mastodon/mastodon");
    assert_eq!(
        instance.streaming_image,
        "ghcr.io/mastodon/mastodon-streaming"
    );
    assert_eq!(settings.run.keep_snapshots, 3);
    assert_eq!(settings.run.keep_snapshots_for, None);
    assert_eq!(settings.run.hot_rate, None);
    assert_eq!(settings.run.settle, Duration::from_secs(15));
    assert_eq!(settings.run.on_deadline, OnDeadline::Rollback);
    assert_eq!(settings.policy.rules().len(), 4);
}

#[test]
fn everything_can_be_set_and_secrets_stay_out_of_debug_output() {
    let dir = written("");
    let (token, password) = (dir.path().join("token"), dir.path().join("password"));
    fs::write(&token, "ghp_secret\n").unwrap();
    fs::write(&password, "hunter2").unwrap();
    let written_file = format!(
        "state_dir = \"/srv/state\"\n{LEAST}main_image = \"ghcr.io/glitch-soc/mastodon\"\n\
         [docker]\nsocket = \"unix:///run/docker.sock\"\n\
         [github]\nbase_url = \"http://127.0.0.1:8080/\"\nrepository = \"a/b\"\npoll = \"5m\"\ntimeout = \"1m\"\ntoken_file = \"{}\"\n\
         [run]\nboot_timeout = \"1m30s\"\nkeep_snapshots = 1\nkeep_snapshots_for = \"30d\"\nhot_rate = 20\non_deadline = \"finish\"\n\
         [mail]\nsmtp = \"smtps://mail.example\"\nfrom = \"m@social.example\"\nusername = \"x\"\npassword_file = \"{}\"\n\
         [[mail.to]]\naddress = \"chief@example.org\"\nrole = \"manager\"\n\
         [[mail.to]]\naddress = \"ops@example.org\"\nrole = \"administrator\"\n",
        token.display(),
        password.display()
    );
    fs::write(dir.path().join("mastopatch.toml"), written_file).unwrap();
    let settings = read(&dir).unwrap();
    assert_eq!(settings.docker.socket, Path::new("/run/docker.sock"));
    assert_eq!(settings.github.base_url, "http://127.0.0.1:8080");
    assert_eq!(
        settings.github.token.as_ref().unwrap().expose_secret(),
        "ghp_secret"
    );
    assert_eq!(settings.run.boot_timeout, Duration::from_secs(90));
    assert_eq!(settings.run.on_deadline, OnDeadline::Finish);
    assert_eq!(settings.run.hot_rate, Some(20 << 20));
    assert_eq!(
        settings.run.keep_snapshots_for,
        Some(Duration::from_secs(30 * 86_400))
    );
    let mail = settings.mail.as_ref().unwrap();
    assert_eq!(mail.server.port, 465);
    assert_eq!(
        mail.login.as_ref().unwrap().password.expose_secret(),
        "hunter2"
    );
    assert_eq!(
        mail.to.iter().map(|to| to.role).collect::<Vec<_>>(),
        [Role::Manager, Role::Administrator]
    );
    let shown = format!("{settings:?}");
    assert!(!shown.contains("ghp_secret") && !shown.contains("hunter2"));
}

#[test]
fn secrets_come_from_the_credentials_directory_when_no_file_is_named() {
    let dir = written(&format!(
        "{LEAST}[mail]\nsmtp = \"smtp://localhost\"\nfrom = \"a@b\"\nusername = \"x\"\n[[mail.to]]\naddress = \"c@d\"\nrole = \"manager\"\n"
    ));
    let file = dir.path().join("mastopatch.toml");
    let errors = load(&file, Some(dir.path())).unwrap_err().to_string();
    assert!(errors.ends_with("mail.username: there is no password: give `password_file` or the credential `smtp-password`"), "{errors}");
    fs::write(dir.path().join("smtp-password"), "pw\n").unwrap();
    fs::write(dir.path().join("github-token"), "tk\n").unwrap();
    let settings = load(&file, Some(dir.path())).unwrap();
    assert_eq!(settings.github.token.unwrap().expose_secret(), "tk");
    assert_eq!(
        settings
            .mail
            .unwrap()
            .login
            .unwrap()
            .password
            .expose_secret(),
        "pw"
    );
    fs::write(dir.path().join("github-token"), "\n").unwrap();
    assert!(
        load(&file, Some(dir.path()))
            .unwrap_err()
            .to_string()
            .contains("does not hold a secret on one line")
    );
}

#[test]
fn every_mistake_is_reported_at_once_with_line_column_and_key() {
    let text = "state_dri = \"/x\"\npolicy = \"policy.toml\"\n[docker]\nsocket = \"tcp://10.0.0.1:2375\"\n[github]\npoll = \"10s\"\n\
                timeout = 30\nbase_url = \"http://api.github.com\"\n[[instance]]\nname = \"a\"\nprojct = \"mastodon\"\n\
                [[instance]]\nname = \"a\"\nproject = \"Masto\"\nmain_image = \"x:latest\"\n[run]\nkeep_snapshots = 0\non_deadline = \"stop\"\n[mail]\nsmtp = \"smtp://mail.example\"\n";
    assert_eq!(
        mistakes(text),
        [
            "mastopatch.toml:1:1: state_dri: unknown key, did you mean `state_dir`?",
            "mastopatch.toml:4:1: docker.socket: `tcp://10.0.0.1:2375` cannot be used: only the engine's socket on this host is, because snapshots, volumes and addresses must be here",
            "mastopatch.toml:6:1: github.poll: must be from 5m to 1d, not `10s`",
            "mastopatch.toml:7:1: github.timeout: must be a text, not integer",
            "mastopatch.toml:8:1: github.base_url: `http://api.github.com` would be asked without encryption, which is allowed on this host only; use https",
            "mastopatch.toml:9:1: instance.project: is required",
            "mastopatch.toml:11:1: instance.projct: unknown key, did you mean `project`?",
            "mastopatch.toml:13:1: instance.name: another instance has the name `a` already",
            "mastopatch.toml:14:1: instance.project: `Masto` is not the name of a Compose project (lower-case letters, digits, `-` and `_`)",
            "mastopatch.toml:15:1: instance.main_image: `x:latest` is not the name of an image without tag and digest",
            "mastopatch.toml:17:1: run.keep_snapshots: must be from 1 to 100, not 0",
            "mastopatch.toml:18:1: run.on_deadline: `stop` is none of `rollback`, `finish`",
            "mastopatch.toml:19:2: mail.from: is required",
            "mastopatch.toml:19:2: mail.to: is required",
            "mastopatch.toml:20:1: mail.smtp: `smtp://mail.example` would send mail without encryption, which is allowed on this host only; use smtp+starttls:// or smtps://",
        ]
    );
}

#[test]
fn files_that_are_missing_or_no_toml_are_named() {
    assert_eq!(mistakes(""), ["mastopatch.toml:1:1: instance: is required"]);
    let errors = mistakes(&LEAST.replace("policy.toml", "absent.toml"));
    assert!(
        errors.iter().any(
            |error| error.starts_with("mastopatch.toml:1:1: policy: `absent.toml` is none of the policies `security-first`, `conservative`, `notify-only`, `canary`, and the file cannot be read")
        ),
        "{errors:?}"
    );
    let errors = mistakes("policy = \n[[instance]\nname = 'x'\n");
    assert!(
        errors
            .iter()
            .all(|error| error.starts_with("mastopatch.toml:"))
            && !errors.is_empty(),
        "{errors:?}"
    );
    let absent = load(Path::new("/nowhere/mastopatch.toml"), None).unwrap_err();
    assert!(
        absent
            .to_string()
            .starts_with("/nowhere/mastopatch.toml: cannot be read: "),
        "{absent}"
    );
}

#[test]
fn mistakes_in_the_policy_are_reported_together_with_those_in_the_main_file() {
    let dir = written(&format!("{LEAST}colour = 1\n"));
    fs::write(
        dir.path().join("policy.toml"),
        POLICY.replace("Sun 02:00", "Sonntag 02:00"),
    )
    .unwrap();
    let shown = read(&dir).unwrap_err().to_string();
    assert!(
        shown.contains("mastopatch.toml:5:1: instance.colour: unknown key"),
        "{shown}"
    );
    assert!(
        shown.contains("window.opens: `Sonntag` is not a day of the week"),
        "{shown}"
    );
}

#[test]
fn every_mistake_in_a_policy_is_reported() {
    let text = "[time]\nzone = \"+01:00\"\n[[window]]\nid = \"w\"\nopens = [\"Sun 02:00\", \"Sun *-*-7..1 01:00\"]\nlasts = \"25h\"\n\
                allow = [\"securty\"]\n[[policy]]\nname = \"p\"\nmatch = { class = \"patch\", severty = [\"low\"] }\noutside_windows = \"later\"\nmin_age = \"100d\"\n";
    assert_eq!(
        policy_mistakes(text),
        [
            "policy.toml:2:9: time.zone: `+01:00` is a fixed offset, which is wrong for half of the year wherever clocks change; name a place, such as `Europe/Berlin`, or `UTC`",
            "policy.toml:5:32: window.opens: `7..1` runs backwards; write `1..7`",
            "policy.toml:7:10: window.allow: `securty` is none of `security`, `patch`, `minor`, `major`; did you mean `security`?",
            "policy.toml:8:1: policy.approval: is required",
            "policy.toml:10:28: policy.match.severty: unknown key, did you mean `severity`?",
            "policy.toml:11:1: policy.outside_windows: `later` is none of `never`, `at-once`, `after 4h` (a time up to 90 days)",
            "policy.toml:12:1: policy.min_age: a minimum age above 90 days means never; ask for an approval instead",
        ]
    );
}

#[test]
fn rules_that_contradict_each_other_are_reported_at_the_rule() {
    let rule = |name: &str| {
        format!("[[policy]]\nname = \"{name}\"\noutside_windows = \"never\"\napproval = \"none\"\n")
    };
    let text = format!("[time]\nzone = \"UTC\"\n{}{}", rule("a"), rule("b"));
    assert_eq!(
        policy_mistakes(&text),
        [
            "policy.toml:3:1: policy: rule `a` waits for a window, but no window allows security; name it in a window's `allow`, or let the rule do something else with [[override]]",
            "policy.toml:7:1: policy: rule `b` waits for a window, but no window allows security; name it in a window's `allow`, or let the rule do something else with [[override]]",
            "policy.toml:7:1: policy: rule `b` can never match, because rule `a` before it matches all of it",
        ]
    );
    assert_eq!(
        policy_mistakes("[time]\nzone = \"UTC\"\n"),
        ["policy.toml:1:1: the policy has no rule, so nothing would ever be updated"]
    );
    assert_eq!(
        policy_mistakes(&rule("a").replace("never", "at-once")),
        ["policy.toml:1:1: time.zone: is required"]
    );
}

#[test]
fn every_shipped_policy_is_valid_and_the_first_is_the_default() {
    for (name, text) in SHIPPED_POLICIES {
        parse_policy(Path::new(name), text).unwrap_or_else(|errors| panic!("{errors}"));
    }
    let instance = "[[instance]]\nname = \"a\"\nproject = \"a\"\n";
    let settings = read(&written(instance)).unwrap();
    assert_eq!(settings.policy_file, Path::new("security-first"));
    let (name, text) = SHIPPED_POLICIES[0];
    assert_eq!(
        (name, &settings.policy),
        (
            "security-first",
            &parse_policy(Path::new(name), text).unwrap()
        )
    );
}

#[test]
fn the_main_file_changes_the_policy_it_names() {
    let text = "policy = \"conservative\"\n[time]\nzone = \"Asia/Kolkata\"\n\
                [[window]]\nid = \"noon\"\nopens = \"Sat 12:00\"\nlasts = \"3h\"\nallow = \"*\"\n\
                [[override]]\nname = \"patch\"\nmin_age = \"2d\"\napproval = \"none\"\n\
                [[instance]]\nname = \"a\"\nproject = \"a\"\n\
                [[instance]]\nname = \"b\"\nproject = \"b\"\npolicy = \"policy.toml\"\n";
    let settings = read(&written(text)).unwrap();
    let of = |place: usize| {
        let policy = &settings.instances[place].policy;
        let rule = policy
            .rules()
            .iter()
            .find(|rule| rule.name == "patch")
            .unwrap();
        let windows: Vec<&str> = policy.schedule().windows().iter().map(Window::id).collect();
        (
            policy.zone().iana_name().unwrap().to_owned(),
            windows,
            rule.min_age,
            rule.approval,
        )
    };
    let wanted = (
        "Asia/Kolkata".to_owned(),
        vec!["noon"],
        SignedDuration::from_hours(48),
        Approvals::None,
    );
    assert_eq!(of(0), wanted);
    assert_eq!(of(1), wanted);
    // What is not named keeps what the policy says.
    assert_eq!(
        settings.policy.rules()[1].deadline,
        Some(SignedDuration::from_hours(720))
    );
}

#[test]
fn a_change_of_what_a_rule_speaks_about_keeps_what_it_does_not_name() {
    let text = "[[override]]\nname = \"critical\"\nmatch = { severity = [\"high\", \"critical\"] }\n\
                [[override]]\nname = \"security-high\"\nmatch = { exploited = \"no\" }\n\
                [[instance]]\nname = \"a\"\nproject = \"a\"\n";
    let settings = read(&written(text)).unwrap_err().to_string();
    // Now the rule behind it can never match, which is told; and it still speaks of security patches only.
    assert!(
        settings.contains("rule `security-high` can never match"),
        "{settings}"
    );
    let text = text
        .replace(", \"critical\"]", "]")
        .replace("\"critical\"\nmatch", "\"way-out\"\nmatch");
    let settings = read(&written(&text)).unwrap();
    let rules = settings.policy.rules();
    let rule = rules.iter().find(|rule| rule.name == "way-out").unwrap();
    assert_eq!(rule.matches.classes, [Class::Minor, Class::Major].into());
    assert_eq!(rule.matches.severities, [Severity::High].into());
}

#[test]
fn a_change_that_does_not_fit_is_told_where_it_stands() {
    let text = "[[override]]\nname = \"pach\"\nmin_age = \"2d\"\n\
                [[override]]\nname = \"patch\"\ndeadline = \"2h\"\n\
                [[instance]]\nname = \"a\"\nproject = \"a\"\n";
    assert_eq!(
        mistakes(text),
        [
            "mastopatch.toml:2:1: override.name: the policy security-first.toml has no rule `pach` to change; it has `exploited`, `critical`, `security-high`, `security`, `patch`, `way-out`, `next-line`",
            "mastopatch.toml:4:1: override: rule `patch` has a deadline before its minimum age is over",
        ]
    );
}
