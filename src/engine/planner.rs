//! From what is on this host to a plan: [`look()`] says what runs and what would stand in the way, however odd it is;
//! [`survey()`] refuses whatever an update could not be carried through with; [`make_plan`] asks the registry and writes
//! down. None of them changes anything.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::material::{MATERIAL_FORMAT, Material};
use super::steps::check::scratch_shortage;
use super::{Ports, StepError};
use crate::domain::method::{self, MethodChoice};
use crate::domain::plan::{
    ImageKind, Limits, Method, OnDeadline, PLAN_FORMAT, Plan, PlannedFile, PlannedImage, Proof,
    Restore, Why, sha256_hex,
};
use crate::domain::version::{ReleaseVersion, UpdateKind};
use crate::ports::compose::ComposeProject;
use crate::ports::runtime::ContainerRuntime;

mod host;
pub(super) mod look;
mod neighbours;
mod survey;
mod witnesses;

pub use self::look::{Depth, Look, look};
pub use self::survey::{InstanceRef, Stores, Survey, stores, survey};

/// What a plan needs to know beside the survey.
#[derive(Debug, Clone)]
pub struct Goal {
    /// Id of the run to be.
    pub run: String,
    /// Version to go to.
    pub to: ReleaseVersion,
    /// How far that is.
    pub kind: UpdateKind,
    /// Why.
    pub why: Why,
    /// Commit of the release's tag, if known.
    pub expected_commit: Option<String>,
    /// Bounds.
    pub limits: Limits,
    /// Now.
    pub now: Timestamp,
    /// When the run has to be over.
    pub hard_deadline: Option<Timestamp>,
    /// The last instant at which the site may be closed.
    pub close_by: Option<Timestamp>,
    /// What the run does when only the time for its way back is left.
    pub on_deadline: OnDeadline,
    /// What the configuration says of how the database is copied.
    pub method: MethodChoice,
    /// How the copy is proved, where there is room for it.
    pub proof: Proof,
    /// Seconds that the way back needs; 0 where nobody knows.
    pub way_back_s: u64,
    /// What is brought back, where it is no update.
    pub restore: Option<Restore>,
}

/// Makes the plan of a run and its material. Asks the registry which digests the new tags have now.
pub async fn make_plan<P: Ports>(
    ports: &P,
    instance: &InstanceRef,
    survey: &Survey,
    goal: Goal,
) -> Result<(Plan, String), StepError> {
    let restore = goal.restore.as_ref();
    let images = planned_images(ports, survey, &goal.to, restore).await?;
    let wanted: BTreeMap<String, String> = survey
        .services
        .iter()
        .filter_map(|service| {
            let image = images
                .iter()
                .find(|image| image.kind == service.role.image())?;
            Some((service.service.clone(), image.to_reference.clone()))
        })
        .collect();
    let mut edits = ports.compose().edits(&survey.project, &wanted)?;
    // Where the version stays, the files say already what they shall.
    edits.retain(|edit| edit.before != edit.after);
    let files = edits
        .iter()
        .map(|edit| PlannedFile {
            path: edit.path.display().to_string(),
            before_sha256: sha256_hex(edit.before.as_bytes()),
            after_sha256: sha256_hex(edit.after.as_bytes()),
        })
        .collect();
    let material = Material {
        format: MATERIAL_FORMAT,
        containers: survey.containers.clone(),
        images: survey.images.clone(),
        project: survey.project.clone(),
        edits,
        bystanders: survey.bystanders.clone(),
    };
    let text = material
        .to_text()
        .map_err(|err| host(format!("the material cannot be written down: {err}")))?;
    let mut chosen = method::choose(goal.method, goal.kind, &survey.copying);
    if restore.is_some_and(|restore| restore.data) {
        "what is there now stands aside as it is".clone_into(&mut chosen.because);
    }
    let proof = match chosen.method {
        Method::Logical => proof(ports, survey, goal.proof).await?,
        // A clone is compared with its original where it stands.
        Method::Clone => Proof::default(),
    };
    let plan = Plan {
        format: PLAN_FORMAT,
        run: goal.run,
        instance: instance.name.clone(),
        project: instance.project.clone(),
        from: survey.installed.clone(),
        to: goal.to,
        kind: goal.kind,
        why: goal.why,
        expected_commit: goal.expected_commit,
        images,
        services: survey.services.clone(),
        site: survey.site.clone(),
        database: survey.database.clone(),
        method: chosen.method,
        method_because: chosen.because,
        proof,
        rehearsed: None,
        redis: survey.redis.clone(),
        files,
        material_sha256: sha256_hex(text.as_bytes()),
        limits: goal.limits,
        created_at: goal.now,
        hard_deadline: goal.hard_deadline,
        close_by: goal.close_by,
        on_deadline: goal.on_deadline,
        way_back_s: goal.way_back_s,
        restore: goal.restore,
    };
    Ok((plan, text))
}

/// How the copy is proved: as wanted, unless there is no room for a throw-away server.
async fn proof<P: Ports>(ports: &P, survey: &Survey, wanted: Proof) -> Result<Proof, StepError> {
    if wanted != Proof::Restore {
        return Ok(wanted);
    }
    let info = ports.runtime().info().await?;
    let images = survey.images.values().map(|image| image.size).sum();
    let short = scratch_shortage(
        ports.files(),
        &info.data_root,
        images,
        survey.database.bytes,
    )?;
    Ok(match short {
        None => Proof::Restore,
        short @ Some(_) => Proof::Read { because: short },
    })
}

/// Both images at the new version, with the digests that their tags have now; or that they had when they ran here, where they
/// come back and are still on this host.
async fn planned_images<P: Ports>(
    ports: &P,
    survey: &Survey,
    to: &ReleaseVersion,
    restore: Option<&Restore>,
) -> Result<Vec<PlannedImage>, StepError> {
    let mut images = Vec::new();
    let platform = ports.runtime().info().await?.platform;
    for kind in [ImageKind::Main, ImageKind::Streaming] {
        let (Some(image), Some(reference)) =
            (survey.images.get(&kind), survey.references.get(&kind))
        else {
            continue;
        };
        let (repository, _) = split_reference(reference);
        let to_reference = format!("{repository}:{}", to.tag());
        let known = match restore {
            Some(restore) => digest_here(ports, restore, repository).await?,
            None => None,
        };
        let to_digest = match known {
            Some(digest) => digest,
            None => digest_there(ports, &to_reference, &platform).await?,
        };
        images.push(PlannedImage {
            kind,
            repository: repository.to_owned(),
            from_reference: reference.clone(),
            from_id: image.id.clone(),
            to_reference,
            to_digest,
        });
    }
    Ok(images)
}

/// The digest under which an image that ran was pulled, if it is still on this host.
async fn digest_here<P: Ports>(
    ports: &P,
    restore: &Restore,
    repository: &str,
) -> Result<Option<String>, StepError> {
    let digest_of = |name: &String| {
        let (of, digest) = name.split_once('@')?;
        (of == repository).then(|| digest.to_owned())
    };
    for id in &restore.image_ids {
        let image = ports.runtime().image(id).await?;
        let digest = image.and_then(|image| image.repo_digests.iter().find_map(digest_of));
        if digest.is_some() {
            return Ok(digest);
        }
    }
    Ok(None)
}

/// The digest that a tag has in its registry, if that has the image for this host.
async fn digest_there<P: Ports>(
    ports: &P,
    reference: &str,
    platform: &str,
) -> Result<String, StepError> {
    let remote = ports.runtime().resolve(reference).await?;
    if !remote.platforms.is_empty() && !remote.platforms.iter().any(|p| same_platform(p, platform))
    {
        return Err(host(format!(
            "image {reference} does not exist for {platform} (only for {}); it may still be built, \
             try again later",
            remote.platforms.join(", ")
        )));
    }
    Ok(remote.digest)
}

fn host(sentence: String) -> StepError {
    StepError::Host(sentence)
}

/// Repository and tag of a reference; a digest behind it is left out.
pub(super) fn split_reference(reference: &str) -> (&str, Option<&str>) {
    let name = reference.split('@').next().unwrap_or(reference);
    let after_path = name.rfind('/').map_or(0, |slash| slash.saturating_add(1));
    match name.get(after_path..).and_then(|last| last.rfind(':')) {
        Some(colon) => {
            let colon = after_path.saturating_add(colon);
            (
                name.get(..colon).unwrap_or(name),
                name.get(colon.saturating_add(1)..),
            )
        }
        None => (name, None),
    }
}

/// Whether two platforms are the same; a variant (`linux/arm64/v8`) counts only where both name one.
fn same_platform(a: &str, b: &str) -> bool {
    let mut pairs = a.split('/').zip(b.split('/'));
    pairs.all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_split_at_the_tags_colon_not_at_the_ports() {
        assert_eq!(
            split_reference("127.0.0.1:5000/a/b:v4.5.8"),
            ("127.0.0.1:5000/a/b", Some("v4.5.8"))
        );
        assert_eq!(
            split_reference("127.0.0.1:5000/a/b"),
            ("127.0.0.1:5000/a/b", None)
        );
        assert_eq!(split_reference("a/b:v1@sha256:00"), ("a/b", Some("v1")));
    }

    #[test]
    fn a_platforms_variant_counts_only_where_both_name_one() {
        assert!(same_platform("linux/arm64/v8", "linux/arm64"));
        assert!(!same_platform("linux/amd64", "linux/arm64"));
    }
}
