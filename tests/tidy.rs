//! What the repository promises about itself: layers, shipped files, and tables that have to agree.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "tests may fail loudly and run programs"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mastopatch::config;
use mastopatch::exit::Exit;

/// Every layer, and what of ours it may use. The last three are where everything is put together.
const LAYERS: [(&str, &[&str]); 8] = [
    ("domain", &["domain"]),
    ("ports", &["domain", "ports"]),
    ("engine", &["domain", "ports", "engine"]),
    ("adapters", &["domain", "ports", "adapters"]),
    ("config", &["domain", "config"]),
    ("exit", &[]),
    ("daemon", EVERYTHING),
    ("cli", EVERYTHING),
];
const EVERYTHING: &[&str] = &[
    "domain", "ports", "engine", "adapters", "config", "exit", "daemon", "cli",
];

/// Outside libraries, and the only files that may speak to them.
const LIBRARIES: [(&str, &[&str]); 11] = [
    ("bollard::", &["src/adapters/docker/"]),
    ("octocrab::", &["src/adapters/github"]),
    ("lettre::", &["src/adapters/mail/"]),
    ("minijinja::", &["src/adapters/mail/"]),
    ("rusqlite::", &["src/adapters/store/"]),
    ("serde_saphyr::", &["src/adapters/compose/"]),
    ("toml::", &["src/config/"]),
    ("clap::", &["src/cli/"]),
    ("schemars::", &["src/domain/", "src/cli/"]),
    ("sd_notify::", &["src/daemon/"]),
    ("rtime_clock::", &["src/adapters/clock.rs"]),
];

/// What the domain may not even name: the world.
const WORLD: [&str; 9] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::time::Instant",
    "SystemTime",
    "tokio",
    "async ",
    "HashMap",
];

/// Longer than this wants splitting. The exceptions say why they are not split yet.
const MOST_LINES: usize = 600;
const LONG_FILES: &[(&str, &str)] = &[];

#[test]
fn every_layer_uses_only_what_is_below_it() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let inside = path.strip_prefix("src/").unwrap();
        if ["main.rs", "lib.rs"].contains(&inside) {
            continue;
        }
        let layer = inside.split(['/', '.']).next().unwrap();
        let (_, may) = LAYERS
            .iter()
            .find(|(name, _)| *name == layer)
            .unwrap_or_else(|| {
                panic!("{path} is in no layer; add it to LAYERS and to ARCHITECTURE.md")
            });
        for (number, line) in code(&text) {
            for used in words_after(line, "crate::") {
                if used.is_empty() {
                    wrong.push(format!(
                        "{path}:{number}: write one `crate::` path each, not a group"
                    ));
                } else if !may.contains(&used) {
                    wrong.push(format!("{path}:{number}: {layer} may not use {used}"));
                }
            }
            for used in words_after(line, "super::") {
                if EVERYTHING.contains(&used) && line.contains(&format!("super::{used}::")) {
                    wrong.push(format!(
                        "{path}:{number}: write `crate::{used}`, so that this test sees it"
                    ));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn an_outside_library_is_spoken_to_in_one_place() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for (number, line) in code(&text) {
            for (library, places) in LIBRARIES {
                let here = places.iter().any(|place| path.starts_with(place));
                if !here && names(line, library) {
                    wrong.push(format!(
                        "{path}:{number}: {library} belongs into {}",
                        places.join(", ")
                    ));
                }
            }
            if names(&line.to_lowercase(), "chrono") && !path.starts_with("src/adapters/github") {
                wrong.push(format!(
                    "{path}:{number}: dates are jiff's; octocrab's stay in its adapter"
                ));
            }
            if path.starts_with("src/domain/") {
                for word in WORLD {
                    if line.contains(word) {
                        wrong.push(format!(
                            "{path}:{number}: the domain does not know `{word}`"
                        ));
                    }
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_source_file_says_first_what_it_is() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| path)
        .collect();
    none(&silent);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not find itself; as words, since there is a MASTODON_TAG.
    let words = ["TO", "FIX", "todo", "unimplemented"];
    let marks: Vec<String> = words
        .iter()
        .zip(["DO", "ME", "!(", "!("])
        .map(|(a, b)| format!("{a}{b}"))
        .collect();
    let mut found = Vec::new();
    for folder in ["src", "tests", "policies", "systemd", ".ci"] {
        for path in files(folder) {
            let Ok(text) = fs::read_to_string(root().join(&path)) else {
                continue;
            };
            // Texts of others that the tests answer with.
            if path.starts_with("tests/data/") || path.starts_with("tests/lab/github/") {
                continue;
            }
            for (number, line) in (1..).zip(text.lines()) {
                if marks.iter().any(|mark| names(line, mark)) {
                    found.push(format!("{path}:{number}: {}", line.trim()));
                }
            }
        }
    }
    none(&found);
}

#[test]
fn no_source_file_is_too_long() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        let excused = LONG_FILES.iter().any(|(long, _)| *long == path);
        if lines > MOST_LINES && !excused {
            wrong.push(format!(
                "{path} has {lines} lines; split it by verb or by noun"
            ));
        }
        if lines <= MOST_LINES && excused {
            wrong.push(format!(
                "{path} is not too long any more; take it out of LONG_FILES"
            ));
        }
    }
    none(&wrong);
}

#[test]
fn the_map_names_every_layer() {
    let map = read("src/ARCHITECTURE.md");
    for (layer, _) in LAYERS {
        assert!(
            map.contains(&format!("[`{layer}`]")),
            "ARCHITECTURE.md does not explain {layer}"
        );
    }
    for number in 1..=15 {
        assert!(
            map.contains(&format!("| I{number} |")),
            "ARCHITECTURE.md does not say where I{number} is kept"
        );
    }
}

#[test]
fn every_shipped_policy_is_right() {
    let policies = files("policies");
    assert!(!policies.is_empty());
    for path in policies {
        assert!(path.ends_with(".toml"), "{path} is no policy");
        config::parse_policy(Path::new(&path), &read(&path)).unwrap_or_else(|err| panic!("{err}"));
    }
}

#[test]
fn the_example_configuration_is_right_and_shows_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    fs::write(&password, "secret\n").unwrap();
    let file = dir.path().join("mastopatch.toml");
    let load = |text: &str| {
        let text = text.replace("/etc/mastopatch/smtp-password", password.to_str().unwrap());
        fs::write(&file, text).unwrap();
        config::load(&file, None).unwrap_or_else(|err| panic!("{err}"))
    };
    let example = read("src/config/example.toml");
    let as_shipped = load(&example);
    // Every commented key but that of the secret shows what holds without it.
    let uncommented: Vec<&str> = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key)
                if !key.starts_with(' ') && !key.is_empty() && !key.starts_with("token_file") =>
            {
                key
            }
            _ => line,
        })
        .collect();
    assert!(
        uncommented
            .iter()
            .filter(|line| line.contains(" = "))
            .count()
            > 25,
        "{uncommented:#?}"
    );
    let spelled_out = load(&uncommented.join("\n"));
    assert_eq!(format!("{as_shipped:#?}"), format!("{spelled_out:#?}"));
}

#[test]
fn the_readme_shows_the_example_configuration() {
    let readme = read("README.md");
    let block = between(&readme, "```toml\n", "```");
    assert_eq!(
        block,
        read("src/config/example.toml"),
        "README and src/config/example.toml differ"
    );
}

#[test]
fn the_readmes_exit_codes_are_the_programs() {
    let readme = read("README.md");
    let table = between(&readme, "| Code | Meaning |\n|---|---|\n", "\n\n");
    let rows: Vec<&str> = table.lines().collect();
    let wanted: Vec<String> = Exit::ALL
        .iter()
        .map(|exit| format!("| {} | {} |", exit.code(), exit.meaning()))
        .collect();
    assert_eq!(rows, wanted);
}

#[test]
fn the_readmes_commands_are_the_programs() {
    let readme = read("README.md");
    let table = between(&readme, "| Command | What it does |\n|---|---|\n", "\n\n");
    let mut told = BTreeSet::new();
    for row in table.lines() {
        let command = between(row, "| `mastopatch ", "`");
        let words: Vec<&str> = command
            .split(' ')
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
            .collect();
        let help = help(&words);
        for flag in command
            .split(['[', ']', ' '])
            .filter(|word| word.starts_with("--"))
        {
            assert!(
                help.contains(flag),
                "`mastopatch {}` has no {flag}",
                words.join(" ")
            );
        }
        told.insert(words[0].to_owned());
    }
    let listed: BTreeSet<String> = between(&help(&[]), "Commands:\n", "\n\n")
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .map(str::to_owned)
        .collect();
    assert_eq!(told, listed);
}

#[test]
fn the_units_start_what_the_program_offers() {
    let mut starts = 0;
    for path in files("systemd") {
        let unit = read(&path);
        for line in unit.lines() {
            if let Some(command) = line.strip_prefix("ExecStart=") {
                let words: Vec<&str> = command.split(' ').collect();
                assert_eq!(words[0], "/usr/bin/mastopatch", "{path}");
                help(&words[1..]);
                starts += 1;
            }
            if let Some(codes) = line.strip_prefix("RestartPreventExitStatus=") {
                let codes: Vec<u8> = codes.split(' ').map(|code| code.parse().unwrap()).collect();
                assert_eq!(codes, [Exit::Locked.code(), Exit::Config.code()], "{path}");
            }
        }
    }
    assert_eq!(starts, 1);
}

#[test]
fn the_changelog_is_kept() {
    let changelog = read("CHANGELOG.md");
    assert!(changelog.lines().any(|line| line == "## [Unreleased]"));
}

#[test]
fn the_licence_is_apache_2() {
    let licence = read("LICENSE");
    let head: Vec<&str> = licence
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(2)
        .collect();
    assert_eq!(head, ["Apache License", "Version 2.0, January 2004"]);
    assert!(read("Cargo.toml").contains("license = \"Apache-2.0\""));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|err| panic!("{path}: {err}"))
}

/// Every file below a folder, by its path from the root, sorted.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let inside = path.strip_prefix(root()).unwrap();
                found.push(inside.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every source file with its text.
fn sources() -> Vec<(String, String)> {
    let rust = files("src").into_iter().filter(|path| {
        Path::new(path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    });
    rust.map(|path| {
        let text = read(&path);
        (path, text)
    })
    .collect()
}

/// Lines that are no comments, numbered.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The words right behind every `start` in a line; empty where none follows.
fn words_after<'a>(line: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(start).map(move |(at, _)| {
        let rest = &line[at + start.len()..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

/// Whether a line names a path that begins with `library`, and not only ends like it.
fn names(line: &str, library: &str) -> bool {
    line.match_indices(library).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
    })
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start:?}"));
    let (inside, _) = rest
        .split_once(end)
        .unwrap_or_else(|| panic!("no {end:?} behind {start:?}"));
    inside
}

/// What `mastopatch … --help` says; it has to end well.
fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_mastopatch"))
        .args(words)
        .arg("--help")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "`mastopatch {}` is no command",
        words.join(" ")
    );
    String::from_utf8(output.stdout).unwrap()
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
