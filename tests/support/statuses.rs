//! What a daemon tells systemd of itself: the test is its systemd.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::product::Running;

/// How soon the listener notices that it is no longer wanted.
const LISTEN: Duration = Duration::from_millis(200);

/// The status lines of a daemon, as `systemctl status` would show them one after the other.
#[must_use = "the socket is removed when this is dropped"]
pub(crate) struct Statuses {
    path: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Statuses {
    /// Listens at this path.
    pub(crate) fn listen(path: &Path) -> Self {
        drop(std::fs::remove_file(path));
        let socket = UnixDatagram::bind(path).expect("notification socket");
        socket
            .set_read_timeout(Some(LISTEN))
            .expect("time-out of the notification socket");
        let (lines, over) = (Arc::<Mutex<Vec<String>>>::default(), Arc::default());
        let (sink, ended) = (Arc::clone(&lines), Arc::<AtomicBool>::clone(&over));
        // A sender waits while nobody takes its messages, so they are taken as they come.
        let thread = std::thread::spawn(move || {
            let mut message = [0_u8; 4096];
            while !ended.load(Ordering::SeqCst) {
                let Ok(length) = socket.recv(&mut message) else {
                    continue;
                };
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                let statuses = text.lines().filter_map(|line| line.strip_prefix("STATUS="));
                sink.lock()
                    .expect("statuses")
                    .extend(statuses.map(str::to_owned));
            }
        });
        Self {
            path: path.to_owned(),
            lines,
            over,
            thread: Some(thread),
        }
    }

    /// Waits for a line with all of these words among those that came since the last call; gives the line.
    pub(crate) fn until(&self, daemon: &mut Running, words: &[&str], within: Duration) -> String {
        daemon.until(&format!("a status with {words:?}"), within, || {
            let mut lines = self.lines.lock().expect("statuses");
            let found = lines
                .iter()
                .position(|line| words.iter().all(|word| line.contains(word)));
            match found {
                Some(place) => Ok(lines.drain(..=place).next_back().expect("just found")),
                None => Err(format!("the statuses are {lines:?}")),
            }
        })
    }

    /// Forgets what came so far.
    pub(crate) fn clear(&self) {
        self.lines.lock().expect("statuses").clear();
    }

    /// Tells the daemon to read its configuration again, and waits for such a line about what it makes of it.
    pub(crate) fn after_reload(
        &self,
        daemon: &mut Running,
        words: &[&str],
        within: Duration,
    ) -> String {
        self.clear();
        daemon.reload();
        self.until(daemon, words, within)
    }
}

impl Drop for Statuses {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        drop(std::fs::remove_file(&self.path));
    }
}
