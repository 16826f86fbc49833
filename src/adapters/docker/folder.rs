//! The files of a folder inside an image, without starting anything.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path};

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::StreamExt;
use serde_json::json;

use super::convert::text;
use super::exec::short;
use super::wire::{WireError, escaped};
use super::{CALL_LIMIT, Engine, stream_error};
use crate::ports::runtime::{RuntimeError, RuntimeResult};

/// Bytes of one folder taken out of an image. `db/migrate` of Mastodon has about 1 MB.
const FOLDER_MAX: usize = 64 << 20;

impl Engine {
    pub(super) async fn list_files(
        &self,
        id: &str,
        path: &str,
        labels: &BTreeMap<String, String>,
    ) -> RuntimeResult<Vec<String>> {
        let action = format!("read folder {path} of image {id}");
        let body = json!({
            "Image": id, "Labels": labels,
            // Never run; an image without a command cannot be created without one.
            "Entrypoint": [], "Cmd": ["/"],
            "HostConfig": {"NetworkMode": "none"},
        });
        let made = match self
            .wire
            .post("/containers/create", Some(&body), CALL_LIMIT)
            .await
        {
            Ok(made) => made,
            Err(err) if err.status() == Some(404) => {
                return Err(RuntimeError::NotFound {
                    what: "image",
                    name: id.to_owned(),
                });
            }
            // One that was made all the same carries the labels, by which it is found.
            Err(err) => return Err(self.changing(action, err)),
        };
        let container = text(&made, "/Id");
        let listed = self.archived_names(&container, path, &action).await;
        // With its volumes: none but the empty ones that were made with it.
        let gone = self
            .wire
            .delete(
                &format!("/containers/{}?force=1&v=1", escaped(&container)),
                CALL_LIMIT,
            )
            .await;
        let names = listed?;
        match gone {
            Ok(_) => Ok(names),
            Err(err) if err.status() == Some(404) => Ok(names),
            Err(err) => Err(self.changing(format!("remove container {container}"), err)),
        }
    }

    pub(super) async fn list_files_of(&self, id: &str, path: &str) -> RuntimeResult<Vec<String>> {
        let action = format!("read folder {path} of container {}", short(id));
        self.archived_names(id, path, &action).await
    }

    async fn archived_names(
        &self,
        container: &str,
        path: &str,
        action: &str,
    ) -> RuntimeResult<Vec<String>> {
        // The dot makes the engine follow a link that the last part of the path may be.
        let path = format!("{}/.", path.trim_end_matches('/'));
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(&path)
            .build();
        let mut archive = Vec::new();
        let mut chunks = self
            .docker
            .download_from_container(&escaped(container), Some(options));
        let read = async {
            while let Some(chunk) = chunks.next().await {
                match chunk.map_err(stream_error) {
                    Ok(chunk) if archive.len() + chunk.len() <= FOLDER_MAX => {
                        archive.extend_from_slice(&chunk);
                    }
                    Ok(_) => {
                        let err = WireError::Nonsense(format!("more than {FOLDER_MAX} bytes"));
                        return Err(self.asking(action, err));
                    }
                    // Said of a folder that is not there, and of a container that is not there.
                    Err(err) if err.status() == Some(404) => {
                        let gone = self.container_error("read a folder of", container, err);
                        let is_gone = matches!(gone, RuntimeError::NotFound { .. });
                        return if is_gone { Err(gone) } else { Ok(()) };
                    }
                    Err(err) => return Err(self.asking(action, err)),
                }
            }
            Ok(())
        };
        tokio::time::timeout(CALL_LIMIT, read)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(RuntimeError::TimedOut {
                    action: action.to_owned(),
                    limit: CALL_LIMIT,
                })
            })?;
        direct_files(archive.as_slice()).map_err(|err| RuntimeError::Engine {
            action: action.to_owned(),
            source: Box::new(err),
        })
    }
}

/// Names of the files (and links) that lie directly in the archived folder, sorted.
fn direct_files(archive: impl Read) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let path = entry.path()?;
        if let Some(name) = direct_name(&path) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// `./NAME` or `FOLDER/NAME` gives `NAME`; anything deeper gives nothing.
fn direct_name(path: &Path) -> Option<String> {
    let mut parts = path.components();
    match (parts.next()?, parts.next()?, parts.next()) {
        (Component::CurDir | Component::Normal(_), Component::Normal(name), None) => {
            Some(name.to_string_lossy().into_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_directly_in_the_folder_are_named() {
        let mut tar = tar::Builder::new(Vec::new());
        for name in [
            "migrate/",
            "migrate/b.rb",
            "migrate/a.rb",
            "migrate/old/c.rb",
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.set_entry_type(if name.ends_with('/') {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            header.set_path(name).unwrap();
            header.set_cksum();
            tar.append(&header, std::io::empty()).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        assert_eq!(direct_files(bytes.as_slice()).unwrap(), ["a.rb", "b.rb"]);
        assert_eq!(direct_name(Path::new("./x")), Some("x".to_owned()));
        assert_eq!(direct_name(Path::new("./y/x")), None);
    }
}
