//! The commands.

mod apply;
mod ask;
mod check;
mod doctor;
mod held;
mod known;
mod look;
mod orders;
mod rehearse;
mod restore;
mod snapshot;
mod window;

use std::path::Path;

use super::failure::Failure;
use super::output::Out;
use super::{Cli, Command, ConfigCommand, SnapshotCommand, WindowCommand};
use crate::adapters::bell;
use crate::adapters::clock::SystemClock;
use crate::adapters::github::GitHub;
use crate::config::{self, Settings};
use crate::daemon::supervisor;
use crate::domain::event::Order;
use crate::domain::feed::Alarm;
use crate::domain::report::words::clean;
use crate::exit::Exit;
use restore::Consent;
pub(super) use window::Wanted;

/// Runs one command.
pub(super) async fn run(cli: &Cli, out: &Out) -> Result<Exit, Failure> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let settings = config::load(&cli.config, credentials.as_deref().map(Path::new))?;
    let clock = SystemClock::start();
    let call = Call {
        settings: &settings,
        instance: cli.instance.as_deref(),
        out,
        clock,
    };
    match &cli.command {
        Command::Check => check::check(&call).await,
        Command::Doctor => doctor::doctor(&call).await,
        Command::Plan { to, force } => check::plan(&call, to.as_deref(), *force).await,
        Command::Apply { to, force, yes } => apply::apply(&call, to.as_deref(), *force, *yes).await,
        Command::Rehearse { to, force } => {
            Box::pin(rehearse::rehearse(&call, to.as_deref(), *force)).await
        }
        Command::Resume { yes } => held::order(&call, Order::Resume, false, *yes).await,
        Command::Rollback {
            run,
            accept_loss,
            yes,
        } => rollback(&call, run.as_deref(), *accept_loss, *yes).await,
        Command::Release { yes } => held::order(&call, Order::Release, false, *yes).await,
        Command::Explain => check::explain(&call).await,
        Command::Advisories { version, all } => {
            known::advisories(&call, version.as_deref(), *all).await
        }
        Command::Releases { line, all } => known::releases(&call, line.as_deref(), *all).await,
        Command::Approve {
            version,
            withdraw,
            yes,
        } => orders::approve(&call, version.as_deref(), *withdraw, *yes).await,
        Command::Hold { reason, until } => orders::hold(&call, reason, until.as_deref()),
        Command::Unhold => orders::unhold(&call),
        Command::Pin { to, reason, until } => orders::pin(&call, to, reason, until.as_deref()),
        Command::Unpin => orders::unpin(&call),
        Command::Window { command } => match command {
            WindowCommand::Next { count } => window::next(&call, *count),
            WindowCommand::Open {
                at,
                lasts,
                allow,
                reason,
                in_soft_blackout,
            } => {
                let wanted = Wanted {
                    at,
                    lasts,
                    allow,
                    reason,
                    in_soft_blackout: *in_soft_blackout,
                };
                window::open(&call, &wanted)
            }
            WindowCommand::Close { id } => window::close(&call, id),
        },
        Command::Snapshot { command } => match command {
            SnapshotCommand::List => snapshot::list(&call),
            SnapshotCommand::Verify { run } => snapshot::verify(&call, run.as_deref()).await,
            SnapshotCommand::Create => snapshot::create(&call).await,
            SnapshotCommand::Restore {
                run,
                accept_loss,
                yes,
            } => restore::data(&call, run, Consent::new(*accept_loss, *yes)).await,
            SnapshotCommand::Prune { dry_run, yes } => snapshot::prune(&call, *dry_run, *yes).await,
        },
        Command::Status => look::status(&call),
        Command::History { limit } => look::history(&call, *limit),
        Command::Show { run } => look::show(&call, run.as_deref()),
        Command::Config {
            command: ConfigCommand::Check,
        } => look::config_check(&call),
        Command::Daemon => Ok(Box::pin(supervisor::run(settings, &cli.config, clock)).await?),
    }
}

/// What every command gets.
struct Call<'a> {
    settings: &'a Settings,
    instance: Option<&'a str>,
    out: &'a Out,
    clock: SystemClock,
}

impl Call<'_> {
    fn chosen(&self) -> Result<&config::Instance, Failure> {
        crate::daemon::knowledge::choose(self.settings, self.instance)
            .map_err(|sentence| Failure::new(Exit::Usage, sentence))
    }

    /// Wakes the daemon, if one runs, so that it looks at what was just ordered.
    fn wake_daemon(&self) {
        bell::ring(&self.settings.state_dir);
    }

    fn tell_alarms(&self, alarms: &[Alarm]) {
        for alarm in alarms {
            self.out.note(&format!("alarm: {}", clean(&alarm.sentence)));
        }
    }

    /// Says that an answer was given from memory, and why; with the exit code of that.
    fn tell_memory(&self, failure: &Failure) -> Exit {
        self.out
            .note("this answer is from memory, because GitHub could not be asked now");
        self.out.error_note(failure);
        failure.exit
    }

    fn github(&self) -> Result<GitHub, Failure> {
        Ok(crate::daemon::world::github(self.settings)?)
    }
}

/// Takes a run back that is held, or one that went well.
async fn rollback(
    call: &Call<'_>,
    run: Option<&str>,
    accept_loss: bool,
    yes: bool,
) -> Result<Exit, Failure> {
    match run {
        None => held::order(call, Order::Rollback, accept_loss, yes).await,
        Some(run) => restore::rollback(call, run, Consent::new(accept_loss, yes)).await,
    }
}

/// The login name of the person at the terminal.
fn person() -> String {
    ["SUDO_USER", "LOGNAME", "USER"]
        .into_iter()
        .find_map(std::env::var_os)
        .map_or_else(
            || "root".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
}
