//! A stand-in between the product and the engine that can die: the engine itself is never touched.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Passes everything through until a request that contains `trigger` has been answered in part.
#[must_use = "the proxy ends when this is dropped"]
pub(crate) struct EngineProxy {
    path: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    engine: PathBuf,
    trigger: &'static [u8],
    cut: AtomicBool,
    revived: AtomicBool,
    open: Mutex<Vec<UnixStream>>,
}

impl EngineProxy {
    /// Listens on `path` in front of the engine's socket.
    pub(crate) fn start(path: PathBuf, engine: PathBuf, trigger: &'static str) -> Self {
        let shared = Arc::new(Shared {
            path: path.clone(),
            engine,
            trigger: trigger.as_bytes(),
            cut: AtomicBool::new(false),
            revived: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        shared.listen();
        Self { path, shared }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the engine has "died".
    pub(crate) fn is_cut(&self) -> bool {
        self.shared.cut.load(Ordering::SeqCst)
    }

    /// The engine is back; it does not die a second time.
    pub(crate) fn revive(&self) {
        self.shared.revived.store(true, Ordering::SeqCst);
        self.shared.cut.store(false, Ordering::SeqCst);
        self.shared.listen();
    }
}

impl Drop for EngineProxy {
    fn drop(&mut self) {
        self.shared.die();
    }
}

impl Shared {
    fn listen(self: &Arc<Self>) {
        drop(fs::remove_file(&self.path));
        let listener = UnixListener::bind(&self.path)
            .unwrap_or_else(|err| panic!("{}: {err}", self.path.display()));
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.cut.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, UnixStream::connect(&shared.engine)) else {
                    continue;
                };
                shared.serve(client, server);
            }
        });
    }

    fn serve(self: &Arc<Self>, client: UnixStream, server: UnixStream) {
        let triggered = Arc::new(AtomicBool::new(false));
        for stream in [&client, &server] {
            self.open
                .lock()
                .expect("proxy")
                .push(stream.try_clone().expect("clone of a socket"));
        }
        let (from_client, to_client) = (client.try_clone().expect("clone of a socket"), client);
        let (from_server, to_server) = (server.try_clone().expect("clone of a socket"), server);
        let (shared, flag) = (Arc::clone(self), Arc::clone(&triggered));
        std::thread::spawn(move || {
            shared.pump(from_client, to_server, |shared, bytes| {
                if bytes
                    .windows(shared.trigger.len())
                    .any(|window| window == shared.trigger)
                {
                    flag.store(true, Ordering::SeqCst);
                }
                true
            });
        });
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            shared.pump(from_server, to_client, |shared, _| {
                shared.revived.load(Ordering::SeqCst) || !triggered.load(Ordering::SeqCst)
            });
        });
    }

    /// Copies until the end of the stream, or until `go_on` says that the engine dies after these bytes.
    fn pump(&self, mut from: UnixStream, mut to: UnixStream, go_on: impl Fn(&Self, &[u8]) -> bool) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
            if !go_on(self, &buffer[..count]) {
                self.die();
                return;
            }
        }
        drop(to.shutdown(Shutdown::Write));
    }

    fn die(&self) {
        if self.cut.swap(true, Ordering::SeqCst) {
            return;
        }
        // Wakes the accepting thread up, so that it sees the flag and lets the listener go.
        drop(UnixStream::connect(&self.path));
        drop(fs::remove_file(&self.path));
        for stream in self.open.lock().expect("proxy").drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}
