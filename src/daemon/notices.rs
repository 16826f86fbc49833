//! What the daemon tells people at once, and once: deadlines that will be missed, a configuration that it did not take, a
//! run that it cannot carry to its end.
//!
//! A notice that cannot be queued ends nothing: it is logged, and queued after the next look.

use jiff::Timestamp;

use super::world;
use crate::adapters::store::Store;
use crate::config::{ConfigErrors, Instance, Settings};
use crate::domain::decide::Decision;
use crate::domain::notice::{Notice, Topic};
use crate::domain::plan::Plan;
use crate::engine::chain;

/// Tells that a decision comes too late for its deadline, or takes note that none does.
pub(super) fn deadline(
    store: &Store,
    settings: &Settings,
    instance: &Instance,
    decision: &Decision,
    now: Timestamp,
) {
    if !late(store, settings, instance, decision, now) {
        rest(store, &Topic::deadlines(&instance.name), now);
    }
}

/// Tells that a decision comes too late; whether it does. That it does not is no good news yet: a closer look may still
/// find something.
pub(super) fn late(
    store: &Store,
    settings: &Settings,
    instance: &Instance,
    decision: &Decision,
    now: Timestamp,
) -> bool {
    let notice = Notice::deadline(decision, &instance.policy, now);
    if let Some(notice) = &notice {
        raise(store, settings, notice, now);
    }
    notice.is_some()
}

/// Tells that the configuration was not read again, and why. What was read at `since` stays in force, its recipients
/// included.
pub(super) fn refused(settings: &Settings, mistakes: &[String], since: Timestamp, now: Timestamp) {
    let names: Vec<&str> = settings
        .instances
        .iter()
        .map(|instance| instance.name.as_str())
        .collect();
    let notice = Notice::config_refused(&names, mistakes, since);
    with_store(settings, |store| raise(store, settings, &notice, now));
}

/// Tells that an interrupted run of an instance cannot be carried to its end.
pub(super) fn stands_still(
    store: &Store,
    settings: &Settings,
    instance: &str,
    because: &str,
    now: Timestamp,
) {
    let notice = Notice::stands_still(instance, because);
    raise(store, settings, &notice, now);
}

/// Tells that a run is open or held whose instance is not in the configuration any more.
pub(super) fn orphaned(
    store: &Store,
    settings: &Settings,
    instance: &str,
    run: &str,
    now: Timestamp,
) {
    raise(store, settings, &Notice::orphaned(instance, run), now);
}

/// Tells that an update does not start because of its rehearsal.
pub(super) fn not_rehearsed(
    store: &Store,
    settings: &Settings,
    plan: &Plan,
    because: &str,
    is_quarantined: bool,
    now: Timestamp,
) {
    let (from, to) = (&plan.from, &plan.to);
    let notice = Notice::not_rehearsed(&plan.instance, from, to, because, is_quarantined);
    raise(store, settings, &notice, now);
}

/// Takes note that an instance's update was rehearsed.
pub(super) fn rehearsed(store: &Store, instance: &str, now: Timestamp) {
    rest(store, &Topic::rehearsals(instance), now);
}

/// Takes note that no run of an instance stands still.
pub(super) fn moves(store: &Store, instance: &str, now: Timestamp) {
    rest(store, &Topic::runs(instance), now);
}

/// The mistakes of a configuration, as they are told.
pub(super) fn mistakes(errors: &ConfigErrors) -> Vec<String> {
    errors.all().iter().map(ToString::to_string).collect()
}

/// Takes note that a good configuration was read.
pub(super) fn accepted(settings: &Settings, now: Timestamp) {
    with_store(settings, |store| rest(store, &Topic::Configuration, now));
}

fn with_store(settings: &Settings, tell: impl FnOnce(&Store)) {
    match world::open_store(settings) {
        Ok(store) => tell(&store),
        Err(err) => tracing::error!("no notice queued: {}", chain(&err)),
    }
}

fn raise(store: &Store, settings: &Settings, notice: &Notice, now: Timestamp) {
    let reporter = world::reporter(settings.mail.as_ref());
    match store.queue_notice(notice, now, || reporter.notice(notice, now)) {
        Ok(true) => tracing::warn!("{}", notice.line()),
        Ok(false) => {}
        Err(err) => tracing::error!("no notice queued: {}", chain(&err)),
    }
}

fn rest(store: &Store, topic: &Topic, now: Timestamp) {
    if let Err(err) = store.rest_notices(topic, now) {
        tracing::error!("{}", chain(&err));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tempfile::TempDir;

    use std::sync::Arc;

    use jiff::SignedDuration;

    use super::*;
    use crate::config;
    use crate::domain::decide::{Facts, Hold, decide};
    use crate::domain::installed::Installed;
    use crate::domain::path::Host;
    use crate::domain::published::Published;
    use crate::domain::release::{Release, ReleaseParts};

    fn now() -> Timestamp {
        "2026-11-21T02:00:00Z".parse().unwrap()
    }

    /// Settings with two recipients, whose state is in a folder of its own.
    fn settings() -> (TempDir, Settings) {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("state");
        let text = format!(
            "state_dir = \"{}\"\npolicy = \"security-first\"\n[[instance]]\nname = \"social.example\"\nproject = \"mastodon\"\n\
             [mail]\nsmtp = \"smtps://mail.example\"\nfrom = \"m@social.example\"\n\
             [[mail.to]]\naddress = \"chief@example.org\"\nrole = \"manager\"\n\
             [[mail.to]]\naddress = \"ops@example.org\"\nrole = \"administrator\"\n",
            state_dir.display()
        );
        let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let settings = config::parse(Path::new("mastopatch.toml"), &text, none).unwrap();
        (folder, settings)
    }

    fn mistakes_of(text: &str) -> Vec<String> {
        let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        mistakes(&config::parse(Path::new("mastopatch.toml"), text, none).unwrap_err())
    }

    #[test]
    fn a_configuration_that_is_refused_is_mailed_once_to_everybody_until_a_good_one_was_read() {
        let (_folder, settings) = settings();
        let queued = || {
            let store = world::open_store(&settings).unwrap();
            store.outbox_summary().unwrap().waiting
        };
        let one = mistakes_of("state_dri = \"/x\"\n");
        for _ in 0..3 {
            refused(&settings, &one, now(), now());
        }
        assert_eq!(queued(), 2);
        refused(&settings, &mistakes_of("[[instance]]\n"), now(), now());
        assert_eq!(queued(), 4);
        refused(&settings, &one, now(), now());
        assert_eq!(queued(), 4);
        accepted(&settings, now());
        refused(&settings, &one, now(), now());
        assert_eq!(queued(), 6);
    }

    #[test]
    fn a_run_that_stands_still_is_mailed_once_whatever_is_in_its_way_and_anew_after_it_moved() {
        let (_folder, settings) = settings();
        let store = world::open_store(&settings).unwrap();
        let tell = |because| {
            stands_still(&store, &settings, "social.example", because, now());
            store.outbox_summary().unwrap().waiting
        };
        assert_eq!(tell("no engine answers"), 2);
        assert_eq!(tell("PostgreSQL does not answer"), 2);
        moves(&store, "other.example", now());
        assert_eq!(tell("no engine answers"), 2);
        moves(&store, "social.example", now());
        assert_eq!(tell("no engine answers"), 4);
    }

    /// 4.5.4 is out for a day; it is wanted within 14 days by the default policy.
    fn facts(hold: Option<Hold>) -> Facts {
        let release = Release::new(ReleaseParts {
            tag: "v4.5.4".to_owned(),
            published_at: Some("2026-11-20T02:00:00Z".parse().unwrap()),
            ..ReleaseParts::default()
        });
        let published = Published::new(vec![release.unwrap()], Vec::new());
        let installed = Installed::taken_for_granted("4.5.2".parse().unwrap());
        Facts {
            hold,
            ..Facts::about(
                "social.example".to_owned(),
                installed,
                Host::default(),
                Arc::new(published),
            )
        }
    }

    #[test]
    fn a_hold_past_the_deadline_is_mailed_at_once_and_once_and_anew_after_it_was_gone_for_an_hour()
    {
        let (_folder, settings) = settings();
        let instance = settings.instances.first().unwrap();
        let store = world::open_store(&settings).unwrap();
        let look = |held: bool, minutes: i64| {
            let now = now()
                .saturating_add(SignedDuration::from_mins(minutes))
                .unwrap();
            let hold = held.then(|| Hold {
                reason: "election".to_owned(),
                by: "eva".to_owned(),
                at: now,
                until: None,
            });
            let needed = SignedDuration::from_mins(45);
            let decision = decide(&facts(hold), &instance.policy, now, needed);
            deadline(&store, &settings, instance, &decision, now);
            store.outbox_summary().unwrap().waiting
        };
        assert_eq!(look(false, 0), 0);
        assert_eq!(look(true, 1), 2);
        assert_eq!(look(true, 2), 2);
        assert_eq!(look(false, 3), 2);
        assert_eq!(look(true, 4), 2);
        assert_eq!(look(false, 5), 2);
        assert_eq!(look(false, 65), 2);
        assert_eq!(look(true, 66), 4);
    }
}
