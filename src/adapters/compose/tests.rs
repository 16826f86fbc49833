//! Edits of a whole project.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::*;

/// A project in a temporary folder: file name and text.
struct Site {
    dir: tempfile::TempDir,
    files: ProjectFiles,
}

fn site(files: &[(&str, &str)]) -> Site {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let config_files = files.iter().map(|(name, _)| *name);
    Site {
        files: ProjectFiles {
            project: "m".to_owned(),
            working_dir: dir.path().to_owned(),
            config_files: config_files
                .filter(|name| Path::new(name).extension().is_some_and(|end| end == "yml"))
                .map(|name| dir.path().join(name))
                .collect(),
            env_file: None,
            generation: Generation::V1,
        },
        dir,
    }
}

impl Site {
    /// Texts after the edits, by file name.
    fn edited(&self, images: &[(&str, &str)]) -> Result<BTreeMap<String, String>, ComposeError> {
        let images = images
            .iter()
            .map(|(service, image)| ((*service).to_owned(), (*image).to_owned()))
            .collect();
        let edits = Compose::new(Path::new("/none")).edits(&self.files, &images)?;
        Ok(edits
            .into_iter()
            .map(|edit| {
                let name = edit
                    .path
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                (name, edit.after)
            })
            .collect())
    }

    fn refused(&self, images: &[(&str, &str)]) -> String {
        self.edited(images).unwrap_err().to_string()
    }
}

const BOTH: &[(&str, &str)] = &[("web", "a/m:v2"), ("streaming", "a/s:v2")];

#[test]
fn only_the_bytes_of_the_tag_change() {
    for (before, after) in [
        ("image: a/m:v1", "image: a/m:v2"),
        ("image: 'a/m:v1' # mine", "image: 'a/m:v2' # mine"),
        ("image: \"a/m:v1\"", "image: \"a/m:v2\""),
        ("image:   &img a/m:v1", "image:   &img a/m:v2"),
        ("image: a/m:v1@sha256:00ff", "image: a/m:v2"),
        ("image: a/m", "image: a/m:v2"),
        ("image: a/m:${T:-v1}", "image: a/m:${T:-v2}"),
        ("image: ${R-a}/m:v1", "image: ${R-a}/m:v2"),
        ("image: old/m:v1", "image: a/m:v2"),
    ] {
        let text = |image: &str| {
            format!(
                "# é\r\nservices:\r\n  db: {{image: 'a/m:v1'}}\r\n  web:\r\n    {image}\r\n    ports: [\"1:1\"]\r\n"
            )
        };
        let site = site(&[("c.yml", &text(before))]);
        let edited = site.edited(&[("web", "a/m:v2")]).unwrap();
        assert_eq!(
            edited,
            BTreeMap::from([("c.yml".into(), text(after))]),
            "{before}"
        );
    }
}

#[test]
fn nothing_is_edited_when_the_files_say_so_already() {
    let site = site(&[
        ("c.yml", "services:\n  web: {image: 'a/m:$T'}\n"),
        (".env", "T=v2\n"),
    ]);
    assert!(site.edited(&[("web", "a/m:v2")]).unwrap().is_empty());
}

#[test]
fn a_variable_is_edited_where_it_is_set() {
    let compose = "services:\n  web:\n    image: a/m:${T:-v0}\n  streaming:\n    image: a/s:$T\n";
    let site = site(&[
        ("c.yml", compose),
        (".env", "# versions\r\nexport T=\"v1\" # both\r\nX=1\r\n"),
    ]);
    assert_eq!(
        site.edited(BOTH).unwrap(),
        BTreeMap::from([(
            ".env".into(),
            "# versions\r\nexport T=\"v2\" # both\r\nX=1\r\n".into()
        )])
    );
}

#[test]
fn the_last_file_that_gives_an_image_counts() {
    let site = site(&[
        (
            "a.yml",
            "services:\n  web: {image: 'a/m:v0'}\n  streaming: {image: 'a/s:v1'}\n",
        ),
        ("b.yml", "services:\n  web: {image: 'a/m:v1'}\n"),
        ("c.yml", "services:\n  web: {ports: [\"1:1\"]}\n"),
    ]);
    let edited = site.edited(BOTH).unwrap();
    assert_eq!(
        edited["a.yml"],
        "services:\n  web: {image: 'a/m:v0'}\n  streaming: {image: 'a/s:v2'}\n"
    );
    assert_eq!(edited["b.yml"], "services:\n  web: {image: 'a/m:v2'}\n");
    assert_eq!(edited.len(), 2);
}

#[test]
fn one_place_for_several_services_is_fine_when_they_move_together() {
    let text = "x-m: &m\n  image: a/m:v1\nservices:\n  web:\n    <<: *m\n  sidekiq:\n    <<: *m\n  more:\n    extends: web\n";
    let site = site(&[("c.yml", text)]);
    let all = [("web", "a/m:v2"), ("sidekiq", "a/m:v2"), ("more", "a/m:v2")];
    assert_eq!(
        site.edited(&all).unwrap()["c.yml"],
        text.replace("v1", "v2")
    );

    let different = [("web", "a/m:v2"), ("sidekiq", "a/m:v3"), ("more", "a/m:v2")];
    assert!(site.refused(&different).contains("different tags"));
    for (missing, left) in [("sidekiq", 1), ("more", 2)] {
        let mut some = all.to_vec();
        some.remove(left);
        let reason = site.refused(&some);
        assert!(
            reason.contains(&format!("`{missing}` is not being updated")),
            "{reason}"
        );
    }
}

#[test]
fn what_cannot_be_changed_safely_is_refused_with_line_and_reason() {
    let web = |text: &str| format!("services:\n  web:\n{text}");
    for (compose, env, words) in [
        (web("    build: .\n"), "", &["c.yml:3", "build"][..]),
        (
            web("    image: >-\n      a/m:v1\n"),
            "",
            &["c.yml:4", "one line"],
        ),
        (
            web("    image: \"a\\u002fm:v1\"\n"),
            "",
            &["c.yml:3", "one line"],
        ),
        (web("    image: a/m:$T\n"), "", &["c.yml:3", "`T`", ".env"]),
        (
            web("    image: a/m:${T:+v1}\n"),
            "",
            &["more than a variable"],
        ),
        (
            web("    image: ${I}\n"),
            "I=a/m:$V\n",
            &["variables or escapes"],
        ),
        (
            web("    image: a/m:${T}@sha256:00\n"),
            "T=v1\n",
            &["no single part"],
        ),
        (
            web("    extends: {file: o.yml, service: web}\n"),
            "",
            &["extends"],
        ),
        (
            web("    image: a/m:$T\n    environment: {V: \"$T\"}\n"),
            "T=v1\n",
            &["services.web.environment.V"],
        ),
        (
            web("    image: a/m:$T\n  db:\n    image: db:${T}\n"),
            "T=v1\n",
            &["services.db.image"],
        ),
        (
            web("    image: a/m:$T\n  db:\n    image: db:1\n    env_file: .env\n"),
            "T=v1\n",
            &["env_file", "`db`"],
        ),
    ] {
        let reason = site(&[("c.yml", &compose), (".env", env)]).refused(&[("web", "a/m:v2")]);
        for word in words {
            assert!(reason.contains(word), "{compose}: {reason}");
        }
    }
}

#[test]
fn a_service_that_no_file_knows_is_named() {
    let site = site(&[("c.yml", "services:\n  web: {image: 'a/m:v1'}\n")]);
    assert!(matches!(
        site.edited(&[("nope", "a/m:v2")]),
        Err(ComposeError::NoSuchService { service, .. }) if service == "nope"
    ));
}

#[test]
fn text_that_is_no_reference_never_gets_into_a_file() {
    let site = site(&[("c.yml", "services:\n  web: {image: 'a/m:v1'}\n")]);
    for bad in ["a/m:v2\n  privileged: true", "a/m:v2'", "a/m:$X", "", "-a"] {
        assert!(
            site.refused(&[("web", bad)]).contains("no image reference"),
            "{bad}"
        );
    }
}

#[test]
fn a_file_goes_there_and_back_and_a_foreign_text_is_left_alone() {
    let site = site(&[("c.yml", "services:\n  web: {image: 'a/m:v1'}\n")]);
    let compose = Compose::new(Path::new("/none"));
    let images = BTreeMap::from([("web".to_owned(), "a/m:v2".to_owned())]);
    let edit = compose.edits(&site.files, &images).unwrap().remove(0);
    let path = site.dir.path().join("c.yml");

    for _again in 0..2 {
        assert_eq!(compose.ensure_edited(&edit).unwrap(), FileState::After);
        assert_eq!(fs::read_to_string(&path).unwrap(), edit.after);
    }
    for _again in 0..2 {
        assert_eq!(compose.ensure_restored(&edit).unwrap(), FileState::Before);
        assert_eq!(fs::read_to_string(&path).unwrap(), edit.before);
    }
    fs::write(&path, "somebody else").unwrap();
    assert_eq!(compose.ensure_edited(&edit).unwrap(), FileState::Other);
    assert_eq!(compose.ensure_restored(&edit).unwrap(), FileState::Other);
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else");
    fs::remove_file(&path).unwrap();
    assert_eq!(compose.ensure_edited(&edit).unwrap(), FileState::Missing);
}

#[test]
fn labels_of_both_generations_lead_to_the_files() {
    let site = site(&[("c.yml", ""), ("d.yml", ""), ("x.env", "")]);
    let dir = site.dir.path();
    let sub = dir.join("sub");
    fs::create_dir(&sub).unwrap();
    let compose = Compose::new(Path::new("/none"));
    let labels = |version: &str, working_dir: &Path, files: &str, env: &str| {
        [
            ("project", "m"),
            ("version", version),
            ("project.working_dir", working_dir.to_str().unwrap()),
            ("project.config_files", files),
            ("project.environment_file", env),
        ]
        .map(|(key, value)| (format!("com.docker.compose.{key}"), value.to_owned()))
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect::<BTreeMap<_, _>>()
    };
    let absolute = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    for (labels, generation, env_file) in [
        (
            labels("1.29.2", dir, "c.yml,d.yml", ""),
            Generation::V1,
            None,
        ),
        (
            labels("1.29.2", &sub, "c.yml,d.yml", "x.env"),
            Generation::V1,
            Some("x.env"),
        ),
        (
            labels(
                "2.26.1",
                &sub,
                &format!("{},{}", absolute("c.yml"), absolute("d.yml")),
                &absolute("x.env"),
            ),
            Generation::V2,
            Some("x.env"),
        ),
    ] {
        let files = compose.files("m_web_1", &labels).unwrap();
        assert_eq!(files.config_files, [dir.join("c.yml"), dir.join("d.yml")]);
        assert_eq!(files.generation, generation);
        assert_eq!(files.env_file, env_file.map(|name| dir.join(name)));
    }
    let err = compose
        .files("m_web_1", &labels("", dir, "c.yml", ""))
        .unwrap_err();
    assert!(
        err.to_string().contains("com.docker.compose.version"),
        "{err}"
    );
}

#[tokio::test]
async fn a_missing_cli_is_named() {
    let site = site(&[("c.yml", "services:\n  web: {image: 'a/m:v1'}\n")]);
    let compose = Compose::new(Path::new("/none")).with_path("/nonexistent");
    let err = compose
        .hashes(&site.files, &[], &["web".to_owned()])
        .await
        .unwrap_err();
    assert!(matches!(err, ComposeError::NoCli { .. }), "{err}");
}

#[test]
fn the_paths_of_a_project_are_not_its_secrets() {
    let edit = FileEdit {
        path: PathBuf::from("/x/.env"),
        before: "SECRET=1".to_owned(),
        after: "SECRET=2".to_owned(),
    };
    assert!(!format!("{edit:?}").contains("SECRET"));
}
