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
