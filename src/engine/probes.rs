//! What a healthy Mastodon answers, asked from outside its containers.
//!
//! `/health` alone proves little (it touches no database), so the version shown, a page that needs the
//! schema, the login page with one of its assets, and the streaming server are asked too. The compose
//! file's own health checks decide nothing here: they go stale.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use super::{Ctx, Ports, StepError, chain};
use crate::domain::plan::{PlannedService, Role};
use crate::domain::version::ReleaseVersion;
use crate::ports::clock::Clock;
use crate::ports::probe::{Answer, Probe, ProbeError, Request};
use crate::ports::runtime::{Container, ContainerRuntime};

/// Longest time for one answer. A page of a loaded small host takes some seconds; a minute means trouble.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Between two tries while something boots. Mastodon answers 429 above one request a second.
pub const BETWEEN_TRIES: Duration = Duration::from_millis(1500);

/// What is wrong with a container that was probed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It does not exist.
    #[error("its container is gone")]
    Gone,
    /// Its main process has ended.
    #[error("its container stopped (exit code {exit_code})")]
    Stopped {
        /// Exit code of the process.
        exit_code: i64,
    },
    /// It answers something else than it should, or nothing.
    #[error("{0}")]
    Answer(String),
}

impl Wrong {
    /// Whether somebody or something else than the version itself ended it: it was removed, or killed.
    fn is_from_outside(&self) -> bool {
        match self {
            Self::Gone => true,
            // SIGKILL and SIGTERM, as a shell counts them.
            Self::Stopped { exit_code } => matches!(exit_code, 137 | 143),
            Self::Answer(_) => false,
        }
    }

    /// Whether waiting cannot help.
    fn is_final(&self) -> bool {
        match self {
            Self::Gone | Self::Stopped { .. } => true,
            Self::Answer(_) => false,
        }
    }
}

/// Where a container is probed.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Address and port.
    pub address: SocketAddr,
    /// `LOCAL_DOMAIN`.
    pub domain: &'a str,
}

/// Asks web everything it has to answer as `version`. Gives one line a probe, or what is wrong.
pub async fn web<P: Probe>(
    probe: &P,
    target: Target<'_>,
    version: &ReleaseVersion,
) -> Result<Vec<String>, String> {
    let mut lines = vec![health(probe, target, "/health").await?];
    let instance = get(probe, target, "/api/v2/instance").await?;
    let shown = version_shown(&instance)?;
    if shown != version.to_string() {
        return Err(format!("web shows version {shown}, not {version}"));
    }
    lines.push(format!("/api/v2/instance shows {shown}"));
    lines.push(timeline(probe, target).await?);
    lines.push(login_page(probe, target).await?);
    Ok(lines)
}

/// Asks the streaming server.
pub async fn streaming<P: Probe>(probe: &P, target: Target<'_>) -> Result<Vec<String>, String> {
    Ok(vec![
        health(probe, target, "/api/v1/streaming/health").await?,
    ])
}

async fn health<P: Probe>(probe: &P, target: Target<'_>, path: &str) -> Result<String, String> {
    let answer = get(probe, target, path).await?;
    if answer.status == 200 && answer.body.trim() == "OK" {
        Ok(format!("{path} answers OK"))
    } else {
        Err(unexpected(path, &answer))
    }
}

/// The public timeline needs the schema of this very version. A site may close it to strangers (401, 403,
/// 404, 422); only an error of the server speaks against the version.
async fn timeline<P: Probe>(probe: &P, target: Target<'_>) -> Result<String, String> {
    let path = "/api/v1/timelines/public?limit=1";
    let answer = get(probe, target, path).await?;
    match answer.status {
        200 => Ok("the public timeline answers 200".to_owned()),
        401 | 403 | 404 | 422 => Ok(format!("the public timeline is closed ({})", answer.status)),
        _ => Err(unexpected(path, &answer)),
    }
}

async fn login_page<P: Probe>(probe: &P, target: Target<'_>) -> Result<String, String> {
    let path = "/auth/sign_in";
    let page = get(probe, target, path).await?;
    if (300..400).contains(&page.status) {
        return Ok(format!("the login page redirects ({})", page.status));
    }
    if page.status != 200 {
        return Err(unexpected(path, &page));
    }
    let Some(asset) = first_asset(&page.body) else {
        return Ok("the login page answers 200".to_owned());
    };
    let answer = get(probe, target, &asset).await?;
    if answer.status == 200 {
        Ok(format!("the login page answers 200, and so does {asset}"))
    } else {
        Err(format!(
            "the login page names {asset}, which answers {}: are old files mounted over public/?",
            answer.status
        ))
    }
}

/// The first path under `/packs` that a page names.
fn first_asset(page: &str) -> Option<String> {
    let start = page.find("/packs")?;
    let rest = page.get(start..)?;
    let end = rest.find(['"', '\'', ' ', '>', ')'])?;
    rest.get(..end).map(ToOwned::to_owned)
}

async fn get<P: Probe>(probe: &P, target: Target<'_>, path: &str) -> Result<Answer, String> {
    let request = Request {
        address: target.address,
        path,
        host: target.domain,
        limit: ANSWER_LIMIT,
    };
    match probe.get(request).await {
        // Alive, and asked too often: no word against the version, but no proof either.
        Ok(answer) if answer.status == 429 => Err(format!("{path} answers 429, too many requests")),
        Ok(answer) => Ok(answer),
        Err(err) => Err(said(&err)),
    }
}

fn said(err: &ProbeError) -> String {
    chain(err)
}

fn version_shown(answer: &Answer) -> Result<String, String> {
    if answer.status != 200 {
        return Err(unexpected("/api/v2/instance", answer));
    }
    serde_json::from_str::<Value>(&answer.body)
        .ok()
        .and_then(|json| json.get("version")?.as_str().map(ToOwned::to_owned))
        .ok_or_else(|| "/api/v2/instance shows no version".to_owned())
}

fn unexpected(path: &str, answer: &Answer) -> String {
    let start: String = answer.body.chars().take(80).collect();
    format!(
        "{path} answers {} ({})",
        answer.status,
        start.escape_debug()
    )
}

impl<P: Ports> Ctx<'_, P> {
    /// Waits until a container answers every probe of its role as `version`; the container has to be
    /// reachable in one of its private networks. Gives the probes' lines. With `may_fail_fast` a container
    /// that has stopped is given up at once: nothing starts it again.
    pub(crate) async fn until_well(
        &self,
        id: &str,
        service: &PlannedService,
        version: &ReleaseVersion,
        may_fail_fast: bool,
    ) -> Result<Vec<String>, StepError> {
        let limit = self.boot_limit();
        let clock = self.ports.clock();
        let start = clock.monotonic();
        loop {
            let wrong = match self.probe_once(id, service, version).await? {
                Ok(lines) => return Ok(lines),
                Err(wrong) => wrong,
            };
            let over = clock.monotonic().saturating_sub(start) >= limit;
            // A container of the old version is started again by the engine, as its owner wished; a new one
            // is not before the commit, so there is nothing to wait for.
            if over || (may_fail_fast && wrong.is_final()) {
                let logs = self.ports.runtime().logs(id, 20).await.unwrap_or_default();
                let blame = if wrong.is_from_outside() {
                    StepError::Host
                } else {
                    StepError::Target
                };
                return Err(blame(format!(
                    "{} of {version} is not well after {} s: {wrong}; it wrote last: {}",
                    service.service,
                    clock.monotonic().saturating_sub(start).as_secs(),
                    tail(&logs)
                )));
            }
            clock.pause(BETWEEN_TRIES).await;
        }
    }

    /// Asks a container every probe of its role once. The inner error says what is wrong with it.
    pub(crate) async fn probe_once(
        &self,
        id: &str,
        service: &PlannedService,
        version: &ReleaseVersion,
    ) -> Result<Result<Vec<String>, Wrong>, StepError> {
        let Some(container) = self.ports.runtime().container(id).await? else {
            return Ok(Err(Wrong::Gone));
        };
        if !container.state.running {
            return Ok(Err(Wrong::Stopped {
                exit_code: container.state.exit_code,
            }));
        }
        let Some(port) = service.port else {
            return Ok(Ok(vec![format!("{} runs", service.service)]));
        };
        let Some(ip) = private_address(&container, service) else {
            return Ok(Err(Wrong::Answer(
                "its container has no address in a private network".to_owned(),
            )));
        };
        let target = Target {
            address: SocketAddr::new(ip, port),
            domain: &self.plan.site.domain,
        };
        let probe = self.ports.probe();
        let lines = match service.role {
            Role::Web => web(probe, target, version).await,
            Role::Streaming => streaming(probe, target).await,
            Role::Sidekiq => Ok(Vec::new()),
        };
        Ok(lines.map_err(Wrong::Answer))
    }
}

/// The address at which this host, and only it, reaches the container.
pub(crate) fn private_address(container: &Container, service: &PlannedService) -> Option<IpAddr> {
    service
        .private_networks
        .iter()
        .find_map(|network| container.networks.get(network)?.ip)
}

/// What a log says went wrong, on one line: Rails's own words where it gave up, else the log's end.
pub(crate) fn tail(logs: &str) -> String {
    /// Characters of a log that fit into an error a person reads.
    const MAX: usize = 600;
    let words: Vec<&str> = match logs.rsplit_once("rails aborted!") {
        // The trace behind it names files of the image only.
        Some((_, said)) => said
            .lines()
            .take_while(|line| !line.starts_with("Caused by:") && !line.starts_with("Tasks:"))
            .filter(|line| !line.starts_with('/'))
            .flat_map(str::split_whitespace)
            .collect(),
        None => logs.split_whitespace().collect(),
    };
    let line = words.join(" ");
    let n_chars = line.chars().count();
    line.chars().skip(n_chars.saturating_sub(MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_asset_of_a_page_is_found_between_quotes() {
        let page = "<link href='/packs/css/app-1.css'><script src=\"/packs/js/a.js\">";
        assert_eq!(first_asset(page).as_deref(), Some("/packs/css/app-1.css"));
        assert_eq!(first_asset("<p>none</p>"), None);
    }

    #[test]
    fn of_a_failed_migration_the_words_of_rails_are_shown_and_not_its_trace() {
        let logs = "== X: migrating ==\nrails aborted!\nStandardError: all later migrations \
                    canceled:\n\nPG::Error: this row\n/opt/x.rb:14:in `up'\n\nCaused by:\nPG::Error: \
                    this row\nTasks: TOP";
        let expected = "StandardError: all later migrations canceled: PG::Error: this row";
        assert_eq!(tail(logs), expected);
        assert_eq!(tail("a\n  b"), "a b");
    }

    /// A Mastodon that answers as it is told; what it was not told is not found.
    struct Site(std::collections::BTreeMap<&'static str, (u16, &'static str)>);

    /// A healthy one of 4.5.9.
    fn healthy() -> Site {
        let pages = [
            ("/health", (200, "OK")),
            ("/api/v1/streaming/health", (200, "OK\n")),
            ("/api/v2/instance", (200, r#"{"version":"4.5.9"}"#)),
            ("/api/v1/timelines/public?limit=1", (200, "[]")),
            ("/auth/sign_in", (200, "<link href='/packs/app.css'>")),
            ("/packs/app.css", (200, "p {}")),
        ];
        Site(pages.into())
    }

    impl Site {
        fn but(mut self, path: &'static str, status: u16, body: &'static str) -> Self {
            self.0.insert(path, (status, body));
            self
        }
    }

    impl Probe for Site {
        async fn get(&self, request: Request<'_>) -> Result<Answer, ProbeError> {
            assert_eq!(request.host, "social.example");
            match self.0.get(request.path) {
                Some((0, why)) => Err(ProbeError::NoAnswer {
                    address: request.address,
                    path: request.path.to_owned(),
                    source: (*why).into(),
                }),
                Some((status, body)) => Ok(Answer {
                    status: *status,
                    body: (*body).to_owned(),
                }),
                None => Ok(Answer {
                    status: 404,
                    body: "not found".to_owned(),
                }),
            }
        }
    }

    fn target() -> Target<'static> {
        Target {
            address: ([127, 0, 0, 1], 3000).into(),
            domain: "social.example",
        }
    }

    async fn asked(site: Site) -> Result<Vec<String>, String> {
        web(&site, target(), &"4.5.9".parse().unwrap()).await
    }

    #[tokio::test]
    async fn a_healthy_web_is_told_line_by_line() {
        let lines = asked(healthy()).await.unwrap();
        let expected = [
            "/health answers OK",
            "/api/v2/instance shows 4.5.9",
            "the public timeline answers 200",
            "the login page answers 200, and so does /packs/app.css",
        ];
        assert_eq!(lines, expected);
        let lines = streaming(&healthy(), target()).await.unwrap();
        assert_eq!(lines, ["/api/v1/streaming/health answers OK"]);
    }

    #[tokio::test]
    async fn what_a_site_closes_to_strangers_speaks_not_against_the_version() {
        let timeline = "/api/v1/timelines/public?limit=1";
        for status in [401, 403, 404, 422] {
            let lines = asked(healthy().but(timeline, status, "")).await.unwrap();
            let line = format!("the public timeline is closed ({status})");
            assert!(lines.contains(&line), "{lines:?}");
        }
        for status in [300, 302, 399] {
            let site = healthy().but("/auth/sign_in", status, "");
            let lines = asked(site).await.unwrap();
            let line = format!("the login page redirects ({status})");
            assert!(lines.contains(&line), "{lines:?}");
        }
        let plain = healthy().but("/auth/sign_in", 200, "<p>sign in</p>");
        let lines = asked(plain).await.unwrap();
        assert_eq!(lines.last().unwrap(), "the login page answers 200");
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_web_is_told_in_a_line() {
        for (path, status, body, said) in [
            ("/health", 500, "OK", "/health answers 500 (OK)"),
            ("/health", 200, "a\nb", "/health answers 200 (a\\nb)"),
            ("/health", 429, "", "/health answers 429, too many requests"),
            ("/health", 0, "connection refused", "connection refused"),
            ("/api/v2/instance", 503, "", "/api/v2/instance answers 503"),
            ("/api/v2/instance", 200, "{}", "shows no version"),
            (
                "/api/v2/instance",
                200,
                r#"{"version":"4.5.8"}"#,
                "web shows version 4.5.8, not 4.5.9",
            ),
            (
                "/api/v1/timelines/public?limit=1",
                500,
                "",
                "limit=1 answers 500",
            ),
            ("/auth/sign_in", 400, "", "/auth/sign_in answers 400"),
            ("/auth/sign_in", 500, "", "/auth/sign_in answers 500"),
            (
                "/packs/app.css",
                404,
                "",
                "the login page names /packs/app.css, which answers 404",
            ),
        ] {
            let wrong = asked(healthy().but(path, status, body)).await.unwrap_err();
            assert!(wrong.contains(said), "{path}: {wrong}");
        }
        let path = "/api/v1/streaming/health";
        for (status, body) in [(200, "no"), (500, "OK")] {
            let site = healthy().but(path, status, body);
            let wrong = streaming(&site, target()).await.unwrap_err();
            assert!(wrong.starts_with(path), "{wrong}");
        }
    }

    #[test]
    fn a_container_that_was_killed_is_not_the_versions_fault_and_one_that_is_gone_is_not_waited_for()
     {
        for (wrong, is_from_outside, is_final) in [
            (Wrong::Gone, true, true),
            (Wrong::Stopped { exit_code: 137 }, true, true),
            (Wrong::Stopped { exit_code: 143 }, true, true),
            (Wrong::Stopped { exit_code: 1 }, false, true),
            (
                Wrong::Answer("/health answers 500".to_owned()),
                false,
                false,
            ),
        ] {
            assert_eq!(wrong.is_from_outside(), is_from_outside, "{wrong}");
            assert_eq!(wrong.is_final(), is_final, "{wrong}");
        }
    }
}
