//! The bell that commands ring so that a sleeping daemon looks at what people ordered: a named pipe in the state folder.
//!
//! It carries nothing. What was ordered is in the state file; a ring that is lost only means that the daemon sees it at
//! its next look.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mknodat, openat};
use rustix::io::{Errno, write};
use tokio::net::unix::pipe;

/// Name of the pipe in the state folder.
const BELL_FILE: &str = "bell";
/// Rings that are read at once; more of them mean the same.
const READ_AT_ONCE: usize = 64;

/// The end that hears.
#[derive(Debug)]
pub struct Listener {
    pipe: pipe::Receiver,
}

impl Listener {
    /// Hangs the bell up; a pipe that an earlier daemon left serves. The folder must be there.
    pub fn hang(state_dir: &Path) -> io::Result<Self> {
        let path = path(state_dir);
        let made = mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
        if !matches!(made, Ok(()) | Err(Errno::EXIST)) {
            made?;
        }
        // Open for writing too, so that the last ringer who goes away does not end it.
        let pipe = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&path)?;
        Ok(Self { pipe })
    }

    /// Waits until somebody rings; several rings may be one.
    pub async fn rung(&self) -> io::Result<()> {
        let mut rings = [0_u8; READ_AT_ONCE];
        loop {
            self.pipe.readable().await?;
            match self.pipe.try_read(&mut rings) {
                Ok(_) => return Ok(()),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                Err(err) => return Err(err),
            }
        }
    }
}

/// Rings. Nobody may be listening; whether somebody was comes back.
pub fn ring(state_dir: &Path) -> bool {
    // Without waiting: where nobody listens, opening fails. A pipe that is full has been rung.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(bell) = openat(CWD, &path(state_dir), flags, Mode::empty()) else {
        return false;
    };
    let is_pipe = fstat(&bell).is_ok_and(|it| FileType::from_raw_mode(it.st_mode).is_fifo());
    is_pipe && matches!(write(&bell, &[1]), Ok(_) | Err(Errno::AGAIN))
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(BELL_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_hears_every_ring_and_nobody_else_is_disturbed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!ring(folder.path()), "nobody listens");
        let listener = Listener::hang(folder.path()).unwrap();
        for _ in 0..2 {
            assert!(ring(folder.path()));
            listener.rung().await.unwrap();
        }
        drop(listener);
        assert!(!ring(folder.path()), "nobody listens any more");
        // The pipe of an earlier daemon serves the next one.
        let listener = Listener::hang(folder.path()).unwrap();
        assert!(ring(folder.path()));
        listener.rung().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_pipe_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(BELL_FILE), "mine").unwrap();
        assert!(Listener::hang(folder.path()).is_err());
        assert!(!ring(folder.path()));
        let text = std::fs::read_to_string(folder.path().join(BELL_FILE)).unwrap();
        assert_eq!(text, "mine");
    }
}
