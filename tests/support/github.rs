//! A local server that answers like GitHub's REST API.
//!
//! Its data are the captured releases and advisories in `tests/data/github` plus the lab's own
//! releases in `tests/lab/github`. It shows only the releases a scenario asks for, pages them with
//! `Link`, knows `ETag` and `If-None-Match`, counts the rate limit down, and can be told to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};
use tokio::sync::oneshot;

/// Requests per hour GitHub grants an anonymous client.
const ANONYMOUS_LIMIT: u64 = 60;

/// What the server does instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 401, bad credentials.
    Unauthorized,
    /// 403, hourly limit used up.
    RateLimited,
    /// 404, as for a repository that is private or misspelt.
    NotFound,
    /// 500.
    ServerError,
    /// The connection is taken and nothing ever comes back.
    Silence,
    /// 200 with a body that is no JSON.
    GarbageJson,
    /// 200, and the connection breaks in the middle of the body.
    CutBody,
    /// 403 with `Retry-After`, in seconds.
    RetryAfter(u64),
    /// 403, hourly limit used up until this second since 1970.
    ResetAt(i64),
    /// 403 without any word about limits.
    Forbidden,
    /// 429 without any header.
    TooMany,
    /// 304, whatever was asked.
    NotModified,
    /// 200 with 50 MB.
    Huge,
    /// 200, a byte every 50 ms.
    Drip,
    /// 200 with a page for people.
    Html,
    /// 200 with a next page that is the same page.
    PageLoop,
    /// 200 with a next page that leads to an earlier one.
    PageCircle,
    /// 200 with one more page, always.
    EndlessPages,
    /// 301 to this port of this host.
    RedirectTo(u16),
    /// 200 with bytes that are no text.
    BadUtf8,
    /// 200 with JSON of another shape.
    OtherShape,
    /// 200 with an empty list.
    EmptyList,
}

/// Bytes of [`Fault::Huge`]: far more than what is read and what lies in the sockets' buffers, which may be 36 MB, together.
pub(crate) const HUGE: u64 = 256 * 1024 * 1024;

/// One request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) if_none_match: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) status: u16,
}

/// The running server; it stops when this is dropped.
#[must_use = "the server stops when this is dropped"]
pub(crate) struct GitHub {
    addr: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl GitHub {
    /// Starts a server that shows these releases, newest first, and every captured advisory.
    pub(crate) fn with_releases(tags: &[&str]) -> Self {
        let all = read_releases();
        let advisories = read_json(&root().join("tests/data/github/advisories.json"));
        let Value::Array(advisories) = advisories else {
            panic!("advisories.json is no list")
        };
        let shared = Arc::new(Mutex::new(Shared {
            all,
            shown: BTreeSet::new(),
            advisories,
            offers: Value::Null,
            fault: None,
            used: 0,
            sent: Arc::default(),
            log: Vec::new(),
        }));
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))
            .expect("no free port for the local GitHub");
        listener
            .set_nonblocking(true)
            .expect("non-blocking listener");
        let addr = listener.local_addr().expect("own address");
        let (stop, stopped) = oneshot::channel();
        let app = router(Arc::clone(&shared), addr);
        let thread = std::thread::Builder::new()
            .name("local-github".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("runtime of the local GitHub");
                runtime.block_on(async move {
                    let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
                    tokio::select! {
                        served = async { axum::serve(listener, app).await } => served.expect("local GitHub"),
                        _ = stopped => (),
                    }
                });
                // Requests that are kept waiting for ever end here.
                runtime.shutdown_background();
            })
            .expect("thread of the local GitHub");
        let github = Self {
            addr,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        };
        github.show(tags);
        github
    }

    /// The URL to write into `github.base_url`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on exactly these releases exist.
    pub(crate) fn show(&self, tags: &[&str]) {
        let mut shared = lock(&self.shared);
        for tag in tags {
            assert!(
                shared.all.contains_key(*tag),
                "no release {tag} in the test data"
            );
        }
        shared.shown = tags.iter().map(|&tag| tag.to_owned()).collect();
    }

    /// The tags of all releases in the test data.
    pub(crate) fn all_tags() -> Vec<String> {
        read_releases().into_keys().collect()
    }

    /// The URL to write into `update_check.url`.
    pub(crate) fn update_check_url(&self) -> String {
        format!("{}/update-check", self.base_url())
    }

    /// The port it listens at.
    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// From now on this field of a release has another value.
    pub(crate) fn edit(&self, tag: &str, field: &str, value: Value) {
        let mut shared = lock(&self.shared);
        let release = shared.all.get_mut(tag).expect("a release of the test data");
        release[field] = value;
    }

    /// From now on the advisories are those that this makes of them.
    pub(crate) fn edit_advisories(&self, edit: impl FnOnce(&mut Vec<Value>)) {
        edit(&mut lock(&self.shared).advisories);
    }

    /// From now on the update check answers this.
    pub(crate) fn offer(&self, answer: Value) {
        lock(&self.shared).offers = answer;
    }

    /// Bytes of [`Fault::Huge`] that were taken.
    pub(crate) fn sent(&self) -> u64 {
        lock(&self.shared).sent.load(Ordering::SeqCst)
    }

    /// From now on every request fails this way; `None` ends it.
    pub(crate) fn fail_with(&self, fault: Option<Fault>) {
        lock(&self.shared).fault = fault;
    }

    /// Everything asked so far.
    pub(crate) fn log(&self) -> Vec<Seen> {
        lock(&self.shared).log.clone()
    }

    /// Forgets what was asked so far.
    pub(crate) fn clear_log(&self) {
        lock(&self.shared).log.clear();
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself already.
            stop.send(()).unwrap_or_default();
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The commit a lab image of this tag says it was built from.
pub(crate) fn commit_of(tag: &str) -> String {
    hex(&Sha1::digest(format!("mastodon-lab {tag}")))
}

struct Shared {
    all: BTreeMap<String, Value>,
    shown: BTreeSet<String>,
    advisories: Vec<Value>,
    offers: Value,
    fault: Option<Fault>,
    used: u64,
    sent: Arc<AtomicU64>,
    log: Vec<Seen>,
}

impl Shared {
    fn releases(&self) -> Vec<Value> {
        let mut shown: Vec<Value> = self
            .shown
            .iter()
            .filter_map(|tag| self.all.get(tag))
            .cloned()
            .collect();
        shown.sort_by(|a, b| text(b, "published_at").cmp(text(a, "published_at")));
        shown
    }
}

#[derive(Clone)]
struct App {
    shared: Arc<Mutex<Shared>>,
    addr: SocketAddr,
}

fn router(shared: Arc<Mutex<Shared>>, addr: SocketAddr) -> Router {
    let app = App { shared, addr };
    Router::new()
        .route("/repos/mastodon/mastodon", get(repository))
        .route("/repos/mastodon/mastodon/releases", get(releases))
        .route("/repos/mastodon/mastodon/releases/latest", get(latest))
        .route("/repos/mastodon/mastodon/releases/tags/{tag}", get(by_tag))
        .route(
            "/repos/mastodon/mastodon/security-advisories",
            get(advisories),
        )
        .route("/repos/mastodon/mastodon/commits/{*name}", get(commit))
        .route("/repos/mastodon/mastodon/git/ref/tags/{tag}", get(git_ref))
        .route("/update-check", get(update_check))
        .fallback(async || not_found())
        .layer(middleware::from_fn_with_state(app.clone(), outer))
        .with_state(app)
}

/// Faults, the request log, `ETag` and the headers every GitHub answer carries.
#[allow(clippy::too_many_lines, reason = "one arm for each way to fail")]
async fn outer(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let if_none_match = header_text(request.headers(), &header::IF_NONE_MATCH);
    let authorization = header_text(request.headers(), &header::AUTHORIZATION);
    let (fault, sent) = {
        let shared = lock(&app.shared);
        (shared.fault, Arc::clone(&shared.sent))
    };
    let response = match fault {
        None => next.run(request).await,
        Some(Fault::Silence) => {
            note(
                &app,
                Seen {
                    path,
                    query,
                    if_none_match,
                    authorization,
                    status: 0,
                },
            );
            return pending().await;
        }
        Some(fault) => broken(fault, app.addr, &query, sent),
    };
    let (mut parts, body) = response.into_parts();
    let streamed = [Fault::CutBody, Fault::Huge, Fault::Drip];
    let body = if fault.is_some_and(|fault| streamed.contains(&fault)) {
        body
    } else {
        let bytes = axum::body::to_bytes(body, usize::MAX)
            .await
            .expect("own body");
        let etag = format!("W/\"{}\"", hex(&Sha1::digest(&bytes)));
        if parts.status == StatusCode::OK && fault.is_none() {
            put(&mut parts.headers, "etag", &etag);
            put(
                &mut parts.headers,
                "cache-control",
                "public, max-age=60, s-maxage=60",
            );
        }
        if parts.status == StatusCode::OK && if_none_match.as_deref() == Some(&etag) {
            parts.status = StatusCode::NOT_MODIFIED;
            parts.headers.remove(header::CONTENT_TYPE);
            parts.headers.remove(header::CONTENT_LENGTH);
            Body::empty()
        } else {
            Body::from(bytes)
        }
    };
    let used = {
        let mut shared = lock(&app.shared);
        if parts.status != StatusCode::NOT_MODIFIED {
            shared.used = shared.used.saturating_add(1);
        }
        shared.used % ANONYMOUS_LIMIT
    };
    let exhausted = matches!(fault, Some(Fault::RateLimited | Fault::ResetAt(_)));
    let used = if exhausted { ANONYMOUS_LIMIT } else { used };
    let reset = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
        + 1800;
    let reset = match fault {
        Some(Fault::ResetAt(at)) => at.to_string(),
        _ => reset.to_string(),
    };
    let headers = &mut parts.headers;
    put(headers, "x-ratelimit-limit", &ANONYMOUS_LIMIT.to_string());
    put(headers, "x-ratelimit-used", &used.to_string());
    put(
        headers,
        "x-ratelimit-remaining",
        &(ANONYMOUS_LIMIT - used).to_string(),
    );
    put(headers, "x-ratelimit-reset", &reset);
    put(headers, "x-ratelimit-resource", "core");
    put(headers, "x-github-media-type", "github.v3; format=json");
    put(headers, "x-github-api-version-selected", "2022-11-28");
    put(headers, "server", "github.com");
    note(
        &app,
        Seen {
            path,
            query,
            if_none_match,
            authorization,
            status: parts.status.as_u16(),
        },
    );
    Response::from_parts(parts, body)
}

fn note(app: &App, seen: Seen) {
    lock(&app.shared).log.push(seen);
}

#[allow(clippy::too_many_lines, reason = "one arm for each way to fail")]
fn broken(fault: Fault, addr: SocketAddr, query: &str, sent: Arc<AtomicU64>) -> Response {
    let list = |next: String| {
        let link = format!("<http://{addr}/repos/mastodon/mastodon/releases?{next}>; rel=\"next\"");
        answer(&json!([]), Some(vec![link]))
    };
    match fault {
        Fault::RetryAfter(seconds) => {
            let mut response = problem(StatusCode::FORBIDDEN, "You are too fast");
            put(response.headers_mut(), "retry-after", &seconds.to_string());
            response
        }
        Fault::ResetAt(_) => problem(StatusCode::FORBIDDEN, "Come back later"),
        Fault::Forbidden => problem(StatusCode::FORBIDDEN, "Resource not accessible"),
        Fault::TooMany => problem(StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
        Fault::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        Fault::Huge => {
            const PIECE: usize = 64 * 1024;
            let pieces = HUGE / u64::try_from(PIECE).expect("a small number");
            let piece = Bytes::from(vec![b' '; PIECE]);
            let body = stream::iter(0..pieces).map(move |_| {
                sent.fetch_add(u64::try_from(piece.len()).unwrap_or(0), Ordering::SeqCst);
                Ok::<_, std::io::Error>(piece.clone())
            });
            Body::from_stream(body).into_response()
        }
        Fault::Drip => {
            let body = stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
            });
            Body::from_stream(body).into_response()
        }
        Fault::Html => (
            [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
            "<!DOCTYPE html><title>Unicorn!</title>",
        )
            .into_response(),
        Fault::PageLoop => list(query.to_owned()),
        Fault::PageCircle if query.contains("page=2") => list("per_page=100".to_owned()),
        Fault::PageCircle => list("per_page=100&page=2".to_owned()),
        Fault::EndlessPages => {
            let page = query.rsplit_once("&page=").map_or("1", |(_, page)| page);
            let page: u64 = page.parse().unwrap_or(1);
            list(format!("per_page=100&page={}", page + 1))
        }
        Fault::RedirectTo(port) => {
            let to =
                format!("http://127.0.0.1:{port}/repos/mastodon/mastodon/releases?per_page=100");
            let mut response = StatusCode::MOVED_PERMANENTLY.into_response();
            put(response.headers_mut(), "location", &to);
            response
        }
        Fault::BadUtf8 => {
            let body: &[u8] = b"[{\"tag_name\": \"v4.5.9\xff\"}]";
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Fault::OtherShape => answer(&json!({"items": [], "total": 0}), None),
        Fault::EmptyList => answer(&json!([]), None),
        Fault::Unauthorized => problem(StatusCode::UNAUTHORIZED, "Bad credentials"),
        Fault::RateLimited => problem(
            StatusCode::FORBIDDEN,
            "API rate limit exceeded for 203.0.113.7. (But here's the good news: Authenticated requests get a \
             higher rate limit. Check out the documentation for more details.)",
        ),
        Fault::NotFound => not_found(),
        Fault::ServerError => problem(StatusCode::INTERNAL_SERVER_ERROR, "Server Error"),
        Fault::GarbageJson | Fault::Silence => (
            [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
            "[{\"tag_name\": \"v4.5",
        )
            .into_response(),
        Fault::CutBody => {
            let head: Result<Bytes, std::io::Error> =
                Ok(Bytes::from_static(b"[{\"tag_name\": \"v4.5.8\","));
            // The server sends what it has while it waits, and drops the connection on the error after it.
            let cut = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(std::io::Error::other("connection cut on purpose"))
            };
            let body = Body::from_stream(stream::iter([head]).chain(stream::once(cut)));
            let headers = [
                (header::CONTENT_TYPE, "application/json; charset=utf-8"),
                (header::CONTENT_LENGTH, "48000"),
            ];
            (headers, body).into_response()
        }
    }
}

type Wanted = Query<BTreeMap<String, String>>;

async fn repository() -> Response {
    answer(
        &json!({"id": 67_274_736, "name": "mastodon", "full_name": "mastodon/mastodon", "private": false}),
        None,
    )
}

async fn releases(State(app): State<App>, Query(wanted): Wanted) -> Response {
    let all = lock(&app.shared).releases();
    let size = page_size(&wanted);
    let page = wanted
        .get("page")
        .and_then(|page| page.parse::<usize>().ok())
        .unwrap_or(1)
        .max(1);
    let last = all.len().div_ceil(size).max(1);
    let items: Vec<Value> = all.into_iter().skip((page - 1) * size).take(size).collect();
    let url = |page: usize, rel: &str| {
        format!(
            "<http://{}/repos/mastodon/mastodon/releases?per_page={size}&page={page}>; rel=\"{rel}\"",
            app.addr
        )
    };
    let mut links = Vec::new();
    if page > 1 {
        links.push(url(page - 1, "prev"));
    }
    if page < last {
        links.push(url(page + 1, "next"));
        links.push(url(last, "last"));
    }
    if page > 1 {
        links.push(url(1, "first"));
    }
    answer(&Value::Array(items), Some(links))
}

async fn latest(State(app): State<App>) -> Response {
    let first = lock(&app.shared).releases().into_iter().next();
    first.map_or_else(not_found, |release| answer(&release, None))
}

async fn by_tag(State(app): State<App>, UrlPath(tag): UrlPath<String>) -> Response {
    let found = lock(&app.shared)
        .releases()
        .into_iter()
        .find(|release| text(release, "tag_name") == tag);
    found.map_or_else(not_found, |release| answer(&release, None))
}

/// Advisories are paged with a cursor, not with page numbers.
async fn advisories(State(app): State<App>, Query(wanted): Wanted) -> Response {
    let all = lock(&app.shared).advisories.clone();
    let size = page_size(&wanted);
    let start = wanted
        .get("after")
        .and_then(|cursor| cursor.strip_prefix("Y3Vyc29y"))
        .and_then(|at| at.parse().ok());
    let start: usize = start.unwrap_or(0);
    let end = (start + size).min(all.len());
    let mut links = Vec::new();
    if end < all.len() {
        links.push(format!(
            "<http://{}/repos/mastodon/mastodon/security-advisories?per_page={size}&after=Y3Vyc29y{end}>; rel=\"next\"",
            app.addr
        ));
    }
    answer(
        &Value::Array(all.into_iter().skip(start).take(size).collect()),
        Some(links),
    )
}

async fn update_check(State(app): State<App>) -> Response {
    answer(&lock(&app.shared).offers.clone(), None)
}

async fn commit(
    State(app): State<App>,
    UrlPath(name): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    let tag = name.trim_start_matches("refs/").trim_start_matches("tags/");
    if !lock(&app.shared).all.contains_key(tag) {
        return problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("No commit found for SHA: {name}"),
        );
    }
    let sha = commit_of(tag);
    let wants_text =
        header_text(&headers, &header::ACCEPT).is_some_and(|accept| accept.contains("sha"));
    if wants_text {
        return (
            [(
                header::CONTENT_TYPE,
                "application/vnd.github.sha; charset=utf-8",
            )],
            sha,
        )
            .into_response();
    }
    let api = "https://api.github.com/repos/mastodon/mastodon";
    let person =
        json!({"name": "Claire", "email": "claire@example.org", "date": "2026-03-24T15:00:00Z"});
    answer(
        &json!({
            "sha": sha,
            "node_id": format!("C_synthetic_{sha}"),
            "url": format!("{api}/commits/{sha}"),
            "html_url": format!("https://github.com/mastodon/mastodon/commit/{sha}"),
            "comments_url": format!("{api}/commits/{sha}/comments"),
            "commit": {
                "author": person, "committer": person, "message": format!("Bump version to {tag}"),
                "tree": {"sha": sha, "url": format!("{api}/git/trees/{sha}")},
                "url": format!("{api}/git/commits/{sha}"), "comment_count": 0,
                "verification": {"verified": true, "reason": "valid", "signature": null, "payload": null},
            },
            "author": null, "committer": null, "parents": [], "stats": {"total": 2, "additions": 1, "deletions": 1},
            "files": [],
        }),
        None,
    )
}

async fn git_ref(State(app): State<App>, UrlPath(tag): UrlPath<String>) -> Response {
    if !lock(&app.shared).all.contains_key(&tag) {
        return not_found();
    }
    let sha = commit_of(&tag);
    let url = format!("https://api.github.com/repos/mastodon/mastodon/git/commits/{sha}");
    answer(
        &json!({"ref": format!("refs/tags/{tag}"), "node_id": "REF_synthetic", "url": url,
                "object": {"sha": sha, "type": "commit", "url": url}}),
        None,
    )
}

fn answer(value: &Value, links: Option<Vec<String>>) -> Response {
    let mut response = (
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        value.to_string(),
    )
        .into_response();
    if let Some(links) = links.filter(|links| !links.is_empty()) {
        put(response.headers_mut(), "link", &links.join(", "));
    }
    response
}

fn problem(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.as_u16().to_string(),
    });
    let mut response = answer(&body, None);
    *response.status_mut() = status;
    response
}

fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "Not Found")
}

fn page_size(wanted: &BTreeMap<String, String>) -> usize {
    wanted
        .get("per_page")
        .and_then(|size| size.parse().ok())
        .unwrap_or(30)
        .clamp(1, 100)
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.insert(name, HeaderValue::from_str(value).expect("header value"));
}

fn header_text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

fn read_releases() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let Value::Array(captured) = read_json(&root().join("tests/data/github/releases.json")) else {
        panic!("releases.json is no list")
    };
    let lab = std::fs::read_dir(root().join("tests/lab/github")).expect("tests/lab/github");
    let own = lab.map(|entry| read_json(&entry.expect("tests/lab/github").path()));
    for mut release in captured.into_iter().chain(own) {
        complete_author(&mut release);
        all.insert(text(&release, "tag_name").to_owned(), release);
    }
    all
}

/// The captured data keep the parts of `author` that were known; GitHub always sends all of them.
fn complete_author(release: &mut Value) {
    let Some(author) = release.get_mut("author").and_then(Value::as_object_mut) else {
        return;
    };
    let login = author
        .get("login")
        .and_then(Value::as_str)
        .unwrap_or("ghost")
        .to_owned();
    let api = format!("https://api.github.com/users/{login}");
    for (key, value) in [
        (
            "avatar_url",
            format!("https://avatars.githubusercontent.com/{login}"),
        ),
        ("gravatar_id", String::new()),
        ("node_id", "U_synthetic".to_owned()),
        ("url", api.clone()),
        ("followers_url", format!("{api}/followers")),
        ("following_url", format!("{api}/following{{/other_user}}")),
        ("gists_url", format!("{api}/gists{{/gist_id}}")),
        ("starred_url", format!("{api}/starred{{/owner}}{{/repo}}")),
        ("subscriptions_url", format!("{api}/subscriptions")),
        ("organizations_url", format!("{api}/orgs")),
        ("repos_url", format!("{api}/repos")),
        ("events_url", format!("{api}/events{{/privacy}}")),
        ("received_events_url", format!("{api}/received_events")),
        ("user_view_type", "public".to_owned()),
    ] {
        author.entry(key).or_insert(Value::String(value));
    }
}

fn read_json(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
