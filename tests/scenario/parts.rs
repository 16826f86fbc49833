//! The stand-ins and tools themselves: a scenario is worth as much as they are.

use ureq::http::Response;

use crate::runner::{Scenario, Stage, Verdict, scenarios};
use crate::support::github::{Fault, GitHub, commit_of};
use crate::support::lab::{InstanceOptions, agent};
use crate::support::world::{self, World};
use crate::support::writer::Writer;

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        the_local_github_pages_caches_and_fails_like_the_real_one,
        the_instance_serves_and_its_writer_loses_nothing
    ]
}

fn the_local_github_pages_caches_and_fails_like_the_real_one(_: &mut Stage) -> Verdict {
    let github = GitHub::with_releases(&["v4.5.7", "v4.5.8", "v4.6.9"]);
    let agent = agent(std::time::Duration::from_secs(2));
    let base = format!("{}/repos/mastodon/mastodon", github.base_url());
    let get = |path: &str, etag: &str| {
        agent
            .get(format!("{base}{path}"))
            .header("If-None-Match", etag)
            .call()
    };
    let header = |response: &Response<ureq::Body>, name: &str| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let first = get("/releases?per_page=2", "").expect("answer");
    assert_eq!(
        header(&first, "link"),
        format!(
            "<{base}/releases?per_page=2&page=2>; rel=\"next\", <{base}/releases?per_page=2&page=2>; rel=\"last\""
        )
    );
    assert_eq!(header(&first, "x-ratelimit-remaining"), "59");
    let again = get("/releases?per_page=2", &header(&first, "etag")).expect("answer");
    assert_eq!(
        (
            again.status().as_u16(),
            header(&again, "x-ratelimit-remaining").as_str()
        ),
        (304, "59")
    );
    let mut last = get("/releases?per_page=2&page=2", "").expect("answer");
    let page: serde_json::Value =
        serde_json::from_str(&last.body_mut().read_to_string().expect("text")).expect("JSON");
    assert_eq!(
        (page.as_array().map(Vec::len), &page[0]["tag_name"]),
        (Some(1), &serde_json::json!("v4.5.7"))
    );
    let mut commit = get("/commits/v4.5.8", "").expect("answer");
    let commit = commit.body_mut().read_to_string().expect("text");
    assert!(commit.contains(&commit_of("v4.5.8")), "{commit}");
    assert_eq!(get("/commits/v9.9.9", "").expect("answer").status(), 422);
    for (fault, status) in [
        (Fault::Unauthorized, 401),
        (Fault::RateLimited, 403),
        (Fault::NotFound, 404),
        (Fault::ServerError, 500),
        (Fault::GarbageJson, 200),
    ] {
        github.fail_with(Some(fault));
        assert_eq!(
            get("/releases", "").expect("answer").status(),
            status,
            "{fault:?}"
        );
    }
    github.fail_with(Some(Fault::CutBody));
    assert!(
        get("/releases", "")
            .expect("head")
            .body_mut()
            .read_to_string()
            .is_err(),
        "the body is cut"
    );
    github.fail_with(Some(Fault::Silence));
    assert!(get("/releases", "").is_err(), "no answer comes");
    Ok(())
}

fn the_instance_serves_and_its_writer_loses_nothing(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    let before = World::of(&site.instance);
    World::of(&site.instance).assert_same_as(&before);
    world::assert_one_version(&site.instance, "v4.5.8");
    world::assert_files_name(&site.instance, "v4.5.8");
    world::assert_up_changes_nothing(&site.instance);
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(5);
    let started = World::of(&site.instance);
    site.instance.compose(&["stop", "-t", "10", "web"]);
    site.instance.compose(&["start", "web"]);
    site.instance.wait_healthy("v4.5.8");
    writer.wait_for_more(5);
    let report = writer.stop();
    assert!(
        report.refused + report.failed > 0 && !report.downtime.is_zero(),
        "the stop is seen: {report:#?}"
    );
    assert_eq!(report.missing(&site.instance), Vec::<String>::new());
    World::of(&site.instance).assert_same_but_for_new_statuses(&started);
    let lost = &report.acknowledged[2].id;
    site.instance.sql(&format!("DELETE FROM distributions WHERE status_id = {lost}; DELETE FROM statuses_tags WHERE status_id = {lost}; DELETE FROM status_stats WHERE status_id = {lost}; DELETE FROM statuses WHERE id = {lost}"));
    assert_eq!(
        report.missing(&site.instance),
        std::slice::from_ref(lost),
        "a lost write is found"
    );
    Ok(())
}
