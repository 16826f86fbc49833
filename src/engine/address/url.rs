//! The addresses in `DATABASE_URL` and `REDIS_URL`.
//!
//! Web and Sidekiq (Ruby) and streaming (Node) read them with different libraries, which agree on well-formed ones. So only
//! those are read, and whatever the libraries might take differently is refused. No error shows any part of an address.

use std::ops::Range;

/// A well-formed address, its parts decoded.
pub(super) struct Url {
    pub(super) scheme: String,
    /// Role, and password if there is a colon.
    pub(super) user: Option<(String, Option<String>)>,
    pub(super) host: String,
    /// Where the host stands in the text, with its brackets.
    pub(super) host_at: Range<usize>,
    pub(super) port: Option<u16>,
    /// What stands behind the first slash, without it.
    pub(super) path: String,
    /// Parameters, by name.
    pub(super) parameters: Vec<(String, String)>,
}

impl Url {
    /// Reads an address, or says what is wrong with it: a phrase that follows the name of the key.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let problem = |what: &str| Err(what.to_owned());
        let Some((scheme, rest)) = text.split_once("://") else {
            return problem("is no address of the form `scheme://user:password@host:port/name`");
        };
        if rest.contains('#') {
            return problem("has a `#`, which has to be written as `%23`");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, _)) if user.contains('@') => {
                return problem(
                    "has more than one `@`; one in a password has to be written as `%40`",
                );
            }
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        let user = user.map(userinfo).transpose()?;
        let (host, port) = server_of(server)?;
        let start = text
            .len()
            .saturating_sub(behind.len().saturating_add(server.len()));
        let host_at = start..start.saturating_add(host.len());
        let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
        let path = decoded(path.strip_prefix('/').unwrap_or(path))?;
        if path.contains('/') {
            return problem("has more than a name behind its host");
        }
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.push((decoded(name)?, decoded(value)?));
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            user,
            host: host.trim_matches(['[', ']']).to_owned(),
            host_at,
            port,
            path,
            parameters,
        })
    }
}

/// The password in an address however odd, as it stands there and decoded: for what must not be shown.
pub(super) fn passwords(text: &str) -> Vec<String> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let password = rest
        .rsplit_once('@')
        .and_then(|(user, _)| user.split_once(':'));
    let Some((_, password)) = password else {
        return Vec::new();
    };
    let decoded = decoded(password).ok();
    let mut found = vec![password.to_owned()];
    found.extend(decoded.filter(|decoded| decoded != password));
    found
}

fn userinfo(text: &str) -> Result<(String, Option<String>), String> {
    match text.split_once(':') {
        Some((user, password)) => Ok((decoded(user)?, Some(decoded(password)?))),
        None => Ok((decoded(text)?, None)),
    }
}

/// Host, in its brackets if it has some, and port.
fn server_of(text: &str) -> Result<(&str, Option<u16>), String> {
    if text.contains(',') {
        return Err("names several hosts, and mastopatch follows one".to_owned());
    }
    if text.contains('%') {
        return Err("names a socket, and mastopatch follows hosts only".to_owned());
    }
    let (host, port) = match text.find(']') {
        Some(end) => {
            let (host, rest) = text.split_at(end.saturating_add(1));
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(
            "names no host, which means a socket, and mastopatch follows hosts only".to_owned(),
        );
    }
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || ['-', '.', '_', ':', '[', ']'].contains(&c);
    if !host.chars().all(is_plain) {
        return Err("has a host that is no name".to_owned());
    }
    let port = match port.filter(|port| !port.is_empty()) {
        None => None,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err("has a port that is none".to_owned()),
            Ok(port) => Some(port),
        },
    };
    Ok((host, port))
}

/// Percent-encoding undone. A plus is a plus. Characters that have to be encoded must be.
fn decoded(text: &str) -> Result<String, String> {
    let wrong =
        || "has a character that has to be percent-encoded, or a `%` that is none".to_owned();
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| {
                    let digit = char::from(digit?).to_digit(16)?;
                    u8::try_from(digit).ok()
                });
                let [Some(high), Some(low)] = digits else {
                    return Err(wrong());
                };
                bytes.push(high.saturating_mul(16).saturating_add(low));
            }
            byte if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) => {
                bytes.push(byte);
            }
            _ => return Err(wrong()),
        }
    }
    String::from_utf8(bytes).map_err(|_err| wrong())
}
