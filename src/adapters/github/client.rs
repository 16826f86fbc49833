//! One HTTPS client for small public APIs: bounded answers, bounded time, and no step to another place.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{IF_NONE_MATCH, LOCATION, RETRY_AFTER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use octocrab::Octocrab;
use secrecy::SecretString;

use crate::ports::release_source::{AskAgain, ReleaseSourceError};

/// A page of 100 releases with long notes is below 2 MiB.
pub(super) const LARGEST_BODY: usize = 16 * 1024 * 1024;
/// The text of a refusal is only looked at for one phrase.
const LARGEST_REFUSAL: usize = 64 * 1024;
/// Connecting takes far less than this, or never happens.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What GitHub asks for after a secondary limit that names no time.
const SECONDARY_LIMIT_PAUSE: Duration = Duration::from_secs(60);
/// A renamed repository is one step away; more are a circle.
const MOST_REDIRECTS: usize = 3;

/// Asks one place, and no other.
#[derive(Debug, Clone)]
pub(in crate::adapters) struct Client {
    http: Octocrab,
    base: Uri,
    timeout: Duration,
    asked: Arc<AtomicU64>,
}

/// What came back for one question.
pub(in crate::adapters) enum Answer {
    Unchanged,
    Full { headers: HeaderMap, body: Vec<u8> },
}

type Body = http_body_util::combinators::BoxBody<hyper::body::Bytes, octocrab::Error>;

impl Client {
    /// Sets up a client for the scheme, host and port of `url`; asks nothing yet. Must be called inside a Tokio runtime.
    ///
    /// `timeout` is for one complete answer. Plain http is refused except for this host.
    pub(in crate::adapters) fn new(
        url: &str,
        timeout: Duration,
        token: Option<SecretString>,
    ) -> Result<Self, ReleaseSourceError> {
        let refused = |why| ReleaseSourceError::Address {
            url: url.to_owned(),
            why,
        };
        let base: Uri = url
            .parse()
            .map_err(|_err| refused("it is not an address"))?;
        match base.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(&base) => {}
            Some("http") => return Err(refused("without encryption only this host is asked")),
            Some(_) | None => return Err(refused("it is neither https nor http")),
        }
        // No read timeout here: the limit on the whole answer, in `get`, includes it and gives a clear error.
        let builder = Octocrab::builder()
            .set_connect_timeout(Some(CONNECT_TIMEOUT))
            .add_header(
                USER_AGENT,
                concat!("mastopatch/", env!("CARGO_PKG_VERSION")).to_owned(),
            );
        // The client puts the path of its base before every address, so it gets none; our addresses are complete.
        let mut parts = base.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        let host_only = Uri::from_parts(parts).map_err(|_err| refused("it is not an address"))?;
        let builder = builder
            .base_uri(host_only)
            .map_err(|_err| refused("it is not an address"))?;
        let builder = match token {
            Some(token) => builder.personal_token(token),
            None => builder,
        };
        let client = builder
            .build()
            .map_err(|_err| refused("no client can be made for it"))?;
        Ok(Self {
            http: client,
            base,
            timeout,
            asked: Arc::default(),
        })
    }

    /// Questions sent so far.
    pub(in crate::adapters) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// One question, answered completely or not at all.
    pub(in crate::adapters) async fn get(
        &self,
        url: &str,
        etag: Option<&str>,
    ) -> Result<Answer, ReleaseSourceError> {
        let limit = self.timeout;
        tokio::time::timeout(limit, self.get_without_limit(url, etag))
            .await
            .unwrap_or_else(|_elapsed| {
                Err(ReleaseSourceError::TimedOut {
                    url: url.to_owned(),
                    limit,
                })
            })
    }

    async fn get_without_limit(
        &self,
        url: &str,
        etag: Option<&str>,
    ) -> Result<Answer, ReleaseSourceError> {
        let mut headers = HeaderMap::new();
        // A mark that cannot be sent is as good as none.
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            headers.insert(IF_NONE_MATCH, etag);
        }
        let mut place = url.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let response = self
                .http
                ._get_with_headers(place.as_str(), Some(headers.clone()))
                .await
                .map_err(|err| ReleaseSourceError::Unreachable {
                    url: place.clone(),
                    source: Box::new(err),
                })?;
            match response.status() {
                StatusCode::NOT_MODIFIED => return Ok(Answer::Unchanged),
                StatusCode::OK => {
                    let headers = response.headers().clone();
                    let body = read_body(url, response, LARGEST_BODY).await?;
                    return Ok(Answer::Full { headers, body });
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => place = self.redirected(&place, &response)?,
                status => return Err(refusal(url, status, response).await),
            }
        }
        Err(ReleaseSourceError::Redirected {
            url: url.to_owned(),
            to: place,
        })
    }

    /// Where a redirection leads, if that is the place that may be asked. Nothing is sent anywhere else: not the token,
    /// and not the question either.
    fn redirected(
        &self,
        url: &str,
        response: &Response<Body>,
    ) -> Result<String, ReleaseSourceError> {
        let location = response.headers().get(LOCATION);
        let to = location
            .map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned())
            .unwrap_or_default();
        let whole = if to.starts_with('/') && !to.starts_with("//") {
            let mut parts = self.base.clone().into_parts();
            parts.path_and_query = to.parse().ok();
            Uri::from_parts(parts).map_or_else(|_err| to.clone(), |uri| uri.to_string())
        } else {
            to.clone()
        };
        if self.is_ours(&whole) {
            Ok(whole)
        } else {
            Err(ReleaseSourceError::Redirected {
                url: url.to_owned(),
                to,
            })
        }
    }

    /// Whether an address lies on the host, port and scheme we were told to ask.
    pub(super) fn is_ours(&self, url: &str) -> bool {
        url.parse::<Uri>()
            .is_ok_and(|uri| origin(&uri) == origin(&self.base) && origin(&uri).is_some())
    }
}

async fn read_body(
    url: &str,
    response: Response<Body>,
    limit: usize,
) -> Result<Vec<u8>, ReleaseSourceError> {
    match Limited::new(response.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes().to_vec()),
        Err(err) if err.is::<LengthLimitError>() => Err(ReleaseSourceError::TooLarge {
            url: url.to_owned(),
            limit,
        }),
        Err(source) => Err(ReleaseSourceError::CutOff {
            url: url.to_owned(),
            source,
        }),
    }
}

/// The error that a status other than "here it is" and "nothing changed" stands for.
async fn refusal(url: &str, status: StatusCode, response: Response<Body>) -> ReleaseSourceError {
    let url = url.to_owned();
    match status {
        StatusCode::UNAUTHORIZED => ReleaseSourceError::Unauthorized { url },
        StatusCode::NOT_FOUND => ReleaseSourceError::NotFound { url },
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            let said = ask_again(response.headers());
            let too_many = status == StatusCode::TOO_MANY_REQUESTS;
            let again = match said {
                Some(again) => Some(again),
                None => speaks_of_a_limit(&url, response)
                    .await
                    .then_some(AskAgain::After(SECONDARY_LIMIT_PAUSE)),
            };
            match again {
                Some(again) => ReleaseSourceError::RateLimited { url, again },
                None if too_many => ReleaseSourceError::RateLimited {
                    url,
                    again: AskAgain::Unknown,
                },
                None => ReleaseSourceError::Forbidden { url },
            }
        }
        _ if status.is_server_error() => ReleaseSourceError::Server {
            url,
            status: status.as_u16(),
        },
        _ => ReleaseSourceError::UnexpectedStatus {
            url,
            status: status.as_u16(),
        },
    }
}

/// When the headers of a refusal allow the next question; `None` if they do not speak of a limit.
fn ask_again(headers: &HeaderMap) -> Option<AskAgain> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let number = |name: &str| text(name)?.trim().parse::<i64>().ok();
    if let Some(seconds) = headers.get(RETRY_AFTER).and_then(|_| number("retry-after")) {
        return Some(u64::try_from(seconds).map_or(AskAgain::Unknown, |seconds| {
            AskAgain::After(Duration::from_secs(seconds))
        }));
    }
    if number("x-ratelimit-remaining") != Some(0) {
        return headers
            .contains_key(RETRY_AFTER)
            .then_some(AskAgain::Unknown);
    }
    let reset = number("x-ratelimit-reset").and_then(|reset| Timestamp::from_second(reset).ok());
    Some(reset.map_or(AskAgain::Unknown, AskAgain::At))
}

async fn speaks_of_a_limit(url: &str, response: Response<Body>) -> bool {
    let body = read_body(url, response, LARGEST_REFUSAL)
        .await
        .unwrap_or_default();
    String::from_utf8_lossy(&body)
        .to_ascii_lowercase()
        .contains("rate limit")
}

fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = uri
        .port_u16()
        .unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
