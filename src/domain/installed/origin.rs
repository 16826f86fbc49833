//! What an image's name tells: its repository, its tag, and whose build it is.

use crate::domain::version::{NotAVersion, ReleaseVersion};

/// The parts of an image reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageName<'a> {
    /// The repository, without Docker Hub's own prefixes.
    pub repository: &'a str,
    /// The tag; none where there is none.
    pub tag: Option<&'a str>,
    /// Whether a digest pins it: then it does not move, whatever the tag says.
    pub pinned: bool,
}

/// Who builds the images of a repository, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Builder {
    /// Mastodon itself, or a registry that the configuration calls a copy of it.
    Upstream,
    /// A fork that is known by its repository.
    Fork,
    /// `LinuxServer`: one container with everything in it.
    AllInOne,
    /// Somebody.
    Unknown,
}

/// What a tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TagSays {
    /// This release.
    Version(ReleaseVersion),
    /// Nothing that lasts: no tag, a moving one, a line, or a name that no release has.
    Moving(String),
}

impl<'a> ImageName<'a> {
    /// Splits a reference. Total: what looks strange is a repository without a tag.
    pub fn read(reference: &'a str) -> Self {
        let (name, pinned) = match reference.split_once('@') {
            Some((name, _)) => (name, true),
            None => (reference, false),
        };
        // A colon before the last slash belongs to the registry's port.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            Some(_) | None => (name, None),
        };
        let short = ["docker.io/", "index.docker.io/", "registry-1.docker.io/"]
            .into_iter()
            .find_map(|hub| repository.strip_prefix(hub));
        Self {
            repository: short.unwrap_or(repository),
            tag,
            pinned,
        }
    }

    /// Who builds it. `own` are the repositories that the configuration calls Mastodon's own; it cannot make one of a known
    /// fork to be that.
    pub fn builder(&self, own: &[String]) -> Builder {
        let repository = self.repository;
        let is_below = |places: &[&str]| places.iter().any(|place| repository.starts_with(place));
        if is_below(&["ghcr.io/glitch-soc/", "glitchsoc/", "glitch-soc/"]) {
            Builder::Fork
        } else if repository.ends_with("linuxserver/mastodon") {
            Builder::AllInOne
        } else if is_below(&["ghcr.io/mastodon/", "tootsuite/"])
            || own
                .iter()
                .any(|own| ImageName::read(own).repository == repository)
        {
            Builder::Upstream
        } else {
            Builder::Unknown
        }
    }

    /// What the tag says; a reference without a tag means `latest`.
    pub(super) fn says(&self) -> TagSays {
        let tag = self.tag.unwrap_or("latest");
        let moving = || TagSays::Moving(tag.to_owned());
        match tag.parse::<ReleaseVersion>() {
            Ok(version) => TagSays::Version(version),
            Err(NotAVersion::UnknownSuffix(_) | NotAVersion::Malformed(_)) => {
                build_of_linuxserver(tag).map_or_else(moving, TagSays::Version)
            }
            Err(NotAVersion::Empty | NotAVersion::Moving(_) | NotAVersion::Incomplete(_)) => {
                moving()
            }
        }
    }
}

/// The version in `4.7.1-ls211`, `glitch-v4.4.27-ls359` and the like.
fn build_of_linuxserver(tag: &str) -> Option<ReleaseVersion> {
    let (rest, number) = tag.rsplit_once("-ls")?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if let Some(version) = rest.strip_prefix("glitch-") {
        return format!("{version}+glitch").parse().ok();
    }
    rest.parse().ok()
}
