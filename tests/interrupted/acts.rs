//! What interrupts a run, and what comes after it.

use std::time::Duration;

use crate::place::Place;
use crate::support::lab::{Container, Instance};
use crate::support::product::{Product, Running};
use crate::support::{check, shell};

/// A whole way back beside another stack.
const UNTIL_OVER: Duration = Duration::from_secs(300);

/// What happens in the middle of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// The process is killed (SIGKILL).
    Kill,
    /// The process is asked to end (SIGTERM).
    Term,
    /// The Docker Engine is restarted.
    EngineRestart,
    /// `docker container prune`, for this project.
    PruneContainers,
    /// `docker image prune -a`.
    PruneImages,
    /// A kept container gets another name.
    RenameKept,
    /// A kept container is started.
    StartKept,
    /// A kept container is removed.
    RemoveKept,
    /// `compose up -d`.
    ComposeUp,
    /// A daemon and a person's `apply` are started too.
    SecondRun,
}

impl Act {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Term => "SIGTERM",
            Self::EngineRestart => "engine restarted",
            Self::PruneContainers => "container prune",
            Self::PruneImages => "image prune -a",
            Self::RenameKept => "kept container renamed",
            Self::StartKept => "kept container started",
            Self::RemoveKept => "kept container removed",
            Self::ComposeUp => "compose up -d",
            Self::SecondRun => "second daemon and apply",
        }
    }

    /// Somebody opened the old version behind the fence: only a person can decide what becomes of what was written.
    pub(crate) fn may_be_held(self) -> bool {
        matches!(self, Self::StartKept | Self::ComposeUp)
    }

    /// The old containers must be the very same ones afterwards.
    pub(crate) fn keeps_containers(self) -> bool {
        matches!(
            self,
            Self::Kill | Self::Term | Self::EngineRestart | Self::PruneImages | Self::SecondRun
        )
    }

    /// Does it; afterwards the process has ended.
    pub(crate) fn happen(self, place: &Place, product: &Product, running: Running) {
        let instance = &place.instance;
        let project = format!("label=com.docker.compose.project={}", instance.project);
        match self {
            Self::Kill => {
                drop(running.kill_hard());
                return;
            }
            Self::Term => {
                running.ask_to_end();
            }
            Self::EngineRestart => {
                let script = instance.lab.dir.join("lab.sh");
                shell::run(&script.to_string_lossy(), ["engine", "restart"]);
            }
            Self::PruneContainers => {
                shell::run("docker", ["container", "prune", "-f", "--filter", &project]);
            }
            Self::PruneImages => {
                shell::run("docker", ["image", "prune", "-a", "-f"]);
            }
            Self::RenameKept => {
                let kept = kept(instance);
                shell::run(
                    "docker",
                    ["rename", &kept.id, &format!("{}-odd", instance.project)],
                );
            }
            Self::StartKept => {
                // Its port may be taken or not: what counts is that it was started.
                drop(shell::attempt("docker", ["start", &kept(instance).id]));
            }
            Self::RemoveKept => {
                shell::run("docker", ["rm", "-f", &kept(instance).id]);
            }
            Self::ComposeUp => {
                let (program, first) = instance.lab.compose.split_first().expect("LAB_COMPOSE");
                let args = first.iter().map(String::as_str).chain(["-f"]);
                let file = instance.dir.join("docker-compose.yml");
                let file = file.to_string_lossy();
                let args = args.chain([&*file, "--project-name", &instance.project, "up", "-d"]);
                // It may well fail: names are taken, containers vanish under its hands.
                drop(shell::attempt(program, args));
            }
            Self::SecondRun => {
                let apply = product.run(&["apply", "--to", place.update.to(), "--yes"]);
                assert_eq!(apply.code, Some(75), "a second apply is refused\n{apply}");
                // A daemon may come up beside a person's run, and has to keep its hands off it.
                let daemon = product.spawn(&["daemon"]);
                drop(running.finish(UNTIL_OVER));
                daemon.terminate().expect_code(0);
                return;
            }
        }
        drop(running.finish(UNTIL_OVER));
    }
}

/// The old web container, put aside.
fn kept(instance: &Instance) -> Container {
    let all = instance.containers();
    let found = all
        .into_iter()
        .find(|found| found.service == "web" && found.name.contains("_before_"));
    found.expect("a kept container of web")
}

/// Starts the process again, as a person or as a daemon, until the run is over.
pub(crate) fn start_again(product: &Product, mails: usize, as_daemon: bool) {
    if !as_daemon {
        product.run(&["apply", "--yes"]);
        return;
    }
    let mut daemon = product.spawn(&["daemon"]);
    daemon.until("the run is over and reported", UNTIL_OVER, || {
        let run = product.runs().into_iter().next().unwrap_or_default();
        check(
            run["outcome"].is_string(),
            format!("the journal says {run}"),
        )?;
        let now = product.mailbox.all().len();
        check(now > mails, format!("{now} mails, {mails} before"))
    });
    daemon.terminate().expect_code(0);
}
