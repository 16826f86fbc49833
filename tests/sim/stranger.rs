//! People and programs that meddle with the host in the middle of a run.

use super::engine::{Program, SimContainer};
use super::world::{COMPOSE_FILE, World};

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
    /// Stops the database; its policy does not start it again.
    StopsDatabase,
    /// Sets the wall clock forward by so many minutes, or back.
    SetsClock(i32),
    /// Asks the process to stop (SIGTERM).
    AsksToStop,
    /// The mails cannot be written.
    SilencesReporter,
}

impl Deed {
    /// What may happen by chance.
    pub(crate) const ALL: [Self; 13] = [
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
    ];

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
            | Self::StopsDatabase => true,
            Self::SetsClock(_) | Self::AsksToStop | Self::SilencesReporter => false,
        }
    }
}

impl World {
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
            Deed::SetsClock(minutes) => self.wall_offset_ms += i64::from(minutes) * 60_000,
            Deed::SilencesReporter => self.silent = true,
            Deed::AsksToStop => {}
        }
        if did && deed.is_interference() {
            self.interfered.push(deed);
        }
        if !did {
            self.n_faults -= 1;
        }
    }
}
