//! What an image's name tells: its repository, its tag, and whose build it is.

use crate::domain::version::{ImageTag, ReleaseVersion};

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

    /// The tag; a reference without one means `latest`.
    pub(super) fn tag_or_latest(&self) -> &'a str {
        self.tag.unwrap_or("latest")
    }

    /// The version that the tag names for good; none for what moves, and for names that nobody can tell.
    pub(super) fn release(&self) -> Option<ReleaseVersion> {
        let Ok(tag) = self.tag_or_latest().parse::<ImageTag>();
        match &tag {
            ImageTag::Release(version) => Some(version.clone()),
            // The tags of `LinuxServer` name a fork by a word in front.
            ImageTag::Foreign {
                text,
                version: Some(version),
            } if tag.is_linuxserver() => {
                if text.starts_with("glitch-") {
                    format!("{version}+glitch").parse().ok()
                } else {
                    Some(version.clone())
                }
            }
            ImageTag::Foreign { .. }
            | ImageTag::Line(_)
            | ImageTag::Major(_)
            | ImageTag::Nightly(_)
            | ImageTag::Moving(_) => None,
        }
    }
}
