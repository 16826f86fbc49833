//! Images: in the registry, on the host, and their names.

use std::collections::BTreeMap;
use std::sync::Mutex;

use mastopatch::ports::runtime::{ContainerRuntime, Image, PullProgress, RUN_LABEL, RuntimeError};
use serde_json::json;

use super::{Bench, Does, GRACE, MINUTE, created, is_missing, is_refused, look, object, spec};

/// The image of the registry's repository, fetched; and the name by its digest.
async fn fetched(bench: &impl Bench, repository: &str) -> (Image, String) {
    let engine = bench.runtime();
    let tagged = format!("{repository}:{}", bench.registry().tag);
    let digest = engine.resolve(&tagged).await.unwrap().digest;
    let image = engine
        .ensure_image(repository, &digest, 10 * MINUTE, &|_| {})
        .await;
    (image.unwrap(), format!("{repository}@{digest}"))
}

/// An image of this clause's own, with this one name: the name and the image.
async fn own(bench: &impl Bench, what: &str) -> (String, Image) {
    let reference = format!("{}/{what}:1", bench.name());
    bench.make_image(&reference);
    let image = bench.runtime().image(&reference).await.unwrap().unwrap();
    (reference, image)
}

/// A container of this image that was never started.
async fn of_image(bench: &impl Bench, what: &str, image: &str) -> String {
    let mut wanted = spec(bench, what, &Does::runs());
    wanted.body["Image"] = json!(image);
    created(bench, what, &wanted).await
}

pub(crate) async fn images_are_resolved_fetched_and_named(bench: &impl Bench) {
    let engine = bench.runtime();
    let registry = bench.registry();
    let repository = &registry.repository;
    let tagged = format!("{repository}:{}", registry.tag);
    let remote = engine.resolve(&tagged).await.unwrap();
    assert!(remote.digest.starts_with("sha256:"));
    let platform = engine.info().await.unwrap().platform;
    assert!(remote.platforms.is_empty() || remote.platforms.contains(&platform));

    let seen = Mutex::new(Vec::<PullProgress>::new());
    let heard = |progress| seen.lock().unwrap().push(progress);
    let named = format!("{repository}@{}", remote.digest);
    for _again in 0..2 {
        let image = engine
            .ensure_image(repository, &remote.digest, 10 * MINUTE, &heard)
            .await
            .unwrap();
        assert!(image.repo_digests.contains(&named));
        assert_eq!(image.platform, platform);
    }
    let seen = seen.into_inner().unwrap();
    assert!(seen.iter().all(|progress| progress.done <= progress.total));
    let image = engine.image(&named).await.unwrap().unwrap();

    let keep = "mastopatch-keep/contract:1";
    for _again in 0..2 {
        engine.ensure_tag(&image.id, keep).await.unwrap();
        let kept = engine.image(keep).await.unwrap().unwrap();
        assert_eq!(kept.id, image.id);
        assert!(kept.repo_tags.contains(&keep.to_owned()));
    }
    for _again in 0..2 {
        engine.ensure_no_tag(keep).await.unwrap();
        assert!(engine.image(keep).await.unwrap().is_none());
    }
    let image = engine.image(&image.id).await.unwrap().unwrap();
    assert!(!image.repo_tags.contains(&keep.to_owned()));
    assert!(image.repo_digests.contains(&named), "its digest stays");
}

pub(crate) async fn files_of_an_image_are_listed_and_nothing_is_left_behind(bench: &impl Bench) {
    let engine = bench.runtime();
    let (image, _named) = fetched(bench, &bench.registry().repository).await;
    let mut labels: BTreeMap<String, String> = serde_json::from_value(bench.labels()).unwrap();
    labels.insert(RUN_LABEL.to_owned(), bench.name().to_owned());
    for folder in ["/opt/mastodon/db/migrate", "/opt/mastodon/db/migrate/"] {
        let files = engine.files_in_image(&image.id, folder, &labels).await;
        let files = files.unwrap();
        assert!(!files.is_empty());
        let is_file = |name: &String| name.contains(".rb") && !name.contains('/');
        assert!(files.iter().all(is_file), "{files:?}");
    }
    let files = engine.files_in_image(&image.id, "/no/such", &labels).await;
    assert!(files.unwrap().is_empty());
    let left = engine.labelled(RUN_LABEL, bench.name()).await.unwrap();
    assert!(left.is_empty(), "the container it was read from is gone");
    let unknown = format!("sha256:{}", "0".repeat(64));
    let err = engine.files_in_image(&unknown, "/etc", &labels).await;
    let err = err.unwrap_err();
    assert!(is_missing(&err, "image"), "{err:?}");
}

pub(crate) async fn a_missing_image_is_told_apart(bench: &impl Bench) {
    let engine = bench.runtime();
    let registry = bench.registry();
    let digest = format!("sha256:{}", "0".repeat(64));
    let tagged = |repository: &str| format!("{repository}:v0.0.0");
    for err in [
        engine
            .resolve(&tagged(&registry.repository))
            .await
            .unwrap_err(),
        engine
            .resolve(&tagged(&registry.unknown))
            .await
            .unwrap_err(),
        engine
            .ensure_image(&registry.repository, &digest, MINUTE, &|_| {})
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(err, RuntimeError::NoSuchImage { .. }), "{err:?}");
    }
    let mut wanted = spec(bench, "new", &Does::ends(0));
    wanted.body["Image"] = json!("mplab/none:1");
    let err = engine.ensure_created(&object(bench, "new"), &wanted).await;
    let err = err.unwrap_err();
    assert!(is_missing(&err, "image"), "{err:?}");
}

pub(crate) async fn an_image_is_found_by_id_by_tag_and_by_digest(bench: &impl Bench) {
    let engine = bench.runtime();
    let (image, digest) = fetched(bench, &bench.registry().repository).await;
    let tag = format!("{}/found:1", bench.name());
    engine.ensure_tag(&image.id, &tag).await.unwrap();
    for key in [&image.id, &tag, &digest] {
        let found = engine.image(key).await.unwrap().unwrap();
        assert_eq!(found.id, image.id, "{key}");
        assert!(found.repo_tags.contains(&tag) && found.repo_digests.contains(&digest));
        assert_eq!(found.env, image.env);
    }
    let repository = digest.split_once('@').unwrap().0;
    for key in [
        format!("{repository}@sha256:{}", "0".repeat(64)),
        format!("sha256:{}", "0".repeat(64)),
        tag.replace(":1", ":2"),
        tag.replace(":1", ""),
    ] {
        assert!(engine.image(&key).await.unwrap().is_none(), "{key}");
    }
    engine.ensure_no_tag(&tag).await.unwrap();
}

pub(crate) async fn a_name_moves_from_one_image_to_another(bench: &impl Bench) {
    let engine = bench.runtime();
    let (first_name, first) = own(bench, "first").await;
    let (second_name, second) = own(bench, "second").await;
    assert_ne!(first.id, second.id);
    let name = format!("{}/moving:1", bench.name());
    for image in [&first, &second, &first] {
        engine.ensure_tag(&image.id, &name).await.unwrap();
        assert_eq!(engine.image(&name).await.unwrap().unwrap().id, image.id);
    }
    let found = engine.image(&second_name).await.unwrap().unwrap();
    assert_eq!(found.repo_tags, [&*second_name]);
    // An image is named by any of its names, too.
    engine.ensure_tag(&second_name, &name).await.unwrap();
    assert_eq!(engine.image(&name).await.unwrap().unwrap().id, second.id);
    // One that loses its last name to another stays without.
    engine.ensure_tag(&second.id, &first_name).await.unwrap();
    let found = engine.image(&first.id).await.unwrap().unwrap();
    assert!(found.repo_tags.is_empty(), "{:?}", found.repo_tags);
}

pub(crate) async fn an_unknown_image_gets_no_name(bench: &impl Bench) {
    let engine = bench.runtime();
    let unknown = format!("sha256:{}", "0".repeat(64));
    let name = format!("{}/nothing:1", bench.name());
    let err = engine.ensure_tag(&unknown, &name).await.unwrap_err();
    assert!(is_missing(&err, "image"), "{err:?}");
    assert!(engine.image(&name).await.unwrap().is_none());
    engine.ensure_no_tag(&name).await.unwrap();
}

pub(crate) async fn the_last_name_of_an_image_that_a_container_has_stays(bench: &impl Bench) {
    let engine = bench.runtime();
    let (name, image) = own(bench, "used").await;
    let id = of_image(bench, "new", &name).await;
    for runs in [false, true, false] {
        if runs {
            engine.ensure_running(&id).await.unwrap();
        } else {
            engine.ensure_stopped(&id, GRACE).await.unwrap();
        }
        let err = engine.ensure_no_tag(&name).await.unwrap_err();
        assert!(is_refused(&err), "{err:?}");
        assert_eq!(engine.image(&name).await.unwrap().unwrap().id, image.id);
    }
    // Another name may go, whichever it is.
    let keep = format!("{}/keep:1", bench.name());
    engine.ensure_tag(&image.id, &keep).await.unwrap();
    engine.ensure_no_tag(&name).await.unwrap();
    assert!(engine.image(&name).await.unwrap().is_none());
    let err = engine.ensure_no_tag(&keep).await.unwrap_err();
    assert!(is_refused(&err), "{err:?}");
    let found = look(bench, &id).await;
    assert_eq!((&found.image, &found.image_id), (&name, &image.id));
    engine.ensure_running(&id).await.unwrap();

    engine.ensure_removed(&id).await.unwrap();
    engine.ensure_no_tag(&keep).await.unwrap();
    assert!(engine.image(&image.id).await.unwrap().is_none());
}

pub(crate) async fn an_image_goes_with_its_last_name(bench: &impl Bench) {
    let engine = bench.runtime();
    let (name, image) = own(bench, "unused").await;
    let other = format!("{}/other:1", bench.name());
    engine.ensure_tag(&image.id, &other).await.unwrap();
    engine.ensure_no_tag(&name).await.unwrap();
    assert!(engine.image(&image.id).await.unwrap().is_some());
    for _again in 0..2 {
        engine.ensure_no_tag(&other).await.unwrap();
        assert!(engine.image(&image.id).await.unwrap().is_none());
    }
}

pub(crate) async fn the_digest_goes_with_the_last_tag_of_its_repository(bench: &impl Bench) {
    let engine = bench.runtime();
    let (image, digest) = fetched(bench, &bench.registry().other).await;
    let repository = digest.split_once('@').unwrap().0;
    let own = format!("{repository}:contract");
    let keep = format!("{}/keep:1", bench.name());
    for tag in [&own, &keep] {
        engine.ensure_tag(&image.id, tag).await.unwrap();
    }
    let id = of_image(bench, "new", &own).await;
    // A tag of another repository does not hold the digest.
    engine.ensure_no_tag(&own).await.unwrap();
    assert!(engine.image(&digest).await.unwrap().is_none());
    let found = engine.image(&keep).await.unwrap().unwrap();
    assert!(found.repo_digests.is_empty(), "{:?}", found.repo_digests);
    // Fetched again, it has it again.
    let (again, _digest) = fetched(bench, repository).await;
    assert_eq!(again.id, image.id);
    assert!(again.repo_digests.contains(&digest) && again.repo_tags.contains(&keep));

    // A tag and the digest of one repository are one name; the digest alone is one, too.
    engine.ensure_tag(&image.id, &own).await.unwrap();
    engine.ensure_no_tag(&keep).await.unwrap();
    let err = engine.ensure_no_tag(&own).await.unwrap_err();
    assert!(is_refused(&err), "{err:?}");
    assert!(engine.image(&digest).await.unwrap().is_some());
    engine.ensure_removed(&id).await.unwrap();
    engine.ensure_no_tag(&own).await.unwrap();
    assert!(engine.image(&image.id).await.unwrap().is_none());
}

pub(crate) async fn a_container_whose_image_was_taken_away_still_starts(bench: &impl Bench) {
    let engine = bench.runtime();
    let (name, image) = own(bench, "taken").await;
    let id = of_image(bench, "new", &name).await;
    engine.ensure_running(&id).await.unwrap();
    engine.ensure_stopped(&id, GRACE).await.unwrap();
    bench.take_image(&name);
    assert!(engine.image(&name).await.unwrap().is_none());
    assert!(engine.image(&image.id).await.unwrap().is_none());
    let found = look(bench, &id).await;
    assert_eq!((&found.image, &found.image_id), (&name, &image.id));
    engine.ensure_running(&id).await.unwrap();
    assert!(look(bench, &id).await.state.running);
}
