//! Images of the simulated engine: their names, and what is in them.

use std::sync::Arc;

use mastopatch::ports::runtime::Image;

use super::world::{SimImage, Version, World};

/// Where Mastodon's images have their program.
const APP: &str = "/opt/mastodon";

impl SimImage {
    fn is_named(&self, name: &str) -> bool {
        self.tags.contains(name) || (self.image.repo_digests.iter()).any(|digest| digest == name)
    }

    /// Whether taking one name away would take the image away: it has one name, or one tag and the digest of the same
    /// repository.
    fn has_one_name(&self) -> bool {
        let digests = &self.image.repo_digests;
        match (self.tags.len(), digests.len()) {
            (0, digests) => digests <= 1,
            (1, 0) => true,
            (1, 1) => self
                .tags
                .iter()
                .all(|tag| repository(tag) == repository(&digests[0])),
            _ => false,
        }
    }

    pub(crate) fn describe(&self) -> Image {
        let mut image = (*self.image).clone();
        image.repo_tags = self.tags.iter().cloned().collect();
        image
    }
}

/// The name without its tag or digest.
fn repository(reference: &str) -> &str {
    if let Some((repository, _digest)) = reference.split_once('@') {
        return repository;
    }
    reference
        .rsplit_once(':')
        .map_or(reference, |(repository, _tag)| repository)
}

impl World {
    /// By id, tag or digest.
    pub(crate) fn image_named(&self, name: &str) -> Option<&SimImage> {
        let mut all = self.images.iter();
        all.find(|image| &*image.id == name || image.is_named(name))
    }

    /// Takes an image of the registry in, under its digest.
    pub(crate) fn fetch(&mut self, reference: &str) {
        let Some(new) = self.setting.registry.get(reference).cloned() else {
            return;
        };
        match self.images.iter_mut().find(|image| image.id == new.id) {
            Some(here) => {
                let image = Arc::make_mut(&mut here.image);
                image.repo_digests.push(reference.to_owned());
            }
            None => self.images.push(new),
        }
    }

    /// Gives an image another name; one that has the name loses it. Whether there is such an image.
    pub(crate) fn tag(&mut self, id: &str, reference: &str) -> bool {
        let Some(id) = self.image_named(id).map(|image| image.id.clone()) else {
            return false;
        };
        for image in &mut self.images {
            if image.id == id {
                image.tags.insert(reference.to_owned());
            } else {
                image.tags.remove(reference);
            }
        }
        true
    }

    /// Takes a name away, as the engine does without force: not the only one of an image that a container has. With the
    /// last tag of a repository go its digests, and with the last name goes the image.
    pub(crate) fn untag(&mut self, reference: &str) -> Result<(), String> {
        let Some(index) = (self.images.iter()).position(|image| image.is_named(reference)) else {
            return Ok(());
        };
        let id = self.images[index].id.clone();
        let is_used = self.containers.iter().any(|c| c.image_id == id);
        if is_used && self.images[index].has_one_name() {
            return Err("a container is using its referenced image".to_owned());
        }
        let image = &mut self.images[index];
        let was_tag = image.tags.remove(reference);
        let of = repository(reference);
        let has_tag = image.tags.iter().any(|tag| repository(tag) == of);
        Arc::make_mut(&mut image.image)
            .repo_digests
            .retain(|digest| {
                digest != reference && (!was_tag || has_tag || repository(digest) != of)
            });
        if image.tags.is_empty() && image.image.repo_digests.is_empty() && !is_used {
            self.images.remove(index);
        }
        Ok(())
    }

    /// Names of the files directly in a folder of an image.
    pub(crate) fn files_of(&self, image: &SimImage, folder: &str) -> Vec<String> {
        let setting = &self.setting;
        let is_new = image.version == Some(Version::B);
        let versions: Vec<&String> = match folder.trim_end_matches('/') {
            "/etc" => return vec!["passwd".to_owned()],
            _ if image.version.is_none() => Vec::new(),
            inside if inside == format!("{APP}/db/migrate") => {
                let pre = setting.pre.iter().filter(|_| is_new);
                setting.base.iter().chain(pre).collect()
            }
            inside if inside == format!("{APP}/db/post_migrate") => {
                setting.post.iter().filter(|_| is_new).collect()
            }
            _ => Vec::new(),
        };
        let names = versions
            .into_iter()
            .map(|version| format!("{version}_x.rb"));
        names.collect()
    }
}
