//! Which bytes to change so that services run other images, and the proof that nothing else changes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::env::{self, Entry};
use super::template::{self, Origin, Piece};
use super::users;
use super::write::failed;
use super::yaml::{self, Scalar, Service};
use crate::ports::compose::{ComposeError, FileEdit, ProjectFiles};

/// How far `extends` is followed inside a file; Compose itself refuses circles.
const EXTENDS_MAX: usize = 16;

/// A project's files as they are, and what they say.
#[derive(Debug)]
pub(super) struct Project {
    name: String,
    working_dir: PathBuf,
    files: Vec<ComposeFile>,
    env: Option<EnvFile>,
}

#[derive(Debug)]
struct ComposeFile {
    path: PathBuf,
    text: String,
    services: BTreeMap<String, Service>,
}

#[derive(Debug)]
struct EnvFile {
    path: PathBuf,
    text: String,
    entries: Vec<Entry>,
}

/// Where the image of a service comes from.
#[derive(Debug, Clone, Copy)]
struct Site<'a> {
    file: usize,
    path: &'a Path,
    image: &'a Scalar,
}

/// Bytes to replace. The file is its index, or the environment file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    file: Option<usize>,
    start: usize,
    end: usize,
}

/// What to write at a place, and for which service.
#[derive(Debug, Clone)]
struct Change {
    text: String,
    service: String,
    variable: Option<String>,
}

impl Project {
    /// Reads every file of the project.
    pub(super) fn load(files: &ProjectFiles) -> Result<Self, ComposeError> {
        let mut texts = Vec::new();
        for path in &files.config_files {
            let text = fs::read_to_string(path).map_err(|err| failed("read", path, err))?;
            texts.push((path.clone(), text));
        }
        let path = super::env_file(files);
        let env = match fs::read_to_string(&path) {
            Ok(text) => Some((path, text)),
            Err(err) if err.kind() == io::ErrorKind::NotFound && files.env_file.is_none() => None,
            Err(err) => return Err(failed("read", &path, err)),
        };
        Self::parse(&files.project, &files.working_dir, texts, env)
    }

    fn parse(
        name: &str,
        working_dir: &Path,
        texts: Vec<(PathBuf, String)>,
        env: Option<(PathBuf, String)>,
    ) -> Result<Self, ComposeError> {
        let files = texts
            .into_iter()
            .map(|(path, text)| match yaml::services(&text) {
                Ok(services) => Ok(ComposeFile {
                    path,
                    text,
                    services,
                }),
                Err(reason) => Err(ComposeError::Syntax { path, reason }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            working_dir: working_dir.to_owned(),
            files,
            env: env.map(|(path, text)| EnvFile {
                entries: env::entries(&text),
                path,
                text,
            }),
        })
    }

    /// The edits that make each service run its image, and nothing else run another.
    pub(super) fn edits(
        &self,
        images: &BTreeMap<String, String>,
    ) -> Result<Vec<FileEdit>, ComposeError> {
        let values = self.values();
        let mut changes: BTreeMap<Place, Change> = BTreeMap::new();
        for (service, wanted) in images {
            let site = self.site_of(service)?;
            let Some((place, change)) = self.change(service, wanted, site, &values)? else {
                continue;
            };
            match changes.get(&place) {
                Some(other) if other.text != change.text => {
                    let reason = format!(
                        "it is written in one place for `{service}` and `{}`, which are to run different tags; write them separately",
                        other.service
                    );
                    return Err(uneditable(service, site, reason));
                }
                Some(_) | None => {
                    changes.insert(place, change);
                }
            }
        }
        for change in changes.values() {
            if let Some(variable) = &change.variable {
                self.only_images_use(variable, &change.service, images)?;
            }
        }
        let after = self.changed(&changes)?;
        self.prove(&after, images)?;
        Ok(self.file_edits(&after))
    }

    fn values(&self) -> BTreeMap<String, String> {
        self.env
            .as_ref()
            .map(|env| env::values(&env.entries))
            .unwrap_or_default()
    }

    /// Where the service's image is written: the last file that gives one counts.
    fn site_of(&self, service: &str) -> Result<Site<'_>, ComposeError> {
        if let Some(site) = self.find_site(service, EXTENDS_MAX) {
            return Ok(site);
        }
        let said = self.files.iter().rev().find_map(|file| {
            let said = file.services.get(service)?;
            let line = said
                .build
                .map(|line| (line, "it is only built here (`build`); give it an `image`"));
            let line = line.or(said.extends.as_ref().map(|(line, _)| {
                (
                    *line,
                    "it comes from another file (`extends`); give the service its own `image`",
                )
            }));
            line.map(|(line, reason)| (file, line, reason))
        });
        Err(match said {
            Some((file, line, reason)) => ComposeError::Uneditable {
                path: file.path.clone(),
                line,
                service: service.to_owned(),
                reason: reason.to_owned(),
            },
            None => ComposeError::NoSuchService {
                project: self.name.clone(),
                service: service.to_owned(),
            },
        })
    }

    fn find_site(&self, service: &str, depth: usize) -> Option<Site<'_>> {
        let own = self.files.iter().enumerate().rev().find_map(|(idx, file)| {
            Some(Site {
                file: idx,
                path: &file.path,
                image: file.services.get(service)?.image.as_ref()?,
            })
        });
        own.or_else(|| {
            let extended = self.files.iter().rev().find_map(|file| {
                let (_, extended) = file.services.get(service)?.extends.as_ref()?;
                extended.as_deref()
            })?;
            self.find_site(extended, depth.checked_sub(1)?)
        })
    }

    /// What to change for one service; nothing if it runs that image already.
    fn change(
        &self,
        service: &str,
        wanted: &str,
        site: Site<'_>,
        values: &BTreeMap<String, String>,
    ) -> Result<Option<(Place, Change)>, ComposeError> {
        let no = |reason: String| Err(uneditable(service, site, reason));
        if !template::is_reference(wanted) {
            return no(format!("`{wanted}` is no image reference"));
        }
        let pieces = match template::parse(&site.image.value) {
            Ok(pieces) => pieces,
            Err(reason) => return no(format!("{reason}; write the tag out")),
        };
        if template::resolved(&pieces, values) == wanted {
            return Ok(None);
        }
        let is_literal = matches!(pieces.as_slice(), [Piece::Literal { .. }]);
        let (new, origin) = if is_literal {
            (wanted.to_owned(), Origin::Text(0..site.image.value.len()))
        } else {
            match template::one_piece(&pieces, wanted, values) {
                Ok(found) => found,
                Err(reason) => return no(reason),
            }
        };
        let change = |variable| Change {
            text: new.clone(),
            service: service.to_owned(),
            variable,
        };
        match origin {
            Origin::Text(at) => {
                let Some(scalar) = &site.image.at else {
                    return no(
                        "it is folded, escaped or empty; write `image: REPOSITORY:TAG` on one line"
                            .to_owned(),
                    );
                };
                let place = Place {
                    file: Some(site.file),
                    start: scalar.start + at.start,
                    end: scalar.start + at.end,
                };
                Ok(Some((place, change(None))))
            }
            Origin::EnvFile(name) => {
                let entry = self
                    .env
                    .iter()
                    .flat_map(|env| env.entries.iter().rev())
                    .find(|entry| entry.name == name);
                let Some(entry) = entry.filter(|entry| entry.is_plain) else {
                    return no(format!(
                        "the value of `{name}` in the environment file has variables or escapes in it; write it out"
                    ));
                };
                let place = Place {
                    file: None,
                    start: entry.at.start,
                    end: entry.at.end,
                };
                Ok(Some((place, change(Some(name)))))
            }
            Origin::Process(name) => no(format!(
                "`{name}` is in no environment file, so it comes from the environment that Compose is started in; write it into `.env`"
            )),
        }
    }

    /// A variable that something else uses too cannot be changed without changing that.
    fn only_images_use(
        &self,
        variable: &str,
        service: &str,
        images: &BTreeMap<String, String>,
    ) -> Result<(), ComposeError> {
        let site = self.site_of(service)?;
        for file in &self.files {
            let tree = yaml::tree(&file.text).map_err(|reason| ComposeError::Syntax {
                path: file.path.clone(),
                reason,
            })?;
            let users = users::of(variable, &tree);
            let other = users.iter().find(|user| match user.as_slice() {
                [services, name, image] if services == "services" && image == "image" => {
                    !images.contains_key(name)
                }
                // What a merge or an alias makes of it is seen where it is used.
                [top, ..] => !top.starts_with("x-"),
                [] => false,
            });
            if let Some(other) = other {
                let reason = format!(
                    "`{variable}` is also used at `{}` of {}; write the tag out, or use another variable there",
                    other.join("."),
                    file.path.display()
                );
                return Err(uneditable(service, site, reason));
            }
            let Some(env) = &self.env else { continue };
            let given = file.services.iter().find(|(_, service)| {
                let files = service.env_files.iter();
                files
                    .map(|path| self.working_dir.join(path))
                    .any(|path| path == env.path)
            });
            if let Some((name, _)) = given {
                let reason = format!(
                    "`{variable}` is set in {}, which service `{name}` also gets as its `env_file`, so a change there changes that service; write the tag out",
                    env.path.display()
                );
                return Err(uneditable(service, site, reason));
            }
        }
        Ok(())
    }

    /// The project with the changes made.
    fn changed(&self, changes: &BTreeMap<Place, Change>) -> Result<Self, ComposeError> {
        let of = |text: &str, file: Option<usize>| {
            let mut text = text.to_owned();
            // From the end, so that the places before stay where they are.
            for (place, change) in changes.iter().rev().filter(|(place, _)| place.file == file) {
                let range: Range<usize> = place.start..place.end;
                if text.get(range.clone()).is_some() {
                    text.replace_range(range, &change.text);
                }
            }
            text
        };
        let texts = self.files.iter().enumerate();
        let texts = texts.map(|(idx, file)| (file.path.clone(), of(&file.text, Some(idx))));
        let env = self.env.as_ref();
        Self::parse(
            &self.name,
            &self.working_dir,
            texts.collect(),
            env.map(|env| (env.path.clone(), of(&env.text, None))),
        )
    }

    /// The proof: read again, every wanted service runs its image and every other one what it ran.
    fn prove(&self, after: &Self, images: &BTreeMap<String, String>) -> Result<(), ComposeError> {
        let (before, now) = (self.effective(), after.effective());
        for (service, old) in &before {
            let wanted = images.get(service).unwrap_or(old);
            let new = now.get(service);
            if new == Some(wanted) {
                continue;
            }
            let site = self.site_of(service)?;
            let reason = match images.get(service) {
                Some(_) => {
                    "the change would not have taken; write `image: REPOSITORY:TAG` on one line"
                        .to_owned()
                }
                None => format!(
                    "service `{service}` is not being updated and takes its image from the same place; give it its own"
                ),
            };
            let service = images.keys().next().map_or("", String::as_str);
            return Err(uneditable(service, site, reason));
        }
        Ok(())
    }

    /// The image of each service that has one.
    fn effective(&self) -> BTreeMap<String, String> {
        let values = self.values();
        let mut images = BTreeMap::new();
        for service in self.files.iter().flat_map(|file| file.services.keys()) {
            if let Some(site) = self.find_site(service, EXTENDS_MAX) {
                let value = &site.image.value;
                let resolved = template::parse(value).map_or_else(
                    |_| value.clone(),
                    |pieces| template::resolved(&pieces, &values),
                );
                images.insert(service.clone(), resolved);
            }
        }
        images
    }

    fn file_edits(&self, after: &Self) -> Vec<FileEdit> {
        let edit = |path: &Path, before: &str, after: &str| {
            (before != after).then(|| FileEdit {
                path: path.to_owned(),
                before: before.to_owned(),
                after: after.to_owned(),
            })
        };
        let files = self.files.iter().zip(&after.files);
        let files = files.filter_map(|(old, new)| edit(&old.path, &old.text, &new.text));
        let envs = self.env.iter().zip(&after.env);
        let envs = envs.filter_map(|(old, new)| edit(&old.path, &old.text, &new.text));
        files.chain(envs).collect()
    }
}

fn uneditable(service: &str, site: Site<'_>, reason: String) -> ComposeError {
    ComposeError::Uneditable {
        path: site.path.to_owned(),
        line: site.image.line,
        service: service.to_owned(),
        reason,
    }
}
