//! The terminal: arguments, commands, and what people read.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config;
use crate::domain::policy::Class;
use crate::exit::Exit;

pub mod answers;
mod commands;
mod failure;
pub mod output;
mod progress;
pub mod render;

use failure::Failure;
use output::Out;

/// Keeps a self-hosted Mastodon under Docker patched.
///
/// mastopatch follows Mastodon's releases and security advisories, and updates an instance as one unit:
/// snapshot, proof, pull, migrations, switch, checks from outside; and everything back, code and data,
/// if anything fails.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = AFTER)]
struct Cli {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_FILE)]
    config: PathBuf,
    /// The instance to speak of; needed only where the configuration has several
    #[arg(long, global = true, value_name = "NAME")]
    instance: Option<String>,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// Shown under the list of commands.
const AFTER: &str = "\
A first look, which changes nothing:
  mastopatch config check    is the configuration right?
  mastopatch explain         does my instance need an update, when does it come, and why?
  mastopatch doctor          what would stop an update on this host?
  mastopatch plan            what exactly would be done?
Then:
  mastopatch apply           do it now, and watch
  systemctl enable --now mastopatchd    let it be done, by policy

Exit codes: 0 done, 10 update available, 11 available but waiting, 20 rolled back, 21 an operator is
needed, 22 refused and nothing changed, 23 a snapshot is not what it says, 69 something cannot be reached, 75 busy, 78 configuration invalid.";

/// Shown under the help of `doctor`.
const DOCTOR: &str = "\
It asks every witness for the version that runs, boots `tootctl` once for that, and looks at the whole way to the newest
line: each release to stop at, and what stands before it.

Exit codes: 0 nothing stands in the way, 11 a person must look at something, 22 something must be changed first or
mastopatch would refuse to update, 69 Docker does not answer.";

/// Shown under the help of `rehearse`.
const REHEARSE: &str = "\
The running site is dumped and restored into a throw-away PostgreSQL, in a network without a way out. The new version migrates
that, boots there and is probed. What it took is kept, and shown by `plan`, `status` and the mails. A version that fails is not
tried again by itself.

Exit codes: 0 it went well, 22 it failed, or could not be tried; the site is as before either way.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask GitHub whether the instance needs an update, which one, how urgently, and when it would start
    Check,
    /// Show what runs, what would stop an update on this host, and what to do about it; changes nothing
    #[command(after_help = DOCTOR)]
    Doctor,
    /// Show exactly what an update would do; changes nothing
    Plan {
        /// Plan for this version instead of the one the policy chooses
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        /// Allow a version that failed here before, or a pre-release
        #[arg(long, requires = "to")]
        force: bool,
    },
    /// Update now, in the foreground, whatever the windows say
    Apply {
        /// Go to this version instead of the one the policy chooses
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        /// Allow a version that failed here before, or a pre-release
        #[arg(long, requires = "to")]
        force: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Try the update on a copy of the running site: migrations, boot, probes; the site stays open and is not changed
    #[command(after_help = REHEARSE)]
    Rehearse {
        /// Try this version instead of the one the policy chooses
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        /// Allow a version that failed here before, or a pre-release
        #[arg(long, requires = "to")]
        force: bool,
    },
    /// Let a held run go on: forward if it was committed, else back; shows first what that does
    Resume {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Take a held run back to the old version, or the newest update although it went well; shows first what would be lost
    ///
    /// Where data are taken back to the snapshot although people may have written since, it goes on only with
    /// --accept-loss: without it, it is a look. What is taken back although it went well is a run of its own, behind the closed
    /// site and with a way back; the database that was in use is kept, and `snapshot restore` of the new run brings it back.
    #[command(after_help = ROLLBACK)]
    Rollback {
        /// The newest update, by its run or the end of its id; the held run without it
        run: Option<String>,
        /// Agree that what was written since the snapshot is lost
        #[arg(long)]
        accept_loss: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Take a held run's site over as it stands: nothing is changed or removed, and updates are possible again
    Release {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Say in plain words how the instance stands, what happens when, and why: every rule that spoke
    Explain,
    /// List security advisories, and what each says about the version that runs
    Advisories {
        /// Speak of this version instead of the one that runs; looks at no container
        // Not `version`: that is the id of the flag --version.
        #[arg(long = "for", id = "spoken_of", value_name = "VERSION")]
        version: Option<String>,
        /// List all of them, not only those that count for the version
        #[arg(long)]
        all: bool,
    },
    /// List releases: the newest of each line, or all
    Releases {
        /// Only this line, with all its releases
        #[arg(long, value_name = "LINE")]
        line: Option<String>,
        /// List every release of every line
        #[arg(long)]
        all: bool,
    },
    /// Agree to the plan of an update that the policy wants a person's consent for
    ///
    /// Shows the plan first. The approval is for this very plan: when an image, a file or a service changes before it
    /// starts, it is asked for again. It ends after the time that the rule gives.
    Approve {
        /// The version; the one that the policy chose without it
        // Not `version`: that is the id of the flag --version.
        #[arg(id = "approved", value_name = "VERSION")]
        version: Option<String>,
        /// Take an approval back
        #[arg(long)]
        withdraw: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Let nothing start by itself until taken back, security updates included
    Hold {
        /// Why; it is shown wherever the hold is
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// When it ends: a time from now (36h, 7d), a day (2026-12-01) or a minute (2026-12-01T08:00), in the policy's zone
        #[arg(long, value_name = "WHEN")]
        until: Option<String>,
    },
    /// Take a hold back
    Unhold,
    /// Let updates go no further than a line (4.5) or a version (4.5.8)
    Pin {
        /// The line or the version
        #[arg(value_name = "LINE|VERSION")]
        to: String,
        /// Why; it is shown wherever the pin is
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// When it ends, as for `hold`
        #[arg(long, value_name = "WHEN")]
        until: Option<String>,
    },
    /// Take a pin back
    Unpin,
    /// See when maintenance windows open, and open one once
    Window {
        #[command(subcommand)]
        command: WindowCommand,
    },
    /// See, prove, take and remove snapshots
    Snapshot {
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Show every instance: version, last run, what waits. Asks nothing outside this host
    Status,
    /// List past runs, newest first
    History {
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Show one run: its timeline, its proof, its reason
    Show {
        /// The run's id or the end of it; the newest run without it
        run: Option<String>,
    },
    /// Work with the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Follow releases and update by policy, until told to stop (what systemd starts)
    Daemon,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read configuration and policy, and list every mistake with file and line
    Check,
}

/// Shown under the help of `rollback`.
const ROLLBACK: &str = "\
Days after an update that went well:
  mastopatch history
  mastopatch rollback 01a2b3c4d5e6                  # shows what would be lost; without a loss it asks, else it changes nothing
  mastopatch rollback 01a2b3c4d5e6 --accept-loss    # asks once more

Exit codes: 0 done, 20 it failed and all is as before (of a held run: it was taken back), 21 held, 22 refused or nothing was
changed, 75 a run is under way.";

/// Shown under the help of `snapshot verify`.
const VERIFY: &str = "\
Compared are the manifest, the SHA-256 of every file, every row and migration in the dump, and the copy of Redis; of a clone,
that the database is there and has its schema. It takes about as long as the snapshot took.

Exit codes: 0 whole, 22 it could not be looked at, 23 a snapshot is not what it says, 75 a run is under way.";

/// Shown under the help of `snapshot restore`.
const RESTORE: &str = "\
Look first, then do it:
  mastopatch snapshot list
  mastopatch snapshot restore 01a2b3c4d5e6                  # shows what would be lost, and changes nothing
  mastopatch snapshot restore 01a2b3c4d5e6 --accept-loss    # asks once more
To take the newest update back, `mastopatch rollback RUN` keeps the data of now where the old version can use them.

Exit codes: 0 done, 20 it failed and all is as before, 21 held, 22 refused or nothing was changed, 75 a run is under way.";

#[derive(Debug, Subcommand)]
enum SnapshotCommand {
    /// List every snapshot of this host, and what each is kept for. Asks nothing outside this host
    List,
    /// Read snapshots back whole and compare them with what was written; all of the instance without RUN
    #[command(after_help = VERIFY)]
    Verify {
        /// The run that took it, or the end of its id
        run: Option<String>,
    },
    /// Take a snapshot now, while the site is open; stops nothing. No run goes back with it
    ///
    /// The database is copied by `pg_dump`, Redis some moments later: each is whole, and what is written in between is in one
    /// of them only.
    Create,
    /// Put the data and the version of a snapshot in the place of those of now; shows first what would be lost, and asks
    ///
    /// The database that was in use is kept beside the other one, as the snapshot of the new run. Snapshots that were taken
    /// while the site was open are refused.
    #[command(after_help = RESTORE)]
    Restore {
        /// The run that took the snapshot, or the end of its id
        run: String,
        /// Agree that what was written since the snapshot is lost
        #[arg(long)]
        accept_loss: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Remove the snapshots that are kept for nothing, as the end of the next run would
    Prune {
        /// Show what would go, and remove nothing
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Shown under the help of `window open`.
const OPEN: &str = "\
When a security fix is announced for a time, hold that time open:
  mastopatch window open 2026-11-26T13:00Z --lasts 3h --reason 'fix announced for 13:00 UTC'
Policies still decide what starts in it and who must agree; nothing starts in a hard blackout.";

#[derive(Debug, Subcommand)]
enum WindowCommand {
    /// List the next openings, in local time and UTC, each with its latest start, and say why nothing may start now
    Next {
        /// How many
        #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
        count: u16,
    },
    /// Open a window once, for instance for a fix that is announced for a certain time
    #[command(after_help = OPEN)]
    Open {
        /// When it opens: 2026-11-26T13:00Z, or 2026-11-26T13:00 in the policy's zone
        #[arg(value_name = "AT")]
        at: String,
        /// How long it is open: 15m to 24h
        #[arg(long, default_value = "2h", value_name = "TIME")]
        lasts: String,
        /// What may start in it, of security,patch,minor,major
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "security,patch",
            value_name = "CLASSES"
        )]
        allow: Vec<Class>,
        /// Why; it is shown wherever the window is
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Open it in soft blackouts, too
        #[arg(long)]
        in_soft_blackout: bool,
    },
    /// Take a window that was opened once back
    Close {
        /// Its id, as `window next` shows it
        id: String,
    },
}

/// Runs the program.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => {
            // Help and version are no errors; clap knows which stream is right.
            let is_error = err.use_stderr();
            drop(err.print());
            return if is_error { Exit::Usage } else { Exit::Done };
        }
    };
    let out = Out::new(cli.json);
    match run(&cli, out) {
        Ok(exit) => exit,
        Err(failure) => {
            out.failure(&failure);
            failure.exit
        }
    }
}

fn run(cli: &Cli, out: Out) -> Result<Exit, Failure> {
    start_logging(matches!(cli.command, Command::Daemon));
    // The TLS library wants to be told once which cryptography it uses; a second call changes nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One for the run, one for signals, mail and the watchdog.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|err| Failure::bug(anyhow::Error::new(err).context("failed to start")))?;
    runtime.block_on(commands::run(cli, &out))
}

/// Logs go to standard error, and to the journal with its fields where systemd started us. What bollard
/// logs at `debug` holds containers' environments, so it never gets below `warn`.
fn start_logging(is_daemon: bool) {
    use tracing_subscriber::filter::{EnvFilter, LevelFilter};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;

    let level = if is_daemon {
        LevelFilter::INFO
    } else {
        LevelFilter::WARN
    };
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .parse_lossy("");
    let quiet = ["bollard=warn", "hyper=warn", "octocrab=warn", "tower=warn"];
    let filter = quiet
        .into_iter()
        .filter_map(|text| text.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let registry = tracing_subscriber::registry().with(filter);
    let journald = is_daemon.then(tracing_journald::layer).and_then(Result::ok);
    let started = match journald.filter(|_| std::env::var_os("JOURNAL_STREAM").is_some()) {
        Some(layer) => registry.with(layer).try_init(),
        None => {
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_target(false)
                .with_ansi(false);
            registry.with(layer).try_init()
        }
    };
    // Somebody else's subscriber in the same process is as good.
    drop(started);
}
