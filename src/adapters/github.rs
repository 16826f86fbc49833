//! GitHub's REST API as a [`ReleaseSource`]: releases, repository advisories, and the commit behind a tag.
//!
//! Every page is asked for with the mark (`ETag`) of the state that the caller knows, so an unchanged list costs nothing
//! of the hourly allowance. One release that cannot be read does not take the others with it; it is reported.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use http::HeaderMap;
use http::header::{ETAG, LINK};
use secrecy::SecretString;
use serde_json::Value;

use crate::domain::advisory::Advisory;
use crate::domain::release::Release;
use crate::ports::release_source::{
    CachedPage, CachedPages, CommitId, Fetched, Listed, Reach, ReleaseSource, ReleaseSourceError,
};

use client::{Answer, Client};
use wire::Kind;

pub(super) mod client;
mod wire;

/// All releases of Mastodon fill about three pages of 100; twenty leave room for years and stop a loop.
const MOST_PAGES: usize = 20;

/// A repository on GitHub, or on something that speaks like it.
#[derive(Debug, Clone)]
pub struct GitHub {
    client: Client,
    base_url: String,
    repository: String,
}

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
        Ok(Self {
            client: Client::new(&base_url, timeout, token)?,
            base_url,
            repository: repository.to_owned(),
        })
    }

    /// Reads all pages from `first` on, and asks for as many of them as `reach` says.
    async fn pages(
        &self,
        first: &str,
        known: &CachedPages,
        reach: Reach,
        kind: &Kind,
    ) -> Result<Pages, ReleaseSourceError> {
        let known = Readable::of(known);
        let all = reach == Reach::All || !known.is_whole(first);
        match self.walk(first, &known, reach, all, kind).await? {
            Some(pages) => Ok(pages),
            // Something moved behind the first page: what was not asked for can no longer be relied on.
            None => {
                let again = self.walk(first, &known, reach, true, kind).await?;
                again.ok_or_else(|| ReleaseSourceError::NothingKnown {
                    url: first.to_owned(),
                })
            }
        }
    }

    /// One way through the pages; none if a page differs while pages before it were not asked for.
    async fn walk(
        &self,
        first: &str,
        known: &Readable,
        reach: Reach,
        mut all: bool,
        kind: &Kind,
    ) -> Result<Option<Pages>, ReleaseSourceError> {
        let mut pages = Pages::default();
        let mut url = first.to_owned();
        for number in 0..MOST_PAGES {
            let old = known.pages.get(&url);
            let asked = old.is_none() || all || number == 0 || reach == Reach::FirstAnd(number);
            let new = if asked {
                pages.asked = pages.asked.saturating_add(1);
                self.page(&url, old.map(|(page, _)| page)).await?
            } else {
                None
            };
            let differs = new.as_ref().is_some_and(|(new, items)| {
                old.is_none_or(|(old, read)| {
                    old.next != new.next || kind.digests(read) != kind.digests(items)
                })
            });
            if differs && !all {
                if number > 0 {
                    return Ok(None);
                }
                all = true;
            }
            pages.changed = pages.changed || new.is_some();
            let Some((page, items)) = new.or_else(|| old.cloned()) else {
                return Err(ReleaseSourceError::NothingKnown { url });
            };
            match pages.take(page, items)? {
                Some(next) => url = next,
                None => {
                    let count = pages.cached.pages.len();
                    pages.changed = pages.changed || count != known.count;
                    return Ok(Some(pages));
                }
            }
        }
        Err(ReleaseSourceError::TooManyPages {
            url: first.to_owned(),
            limit: MOST_PAGES,
        })
    }

    /// Asks for one page; none if it is the known one.
    async fn page(
        &self,
        url: &str,
        known: Option<&CachedPage>,
    ) -> Result<Option<(CachedPage, Vec<Value>)>, ReleaseSourceError> {
        let garbage = |source: Box<dyn Error + Send + Sync>| ReleaseSourceError::Garbage {
            url: url.to_owned(),
            source,
        };
        let etag = known.and_then(|page| page.etag.as_deref());
        let (headers, body) = match self.client.get(url, etag).await? {
            Answer::Unchanged if etag.is_some() => return Ok(None),
            Answer::Unchanged => {
                return Err(ReleaseSourceError::NothingKnown {
                    url: url.to_owned(),
                });
            }
            Answer::Full { headers, body } => (headers, body),
        };
        let next = next_page(&headers);
        if let Some(next) = next.as_ref().filter(|next| !self.client.is_ours(next)) {
            return Err(ReleaseSourceError::ForeignPage {
                url: url.to_owned(),
                next: next.clone(),
            });
        }
        let body = String::from_utf8(body).map_err(|err| garbage(err.into()))?;
        let items = wire::items(&body).map_err(|err| not_json(url, err))?;
        let etag = headers
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok())
            .map(ToOwned::to_owned);
        let page = CachedPage {
            url: url.to_owned(),
            etag,
            next,
            body,
        };
        Ok(Some((page, items)))
    }
}

impl ReleaseSource for GitHub {
    async fn releases(
        &self,
        known: &CachedPages,
        reach: Reach,
    ) -> Result<Fetched<Release>, ReleaseSourceError> {
        let url = format!(
            "{}/repos/{}/releases?per_page=100",
            self.base_url, self.repository
        );
        let pages = self.pages(&url, known, reach, &wire::RELEASE).await?;
        Ok(pages.read(&wire::RELEASE, wire::release))
    }

    async fn advisories(
        &self,
        known: &CachedPages,
        reach: Reach,
    ) -> Result<Fetched<Advisory>, ReleaseSourceError> {
        let query = "security-advisories?per_page=100&state=published";
        let url = format!("{}/repos/{}/{query}", self.base_url, self.repository);
        let pages = self.pages(&url, known, reach, &wire::ADVISORY).await?;
        Ok(pages.read(&wire::ADVISORY, wire::advisory))
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
        let Answer::Full { body, .. } = self.client.get(&url, None).await? else {
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

    fn asked(&self) -> u64 {
        self.client.asked()
    }
}

/// Reads a list of releases as GitHub sends it: the releases, and as sentences everything that could not be read.
///
/// An error only if the text is no list at all.
pub fn parse_releases(body: &str) -> Result<(Vec<Release>, Vec<String>), serde_json::Error> {
    parse(body, &wire::RELEASE, wire::release)
}

/// Reads a list of advisories; see [`parse_releases`].
pub fn parse_advisories(body: &str) -> Result<(Vec<Advisory>, Vec<String>), serde_json::Error> {
    parse(body, &wire::ADVISORY, wire::advisory)
}

fn parse<T>(
    body: &str,
    kind: &Kind,
    read: impl Fn(&Value, &mut Vec<String>) -> Option<T>,
) -> Result<(Vec<T>, Vec<String>), serde_json::Error> {
    let items = wire::items(body)?;
    let pages = Pages {
        items,
        ..Pages::default()
    };
    let fetched = pages.read(kind, read);
    let items = fetched.items.into_iter().map(|item| item.value);
    Ok((items.collect(), fetched.problems))
}

/// The known pages that can still be read, by their address, with what stands on them.
struct Readable {
    pages: BTreeMap<String, (CachedPage, Vec<Value>)>,
    count: usize,
}

impl Readable {
    fn of(known: &CachedPages) -> Self {
        let read = |page: &CachedPage| {
            let items = wire::items(&page.body).ok()?;
            Some((page.url.clone(), (page.clone(), items)))
        };
        Self {
            pages: known.pages.iter().filter_map(read).collect(),
            count: known.pages.len(),
        }
    }

    /// Whether they lead from the first to the last one.
    fn is_whole(&self, first: &str) -> bool {
        let mut url = first;
        for _ in 0..MOST_PAGES {
            match self.pages.get(url) {
                None => return false,
                Some((page, _)) => match &page.next {
                    None => return true,
                    Some(next) => url = next,
                },
            }
        }
        false
    }
}

/// All pages of one list.
#[derive(Default)]
struct Pages {
    items: Vec<Value>,
    changed: bool,
    asked: usize,
    cached: CachedPages,
}

impl Pages {
    /// Takes a page in, and gives the address of the next one.
    fn take(
        &mut self,
        page: CachedPage,
        items: Vec<Value>,
    ) -> Result<Option<String>, ReleaseSourceError> {
        let next = page.next.clone();
        let url = page.url.clone();
        self.items.extend(items);
        self.cached.pages.push(page);
        if let Some(next) = next
            .as_ref()
            .filter(|next| self.cached.pages.iter().any(|page| page.url == **next))
        {
            return Err(ReleaseSourceError::PagesInACircle {
                url,
                next: next.clone(),
            });
        }
        Ok(next)
    }

    fn read<T>(
        self,
        kind: &Kind,
        read: impl Fn(&Value, &mut Vec<String>) -> Option<T>,
    ) -> Fetched<T> {
        let mut problems = Vec::new();
        let mut items = Vec::new();
        let mut unread = Vec::new();
        for item in &self.items {
            let told = problems.len();
            match read(item, &mut problems) {
                Some(value) => items.push(Listed {
                    value,
                    digest: kind.digest(item),
                }),
                // A draft is left out without a problem: it is not published.
                None if problems.len() > told => unread.extend(kind.name(item)),
                None => {}
            }
        }
        Fetched {
            items,
            unread,
            problems,
            changed: self.changed,
            all_asked: self.asked >= self.cached.pages.len(),
            pages: self.cached,
        }
    }
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

#[cfg(test)]
mod tests;
