//! When an interruption comes: as soon as an entry of the journal is durable, or in the middle of an effect.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use mastopatch::daemon::world::STATE_FILE;
use rusqlite::{Connection, OpenFlags};

use crate::support::lab::{Instance, containers};
use crate::support::product::{Product, Running};
use crate::support::world::keep_tags;

/// Between two looks at the journal.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Pull, fence, snapshot, migration and boot all come before the last moment, beside another stack.
const LONGEST: Duration = Duration::from_secs(300);

/// Every entry of an update that goes well, in order.
pub(crate) const GOOD: [&str; 23] = [
    "planned",
    "intent preflight",
    "done preflight",
    "intent pull",
    "done pull",
    "intent fence",
    "done fence",
    "intent snapshot",
    "done snapshot",
    "intent prove",
    "done prove",
    "intent migrate",
    "done migrate",
    "intent switch",
    "done switch",
    "intent verify",
    "done verify",
    "committed",
    "intent open",
    "done open",
    "intent finalise",
    "done finalise",
    "finished",
];

/// Every entry from the migration on of one whose migration breaks half-way; before that, they are the same.
pub(crate) const BACK: [&str; 16] = [
    "intent migrate",
    "failed migrate",
    "rollback-begun",
    "undo-intent remove-new",
    "undo-done remove-new",
    "undo-intent restore-data",
    "undo-done restore-data",
    "undo-intent restore-files",
    "undo-done restore-files",
    "undo-intent start-old",
    "undo-done start-old",
    "undo-intent verify-old",
    "undo-done verify-old",
    "undo-intent clean-up",
    "undo-done clean-up",
    "finished",
];

/// A place in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// As soon as this entry is durable.
    Entry(&'static str),
    /// In the middle of an effect.
    During(Effect),
}

/// What takes long enough to be cut in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The images of the new version are coming.
    Pull,
    /// Files of the snapshot grow.
    Dump,
    /// The server copies the database's files.
    Clone,
    /// Some migrations are applied, others are not.
    Migration,
    /// The database is being restored beside the damaged one.
    Restore,
    /// The new web boots.
    Boot,
    /// The new version has answered, and has to stay well.
    Settle,
    /// The port answers, Sidekiq does not run yet.
    Open,
}

impl Effect {
    pub(crate) const ALL: [Self; 8] = [
        Self::Pull,
        Self::Dump,
        Self::Clone,
        Self::Migration,
        Self::Restore,
        Self::Boot,
        Self::Settle,
        Self::Open,
    ];

    /// The entry that announces it.
    fn intent(self) -> &'static str {
        match self {
            Self::Pull => "intent pull",
            Self::Dump | Self::Clone => "intent snapshot",
            Self::Migration => "intent migrate",
            Self::Restore => "undo-intent restore-data",
            Self::Boot | Self::Settle => "intent verify",
            Self::Open => "intent open",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Dump => "dump",
            Self::Clone => "clone",
            Self::Migration => "migration",
            Self::Restore => "restore",
            Self::Boot => "boot",
            Self::Settle => "settle",
            Self::Open => "open",
        }
    }
}

impl Moment {
    /// Whether this last entry means that the moment was met.
    pub(crate) fn is_at(self, last: &str) -> bool {
        match self {
            Self::Entry(label) => label == last,
            Self::During(effect) => effect.intent() == last,
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry(label) => write!(f, "{label}"),
            Self::During(effect) => write!(f, "in the middle of {}", effect.name()),
        }
    }
}

/// The journal of a product with one run, read beside it.
pub(crate) struct Watch {
    path: PathBuf,
    state_dir: PathBuf,
    connection: Option<Connection>,
}

impl Watch {
    pub(crate) fn on(product: &Product) -> Self {
        Self {
            path: product.state_dir().join(STATE_FILE),
            state_dir: product.state_dir(),
            connection: None,
        }
    }

    /// Kind and step of every entry so far; empty while there is no run.
    pub(crate) fn labels(&mut self) -> Vec<String> {
        if self.connection.is_none() {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            self.connection = Connection::open_with_flags(&self.path, flags).ok();
        }
        let query = "SELECT json_extract(event, '$.event') || coalesce(' ' || json_extract(event, '$.step'), '') \
                     FROM events ORDER BY run, seq";
        let read = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
            let mut statement = connection.prepare_cached(query)?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        let found = self.connection.as_ref().map(read);
        match found {
            Some(Ok(labels)) => labels,
            // The file is just being made.
            _ => {
                self.connection = None;
                Vec::new()
            }
        }
    }

    /// The run's id; empty while there is none.
    fn run(&self) -> String {
        let ask = |connection: &Connection| {
            connection.query_row("SELECT max(id) FROM runs", [], |row| row.get(0))
        };
        self.connection
            .as_ref()
            .and_then(|connection| ask(connection).ok())
            .unwrap_or_default()
    }

    /// Waits for the moment; gives the last entry that was durable then.
    pub(crate) fn until(
        &mut self,
        moment: Moment,
        instance: &Instance,
        running: &mut Running,
    ) -> String {
        let mut eye = match moment {
            Moment::During(effect) => Some(Eye::on(effect, instance)),
            Moment::Entry(_) => None,
        };
        let wanted = match moment {
            Moment::Entry(label) => label,
            Moment::During(effect) => effect.intent(),
        };
        let start = Instant::now();
        loop {
            let labels = self.labels();
            let last = labels.last().cloned().unwrap_or_default();
            let reached = labels.iter().any(|label| label == wanted);
            let passed = last != wanted;
            let here = match &mut eye {
                Some(eye) => {
                    reached && (passed || eye.sees(&self.run(), &self.state_dir, instance))
                }
                None => reached,
            };
            if here {
                return last;
            }
            // The last entry and the end of the process are one instant.
            let ended = running.ended().is_some() && !self.labels().iter().any(|l| l == wanted);
            assert!(
                !ended && start.elapsed() < LONGEST,
                "the run does not come to `{moment}`, its journal says {labels:?}; it said:\n{}",
                running.so_far()
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Looks whether an effect is under way.
struct Eye {
    effect: Effect,
    sql: Option<Asker>,
    applied: u64,
    seen: bool,
}

impl Eye {
    fn on(effect: Effect, instance: &Instance) -> Self {
        let database = match effect {
            // A session in the live database would be in the way.
            Effect::Restore | Effect::Clone => Some("postgres"),
            Effect::Migration => Some("mastodon_production"),
            Effect::Pull | Effect::Dump | Effect::Boot | Effect::Settle | Effect::Open => None,
        };
        let mut sql = database.map(|database| Asker::of(instance, database));
        let applied = match (&mut sql, effect) {
            (Some(sql), Effect::Migration) => sql.number(APPLIED),
            _ => 0,
        };
        Self {
            effect,
            sql,
            applied,
            seen: false,
        }
    }

    fn sees(&mut self, run: &str, state_dir: &Path, instance: &Instance) -> bool {
        let one_off = || {
            let ours = containers(&format!(
                "label=org.mastopatch.instance={}",
                instance.domain
            ));
            ours.iter()
                .any(|found| found.name.contains("sidekiq-probe"))
        };
        match self.effect {
            Effect::Pull => keep_tags().iter().any(|tag| tag.contains(short(run))),
            Effect::Dump => has_partial_file(&state_dir.join("snapshots")),
            Effect::Migration => {
                let sql = self.sql.as_mut().expect("made for this");
                if sql.is_over() {
                    // The switch to a clone ends every session.
                    *sql = Asker::of(instance, "mastodon_production");
                }
                sql.number(APPLIED) > self.applied
            }
            Effect::Clone => {
                let sql = self.sql.as_mut().expect("made for this");
                sql.number(CLONING) > 0
            }
            Effect::Restore => {
                let sql = self.sql.as_mut().expect("made for this");
                sql.number("SELECT count(*) FROM pg_database WHERE datname LIKE '%\\_restored\\_%'")
                    > 0
            }
            Effect::Boot => instance.container("web").is_ok_and(|web| web.running),
            Effect::Settle => {
                let runs = one_off();
                self.seen |= runs;
                self.seen && !runs
            }
            Effect::Open => {
                let address = SocketAddr::from(([127, 0, 0, 1], instance.web_port));
                TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
            }
        }
    }
}

/// The end of a run's id, as the names of its objects carry it.
fn short(run: &str) -> &str {
    &run[run.len().saturating_sub(12)..]
}

const CLONING: &str = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'CREATE DATABASE %'";
const APPLIED: &str = "SELECT count(*) FROM schema_migrations";

fn has_partial_file(snapshots: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(snapshots) else {
        return false;
    };
    let partial = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "partial"));
    partial
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .any(|about| about.is_file() && about.len() > 0)
}

/// One `psql` that stays, because starting one takes longer than a migration.
struct Asker {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Asker {
    fn of(instance: &Instance, database: &str) -> Self {
        let container = instance.container("db").expect("a database").id;
        let mut child = Command::new("docker")
            .args(["exec", "-i", &container, "psql", "-q", "-At"])
            .args(["-U", "mastodon", "-d", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker");
        let questions = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            child,
            questions,
            answers,
        }
    }

    /// Whether the server ended the session.
    fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// 0 where the server ended the session, as a switch of the databases does.
    fn number(&mut self, query: &str) -> u64 {
        let mut line = String::new();
        let asked = writeln!(self.questions, "{query};").and_then(|()| self.questions.flush());
        if asked.is_err() || self.answers.read_line(&mut line).is_err() {
            return 0;
        }
        line.trim().parse().unwrap_or_default()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
