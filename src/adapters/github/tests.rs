//! The client against a small server that says what it is told to say, byte by byte.

use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::LARGEST_BODY;
use super::*;
use crate::ports::Retry;
use crate::ports::release_source::AskAgain;

const RELEASES: &str = include_str!("../../../tests/data/github/releases.json");
const ADVISORIES: &str = include_str!("../../../tests/data/github/advisories.json");

/// A server on this host. For each request it asks `answer`, given the number of the request and its text.
struct Server {
    base: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: impl Fn(usize, &str, &str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let server = Self {
            base: base.clone(),
            heard: Arc::clone(&heard),
        };
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).await.unwrap() == 0 {
                        break;
                    }
                    request.extend(byte);
                }
                let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
                let number = {
                    let mut heard = heard.lock().unwrap();
                    heard.push(request.clone());
                    heard.len() - 1
                };
                let bytes = answer(number, &request, &base);
                if bytes.is_empty() {
                    // Says nothing, and keeps the line open.
                    tokio::spawn(async move { stream.read(&mut [0; 16]).await });
                    continue;
                }
                stream.write_all(&bytes).await.unwrap();
            }
        });
        server
    }

    async fn saying(status: &str, headers: &str, body: &str) -> Self {
        let bytes = response(status, headers, body);
        Self::start(move |_, _, _| bytes.clone()).await
    }

    fn client(&self) -> GitHub {
        GitHub::new(
            &self.base,
            "mastodon/mastodon",
            Duration::from_millis(500),
            None,
        )
        .unwrap()
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    format!("{head}{body}").into_bytes()
}

async fn refused(status: &str, headers: &str, body: &str) -> ReleaseSourceError {
    let server = Server::saying(status, headers, body).await;
    server
        .client()
        .releases(&CachedPages::default(), Reach::All)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn every_real_release_and_advisory_is_read() {
    let server = Server::start(|_, request, _| {
        let body = if request.contains("/security-advisories?per_page=100&state=published ") {
            ADVISORIES
        } else {
            RELEASES
        };
        response("200 OK", "", body)
    })
    .await;
    let client = server.client();
    let releases = client
        .releases(&CachedPages::default(), Reach::All)
        .await
        .unwrap();
    assert_eq!(
        (
            releases.items.len(),
            releases.problems.len(),
            releases.changed
        ),
        (158, 0, true)
    );
    let advisories = client
        .advisories(&CachedPages::default(), Reach::All)
        .await
        .unwrap();
    assert_eq!((advisories.items.len(), advisories.problems.len()), (41, 0));
    assert!(
        server
            .heard()
            .first()
            .unwrap()
            .starts_with("get /repos/mastodon/mastodon/releases?per_page=100 http")
    );
}

#[tokio::test]
async fn unchanged_pages_are_asked_for_by_their_mark_and_kept() {
    let server = Server::start(|_, request, base| {
        let (page, rest) = if request.contains("page=2") { ("p2", "") } else { ("p1", "next") };
        if request.contains(&format!("if-none-match: \"{page}\"")) {
            return response("304 Not Modified", "", "");
        }
        let link = if rest.is_empty() {
            String::new()
        } else {
            format!("link: <{base}/x?page=9>; rel=\"last\", <{base}/repositories/1/releases?page=2>; rel=\"next\"\r\n")
        };
        let body = format!("[{{\"tag_name\":\"v4.5.{}\",\"published_at\":\"2026-03-24T15:15:49Z\"}}]", page.len() + rest.len());
        response("200 OK", &format!("etag: \"{page}\"\r\n{link}"), &body)
    })
    .await;
    let client = server.client();
    let first = client
        .releases(&CachedPages::default(), Reach::All)
        .await
        .unwrap();
    assert_eq!(
        first
            .items
            .iter()
            .map(|release| release.value.tag.as_str())
            .collect::<Vec<_>>(),
        ["v4.5.6", "v4.5.2"]
    );
    let second = client.releases(&first.pages, Reach::All).await.unwrap();
    assert!(!second.changed && second.items == first.items && second.pages == first.pages);
    let mut edited = first.pages.clone();
    edited.pages[1].etag = Some("\"old\"".to_owned());
    assert!(client.releases(&edited, Reach::All).await.unwrap().changed);
    // Pages that were damaged on disk are not asked for by their mark.
    let mut damaged = first.pages.clone();
    damaged.pages[0].body = "[{".to_owned();
    let again = client.releases(&damaged, Reach::All).await.unwrap();
    assert!(again.changed && again.items == first.items);
    assert_eq!(server.heard().len(), 8);
}

#[tokio::test]
async fn one_odd_release_does_not_take_the_others_with_it() {
    let body = r#"[{"tag_name":"v4.5.8","published_at":"2026-03-24T15:15:49Z","body":null,"name":null},
        {"tag_name":"edge","published_at":"2026-03-24T15:15:49Z"},
        {"tag_name":"v4.5.7","published_at":null},
        {"tag_name":"v4.5.6","published_at":"yesterday"},
        {"tag_name":"v4.5.5","published_at":"2026-03-24T15:15:49Z","body":7},
        {"tag_name":"v4.5.9","draft":true}, {}, null, 7]"#;
    let server = Server::saying("200 OK", "", body).await;
    let fetched = server
        .client()
        .releases(&CachedPages::default(), Reach::All)
        .await
        .unwrap();
    assert_eq!(
        fetched
            .items
            .iter()
            .map(|release| release.value.tag.as_str())
            .collect::<Vec<_>>(),
        ["v4.5.8"]
    );
    assert!(!fetched.items[0].value.described);
    let problems = fetched.problems.join("\n");
    for part in [
        "release `edge`: the release tagged `edge` has no readable version: `edge` is a moving tag, not a version",
        "release `v4.5.7` has no publication date",
        "release `v4.5.6`: `yesterday` is not a date",
        "release `v4.5.5`: invalid type: integer `7`",
        "a release without a name: ",
    ] {
        assert!(problems.contains(part), "{part} in {problems}");
    }
}

#[tokio::test]
async fn limits_are_told_apart_from_prohibitions_and_carry_their_end() {
    let exhausted = "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1774365349\r\n";
    let error = refused("403 Forbidden", exhausted, "{}").await;
    assert_eq!(
        error.ask_again(),
        Some(AskAgain::At("2026-03-24T15:15:49Z".parse().unwrap()))
    );
    assert!(
        error.to_string().ends_with(
            "refuses more questions, the rate limit is reached; ask again at 2026-03-24T15:15:49Z"
        ),
        "{error}"
    );
    let error = refused("429 Too Many Requests", "retry-after: 90\r\n", "").await;
    assert_eq!(
        error.ask_again(),
        Some(AskAgain::After(Duration::from_secs(90)))
    );
    let error = refused(
        "403 Forbidden",
        "x-ratelimit-remaining: 50\r\n",
        "You have exceeded a secondary rate limit",
    )
    .await;
    assert_eq!(
        error.ask_again(),
        Some(AskAgain::After(Duration::from_secs(60)))
    );
    assert_eq!(
        refused("429 Too Many Requests", "", "").await.ask_again(),
        Some(AskAgain::Unknown)
    );
    let error = refused(
        "403 Forbidden",
        "x-ratelimit-remaining: 50\r\n",
        "Resource not accessible",
    )
    .await;
    assert!(
        matches!(error, ReleaseSourceError::Forbidden { .. }),
        "{error}"
    );
    assert_eq!(error.retry(), Retry::Permanent);
}

#[tokio::test]
async fn every_other_failure_has_its_own_name() {
    assert!(matches!(
        refused("401 Unauthorized", "", "{}").await,
        ReleaseSourceError::Unauthorized { .. }
    ));
    assert!(matches!(
        refused("404 Not Found", "", "{}").await,
        ReleaseSourceError::NotFound { .. }
    ));
    assert!(matches!(
        refused("502 Bad Gateway", "", "").await,
        ReleaseSourceError::Server { status: 502, .. }
    ));
    assert!(matches!(
        refused("418 Teapot", "", "").await,
        ReleaseSourceError::UnexpectedStatus { status: 418, .. }
    ));
    assert!(matches!(
        refused("304 Not Modified", "", "").await,
        ReleaseSourceError::NothingKnown { .. }
    ));
    assert!(matches!(
        refused("200 OK", "", "<html>").await,
        ReleaseSourceError::Garbage { .. }
    ));
    assert!(matches!(
        refused("200 OK", "", "{\"message\":\"x\"}").await,
        ReleaseSourceError::Garbage { .. }
    ));
    assert!(matches!(
        refused("200 OK", "", "[{\"tag_name\":").await,
        ReleaseSourceError::CutOff { .. }
    ));
    let too_large = format!("[\"{}\"]", "x".repeat(LARGEST_BODY));
    assert!(matches!(
        refused("200 OK", "", &too_large).await,
        ReleaseSourceError::TooLarge { .. }
    ));
    let foreign = "link: <https://evil.example/releases?page=2>; rel=\"next\"\r\n";
    assert!(matches!(
        refused("200 OK", foreign, "[]").await,
        ReleaseSourceError::ForeignPage { .. }
    ));
}

#[tokio::test]
async fn a_connection_that_breaks_or_hangs_is_an_error_and_nothing_is_kept() {
    let server =
        Server::start(|_, _, _| b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n[{\"tag".to_vec())
            .await;
    let error = server
        .client()
        .releases(&CachedPages::default(), Reach::All)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ReleaseSourceError::CutOff { .. }),
        "{error:?}"
    );
    let server = Server::start(|_, _, _| Vec::new()).await;
    let error = server
        .client()
        .releases(&CachedPages::default(), Reach::All)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ReleaseSourceError::TimedOut { .. }),
        "{error:?}"
    );
    assert_eq!(error.retry(), Retry::Transient);
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let client = GitHub::new(
        &format!("http://{free}"),
        "a/b",
        Duration::from_secs(5),
        None,
    )
    .unwrap();
    let error = client
        .releases(&CachedPages::default(), Reach::All)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ReleaseSourceError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn pages_without_end_are_given_up() {
    let server = Server::start(|number, _, base| {
        response(
            "200 OK",
            &format!("link: <{base}/releases?page={number}>; rel=\"next\"\r\n"),
            "[]",
        )
    })
    .await;
    let error = server
        .client()
        .releases(&CachedPages::default(), Reach::All)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ReleaseSourceError::TooManyPages { .. }),
        "{error}"
    );
    assert_eq!(server.heard().len(), MOST_PAGES);
}

#[tokio::test]
async fn the_commit_of_a_tag_is_a_full_id() {
    let sha = "0123456789abcdef0123456789ABCDEF01234567";
    let server = Server::saying(
        "200 OK",
        "",
        &format!("{{\"sha\":\"{sha}\",\"commit\":{{}}}}"),
    )
    .await;
    assert_eq!(
        server.client().commit_of("v4.5.8").await.unwrap().as_str(),
        sha.to_ascii_lowercase()
    );
    assert!(
        server
            .heard()
            .first()
            .unwrap()
            .starts_with("get /repos/mastodon/mastodon/commits/v4.5.8 http")
    );
    let short = Server::saying("200 OK", "", "{\"sha\":\"0123\"}").await;
    assert!(matches!(
        short.client().commit_of("v4.5.8").await,
        Err(ReleaseSourceError::Garbage { .. })
    ));
    for tag in ["../../user", "", "v4.5.8?x", "a/b"] {
        assert!(
            matches!(
                server.client().commit_of(tag).await,
                Err(ReleaseSourceError::Address { .. })
            ),
            "{tag}"
        );
    }
}

#[tokio::test]
async fn a_base_address_with_a_path_is_kept_once() {
    let server = Server::saying("200 OK", "", "[]").await;
    let client = GitHub::new(
        &format!("{}/api/v3/", server.base),
        "a/b",
        Duration::from_secs(5),
        None,
    )
    .unwrap();
    let _fetched = client
        .advisories(&CachedPages::default(), Reach::All)
        .await
        .unwrap();
    assert!(
        server
            .heard()
            .first()
            .unwrap()
            .starts_with("get /api/v3/repos/a/b/security-advisories?")
    );
}

#[tokio::test]
async fn a_token_is_sent_and_never_over_an_open_line_to_another_host() {
    let server = Server::saying("200 OK", "", "[]").await;
    let token = || Some(SecretString::from("tk_1"));
    let client = GitHub::new(&server.base, "a/b", Duration::from_secs(5), token()).unwrap();
    client
        .releases(&CachedPages::default(), Reach::All)
        .await
        .unwrap();
    assert!(
        server
            .heard()
            .first()
            .unwrap()
            .contains("authorization: bearer tk_1")
    );
    for base in [
        "http://api.github.com",
        "ftp://127.0.0.1",
        "api.github.com",
        "",
    ] {
        let refused = GitHub::new(base, "a/b", Duration::from_secs(5), token());
        assert!(
            matches!(refused, Err(ReleaseSourceError::Address { .. })),
            "{base}"
        );
    }
    assert!(
        GitHub::new(
            "https://api.github.com",
            "a/b",
            Duration::from_secs(5),
            token()
        )
        .is_ok()
    );
}
