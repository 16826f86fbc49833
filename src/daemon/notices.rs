//! What the daemon tells people at once, and once: deadlines that will be missed, a configuration that it did not take.
//!
//! A notice that cannot be queued ends nothing: it is logged, and queued after the next look.

use jiff::Timestamp;

use super::world;
use crate::adapters::store::Store;
use crate::config::{ConfigErrors, Instance, Settings};
use crate::domain::decide::Decision;
use crate::domain::notice::{Notice, Topic};
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

    use super::*;
    use crate::config;

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
}
