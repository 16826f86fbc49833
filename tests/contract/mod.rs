//! The contract of the runtime port: what every container engine keeps, the real one and the simulated one.
//!
//! A clause is a function over a [`Bench`]. `tests/engine_contract.rs` holds every clause against a real engine, and
//! `tests/simulated/contract.rs` against the simulated one; both take them from the one list below, and a clause that is
//! not in it is dead code.

use std::time::Duration;

use jiff::Timestamp;
use mastopatch::ports::runtime::{
    Container, ContainerRuntime, ContainerSpec, ROLE_LABEL, RUN_LABEL, RuntimeError,
};
use serde_json::{Value, json};

pub(crate) mod commands;
pub(crate) mod images;
pub(crate) mod life;
pub(crate) mod names;
pub(crate) mod networks;
pub(crate) mod restarts;

/// Gives the whole list of clauses to a macro. Those of the second list have the engine for themselves.
macro_rules! every_clause {
    ($take:ident) => {
        $take! {
            [
                life::the_engine_tells_of_itself,
                life::a_container_lives_its_life_and_every_step_may_come_twice,
                life::a_container_that_ignores_its_signal_is_killed_after_the_grace,
                life::an_end_leaves_its_code_and_a_new_start_takes_it_away,
                life::a_start_has_its_time_which_stays_until_the_next_one,
                life::one_that_runs_is_removed,
                life::what_was_never_started_may_be_stopped_and_has_written_nothing,
                names::containers_are_found_by_label_sorted_by_name,
                names::a_container_is_found_by_name_and_by_id_and_by_nothing_else,
                names::a_container_is_described_as_it_was_made,
                names::a_name_that_is_taken_is_not_given,
                names::one_that_is_there_stays_as_it_was_made,
                names::one_without_the_labels_of_a_run_is_nobodys,
                names::a_replacement_is_the_old_one_with_the_differences,
                names::a_one_off_has_its_own_command_and_networks_and_nothing_published,
                networks::networks_are_joined_and_left_and_a_half_made_container_is_finished,
                networks::a_network_is_found_by_name_and_by_id,
                networks::whoever_runs_in_a_network_is_found_in_it,
                networks::a_stopped_container_keeps_its_networks_without_an_address,
                networks::a_port_that_is_held_keeps_another_from_starting,
                networks::a_running_container_publishes_its_ports_with_its_way_out,
                networks::a_port_that_is_held_keeps_another_from_its_way_out,
                networks::one_whose_network_is_gone_does_not_start,
                networks::an_isolated_network_is_made_once_found_by_label_and_removed,
                networks::a_network_of_somebody_else_is_not_taken_for_ours,
                commands::a_command_inside_gives_its_code_and_both_streams,
                commands::logs_are_the_last_lines_of_both_streams,
                commands::files_of_a_container_are_listed_whether_it_runs_or_not,
                images::images_are_resolved_fetched_and_named,
                images::files_of_an_image_are_listed_and_nothing_is_left_behind,
                images::a_missing_image_is_told_apart,
                images::an_image_is_found_by_id_by_tag_and_by_digest,
                images::a_name_moves_from_one_image_to_another,
                images::an_unknown_image_gets_no_name,
                images::the_last_name_of_an_image_that_a_container_has_stays,
                images::an_image_goes_with_its_last_name,
                images::the_digest_goes_with_the_last_tag_of_its_repository,
                images::a_container_whose_image_was_taken_away_still_starts,
                restarts::the_restart_policy_of_a_stopped_container_is_changed,
                restarts::what_ends_is_started_again_where_its_policy_says_so,
                restarts::what_somebody_ended_is_not_started_again,
            ]
            [
                restarts::an_engine_that_restarts_starts_what_the_policies_say,
            ]
        }
    };
}
pub(crate) use every_clause;

/// Long enough for anything that is not a download.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// For a stop whose exit code does not count: one that had no time yet to listen to its signal is killed soon.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Where a clause is tried: an engine, and a corner of it in which nobody else is.
pub(crate) trait Bench {
    type Runtime: ContainerRuntime;

    fn runtime(&self) -> &Self::Runtime;
    /// The run that everything in this corner belongs to; also the beginning of each name in it.
    fn name(&self) -> &str;
    /// The id of an image that is on the engine, and has a file `/etc/passwd`.
    fn image(&self) -> String;
    /// Labels that every container of this corner has.
    fn labels(&self) -> Value;
    /// The command of a program that behaves like this.
    fn command(&self, does: &Does) -> Vec<String>;
    /// Makes a network of this name.
    fn network(&self, name: &str, internal: bool);
    /// A port of the host that nobody uses.
    fn free_port(&self) -> u16;
    /// Makes an image that nobody else uses, with this one name.
    fn make_image(&self, reference: &str);
    /// Somebody takes an image away by force, whoever uses it.
    fn take_image(&self, reference: &str);
    /// What the registry has.
    fn registry(&self) -> Registry;
    /// Lets a moment pass.
    async fn moment(&self);
    /// Time that has passed, from any beginning.
    fn elapsed(&self) -> Duration;
    /// The host's clock.
    fn clock(&self) -> Timestamp;
    /// Restarts the engine; returns when it answers again.
    async fn restart_engine(&self);
}

/// What a registry has and what it lacks.
#[derive(Debug)]
pub(crate) struct Registry {
    /// A repository, and a tag in it: of an image of Mastodon.
    pub(crate) repository: String,
    pub(crate) tag: String,
    /// A repository with the same tag that only one clause uses.
    pub(crate) other: String,
    /// A repository that is not there.
    pub(crate) unknown: String,
}

/// How a program behaves: what it writes, how long it runs, and how it ends.
#[derive(Debug, Clone)]
pub(crate) struct Does {
    pub(crate) says: Vec<Says>,
    /// From its start to its end; without, until it is stopped.
    pub(crate) lasts: Option<Duration>,
    /// Its exit code when it ends by itself.
    pub(crate) ends: i64,
    /// Its exit code after SIGTERM; without, it ignores it.
    pub(crate) on_term: Option<i64>,
}

/// A line of a program.
#[derive(Debug, Clone)]
pub(crate) enum Says {
    Out(&'static str),
    Err(&'static str),
    /// The value of a variable of its environment.
    Variable(&'static str),
}

impl Does {
    /// Runs until it is stopped, and ends well then.
    pub(crate) fn runs() -> Self {
        Self {
            says: Vec::new(),
            lasts: None,
            ends: 0,
            on_term: Some(0),
        }
    }

    /// Ends at once.
    pub(crate) fn ends(code: i64) -> Self {
        Self {
            lasts: Some(Duration::ZERO),
            ends: code,
            ..Self::runs()
        }
    }

    pub(crate) fn lasting(mut self, length: Duration) -> Self {
        self.lasts = Some(length);
        self
    }

    pub(crate) fn on_term(mut self, code: i64) -> Self {
        self.on_term = Some(code);
        self
    }

    pub(crate) fn deaf(mut self) -> Self {
        self.on_term = None;
        self
    }

    pub(crate) fn saying(mut self, line: Says) -> Self {
        self.says.push(line);
        self
    }
}

/// A name in the corner.
fn object(bench: &impl Bench, what: &str) -> String {
    format!("{}-{what}", bench.name())
}

/// A container that behaves like this, for this role of the run.
fn spec(bench: &impl Bench, role: &str, does: &Does) -> ContainerSpec {
    let mut labels = bench.labels();
    labels[RUN_LABEL] = json!(bench.name());
    labels[ROLE_LABEL] = json!(role);
    ContainerSpec {
        body: json!({
            "Image": bench.image(), "Entrypoint": [], "Cmd": bench.command(does), "Labels": labels,
        }),
        more_networks: Vec::new(),
    }
}

/// Puts it into this network, under this name.
fn inside(mut spec: ContainerSpec, network: &str, alias: &str) -> ContainerSpec {
    spec.body["HostConfig"]["NetworkMode"] = json!(network);
    spec.body["NetworkingConfig"] = json!({"EndpointsConfig": {network: {"Aliases": [alias]}}});
    spec
}

/// Publishes port 80 of it.
fn publishing(mut spec: ContainerSpec, port: u16) -> ContainerSpec {
    spec.body["ExposedPorts"] = json!({"80/tcp": {}});
    spec.body["HostConfig"]["PortBindings"] =
        json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": port.to_string()}]});
    spec
}

/// Creates it under a name of the corner.
async fn created(bench: &impl Bench, what: &str, spec: &ContainerSpec) -> String {
    let name = object(bench, what);
    bench.runtime().ensure_created(&name, spec).await.unwrap()
}

/// The id of a container that behaves like this, started.
async fn started(bench: &impl Bench, role: &str, does: &Does) -> String {
    let id = created(bench, role, &spec(bench, role, does)).await;
    bench.runtime().ensure_running(&id).await.unwrap();
    id
}

/// The container, which is there.
async fn look(bench: &impl Bench, id: &str) -> Container {
    let found = bench.runtime().container(id).await.unwrap();
    found.expect("the container is there")
}

/// Waits until the container is as wanted.
async fn until(bench: &impl Bench, id: &str, what: &str, wanted: impl Fn(&Container) -> bool) {
    let since = bench.elapsed();
    loop {
        let container = look(bench, id).await;
        if wanted(&container) {
            return;
        }
        let waited = bench.elapsed().saturating_sub(since);
        assert!(waited < MINUTE, "{what}: {:?}", container.state);
        bench.moment().await;
    }
}

fn is_missing(err: &RuntimeError, wanted: &str) -> bool {
    matches!(err, RuntimeError::NotFound { what, .. } if *what == wanted)
}

fn is_refused(err: &RuntimeError) -> bool {
    matches!(err, RuntimeError::Engine { .. })
}
