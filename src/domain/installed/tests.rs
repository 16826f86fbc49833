//! Witnesses in every constellation that hosts have shown.

use super::*;

const UPSTREAM: &str = "ghcr.io/mastodon/mastodon";

/// What was found on a host with one kind of image.
fn evidence(references: &[&str], api: Option<&str>) -> Evidence {
    let silent = || "not asked".to_owned();
    Evidence {
        own: vec![UPSTREAM.to_owned()],
        images: references
            .iter()
            .map(|reference| image(reference))
            .collect(),
        api: api.map(ToOwned::to_owned).ok_or_else(silent),
        tootctl: Err(silent()),
        schema: Err(silent()),
    }
}

fn image(reference: &str) -> ImageSeen {
    let streaming = reference.contains("-streaming");
    ImageSeen {
        service: if streaming { "streaming" } else { "web" }.to_owned(),
        reference: reference.to_owned(),
        streaming,
        all_in_one: false,
        build: Some(BuildSeen::default()),
    }
}

fn main_at(tag: &str) -> String {
    format!("{UPSTREAM}:{tag}")
}

/// Image, what the API shows, version, whose build it is, whether the witnesses agree.
const HOSTS: &str = "
ghcr.io/mastodon/mastodon:v4.5.8     | 4.5.8  | 4.5.8      | upstream | agree
ghcr.io/mastodon/mastodon:v4.5.8     | -      | 4.5.8      | upstream | agree
docker.io/tootsuite/mastodon:v4.2.9  | 4.2.9  | 4.2.9      | upstream | agree
tootsuite/mastodon:v4.0.0rc1         | 4.0.0rc1 | 4.0.0-rc.1 | upstream | agree
# Edited and not applied, or a tag that was put on another build.
ghcr.io/mastodon/mastodon:v4.5.8     | 4.5.7  | 4.5.7      | upstream | disagree
# Forks.
ghcr.io/glitch-soc/mastodon:v4.5.8   | 4.5.8+glitch | 4.5.8+glitch | fork glitch | agree
ghcr.io/glitch-soc/mastodon:v4.5.8   | -      | 4.5.8      | fork ghcr.io/glitch-soc/mastodon | agree
ghcr.io/glitch-soc/mastodon:latest   | 4.6.0-alpha.1+glitch | 4.6.0-alpha.1+glitch | fork glitch | agree
ghcr.io/mastodon/mastodon:v4.5.8     | 4.5.8+glitch | 4.5.8+glitch | fork glitch | disagree
ghcr.io/mastodon/mastodon:latest     | 4.5.8+glitch | 4.5.8+glitch | fork glitch | agree
hometown/hometown:v1.1.1             | 4.0.6+hometown-1.1.1 | 4.0.6+hometown-1.1.1 | fork hometown-1.1.1 | disagree
registry.example:5000/mastodon:v4.5.8 | 4.5.8 | 4.5.8      | fork registry.example:5000/mastodon | agree
# Tags that name no release.
ghcr.io/mastodon/mastodon:latest     | 4.5.8  | 4.5.8      | moving latest | agree
tootsuite/mastodon                   | 4.1.2  | 4.1.2      | moving latest | agree
ghcr.io/mastodon/mastodon:v4.5       | 4.5.8  | 4.5.8      | moving v4.5 | agree
ghcr.io/mastodon/mastodon:pr-4711    | 4.5.8  | 4.5.8      | moving pr-4711 | agree
ghcr.io/mastodon/mastodon:edge       | 4.6.0-alpha.5+nightly.2026-03-10 | 4.6.0-alpha.5+nightly.2026-03-10 | moving edge | agree
ghcr.io/mastodon/mastodon:nightly    | 4.6.0-nightly.2026-03-10-security | 4.6.0-alpha+nightly.2026-03-10-security | moving nightly | agree
# Digests do not move.
ghcr.io/mastodon/mastodon:v4.5.8@sha256:00 | 4.5.8 | 4.5.8 | upstream | agree
ghcr.io/mastodon/mastodon@sha256:00  | 4.5.8  | 4.5.8      | upstream | agree
ghcr.io/mastodon/mastodon:latest@sha256:00 | 4.5.8 | 4.5.8 | upstream | agree
# One container with everything in it.
lscr.io/linuxserver/mastodon:4.7.1-ls211 | -  | 4.7.1      | all-in-one lscr.io/linuxserver/mastodon | agree
linuxserver/mastodon:glitch-v4.4.27-ls359 | - | 4.4.27+glitch | all-in-one linuxserver/mastodon | agree
lscr.io/linuxserver/mastodon:latest  | 4.7.1  | 4.7.1      | all-in-one lscr.io/linuxserver/mastodon | agree
";

#[test]
fn the_version_and_whose_build_it_is_follow_from_tag_and_api() {
    let rows = HOSTS.lines().filter(|row| row.contains('|'));
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [image, api, version, origin, agree] = cells.as_slice() else {
            panic!("{row}");
        };
        let api = Some(*api).filter(|api| *api != "-");
        let installed = Installed::weigh(&evidence(&[image], api)).unwrap();
        assert_eq!(installed.version.to_string(), *version, "{row}");
        let found = match &installed.origin {
            Origin::Upstream => "upstream".to_owned(),
            Origin::Fork { name } => format!("fork {name}"),
            Origin::AllInOne { name } => format!("all-in-one {name}"),
            Origin::Moving { tag } => format!("moving {tag}"),
        };
        assert_eq!(found, *origin, "{row}");
        let contradicted = !installed.disagreements.is_empty();
        assert_eq!(contradicted, *agree == "disagree", "{row}: {installed:?}");
        assert_eq!(
            installed.origin_refusal().is_none(),
            found == "upstream",
            "{row}"
        );
    }
}

#[test]
fn without_a_witness_nothing_is_said_and_each_silence_is_told() {
    let err = Installed::weigh(&evidence(&[&main_at("latest")], None)).unwrap_err();
    assert_eq!(
        err.to_string(),
        "nothing says which version runs: the running web: not asked; tootctl in web's container: not asked; the image's \
         tag: `latest` of web names no release"
    );
    let err = Installed::weigh(&evidence(&[], None)).unwrap_err();
    assert!(err.to_string().contains("no image was seen"), "{err}");
    let err = Installed::weigh(&evidence(&[&main_at("latest")], Some("nonsense"))).unwrap_err();
    assert!(
        err.to_string().contains("`nonsense` is not a version"),
        "{err}"
    );
}

#[test]
fn every_disagreement_says_what_to_do() {
    let mut found = evidence(&[&main_at("v4.5.9")], Some("4.5.7"));
    found.tootctl = Ok("4.5.8\n".to_owned());
    let installed = Installed::weigh(&found).unwrap();
    assert_eq!(installed.version.to_string(), "4.5.7");
    assert_eq!(
        installed.disagreements,
        [
            "Tootctl in web's container says 4.5.8, the running web says 4.5.7; something in the container is not what its \
             image holds; make it anew with `up -d --force-recreate web`.",
            "The image's tag says 4.5.9, the running web says 4.5.7; apply the Compose file with `up -d`, or correct its \
             tag to what runs.",
        ]
    );

    let mut found = evidence(&[&main_at("v4.5.9")], Some("nonsense"));
    found.tootctl = Ok("4.5.9".to_owned());
    let installed = Installed::weigh(&found).unwrap();
    assert_eq!(installed.version.to_string(), "4.5.9");
    assert_eq!(
        installed.disagreements,
        ["The running web: `nonsense` is not a version; mastopatch cannot say what runs by it."]
    );
}

#[test]
fn images_of_different_tags_are_a_disagreement_and_the_running_web_decides() {
    let streaming = "ghcr.io/mastodon/mastodon-streaming:v4.5.7";
    let installed =
        Installed::weigh(&evidence(&[&main_at("v4.5.8"), streaming], Some("4.5.8"))).unwrap();
    assert_eq!(installed.version.to_string(), "4.5.8");
    assert_eq!(
        installed.disagreements,
        [
            "The images' tags name different versions (web 4.5.8, streaming 4.5.7); bring them together with `up -d`."
        ]
    );
    let silent = Installed::weigh(&evidence(&[&main_at("v4.5.8"), streaming], None)).unwrap();
    assert_eq!(
        silent.version.to_string(),
        "4.5.8",
        "web's tag, where nobody else speaks"
    );
    assert_eq!(silent.disagreements.len(), 1);
}

#[test]
fn the_images_environment_fits_or_contradicts() {
    let commit = |text: &str| Some(text.to_owned());
    let with = |build: BuildSeen| {
        let mut found = evidence(&[&main_at("v4.5.8")], Some("4.5.8"));
        found.images[0].build = Some(build);
        Installed::weigh(&found).unwrap()
    };
    let plain = with(BuildSeen {
        commit: commit("abc"),
        label: Some("v4.5.8".to_owned()),
        ..BuildSeen::default()
    });
    assert_eq!(plain.disagreements, Vec::<String>::new());
    assert_eq!(plain.commit.as_deref(), Some("abc"));
    let fits = plain
        .testimonies
        .iter()
        .find(|it| it.witness == Witness::ImageEnvironment);
    assert_eq!(
        fits.map(|it| &it.said),
        Some(&Said::Fits {
            what: "nothing in it contradicts; built from commit abc".to_owned()
        })
    );

    let marked = with(BuildSeen {
        metadata: Some("glitch".to_owned()),
        ..BuildSeen::default()
    });
    assert_eq!(
        marked.origin,
        Origin::Fork {
            name: "glitch".to_owned()
        }
    );
    for wrong in [
        marked,
        with(BuildSeen {
            prerelease: Some("nightly.2026-03-10".to_owned()),
            ..BuildSeen::default()
        }),
        with(BuildSeen {
            label: Some("v4.5.7".to_owned()),
            ..BuildSeen::default()
        }),
    ] {
        assert_eq!(wrong.disagreements.len(), 1, "{wrong:?}");
        assert!(wrong.disagreements[0].contains("pull the image of the release"));
    }

    let mut two = evidence(
        &[
            &main_at("v4.5.8"),
            "ghcr.io/mastodon/mastodon-streaming:v4.5.8",
        ],
        Some("4.5.8"),
    );
    for (image, text) in two.images.iter_mut().zip(["abc", "def"]) {
        image.build = Some(BuildSeen {
            commit: commit(text),
            ..BuildSeen::default()
        });
    }
    let two = Installed::weigh(&two).unwrap();
    assert_eq!(two.disagreements.len(), 1);
    assert!(
        two.disagreements[0].contains("abc, def"),
        "{:?}",
        two.disagreements
    );
}

#[test]
fn builds_whose_marks_the_version_repeats_fit() {
    for (prerelease, metadata, api) in [
        (Some("nightly.2026-03-10"), None, "4.6.0-nightly.2026-03-10"),
        (
            None,
            Some("nightly.2026-03-10"),
            "4.6.0-alpha.5+nightly.2026-03-10",
        ),
        (Some("beta.1"), None, "4.6.0-beta.1"),
        (None, Some("mine"), "4.6.0+glitch.mine"),
    ] {
        let mut found = evidence(&["ghcr.io/glitch-soc/mastodon:edge"], Some(api));
        found.images[0].build = Some(BuildSeen {
            prerelease: prerelease.map(ToOwned::to_owned),
            metadata: metadata.map(ToOwned::to_owned),
            ..BuildSeen::default()
        });
        let installed = Installed::weigh(&found).unwrap();
        assert_eq!(installed.disagreements, Vec::<String>::new(), "{api}");
    }
}

#[test]
fn a_schema_that_lacks_migrations_or_is_newer_is_a_disagreement() {
    let with = |pending: &[&str], newer: &[&str]| {
        let texts = |from: &[&str]| from.iter().map(|text| (*text).to_owned()).collect();
        let mut found = evidence(&[&main_at("v4.5.8")], Some("4.5.8"));
        found.schema = Ok(SchemaSeen {
            pending: texts(pending),
            newer: texts(newer),
        });
        Installed::weigh(&found).unwrap().disagreements
    };
    assert_eq!(with(&[], &[]), Vec::<String>::new());
    let forgotten = with(&["20250101000000", "20250201000000"], &[]);
    assert!(
        forgotten[0].starts_with("2 migrations are"),
        "{forgotten:?}"
    );
    assert!(forgotten[0].contains("rails db:migrate"), "{forgotten:?}");
    let downgraded = with(&[], &["20260101000000"]);
    assert!(
        downgraded[0].contains("1 migration newer"),
        "{downgraded:?}"
    );
    assert!(downgraded[0].contains("older image"), "{downgraded:?}");
}

#[test]
fn an_init_inside_makes_any_image_one_with_everything_in_it() {
    let mut found = evidence(&["registry.example/mastodon:v4.5.8"], None);
    found.images[0].all_in_one = true;
    let installed = Installed::weigh(&found).unwrap();
    assert_eq!(
        installed.origin,
        Origin::AllInOne {
            name: "registry.example/mastodon".to_owned()
        }
    );
    assert!(
        installed
            .origin_refusal()
            .unwrap()
            .contains("migrates the database by itself")
    );
}

#[test]
fn the_configuration_may_name_a_copy_of_upstream_but_no_fork() {
    let mut found = evidence(
        &["registry.example:5000/mirror/mastodon:v4.5.8"],
        Some("4.5.8"),
    );
    found.own = vec!["registry.example:5000/mirror/mastodon".to_owned()];
    assert_eq!(Installed::weigh(&found).unwrap().origin, Origin::Upstream);
    let mut found = evidence(&["ghcr.io/glitch-soc/mastodon:v4.5.8"], None);
    found.own = vec!["ghcr.io/glitch-soc/mastodon".to_owned()];
    let origin = Installed::weigh(&found).unwrap().origin;
    assert!(matches!(origin, Origin::Fork { .. }), "{origin:?}");
}

#[test]
fn references_are_split_at_the_tags_colon() {
    let name = ImageName::read("index.docker.io/tootsuite/mastodon:v4.2.1@sha256:00");
    assert_eq!(name.repository, "tootsuite/mastodon");
    assert_eq!(name.tag, Some("v4.2.1"));
    assert!(name.pinned);
    let name = ImageName::read("127.0.0.1:5000/a/b");
    assert_eq!((name.repository, name.tag), ("127.0.0.1:5000/a/b", None));
}
