//! From what was found to what runs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::origin::{Builder, ImageName};
use super::{Installed, Origin, Said, Testimony, Witness};
use crate::domain::version::{NotAVersion, ReleaseVersion};

/// What was found on a host, before it is weighed. Where a witness is an `Err`, it says why it is silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Repositories that the configuration calls Mastodon's own.
    pub own: Vec<String>,
    /// Every image that Mastodon's containers run, web's first.
    pub images: Vec<ImageSeen>,
    /// The version that web's API shows.
    pub api: Result<String, String>,
    /// What `tootctl --version` wrote.
    pub tootctl: Result<String, String>,
    /// The schema against the migrations in the running image.
    pub schema: Result<SchemaSeen, String>,
}

/// An image that a container of Mastodon runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSeen {
    /// The service.
    pub service: String,
    /// The reference that its container was created from.
    pub reference: String,
    /// Whether it is streaming's own image.
    pub streaming: bool,
    /// Whether an init inside starts everything: web, streaming and Sidekiq in one container.
    pub all_in_one: bool,
    /// What the image tells of its build; none when it is gone from the host.
    pub build: Option<BuildSeen>,
}

/// What an image tells of its build. Empty values are none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuildSeen {
    /// `MASTODON_VERSION_PRERELEASE`.
    pub prerelease: Option<String>,
    /// `MASTODON_VERSION_METADATA`.
    pub metadata: Option<String>,
    /// `SOURCE_COMMIT`, or the label of the revision.
    pub commit: Option<String>,
    /// The label of the version, where the labels are Mastodon's own and not those of a base image.
    pub label: Option<String>,
}

/// `schema_migrations` beside the migrations in the running image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaSeen {
    /// Migrations in the image that the database lacks, oldest first.
    pub pending: Vec<String>,
    /// Migrations in the database that are newer than every one in the image, oldest first.
    pub newer: Vec<String>,
}

/// No witness names a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing says which version runs: {0}")]
pub struct NoVersion(String);

/// Reads a version as the running software shows it. A nightly build of a line (`4.6.0-nightly.2026-03-10`) is read as
/// the earliest pre-release of that line with the day as its mark, so that every release of the line is newer.
pub fn read_version(text: &str) -> Result<ReleaseVersion, NotAVersion> {
    let text = text.trim();
    text.parse().or_else(|err| match &err {
        NotAVersion::Moving(_) => match text.split_once("-nightly") {
            Some((number, day)) => format!("{number}-alpha+nightly{day}").parse(),
            None => Err(err),
        },
        NotAVersion::Empty
        | NotAVersion::Incomplete(_)
        | NotAVersion::UnknownSuffix(_)
        | NotAVersion::Malformed(_) => Err(err),
    })
}

pub(super) fn weigh(evidence: &Evidence) -> Result<Installed, NoVersion> {
    let api = spoken(&evidence.api);
    let tootctl = spoken(&evidence.tootctl);
    let tag = tags(&evidence.images);
    let nearest = [&api, &tootctl, &tag]
        .into_iter()
        .find_map(version_of)
        .cloned()
        .or_else(|| first_tag(&evidence.images));
    let Some(version) = nearest else {
        let said = [
            (Witness::Api, &api),
            (Witness::Tootctl, &tootctl),
            (Witness::ImageTag, &tag),
        ];
        let said = said.map(|(witness, said)| format!("{}: {}", witness.name(), why(said)));
        return Err(NoVersion(said.join("; ")));
    };
    let origin = origin(evidence, &version);
    let environment = environment(evidence, &version);
    let schema = schema(&evidence.schema);
    let testimonies: Vec<Testimony> = [
        (Witness::Api, api),
        (Witness::Tootctl, tootctl),
        (Witness::ImageEnvironment, environment),
        (Witness::ImageTag, tag),
        (Witness::Schema, schema),
    ]
    .into_iter()
    .map(|(witness, said)| Testimony { witness, said })
    .collect();
    let all_upstream = evidence
        .images
        .iter()
        .all(|image| ImageName::read(&image.reference).builder(&evidence.own) == Builder::Upstream);
    let disagreements = disagreements(&version, all_upstream, &testimonies);
    Ok(Installed {
        version,
        origin,
        testimonies,
        disagreements,
        commit: commit(&evidence.images),
    })
}

fn spoken(answer: &Result<String, String>) -> Said {
    match answer {
        Err(why) => Said::Silent { why: why.clone() },
        Ok(text) => match read_version(text) {
            Ok(version) => Said::Version { version },
            Err(err) => Said::Conflict {
                what: format!("{err}; mastopatch cannot say what runs by it"),
            },
        },
    }
}

fn version_of(said: &Said) -> Option<&ReleaseVersion> {
    match said {
        Said::Version { version } => Some(version),
        Said::Fits { .. } | Said::Conflict { .. } | Said::Silent { .. } => None,
    }
}

fn why(said: &Said) -> String {
    match said {
        Said::Version { version } => version.to_string(),
        Said::Fits { what } | Said::Conflict { what } => what.clone(),
        Said::Silent { why } => why.clone(),
    }
}

/// What the tags say together.
fn tags(images: &[ImageSeen]) -> Said {
    let mut named: Vec<(&ImageSeen, ReleaseVersion)> = Vec::new();
    let mut silent = Vec::new();
    for image in images {
        let name = ImageName::read(&image.reference);
        match name.release() {
            Some(version) => named.push((image, version)),
            None if name.pinned => {
                silent.push(format!("{} is pinned by its digest only", image.service));
            }
            None => {
                let tag = name.tag_or_latest();
                silent.push(format!("`{tag}` of {} names no release", image.service));
            }
        }
    }
    let Some((_, first)) = named.first() else {
        silent.dedup();
        let why = if silent.is_empty() {
            "no image was seen".to_owned()
        } else {
            silent.join(", ")
        };
        return Said::Silent { why };
    };
    if named.iter().all(|(_, version)| version == first) {
        return Said::Version {
            version: first.clone(),
        };
    }
    let list: Vec<String> = named
        .iter()
        .map(|(image, version)| format!("{} {version}", image.service))
        .collect();
    Said::Conflict {
        what: format!(
            "The images' tags name different versions ({}); bring them together with `up -d`.",
            list.join(", ")
        ),
    }
}

/// The first version that a tag names, for when the tags contradict one another and nobody else speaks.
fn first_tag(images: &[ImageSeen]) -> Option<ReleaseVersion> {
    images
        .iter()
        .find_map(|image| ImageName::read(&image.reference).release())
}

fn commit(images: &[ImageSeen]) -> Option<String> {
    let main = images.iter().find(|image| !image.streaming)?;
    main.build.as_ref()?.commit.clone()
}

fn origin(evidence: &Evidence, version: &ReleaseVersion) -> Origin {
    let images: Vec<(&ImageSeen, ImageName<'_>, Builder)> = evidence
        .images
        .iter()
        .map(|image| {
            let name = ImageName::read(&image.reference);
            (image, name, name.builder(&evidence.own))
        })
        .collect();
    let repository = |name: &ImageName<'_>| name.repository.to_owned();
    if let Some((_, name, _)) = images
        .iter()
        .find(|(image, _, builder)| image.all_in_one || *builder == Builder::AllInOne)
    {
        return Origin::AllInOne {
            name: repository(name),
        };
    }
    let build = version.build().map(ToOwned::to_owned);
    let mark = build.or_else(|| {
        let mut marks = evidence
            .images
            .iter()
            .filter_map(|image| image.build.as_ref());
        marks.find_map(|build| build.metadata.clone())
    });
    let mark = mark.filter(|mark| !mark.starts_with("nightly"));
    let foreign = images
        .iter()
        .find(|(_, _, builder)| *builder != Builder::Upstream);
    match (mark, foreign) {
        (Some(mark), _) => return Origin::Fork { name: mark },
        (None, Some((_, name, _))) => {
            return Origin::Fork {
                name: repository(name),
            };
        }
        (None, None) => {}
    }
    let moving = images
        .iter()
        .find(|(_, name, _)| !name.pinned && name.release().is_none())
        .map(|(_, name, _)| name.tag_or_latest().to_owned());
    match (moving, version.build()) {
        (Some(tag), _) => Origin::Moving { tag },
        // A nightly build under the tag of a release.
        (None, Some(mark)) => Origin::Moving {
            tag: mark.to_owned(),
        },
        (None, None) => Origin::Upstream,
    }
}

/// Whether what the images tell of their build fits the version.
fn environment(evidence: &Evidence, version: &ReleaseVersion) -> Said {
    // Several services run the same image; one word about it is enough.
    let mut seen = BTreeSet::new();
    let builds: Vec<(&ImageSeen, &BuildSeen)> = evidence
        .images
        .iter()
        .filter_map(|image| Some((image, image.build.as_ref()?)))
        .filter(|(image, build)| seen.insert((&image.reference, *build)))
        .collect();
    if builds.is_empty() {
        return Said::Silent {
            why: "the image that runs is gone from this host".to_owned(),
        };
    }
    let mut wrong = Vec::new();
    for (image, build) in &builds {
        wrong.extend(misfit(image, build, version));
    }
    let commits: BTreeSet<&str> = builds
        .iter()
        .filter_map(|(_, build)| build.commit.as_deref())
        .collect();
    if commits.len() > 1 {
        wrong.push(format!(
            "The images were built from different commits ({}); pull those of one release and apply them with `up -d`.",
            commits.iter().copied().collect::<Vec<_>>().join(", ")
        ));
    }
    if !wrong.is_empty() {
        return Said::Conflict {
            what: wrong.join(" "),
        };
    }
    let mut what = "nothing in it contradicts".to_owned();
    match commits.first() {
        Some(commit) => drop(write!(what, "; built from commit {commit}")),
        None => what.push_str("; it names no commit"),
    }
    Said::Fits { what }
}

/// What in one image's build contradicts the version.
fn misfit(image: &ImageSeen, build: &BuildSeen, version: &ReleaseVersion) -> Option<String> {
    let ImageSeen {
        service, reference, ..
    } = image;
    let again = "pull the image of the release that you mean, and apply it with `up -d`.";
    // The code adds its own words before what the build was given: `glitch` before the metadata, for instance.
    let marked = |mark: &str| {
        version
            .build()
            .is_some_and(|build| build == mark || build.ends_with(&format!(".{mark}")))
    };
    if let Some(mark) = build.metadata.as_deref().filter(|mark| !marked(mark)) {
        return Some(format!(
            "The image of {service}, {reference}, was built as `{mark}`, which {version} does not say; {again}"
        ));
    }
    let leads_to = |prerelease: &str| {
        let text = format!("{}-{prerelease}", version_core(version));
        read_version(&text).is_ok_and(|built| built.cmp_precedence(version).is_eq())
    };
    if let Some(prerelease) = build.prerelease.as_deref().filter(|it| !leads_to(it)) {
        return Some(format!(
            "The image of {service}, {reference}, was built as pre-release `{prerelease}`, which {version} does not say; \
             {again}"
        ));
    }
    let label = build
        .label
        .as_deref()
        .and_then(|label| read_version(label).ok());
    if let Some(label) = label.filter(|label| label.cmp_precedence(version).is_ne()) {
        return Some(format!(
            "The image of {service}, {reference}, carries the label of {label}, not of {version}; {again}"
        ));
    }
    None
}

/// The three numbers.
fn version_core(version: &ReleaseVersion) -> String {
    let line = version.line();
    format!("{}.{}.{}", line.major, line.minor, version.patch())
}

fn schema(seen: &Result<SchemaSeen, String>) -> Said {
    let seen = match seen {
        Err(why) => return Said::Silent { why: why.clone() },
        Ok(seen) => seen,
    };
    let mut wrong = Vec::new();
    if let Some(newest) = seen.newer.last() {
        wrong.push(format!(
            "The database has {} newer than every one of the running image (the newest is {newest}): an older image was \
             put onto a newer schema; go back to the newer image, or restore the database that belongs to this one.",
            counted(seen.newer.len())
        ));
    }
    if let Some(first) = seen.pending.first() {
        wrong.push(format!(
            "{} of the running image not applied (the first is {first}): somebody forgot them; after a backup, run \
             `docker compose run --rm web bundle exec rails db:migrate`.",
            match seen.pending.len() {
                1 => "1 migration is".to_owned(),
                many => format!("{many} migrations are"),
            }
        ));
    }
    if wrong.is_empty() {
        Said::Fits {
            what: "every migration of the running image is applied, and none that is newer"
                .to_owned(),
        }
    } else {
        Said::Conflict {
            what: wrong.join(" "),
        }
    }
}

fn counted(many: usize) -> String {
    match many {
        1 => "1 migration".to_owned(),
        many => format!("{many} migrations"),
    }
}

fn disagreements(
    version: &ReleaseVersion,
    all_upstream: bool,
    testimonies: &[Testimony],
) -> Vec<String> {
    // A fork's own image has upstream's number in its tag; under upstream's name a mark is a contradiction.
    let same = |other: &ReleaseVersion| {
        other == version || (!all_upstream && other.cmp_precedence(version).is_eq())
    };
    let believed = testimonies
        .iter()
        .find(|testimony| version_of(&testimony.said) == Some(version))
        .map_or(Witness::ImageTag, |testimony| testimony.witness);
    let mut found = Vec::new();
    for Testimony { witness, said } in testimonies {
        match said {
            Said::Version { version: other } if !same(other) => {
                let todo = match witness {
                    Witness::ImageTag => {
                        "apply the Compose file with `up -d`, or correct its tag to what runs"
                    }
                    Witness::Api
                    | Witness::Tootctl
                    | Witness::ImageEnvironment
                    | Witness::Schema => {
                        "something in the container is not what its image holds; make it anew with \
                         `up -d --force-recreate web`"
                    }
                };
                found.push(format!(
                    "{} says {other}, {} says {version}; {todo}.",
                    capital(witness.name()),
                    believed.name()
                ));
            }
            Said::Conflict { what } => match witness {
                Witness::Api | Witness::Tootctl => {
                    found.push(format!("{}: {what}.", capital(witness.name())));
                }
                Witness::ImageEnvironment | Witness::ImageTag | Witness::Schema => {
                    found.push(what.clone());
                }
            },
            Said::Version { .. } | Said::Fits { .. } | Said::Silent { .. } => {}
        }
    }
    found
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
