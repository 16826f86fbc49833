//! Replacing a file as a whole: afterwards it has the old text or the new one, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use crate::ports::compose::{ComposeError, FileEdit, FileState};

/// Which of the two texts the file holds now.
pub(super) fn state(edit: &FileEdit) -> Result<FileState, ComposeError> {
    match fs::read(&edit.path) {
        Ok(found) if found == edit.after.as_bytes() => Ok(FileState::After),
        Ok(found) if found == edit.before.as_bytes() => Ok(FileState::Before),
        Ok(_) => Ok(FileState::Other),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(FileState::Missing),
        Err(err) => Err(failed("read", &edit.path, err)),
    }
}

/// Makes the file hold `text`. A link is followed: the file it points to is replaced.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), ComposeError> {
    let target = fs::canonicalize(path).map_err(|err| failed("find", path, err))?;
    let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
        let err = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(failed("write", path, err));
    };
    let beside = folder.join(format!(".{}.mastopatch", name.to_string_lossy()));
    let written = write_beside(&target, &beside, text).and_then(|()| {
        fs::rename(&beside, &target)?;
        // The new name is on disk only with its folder.
        File::open(folder)?.sync_all()
    });
    written.map_err(|err| {
        // Only ours can be there; if it cannot be removed, the next attempt will.
        drop(fs::remove_file(&beside));
        failed("write", &target, err)
    })
}

fn write_beside(target: &Path, beside: &Path, text: &str) -> io::Result<()> {
    // One that an attempt left behind that was cut off.
    match fs::remove_file(beside) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        Ok(()) | Err(_) => {}
    }
    let old = fs::metadata(target)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    file.write_all(text.as_bytes())?;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    // After the owner: a change of owner takes some bits away.
    file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
    file.sync_all()
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
    use super::*;

    #[test]
    fn mode_and_link_survive_and_nothing_is_left_beside() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("real.yml"), dir.path().join("link.yml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.yml", &link).unwrap();
        fs::write(dir.path().join(".real.yml.mastopatch"), "cut off").unwrap();

        replace(&link, "new").unwrap();

        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
