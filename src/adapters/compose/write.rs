//! Replacing a file as a whole: afterwards it has the old text or the new one, never a part.

use std::io;
use std::path::{Path, PathBuf};

use crate::adapters::disk::Disk;
use crate::ports::compose::{ComposeError, FileEdit, FileState};

/// Which of the two texts the file holds now.
pub(super) fn state(disk: &impl Disk, edit: &FileEdit) -> Result<FileState, ComposeError> {
    match disk.read(&edit.path) {
        Ok(found) if found == edit.after.as_bytes() => Ok(FileState::After),
        Ok(found) if found == edit.before.as_bytes() => Ok(FileState::Before),
        Ok(_) => Ok(FileState::Other),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(FileState::Missing),
        Err(err) => Err(failed("read", &edit.path, err)),
    }
}

/// Makes the file hold `text`, for good. A link is followed: the file it points to is replaced.
pub(super) fn replace(disk: &impl Disk, path: &Path, text: &str) -> Result<(), ComposeError> {
    let places = Places::of(disk, path)?;
    let written = places.remove_beside(disk).and_then(|()| {
        disk.write_new(&places.beside, text.as_bytes(), Some(&places.target))?;
        disk.rename(&places.beside, &places.target)?;
        // The new name is on disk only with its folder.
        disk.sync(&places.folder)
    });
    written.map_err(|err| {
        // Only ours can be there; if it cannot be removed, the next attempt will.
        drop(disk.remove_file(&places.beside));
        failed("write", &places.target, err)
    })
}

/// Finishes a replacement that was cut off, however far it came: what the file holds stays, for good, and
/// nothing is left beside it.
pub(super) fn settle(disk: &impl Disk, path: &Path) -> Result<(), ComposeError> {
    let places = Places::of(disk, path)?;
    let settled = places.remove_beside(disk).and_then(|()| {
        disk.sync(&places.target)?;
        disk.sync(&places.folder)
    });
    settled.map_err(|err| failed("synchronise", &places.target, err))
}

/// A file, its folder, and where its next text is written.
struct Places {
    target: PathBuf,
    folder: PathBuf,
    beside: PathBuf,
}

impl Places {
    fn of(disk: &impl Disk, path: &Path) -> Result<Self, ComposeError> {
        let target = disk
            .canonicalize(path)
            .map_err(|err| failed("find", path, err))?;
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
            let err = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(failed("write", path, err));
        };
        let beside = folder.join(format!(".{}.mastopatch", name.to_string_lossy()));
        Ok(Self {
            folder: folder.to_owned(),
            beside,
            target,
        })
    }

    /// Removes one that an attempt left behind that was cut off.
    fn remove_beside(&self, disk: &impl Disk) -> io::Result<()> {
        // Asked first, since a folder that cannot be written to refuses a removal of nothing, too.
        if disk.exists(&self.beside) {
            return disk.remove_file(&self.beside);
        }
        Ok(())
    }
}

pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> ComposeError {
    ComposeError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;
    use crate::adapters::disk::HostDisk;

    #[test]
    fn mode_and_link_survive_and_nothing_is_left_beside() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("real.yml"), dir.path().join("link.yml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.yml", &link).unwrap();
        fs::write(dir.path().join(".real.yml.mastopatch"), "cut off").unwrap();

        replace(&HostDisk, &link, "new").unwrap();

        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
