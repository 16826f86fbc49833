//! What stands in the way in the Compose file: environment, images, commands, health checks, mounts.

use std::collections::BTreeSet;

use super::{L4_3, L4_4, Step};
use crate::domain::path::{HostService, ObstacleKind, Weight, lines};
use crate::domain::plan::Role;

/// The keys without which no process of Mastodon starts since 4.3.
const ENCRYPTION_KEYS: [&str; 3] = [
    "ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY",
    "ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT",
    "ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY",
];
/// Secret of two-factor logins until 4.3, whose migrations need it.
const OTP_SECRET: &str = "OTP_SECRET";
/// A prefix of all keys in Redis, refused since 4.4.
const REDIS_NAMESPACE: &str = "REDIS_NAMESPACE";
/// Leaves migrations out as soon as it is set to anything.
const SKIP: &str = "SKIP_POST_DEPLOYMENT_MIGRATIONS";

/// Keys of which the table knows what becomes of them.
pub(super) const OF_THE_TABLE: [&str; 6] = {
    let [first, second, third] = ENCRYPTION_KEYS;
    [first, second, third, OTP_SECRET, REDIS_NAMESPACE, SKIP]
};

impl Step<'_> {
    /// What stands in the way in one service.
    pub(super) fn service(&mut self, service: &HostService) {
        let HostService { name, .. } = service;
        if self.to >= L4_3 && service.role == Role::Streaming && !service.streaming_image {
            self.add(
                Weight::Blocks,
                ObstacleKind::StreamingImage,
                format!("Since 4.3 streaming has an image of its own, and the main one has no Node; `{name}` runs the main one."),
                "In the Compose file give it `ghcr.io/mastodon/mastodon-streaming` with the same tag as web, and the command \
                 `node ./streaming/index.js`, together with the move to 4.3.",
            );
        }
        if self.to >= L4_3 && service.rails_server {
            self.add(
                Weight::Notice,
                ObstacleKind::Command,
                format!("`{name}` is started with `rails s`; since 4.3 the official command is puma's own."),
                "Change it to `bundle exec puma -C config/puma.rb` when you next edit the Compose file.",
            );
        }
        self.health_check(service);
        for place in &service.public_mounts {
            self.public_mount(name, place);
        }
    }

    /// A check that looks for `sidekiq 6` calls a working Sidekiq 8 unhealthy. Checks with `wget` keep working: both images
    /// have it, beside `curl`.
    fn health_check(&mut self, service: &HostService) {
        let Some(check) = service.health_check.as_deref() else {
            return;
        };
        let wanted = lines::holding(self.to).and_then(|line| line.sidekiq.last());
        let (Some(accepted), Some(wanted)) = (sidekiq_majors(check), wanted) else {
            return;
        };
        if accepted.contains(wanted) {
            return;
        }
        self.add_crossing(
            ObstacleKind::HealthCheck,
            format!(
                "The health check of `{}` looks for another Sidekiq than {wanted}, which {} has: it will call a working one \
                 unhealthy.",
                service.name, self.to
            ),
            format!(
                "In the Compose file let it look for `sidekiq {wanted}`, together with the update; mastopatch itself does not \
                 go by it."
            ),
        );
    }

    fn public_mount(&mut self, service: &str, place: &str) {
        let below = place
            .split_once("/public")
            .map_or("", |(_, rest)| rest.trim_matches('/'));
        // Everything that a release ships anew and a page names by a hash.
        let first = below.split('/').next().unwrap_or_default();
        let hides_assets = ["", "packs", "assets", "packs-test"].contains(&first);
        if hides_assets {
            self.add(
                Weight::NeedsPerson,
                ObstacleKind::PublicMount,
                format!("`{service}` has something mounted at {place}: it hides the new release's files, and pages without style or script come of it."),
                "Mount only public/system; let the reverse proxy ask web for everything else.",
            );
        } else {
            self.add(
                Weight::Notice,
                ObstacleKind::PublicMount,
                format!("`{service}` has something mounted at {place}, in the place of what the release ships there."),
                "Look whether it still fits the new release.",
            );
        }
    }

    /// What stands in the way in the environment of the services of the main image.
    pub(super) fn keys(&mut self) {
        let lacks = |key: &'static str| move |service: &HostService| !has(service, key);
        if self.to >= L4_3 {
            for key in ENCRYPTION_KEYS {
                let services = named(&self.main_services(lacks(key)));
                self.missing_encryption_key(key, services);
            }
        }
        if self.to == L4_3
            && let Some(services) = named(&self.main_services(lacks(OTP_SECRET)))
        {
            self.add(
                Weight::Blocks,
                ObstacleKind::MissingKey,
                format!("4.3 does not start without {OTP_SECRET}, which the environment of {services} lacks."),
                "Put the value that this instance has always had back into .env.production; with another one two-factor \
                 logins break.",
            );
        }
        if self.passes(L4_4)
            && !self
                .main_services(|service| has(service, OTP_SECRET))
                .is_empty()
        {
            self.add(
                Weight::Notice,
                ObstacleKind::ManualStep,
                format!("Since 4.4 {OTP_SECRET} is not used any more."),
                "Leave it until every migration of 4.3 is applied; without it two-factor logins would break.",
            );
        }
        let set = |key: &'static str| move |service: &HostService| service.keys.contains_key(key);
        if self.to >= L4_4
            && let Some(services) = named(&self.main_services(set(REDIS_NAMESPACE)))
        {
            self.add(
                Weight::Blocks,
                ObstacleKind::ForbiddenKey,
                format!("Since 4.4 Mastodon does not start with {REDIS_NAMESPACE}, which is set for {services}."),
                "Move the keys as https://github.com/mastodon/redis_namespace_migration says, then take the line out of \
                 .env.production; if search is on, set ES_PREFIX to the old value.",
            );
        }
        if let Some(services) = named(&self.main_services(set(SKIP))) {
            self.add(
                Weight::Blocks,
                ObstacleKind::ForbiddenKey,
                format!("{SKIP} is set for {services}: whatever its value, migrations would be left out."),
                "Take the line out of .env.production, and apply that with `up -d`.",
            );
        }
    }

    fn missing_encryption_key(&mut self, key: &str, services: Option<String>) {
        let Some(services) = services else {
            return;
        };
        let todo = if self.from < L4_3 {
            "Make all three once, with the image of 4.3: `docker compose run --rm web bin/rails db:encryption:init` prints \
             them. Put them into .env.production and into your backup, and never make them anew."
        } else {
            "What runs must have it from elsewhere: put that value into .env.production, the same for every service. Never \
             make a new one: two-factor logins, and since 4.7 federation, are lost with the old one."
        };
        self.add(
            Weight::Blocks,
            ObstacleKind::MissingKey,
            format!("Since 4.3 Mastodon does not start without {key}, which the environment of {services} lacks."),
            todo,
        );
    }
}

/// Whether a key is set to more than an empty text.
pub(super) fn has(service: &HostService, key: &str) -> bool {
    service.keys.get(key).is_some_and(|full| *full)
}

/// The services as a list; none where there is none.
pub(super) fn named(services: &[&str]) -> Option<String> {
    (!services.is_empty()).then(|| services.join(", "))
}

/// The majors that a health check accepts: `6` for `[s]idekiq 6`, 7 and 8 for `sidekiq\ [78]`. None where it names none.
fn sidekiq_majors(check: &str) -> Option<BTreeSet<u32>> {
    let (_, rest) = check.split_once("idekiq")?;
    let rest = rest.trim_start_matches(|c: char| c == ']' || c == '\\' || c.is_whitespace());
    let majors: BTreeSet<u32> = match rest.strip_prefix('[') {
        Some(class) => {
            let (class, _) = class.split_once(']')?;
            match class.split_once('-') {
                Some((first, last)) => (first.parse().ok()?..=last.parse::<u32>().ok()?)
                    .take(10)
                    .collect(),
                None => class.chars().filter_map(|c| c.to_digit(10)).collect(),
            }
        }
        None => {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest.get(..end)?.parse().ok().into_iter().collect()
        }
    };
    (!majors.is_empty()).then_some(majors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sidekiq_that_a_health_check_looks_for_is_read() {
        for (check, majors) in [
            ("ps aux | grep '[s]idekiq 6' || false", vec![6]),
            ("ps aux | grep '[s]idekiq\\ 7' || false", vec![7]),
            ("ps aux | grep '[s]idekiq [78]' || false", vec![7, 8]),
            ("ps aux | grep '[s]idekiq [6-8]' || false", vec![6, 7, 8]),
            ("pgrep -f 'sidekiq 10'", vec![10]),
            ("ps aux | grep '[s]idekiq' || false", vec![]),
            ("ps aux | grep '[s]idekiq \\d'", vec![]),
            ("sidekiq [9", vec![]),
            ("sidekiq [99999999999-1]", vec![]),
            ("curl -s localhost:3000/health", vec![]),
        ] {
            let found: Vec<u32> = sidekiq_majors(check).into_iter().flatten().collect();
            assert_eq!(found, majors, "{check}");
        }
    }
}
