//! Images: on this host and in the registry.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use serde_json::Value;

use super::convert::{self, familiar, split_tag, text};
use super::wire::{WireError, escaped, image_path};
use super::{CALL_LIMIT, Engine, stream_error};
use crate::ports::runtime::{Image, PullProgress, RemoteImage, RuntimeError, RuntimeResult};

impl Engine {
    pub(super) async fn find_image(&self, reference: &str) -> RuntimeResult<Option<Image>> {
        let path = format!("/images/{}/json", image_path(reference));
        match self.wire.get(&path, CALL_LIMIT).await {
            Ok(raw) => Ok(convert::image(raw)),
            Err(err) if err.status() == Some(404) => Ok(None),
            Err(err) => Err(self.asking(format!("describe image `{reference}`"), err)),
        }
    }

    pub(super) async fn remote_image(&self, reference: &str) -> RuntimeResult<RemoteImage> {
        let path = format!("/distribution/{}/json", image_path(reference));
        let said = self
            .wire
            .get(&path, CALL_LIMIT)
            .await
            .map_err(|err| self.registry_error(reference, err))?;
        let digest = text(&said, "/Descriptor/digest");
        if digest.is_empty() {
            let err = WireError::Nonsense("it names no digest".to_owned());
            return Err(self.asking(format!("look up `{reference}`"), err));
        }
        let mut platforms: Vec<String> = said
            .pointer("/Platforms")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|p| {
                convert::platform(
                    &text(p, "/os"),
                    &text(p, "/architecture"),
                    &text(p, "/variant"),
                )
            })
            // Attestations are listed beside the images, as platform "unknown".
            .filter(|platform| platform.len() > 1 && !platform.starts_with("unknown"))
            .collect();
        platforms.sort();
        platforms.dedup();
        Ok(RemoteImage { digest, platforms })
    }

    pub(super) async fn pull(
        &self,
        repository: &str,
        digest: &str,
        limit: Duration,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> RuntimeResult<Image> {
        let reference = format!("{repository}@{digest}");
        if let Some(image) = self.find_image(&reference).await? {
            return Ok(image);
        }
        tokio::time::timeout(limit, self.follow_pull(repository, digest, progress))
            .await
            .unwrap_or_else(|_elapsed| {
                Err(RuntimeError::TimedOut {
                    action: format!("fetching `{reference}`"),
                    limit,
                })
            })?;
        let image = self.find_image(&reference).await?;
        let named = format!("{}@{digest}", familiar(repository));
        image
            .filter(|image| {
                image.repo_digests.iter().any(|found| {
                    let (name, digest) = found.split_once('@').unwrap_or((found, ""));
                    format!("{}@{digest}", familiar(name)) == named
                })
            })
            .ok_or_else(|| RuntimeError::Engine {
                action: format!("fetch `{reference}`"),
                source: Box::new(WireError::Nonsense(
                    "it said it was done, and no image of that digest is here".to_owned(),
                )),
            })
    }

    async fn follow_pull(
        &self,
        repository: &str,
        digest: &str,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> RuntimeResult<()> {
        let options = CreateImageOptionsBuilder::default()
            .from_image(repository)
            .tag(digest)
            .build();
        let mut lines = self.docker.create_image(Some(options), None, None);
        let mut layers = Layers::default();
        while let Some(line) = lines.next().await {
            let line = line.map_err(|err| {
                self.registry_error(&format!("{repository}@{digest}"), stream_error(err))
            })?;
            let detail = line.progress_detail.unwrap_or_default();
            let bytes = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
            if layers.heard(
                line.id.as_deref().unwrap_or_default(),
                line.status.as_deref().unwrap_or_default(),
                bytes(detail.current),
                bytes(detail.total),
            ) {
                progress(layers.progress());
            }
        }
        Ok(())
    }

    /// Sorts what the engine says about a registry. It has one status for many causes and puts the
    /// registry's own words into the message, so those decide.
    fn registry_error(&self, reference: &str, err: WireError) -> RuntimeError {
        let (image, action) = (reference.to_owned(), format!("fetch `{reference}`"));
        let WireError::Status { code, message } = &err else {
            return self.changing(action, err);
        };
        let said = message.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if has(&["no space left", "disk quota", "read-only file system"]) || *code == 400 {
            self.asking(action, err)
        } else if has(&["toomanyrequests", "too many requests", "rate limit"]) {
            RuntimeError::Registry {
                image,
                source: Box::new(err),
            }
        } else if matches!(code, 401 | 403 | 404)
            || has(&[
                "manifest unknown",
                "not found",
                "no matching manifest",
                "denied",
            ])
        {
            RuntimeError::NoSuchImage {
                image,
                source: Box::new(err),
            }
        } else {
            RuntimeError::Registry {
                image,
                source: Box::new(err),
            }
        }
    }

    pub(super) async fn tag(&self, id: &str, reference: &str) -> RuntimeResult<()> {
        if self.is_tagged(id, reference).await? {
            return Ok(());
        }
        let (repository, tag) = split_tag(reference);
        let path = format!(
            "/images/{}/tag?repo={}&tag={}",
            image_path(id),
            escaped(repository),
            escaped(tag)
        );
        match self.wire.post(&path, None, CALL_LIMIT).await {
            Ok(_) => Ok(()),
            Err(err) if err.status() == Some(404) => Err(RuntimeError::NotFound {
                what: "image",
                name: id.to_owned(),
            }),
            Err(err) if err.is_open() && self.is_tagged(id, reference).await? => Ok(()),
            Err(err) => Err(self.changing(format!("tag image {id} as `{reference}`"), err)),
        }
    }

    async fn is_tagged(&self, id: &str, reference: &str) -> RuntimeResult<bool> {
        let found = self.find_image(reference).await?;
        Ok(found.is_some_and(|image| image.id == id))
    }

    /// Without force: the engine refuses to take the last name of an image that a container uses,
    /// where with force it would take the image away from a stopped container.
    pub(super) async fn untag(&self, reference: &str) -> RuntimeResult<()> {
        let path = format!("/images/{}", image_path(reference));
        match self.wire.delete(&path, CALL_LIMIT).await {
            Ok(_) => Ok(()),
            Err(err) if err.status() == Some(404) => Ok(()),
            Err(err) if err.is_open() && self.find_image(reference).await?.is_none() => Ok(()),
            Err(err) => Err(self.changing(format!("take the name `{reference}` away"), err)),
        }
    }
}

/// What a pull has told of its layers.
#[derive(Debug, Default)]
struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    /// Takes one line in; whether the sum has changed.
    fn heard(&mut self, id: &str, status: &str, current: Option<u64>, total: Option<u64>) -> bool {
        if id.is_empty() {
            return false;
        }
        match (status, current, total) {
            ("Downloading", Some(current), total) => {
                let layer = self.0.entry(id.to_owned()).or_default();
                layer.0 = current;
                layer.1 = total.unwrap_or_default().max(layer.1).max(current);
                true
            }
            ("Download complete" | "Pull complete" | "Already exists", _, _) => {
                let layer = self.0.entry(id.to_owned()).or_default();
                let changed = layer.0 != layer.1;
                layer.0 = layer.1;
                changed
            }
            _ => false,
        }
    }

    fn progress(&self) -> PullProgress {
        PullProgress {
            done: self.0.values().map(|layer| layer.0).sum(),
            total: self.0.values().map(|layer| layer.1).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_sum_of_the_layers() {
        let mut layers = Layers::default();
        assert!(layers.heard("a", "Downloading", Some(10), Some(100)));
        assert!(layers.heard("b", "Downloading", Some(5), Some(50)));
        assert_eq!(
            layers.progress(),
            PullProgress {
                done: 15,
                total: 150
            }
        );
        assert!(!layers.heard("a", "Verifying Checksum", None, None));
        assert!(layers.heard("a", "Download complete", None, None));
        assert!(!layers.heard("a", "Pull complete", None, None));
        assert!(!layers.heard("c", "Already exists", None, None));
        assert!(!layers.heard("", "Digest: sha256:1", None, None));
        assert_eq!(
            layers.progress(),
            PullProgress {
                done: 105,
                total: 150
            }
        );
    }
}
