//! Mastodon as seen over HTTP: what it answers, and the people who write.

use mastopatch::ports::probe::{Answer, Probe, ProbeError, Request};

use super::engine::{Program, SimContainer};
use super::invariants;
use super::world::{Call, LIVE, Port, SimPorts, Target, Version, World};

/// What the versions call themselves.
pub(crate) const A: &str = "4.5.8";
/// What the versions call themselves.
pub(crate) const B: &str = "4.5.9";

/// What a version calls itself.
pub(crate) fn name_of(version: Version) -> &'static str {
    match version {
        Version::A => A,
        Version::B => B,
    }
}

impl World {
    /// Whether the live schema is one that a version works with.
    pub(crate) fn schema_fits(&self, version: Version) -> bool {
        self.databases
            .get(LIVE)
            .is_some_and(|db| self.fits(db, version))
    }

    fn fits(&self, db: &super::world::Db, version: Version) -> bool {
        if !db.whole || db.shut {
            return false;
        }
        let has = |wanted: &String| db.schema.contains(wanted);
        match version {
            Version::A => !self.setting.post.iter().any(has),
            Version::B => self.setting.pre.iter().chain(&self.setting.post).all(has),
        }
    }

    /// Whether a web works: it has booted, its data are there, and it is not broken itself.
    pub(crate) fn is_well(&self, container: &SimContainer) -> bool {
        let Some(version) = container.version else {
            return false;
        };
        let broken = version == Version::B && self.target == Target::Unhealthy;
        if self.is_isolated(container) {
            let redis = |c: &SimContainer| c.running && c.name.contains("scratch-redis");
            let fits = self.database_of(container);
            return self.answers(container)
                && self.containers.iter().any(redis)
                && fits.is_some_and(|db| self.fits(db, version))
                && !broken;
        }
        let broken = version == self.setting.to && self.target == Target::Unhealthy;
        self.answers(container)
            && self.postgres_answers()
            && self.redis_answers()
            && self.cloning.is_none()
            && self.schema_fits(version)
            && !broken
    }

    /// The public writes wherever it can, and remembers what was acknowledged.
    pub(crate) fn public_writes(&mut self) {
        let writes = self
            .containers
            .iter()
            .any(|c| c.program == Program::Web && self.is_public(c) && self.is_well(c));
        if !writes {
            return;
        }
        invariants::i4_no_write_behind_the_fence(self);
        self.next_post += 1;
        let post = self.next_post;
        if let Some(db) = self.databases.get_mut(LIVE) {
            db.posts.push(post);
            self.redis.push(post);
            self.acknowledged.push(post);
        }
    }

    fn page(&self, container: &SimContainer, path: &str) -> (u16, String) {
        if container.program == Program::Streaming {
            return (200, "OK".to_owned());
        }
        let version = name_of(container.version.unwrap_or_default());
        match path {
            "/health" => (200, "OK".to_owned()),
            _ if !self.is_well(container) => (500, "error".to_owned()),
            "/api/v2/instance" => (200, format!("{{\"version\":\"{version}\"}}")),
            _ => (200, "page".to_owned()),
        }
    }
}

impl Probe for SimPorts {
    async fn get(&self, request: Request<'_>) -> Result<Answer, ProbeError> {
        let call = Call {
            name: "probe",
            port: Port::Probe,
            mutating: false,
            limit_ms: u64::try_from(request.limit.as_millis()).unwrap(),
        };
        let answer = self.call(call, |world, _| {
            let container = world.by_address(request.address)?;
            if !world.answers(container) {
                return None;
            }
            let (status, body) = world.page(container, request.path);
            Some(Answer { status, body })
        });
        match answer {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) | Err(_) => Err(ProbeError::NoAnswer {
                address: request.address,
                path: request.path.to_owned(),
                source: "simulated".into(),
            }),
        }
    }
}
