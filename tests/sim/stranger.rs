//! People and programs that meddle with the host in the middle of a run.

use mastopatch::domain::plan::Role;
use mastopatch::ports::files::MANIFEST;
use mastopatch::ports::runtime::ContainerSpec;
use serde_json::{Value, json};

use super::data::REDIS;
use super::engine::{Program, SimContainer};
use super::files::sealed;
use super::fixture::EARLIER;
use super::world::{COMPOSE_FILE, Version, World};

/// Something that somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    /// Starts an old container.
    StartsOld,
    /// Gives a container of the run another name.
    RenamesNew,
    /// Gives an old container another name.
    RenamesOld,
    /// Removes a container of the run, running or not.
    RemovesNew,
    /// Removes an old container if it does not run.
    RemovesOld,
    /// `docker container prune`.
    PrunesContainers,
    /// `docker image prune --all`.
    PrunesImages,
    /// Edits the Compose file.
    EditsFile,
    /// `docker compose up` of web, after its owner wrote this version's tag into the Compose file.
    ComposesUp(Version),
    /// Stops the database; its policy does not start it again.
    StopsDatabase,
    /// Sets the wall clock forward by so many minutes, or back.
    SetsClock(i32),
    /// Asks the process to stop (SIGTERM).
    AsksToStop,
    /// The mails cannot be written.
    SilencesReporter,
    /// Does something to the run's finished snapshot. Not by chance: nothing is owed to a run whose copy was spoilt, but that it
    /// is not used.
    SpoilsSnapshot(Spoilt),
}

/// What was done to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spoilt {
    /// Its manifest names another instance.
    OtherInstance,
    /// Its manifest names another version.
    OtherVersion,
    /// Its manifest says that it was taken by the other method.
    OtherMethod,
    /// An older run's manifest and files lie in its place.
    OlderRun,
    /// A bit of a file is another.
    Flipped,
    /// A file is half as long.
    Cut,
    /// A file is gone.
    Lacking,
}

impl Spoilt {
    pub(crate) const ALL: [Self; 7] = [
        Self::OtherInstance,
        Self::OtherVersion,
        Self::OtherMethod,
        Self::OlderRun,
        Self::Flipped,
        Self::Cut,
        Self::Lacking,
    ];
}

impl Deed {
    /// What may happen by chance.
    pub(crate) const ALL: [Self; 15] = [
        Self::StartsOld,
        Self::RenamesNew,
        Self::RenamesOld,
        Self::RemovesNew,
        Self::RemovesOld,
        Self::PrunesContainers,
        Self::PrunesImages,
        Self::EditsFile,
        Self::StopsDatabase,
        Self::SetsClock(180),
        Self::SetsClock(-90),
        Self::AsksToStop,
        Self::SilencesReporter,
        Self::ComposesUp(Version::A),
        Self::ComposesUp(Version::B),
    ];

    /// Whether it may let people in.
    pub(crate) fn opens(self) -> bool {
        matches!(self, Self::StartsOld | Self::ComposesUp(_))
    }

    /// Whether it takes away or opens what the run depends on, so that a run may be held and need a person.
    pub(crate) fn is_interference(self) -> bool {
        match self {
            Self::StartsOld
            | Self::RenamesNew
            | Self::RenamesOld
            | Self::RemovesNew
            | Self::RemovesOld
            | Self::PrunesContainers
            | Self::PrunesImages
            | Self::EditsFile
            | Self::ComposesUp(_)
            | Self::StopsDatabase
            | Self::SpoilsSnapshot(_) => true,
            Self::SetsClock(_) | Self::AsksToStop | Self::SilencesReporter => false,
        }
    }
}

impl World {
    fn spoil_snapshot(&mut self, how: Spoilt) {
        let dir = sealed(self);
        let file = dir.join(REDIS[0]);
        let bytes = self.disk.read(&file).unwrap().to_vec();
        match how {
            Spoilt::OtherInstance => self.edit_manifest("instance", &json!("other.example")),
            Spoilt::OtherVersion => self.edit_manifest("version", &json!("4.4.0")),
            Spoilt::OtherMethod => {
                let is_clone = self.manifest()["original"].is_string();
                let other = if is_clone {
                    Value::Null
                } else {
                    json!("somebodys")
                };
                self.edit_manifest("original", &other);
            }
            Spoilt::OlderRun => {
                let older = dir.with_file_name(EARLIER[1].0);
                for (path, is_folder) in self.disk.below(&dir).unwrap() {
                    if !is_folder {
                        self.disk.remove_file(&dir.join(path)).unwrap();
                    }
                }
                for (path, is_folder) in self.disk.below(&older).unwrap() {
                    if !is_folder {
                        let bytes = self.disk.read(&older.join(&path)).unwrap();
                        let name = path.strip_prefix(&older).unwrap_or(&path);
                        self.disk.put(&dir.join(name), &bytes);
                    }
                }
            }
            Spoilt::Flipped => {
                let mut other = bytes;
                other[3] ^= 1;
                self.disk.put(&file, &other);
            }
            Spoilt::Cut => self.disk.put(&file, &bytes[..bytes.len() / 2]),
            Spoilt::Lacking => self.disk.remove_file(&file).unwrap(),
        }
        self.disk.sync_all();
    }

    fn manifest(&self) -> Value {
        let bytes = self.disk.read(&sealed(self).join(MANIFEST)).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn edit_manifest(&mut self, key: &str, value: &Value) {
        let mut manifest = self.manifest();
        manifest[key] = value.clone();
        let text = serde_json::to_vec(&manifest).unwrap();
        let path = sealed(self).join(MANIFEST);
        self.disk.put(&path, &text);
    }

    /// Does it; a stop is asked for by the caller.
    pub(crate) fn meddle(&mut self, deed: Deed) {
        let serves = |c: &SimContainer| {
            matches!(
                c.program,
                Program::Web | Program::Streaming | Program::Sidekiq
            )
        };
        let (from, to) = (self.setting.from, self.setting.to);
        let old = |c: &SimContainer| serves(c) && c.version == Some(from);
        let new = |c: &SimContainer| serves(c) && c.version == Some(to);
        let find = |world: &Self, wanted: &dyn Fn(&SimContainer) -> bool| {
            let found = world.containers.iter().find(|c| wanted(c));
            found.map(|c| c.id.clone())
        };
        let mut did = true;
        match deed {
            Deed::StartsOld => match find(self, &|c| old(c) && !c.running) {
                Some(id) => did = self.start(&id).is_ok(),
                None => did = false,
            },
            Deed::RenamesNew => match find(self, &new) {
                Some(id) => self.rename(&id, "somebodys_new"),
                None => did = false,
            },
            Deed::RenamesOld => match find(self, &old) {
                Some(id) => self.rename(&id, "somebodys_old"),
                None => did = false,
            },
            Deed::RemovesNew => match find(self, &new) {
                Some(id) => self.remove(&id),
                None => did = false,
            },
            Deed::RemovesOld => match find(self, &|c| old(c) && !c.running) {
                Some(id) => self.remove(&id),
                None => did = false,
            },
            Deed::PrunesContainers => {
                let before = self.containers.len();
                self.containers.retain(|c| c.running);
                did = before != self.containers.len();
            }
            Deed::PrunesImages => {
                let used: Vec<_> = self.containers.iter().map(|c| c.image_id.clone()).collect();
                let before = self.images.len();
                self.images.retain(|image| used.contains(&image.id));
                did = before != self.images.len();
            }
            Deed::EditsFile => {
                // As a good editor does, durably.
                let text = format!("{}# edited\n", self.compose_text());
                self.disk.put(COMPOSE_FILE.as_ref(), text.as_bytes());
                self.disk.sync(COMPOSE_FILE.as_ref()).unwrap();
                self.edited = true;
            }
            Deed::StopsDatabase => match find(self, &|c| c.program == Program::Postgres) {
                Some(id) => self.stop(&id),
                None => did = false,
            },
            Deed::ComposesUp(version) => did = self.composes_up(version),
            Deed::SetsClock(minutes) => self.wall_offset_ms += i64::from(minutes) * 60_000,
            Deed::SilencesReporter => self.silent = true,
            Deed::AsksToStop => {}
            Deed::SpoilsSnapshot(how) => self.spoil_snapshot(how),
        }
        if did && deed.is_interference() {
            self.interfered.push(deed);
        }
        if !did {
            self.n_faults -= 1;
        }
    }

    /// Whether anybody may have let people in.
    pub(crate) fn was_opened_by_others(&self) -> bool {
        self.interfered.iter().any(|deed| deed.opens())
    }

    /// Makes web anew with the image of a version, in all its networks, in place of a container that does not run.
    fn composes_up(&mut self, version: Version) -> bool {
        let Some(plan) = self.begun.clone() else {
            return false;
        };
        let Some(web) = plan.services.iter().find(|it| it.role == Role::Web) else {
            return false;
        };
        let image = &plan.images[0];
        let image = match version {
            Version::A => &image.from_reference,
            Version::B => &image.to_reference,
        };
        if self.image_named(image).is_none() {
            return false;
        }
        if let Some(there) = self.containers.iter().find(|c| *c.name == *web.container) {
            // Compose lets alone what is as it should be, and our own it cannot tell from its own.
            if there.running {
                return false;
            }
            let id = there.id.clone();
            self.remove(&id);
        }
        let networks = web.private_networks.iter().chain(&web.public_networks);
        let endpoints: serde_json::Map<_, _> =
            networks.map(|name| (name.clone(), json!({}))).collect();
        let spec = ContainerSpec {
            body: json!({
                "Image": image, "Cmd": ["bundle", "exec", "puma"],
                "Labels": {
                    "com.docker.compose.project": "mastodon", "com.docker.compose.service": web.service,
                    "com.docker.compose.oneoff": "False",
                },
                "HostConfig": {"RestartPolicy": {"Name": "always"}},
                "NetworkingConfig": {"EndpointsConfig": endpoints},
            }),
            more_networks: Vec::new(),
        };
        let Ok(id) = self.create(&web.container, &spec, true) else {
            return false;
        };
        self.start(&id).is_ok()
    }
}
