//! What runs, and what would stand in the way: told even where an update could not be planned.

use super::host::{self, Stores};
use super::neighbours::Neighbours;
use super::survey::{self, InstanceRef, SERVICE, Survey};
use super::witnesses;
use crate::domain::installed::{Builder, Evidence, ImageName, Installed};
use crate::domain::path::Host;
use crate::domain::plan::Role;
use crate::engine::{Ports, StepError, chain};
use crate::ports::database::{Database, Redis};
use crate::ports::probe::Probe;
use crate::ports::runtime::{Container, ContainerRuntime, Image, RuntimeError};

/// How much a look may cost the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Some requests: for the daemon's rounds.
    Quick,
    /// Also `tootctl --version`, which boots Ruby for some seconds and some 200 MB, a count over the table of accounts, and
    /// a question to the Compose CLI: for `doctor`, and before a run is planned.
    Thorough,
}

/// What is on the host.
#[derive(Debug)]
pub struct Look {
    /// The version that runs, with who says so.
    pub installed: Installed,
    /// What an update depends on.
    pub host: Host,
    /// What an update would be planned with, or why none can be.
    pub survey: Result<Survey, StepError>,
}

/// Looks at an instance. Read-only; what is odd is told in the answer, and only a run would be refused.
///
/// Fails where the engine does not answer, where the project has no container of Mastodon, and where nothing says any
/// version.
pub async fn look<P: Ports>(
    ports: &P,
    instance: &InstanceRef,
    depth: Depth,
) -> Result<Look, StepError> {
    let eyes = Eyes {
        runtime: ports.runtime(),
        database: ports.database(),
        redis: ports.redis(),
        probe: ports.probe(),
    };
    let (installed, mut host) = eyes.look(instance, depth).await?;
    let survey = match survey::survey(ports, instance).await {
        Err(StepError::Runtime(err @ RuntimeError::Unreachable { .. })) => return Err(err.into()),
        survey => survey,
    };
    if let (Ok(survey), Depth::Thorough) = (&survey, depth) {
        match host::unapplied(ports.compose(), survey).await {
            Ok(services) => host.unapplied = services,
            Err(err) => host.not_seen.push(format!(
                "Whether the Compose file was edited and not applied could not be told: {}.",
                chain(&err)
            )),
        }
    }
    Ok(Look {
        installed,
        host,
        survey,
    })
}

/// What is needed to look.
pub(super) struct Eyes<'a, R, D, K, H> {
    pub(super) runtime: &'a R,
    pub(super) database: &'a D,
    pub(super) redis: &'a K,
    pub(super) probe: &'a H,
}

/// A container of Mastodon.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) container: Container,
    /// The image it runs, if it is still on the host.
    pub(super) image: Option<Image>,
    /// What the image is called, where the engine remembers only its id too.
    pub(super) reference: String,
    /// What it does; none where its command is none that Mastodon is known by.
    pub(super) role: Option<Role>,
    /// Whether it runs streaming's own image.
    pub(super) streaming_image: bool,
    /// Whether an init inside starts everything.
    pub(super) all_in_one: bool,
    builder: Builder,
}

impl Part {
    /// The name of its service.
    pub(super) fn service(&self) -> &str {
        let label = self.container.labels.get(SERVICE);
        label.unwrap_or(&self.container.name)
    }
}

impl<R: ContainerRuntime, D: Database, K: Redis, H: Probe> Eyes<'_, R, D, K, H> {
    pub(super) async fn look(
        &self,
        instance: &InstanceRef,
        depth: Depth,
    ) -> Result<(Installed, Host), StepError> {
        let members = survey::members(self.runtime, instance).await?;
        let parts = self.parts(instance, &members).await?;
        let Some(web) = web_of(&parts) else {
            let images: Vec<&str> = members.iter().map(|it| it.image.as_str()).collect();
            return Err(super::host(format!(
                "project `{}` has no container of Mastodon; found are: {}. If your images come from elsewhere, name them \
                 with main_image and streaming_image",
                instance.project,
                images.join(", ")
            )));
        };
        let neighbours = Neighbours::of(self.runtime, &web.container).await?;
        let stores = Stores::find(&web.container, &neighbours, &instance.project);
        let evidence = Evidence {
            own: own(instance),
            images: parts.iter().map(witnesses::image_seen).collect(),
            api: self.version_shown(web).await,
            tootctl: self.tootctl(web, depth).await,
            schema: self.schema(web, &stores).await,
        };
        let installed = Installed::weigh(&evidence).map_err(|err| super::host(err.to_string()))?;
        let mut host = host::of_services(&parts, &web.container, &neighbours);
        host.outside = stores.outside();
        self.ask_stores(&stores, &installed.version, depth, &mut host)
            .await;
        Ok((installed, host))
    }

    /// The containers of Mastodon, web first. Of images that nobody knows only those whose role no known one has.
    async fn parts(
        &self,
        instance: &InstanceRef,
        members: &[Container],
    ) -> Result<Vec<Part>, StepError> {
        let own = own(instance);
        let mut parts = Vec::new();
        for container in members {
            let image = self.runtime.image(&container.image_id).await?;
            parts.extend(part(container, image, instance, &own));
        }
        let known: Vec<Option<Role>> = parts
            .iter()
            .filter(|part| part.builder != Builder::Unknown)
            .map(|part| part.role)
            .collect();
        parts.retain(|part| part.builder != Builder::Unknown || !known.contains(&part.role));
        // Roles in their order, then those without one; running containers before others, then by name.
        parts.sort_by_key(|part| {
            (
                part.role.is_none(),
                part.role,
                !part.container.state.running,
                part.container.name.clone(),
            )
        });
        Ok(parts)
    }
}

/// The container that is asked on behalf of web: web itself, or whatever else runs the main image.
fn web_of(parts: &[Part]) -> Option<&Part> {
    let main = || parts.iter().filter(|part| !part.streaming_image);
    main()
        .find(|part| part.role == Some(Role::Web))
        .or_else(|| main().next())
        .or_else(|| parts.first())
}

fn own(instance: &InstanceRef) -> Vec<String> {
    vec![
        instance.main_image.clone(),
        instance.streaming_image.clone(),
    ]
}

fn part(
    container: &Container,
    image: Option<Image>,
    instance: &InstanceRef,
    own: &[String],
) -> Option<Part> {
    let reference = reference(container, image.as_ref());
    let name = ImageName::read(&reference);
    let builder = name.builder(own);
    let streaming = ImageName::read(&instance.streaming_image).repository;
    let streaming_image =
        name.repository == streaming || name.repository.ends_with("mastodon-streaming");
    let by_command = role_of(&container.command.join(" "));
    // The first process of s6, which starts the others.
    let has_init = container.command.first().is_some_and(|it| it == "/init");
    let last = name.repository.rsplit('/').next().unwrap_or_default();
    let called_mastodon = last.contains("mastodon");
    let (role, all_in_one) = match builder {
        Builder::AllInOne => (Some(Role::Web), true),
        Builder::Upstream | Builder::Fork if streaming_image => (Some(Role::Streaming), false),
        // Its publisher has other images too.
        Builder::Upstream | Builder::Fork if by_command.is_none() && !called_mastodon => {
            return None;
        }
        Builder::Upstream | Builder::Fork => (by_command, false),
        Builder::Unknown if has_init && called_mastodon => (Some(Role::Web), true),
        Builder::Unknown => {
            let is_mastodon = called_mastodon
                || container.env.contains_key("LOCAL_DOMAIN")
                || image
                    .as_ref()
                    .is_some_and(|image| image.env.contains_key("MASTODON_VERSION_METADATA"));
            if !is_mastodon {
                return None;
            }
            (Some(by_command?), false)
        }
    };
    Some(Part {
        container: container.clone(),
        image,
        role,
        streaming_image,
        all_in_one,
        builder,
        reference,
    })
}

/// The reference a container was created from. Where that is only an id, a name that the engine still has for it.
fn reference(container: &Container, image: Option<&Image>) -> String {
    let is_id = container.image == container.image_id
        || container.image.starts_with("sha256:")
        || container.image.is_empty();
    let known = image
        .filter(|_| is_id)
        .and_then(|image| image.repo_tags.first().or(image.repo_digests.first()));
    known.unwrap_or(&container.image).clone()
}

/// What a command of Mastodon does; none for any other.
fn role_of(command: &str) -> Option<Role> {
    let has = |words: &[&str]| words.iter().any(|word| command.contains(word));
    if has(&["sidekiq"]) {
        Some(Role::Sidekiq)
    } else if has(&["streaming"]) {
        Some(Role::Streaming)
    } else if has(&["puma", "rails s", "rails server"]) {
        Some(Role::Web)
    } else {
        None
    }
}

#[cfg(test)]
pub(crate) mod tests;
