//! One mutating activity per instance (I7): an advisory lock on a file, which the kernel gives back when
//! its holder dies, however it dies.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A held lock.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{what} is busy: another mastopatch process holds {}", path.display())]
    Held {
        /// `instance social.example` or `the daemon`.
        what: String,
        /// The lock's file.
        path: PathBuf,
    },
    /// The file cannot be used.
    #[error("failed to open the lock {}", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Takes the lock of an instance, without waiting.
pub fn instance(state_dir: &Path, name: &str) -> Result<Lock, LockError> {
    // An instance's name may hold what a file name may not.
    let safe: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '_'
            }
        })
        .collect();
    take(
        state_dir.join(format!("instance-{safe}.lock")),
        format!("instance {name}"),
    )
}

/// Takes the daemon's lock, without waiting.
pub fn daemon(state_dir: &Path) -> Result<Lock, LockError> {
    take(state_dir.join("daemon.lock"), "the daemon".to_owned())
}

/// Takes the lock of mail delivery, without waiting: two processes would send a mail twice.
pub fn mail(state_dir: &Path) -> Result<Lock, LockError> {
    take(state_dir.join("mail.lock"), "mail delivery".to_owned())
}

fn take(path: PathBuf, what: String) -> Result<Lock, LockError> {
    let open = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    let file = match open {
        Ok(file) => file,
        Err(source) => return Err(LockError::Io { path, source }),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _file: file }),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Held { what, path }),
        Err(err) => Err(LockError::Io {
            path,
            source: err.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_given_back_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let held = instance(dir.path(), "a/b").unwrap();
        assert!(matches!(
            instance(dir.path(), "a/b"),
            Err(LockError::Held { .. })
        ));
        assert!(instance(dir.path(), "other").is_ok());
        drop(held);
        assert!(instance(dir.path(), "a/b").is_ok());
    }
}
