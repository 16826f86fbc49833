//! GitHub's REST API as a [`ReleaseSource`]: releases, repository advisories, and the commit behind a tag.
//!
//! Every page is asked for with the mark (`ETag`) of the state that the caller knows, so an unchanged list costs nothing
//! of the hourly allowance. One release that cannot be read does not take the others with it; it is reported.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use http::header::{ETAG, IF_NONE_MATCH, LINK, RETRY_AFTER};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use octocrab::Octocrab;
use secrecy::SecretString;
use serde_json::Value;

use crate::domain::advisory::Advisory;
use crate::domain::release::Release;
use crate::ports::release_source::{
    AskAgain, CachedPage, CachedPages, CommitId, Fetched, ReleaseSource, ReleaseSourceError,
};

mod wire;

/// All releases of Mastodon fill about three pages of 100; twenty leave room for years and stop a loop.
const MOST_PAGES: usize = 20;
/// A page of 100 releases with long notes is below 2 MiB.
const LARGEST_BODY: usize = 16 * 1024 * 1024;
/// The text of a refusal is only looked at for one phrase.
const LARGEST_REFUSAL: usize = 64 * 1024;
/// Connecting takes far less than this, or never happens.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What GitHub asks for after a secondary limit that names no time.
const SECONDARY_LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// A repository on GitHub, or on something that speaks like it.
#[derive(Debug, Clone)]
pub struct GitHub {
    client: Octocrab,
    base: Uri,
    base_url: String,
    repository: String,
    timeout: Duration,
}

type Body = http_body_util::combinators::BoxBody<hyper::body::Bytes, octocrab::Error>;

impl GitHub {
    /// Sets up a client; asks nothing yet. Must be called inside a Tokio runtime.
    ///
    /// `timeout` is for one complete answer. Plain http is refused except for this host.
    pub fn new(
        base_url: &str,
        repository: &str,
        timeout: Duration,
        token: Option<SecretString>,
    ) -> Result<Self, ReleaseSourceError> {
        let base_url = base_url.trim_end_matches('/').to_owned();
        let refused = |why| ReleaseSourceError::Address {
            url: base_url.clone(),
            why,
        };
        let base: Uri = base_url
            .parse()
            .map_err(|_err| refused("it is not an address"))?;
        match base.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(&base) => {}
            Some("http") => return Err(refused("without encryption only this host is asked")),
            Some(_) | None => return Err(refused("it is neither https nor http")),
        }
        // No read timeout here: the limit on the whole answer, in `page`, includes it and gives a clear error.
        let builder = Octocrab::builder().set_connect_timeout(Some(CONNECT_TIMEOUT));
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
            client,
            base,
            base_url,
            repository: repository.to_owned(),
            timeout,
        })
    }

    /// Reads all pages from `first` on.
    async fn pages(&self, first: String, known: &CachedPages) -> Result<Pages, ReleaseSourceError> {
        let mut pages = Pages::default();
        let mut url = first.clone();
        for _ in 0..MOST_PAGES {
            let usable = known
                .pages
                .iter()
                .find(|page| page.url == url && wire::items(&page.body).is_ok());
            let (page, items) = self.page(&url, usable).await?;
            pages.changed = pages.changed || usable != Some(&page);
            pages.items.extend(items);
            let next = page.next.clone();
            pages.cached.pages.push(page);
            let Some(next) = next else {
                pages.changed = pages.changed || pages.cached.pages.len() != known.pages.len();
                return Ok(pages);
            };
            url = next;
        }
        Err(ReleaseSourceError::TooManyPages {
            url: first,
            limit: MOST_PAGES,
        })
    }

    async fn page(
        &self,
        url: &str,
        known: Option<&CachedPage>,
    ) -> Result<(CachedPage, Vec<Value>), ReleaseSourceError> {
        let garbage = |source: Box<dyn Error + Send + Sync>| ReleaseSourceError::Garbage {
            url: url.to_owned(),
            source,
        };
        let etag = known.and_then(|page| page.etag.as_deref());
        let page = match (self.get(url, etag).await?, known) {
            (Answer::Unchanged, Some(known)) => known.clone(),
            (Answer::Unchanged, None) => {
                return Err(ReleaseSourceError::NothingKnown {
                    url: url.to_owned(),
                });
            }
            (Answer::Full { headers, body }, _) => {
                let next = next_page(&headers);
                if let Some(next) = next.as_ref().filter(|next| !self.is_ours(next)) {
                    return Err(ReleaseSourceError::ForeignPage {
                        url: url.to_owned(),
                        next: next.clone(),
                    });
                }
                let body = String::from_utf8(body).map_err(|err| garbage(err.into()))?;
                let etag = headers
                    .get(ETAG)
                    .and_then(|etag| etag.to_str().ok())
                    .map(ToOwned::to_owned);
                CachedPage {
                    url: url.to_owned(),
                    etag,
                    next,
                    body,
                }
            }
        };
        let items = wire::items(&page.body).map_err(|err| not_json(url, err))?;
        Ok((page, items))
    }

    /// One question, answered completely or not at all.
    async fn get(&self, url: &str, etag: Option<&str>) -> Result<Answer, ReleaseSourceError> {
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
        let response = self
            .client
            ._get_with_headers(url, Some(headers))
            .await
            .map_err(|err| ReleaseSourceError::Unreachable {
                url: url.to_owned(),
                source: Box::new(err),
            })?;
        match response.status() {
            StatusCode::NOT_MODIFIED => Ok(Answer::Unchanged),
            StatusCode::OK => {
                let headers = response.headers().clone();
                let body = read_body(url, response, LARGEST_BODY).await?;
                Ok(Answer::Full { headers, body })
            }
            status => Err(refusal(url, status, response).await),
        }
    }

    /// Whether an address lies on the host, port and scheme we were told to ask.
    fn is_ours(&self, url: &str) -> bool {
        url.parse::<Uri>()
            .is_ok_and(|uri| origin(&uri) == origin(&self.base) && origin(&uri).is_some())
    }
}

impl ReleaseSource for GitHub {
    async fn releases(&self, known: &CachedPages) -> Result<Fetched<Release>, ReleaseSourceError> {
        let url = format!(
            "{}/repos/{}/releases?per_page=100",
            self.base_url, self.repository
        );
        Ok(self.pages(url, known).await?.read(wire::release))
    }

    async fn advisories(
        &self,
        known: &CachedPages,
    ) -> Result<Fetched<Advisory>, ReleaseSourceError> {
        let query = "security-advisories?per_page=100&state=published";
        let url = format!("{}/repos/{}/{query}", self.base_url, self.repository);
        Ok(self.pages(url, known).await?.read(wire::advisory))
    }

    async fn commit_of(&self, tag: &str) -> Result<CommitId, ReleaseSourceError> {
        let url = format!("{}/repos/{}/commits/{tag}", self.base_url, self.repository);
        let plain = tag.starts_with(|c: char| c.is_ascii_alphanumeric())
            && tag
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !plain {
            return Err(ReleaseSourceError::Address {
                url,
                why: "the tag has letters that no release tag has",
            });
        }
        let Answer::Full { body, .. } = self.get(&url, None).await? else {
            return Err(ReleaseSourceError::NothingKnown { url });
        };
        let sha = wire::commit(&body).map_err(|err| not_json(&url, err))?;
        sha.parse()
            .map_err(
                |err: crate::ports::release_source::NotACommit| ReleaseSourceError::Garbage {
                    url,
                    source: Box::new(err),
                },
            )
    }
}

/// Reads a list of releases as GitHub sends it: the releases, and as sentences everything that could not be read.
///
/// An error only if the text is no list at all.
pub fn parse_releases(body: &str) -> Result<(Vec<Release>, Vec<String>), serde_json::Error> {
    parse(body, wire::release)
}

/// Reads a list of advisories; see [`parse_releases`].
pub fn parse_advisories(body: &str) -> Result<(Vec<Advisory>, Vec<String>), serde_json::Error> {
    parse(body, wire::advisory)
}

fn parse<T>(
    body: &str,
    read: impl Fn(&Value, &mut Vec<String>) -> Option<T>,
) -> Result<(Vec<T>, Vec<String>), serde_json::Error> {
    let items = wire::items(body)?;
    let pages = Pages {
        items,
        ..Pages::default()
    };
    let fetched = pages.read(read);
    Ok((fetched.items, fetched.problems))
}

/// What came back for one question.
enum Answer {
    Unchanged,
    Full { headers: HeaderMap, body: Vec<u8> },
}

/// All pages of one list.
#[derive(Default)]
struct Pages {
    items: Vec<Value>,
    changed: bool,
    cached: CachedPages,
}

impl Pages {
    fn read<T>(self, read: impl Fn(&Value, &mut Vec<String>) -> Option<T>) -> Fetched<T> {
        let mut problems = Vec::new();
        let items = self
            .items
            .iter()
            .filter_map(|item| read(item, &mut problems))
            .collect();
        Fetched {
            items,
            problems,
            changed: self.changed,
            pages: self.cached,
        }
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

fn not_json(url: &str, err: serde_json::Error) -> ReleaseSourceError {
    let (url, ended_early) = (url.to_owned(), err.is_eof());
    let source = Box::new(err);
    if ended_early {
        ReleaseSourceError::CutOff { url, source }
    } else {
        ReleaseSourceError::Garbage { url, source }
    }
}

/// The address with `rel="next"` in the `Link` headers.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers
        .get_all(LINK)
        .iter()
        .filter_map(|link| link.to_str().ok());
    let mut links = links
        .flat_map(|link| link.split('<').skip(1))
        .filter_map(|link| link.split_once('>'));
    let next = |parameters: &str| {
        parameters
            .split([';', ','])
            .any(|parameter| ["rel=\"next\"", "rel=next"].contains(&parameter.trim()))
    };
    links
        .find(|(_, parameters)| next(parameters))
        .map(|(url, _)| url.to_owned())
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

#[cfg(test)]
mod tests;
