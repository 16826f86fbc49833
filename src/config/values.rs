//! Small values as people write them: lengths of time, addresses, names.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{MailProtection, MailServer};

/// Why a value is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadValue {
    #[error(
        "`{0}` is not a length of time; write for instance `90s`, `10m`, `2h`, `1h30m` or `1d`"
    )]
    Span(String),
    #[error("`{0}` must be an absolute path")]
    RelativePath(String),
    #[error(
        "`{0}` cannot be used: only the engine's socket on this host is, because snapshots, volumes and addresses must be here"
    )]
    RemoteEngine(String),
    #[error("`{0}` is not an address like `https://api.github.com`")]
    Url(String),
    #[error(
        "`{0}` would be asked without encryption, which is allowed on this host only; use https"
    )]
    PlainHttp(String),
    #[error("`{0}` is not `owner/name`")]
    Repository(String),
    #[error("`{0}` is not the name of a Compose project (lower-case letters, digits, `-` and `_`)")]
    Project(String),
    #[error("`{0}` is not the name of an image without tag and digest")]
    Image(String),
    #[error("`{0}` is not a name (letters, digits, `.`, `-`, `_` and `:`)")]
    Name(String),
    #[error(
        "`{0}` is not an address of a mail server; write smtp://, smtp+starttls:// or smtps:// and the host"
    )]
    Smtp(String),
    #[error(
        "`{0}` would send mail without encryption, which is allowed on this host only; use smtp+starttls:// or smtps://"
    )]
    PlainSmtp(String),
    #[error(
        "the user belongs into `username` and the password into `password_file`, not into the address"
    )]
    UserInAddress,
    #[error("`{0}` is not a mail address")]
    MailAddress(String),
}

/// Reads `1h30m`: whole numbers, each with `s`, `m`, `h` or `d`.
pub(super) fn span(text: &str) -> Result<Duration, BadValue> {
    let bad = || BadValue::Span(text.to_owned());
    let mut rest = text;
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let (digits, after) = rest
            .split_at_checked(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?)
            .ok_or_else(bad)?;
        let mut chars = after.chars();
        let unit: u64 = match chars.next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            _ => return Err(bad()),
        };
        let number: u64 = digits.parse().map_err(|_err| bad())?;
        seconds = number
            .checked_mul(unit)
            .and_then(|part| seconds.checked_add(part))
            .ok_or_else(bad)?;
        rest = chars.as_str();
    }
    Ok(Duration::from_secs(seconds))
}

/// Writes a length of time as [`span`] reads it.
pub(super) fn show_span(span: Duration) -> String {
    let seconds = span.as_secs();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds >= length && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds.checked_div(length).unwrap_or_default());
        }
    }
    format!("{seconds}s")
}

pub(super) fn absolute(text: &str) -> Result<PathBuf, BadValue> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(BadValue::RelativePath(text.to_owned()))
    }
}

pub(super) fn socket(text: &str) -> Result<PathBuf, BadValue> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    if path.contains("://") {
        return Err(BadValue::RemoteEngine(text.to_owned()));
    }
    absolute(path)
}

/// Checks the address of an HTTP API and takes the slash from its end.
pub(super) fn http_url(text: &str) -> Result<String, BadValue> {
    let bad = || BadValue::Url(text.to_owned());
    let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let odd = |c: char| !c.is_ascii_graphic() || "?#@\\\"<>".contains(c);
    if path.contains(odd) || authority.contains('@') {
        return Err(bad());
    }
    let (host, _port) = host_and_port(authority).ok_or_else(bad)?;
    match scheme {
        "https" => {}
        "http" if is_loopback(host) => {}
        "http" => return Err(BadValue::PlainHttp(text.to_owned())),
        _ => return Err(bad()),
    }
    Ok(text.trim_end_matches('/').to_owned())
}

pub(super) fn mail_server(text: &str) -> Result<MailServer, BadValue> {
    let bad = || BadValue::Smtp(text.to_owned());
    let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
    if rest.contains('@') {
        return Err(BadValue::UserInAddress);
    }
    let (protection, usual_port) = match scheme {
        "smtp" => (MailProtection::Plain, 25),
        "smtp+starttls" => (MailProtection::StartTls, 587),
        "smtps" => (MailProtection::Tls, 465),
        _ => return Err(bad()),
    };
    let (host, port) = host_and_port(rest.strip_suffix('/').unwrap_or(rest)).ok_or_else(bad)?;
    if protection == MailProtection::Plain && !is_loopback(host) {
        return Err(BadValue::PlainSmtp(text.to_owned()));
    }
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    Ok(MailServer {
        protection,
        host,
        port: port.unwrap_or(usual_port),
    })
}

/// A plain address. Nothing that could end a header line gets through.
pub(super) fn mail_address(text: &str) -> Result<String, BadValue> {
    let good_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_graphic() && !"<>()[],;:\\\"@".contains(c))
    };
    match text.split_once('@') {
        Some((user, host)) if good_part(user) && good_part(host) => Ok(text.to_owned()),
        _ => Err(BadValue::MailAddress(text.to_owned())),
    }
}

pub(super) fn repository(text: &str) -> Result<String, BadValue> {
    let good = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    match text.split_once('/') {
        Some((owner, name)) if good(owner) && good(name) => Ok(text.to_owned()),
        _ => Err(BadValue::Repository(text.to_owned())),
    }
}

pub(super) fn project(text: &str) -> Result<String, BadValue> {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let good = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c));
    if starts && good {
        Ok(text.to_owned())
    } else {
        Err(BadValue::Project(text.to_owned()))
    }
}

pub(super) fn image(text: &str) -> Result<String, BadValue> {
    let name = text.rsplit('/').next().unwrap_or(text);
    let good = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_./:".contains(c));
    let parts = text
        .split('/')
        .all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()));
    if good && parts && !name.contains(':') {
        Ok(text.to_owned())
    } else {
        Err(BadValue::Image(text.to_owned()))
    }
}

pub(super) fn name(text: &str) -> Result<String, BadValue> {
    let good = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || ".-_:".contains(c));
    if good {
        Ok(text.to_owned())
    } else {
        Err(BadValue::Name(text.to_owned()))
    }
}

/// The known word that is most like `text`, if one is like it at all.
pub(super) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = text.chars().count().div_ceil(3);
    known
        .map(|word| (strsim::osa_distance(text, word), word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word)
}

fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (
            host,
            Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        ),
        _ => (authority, None),
    };
    let v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let good = match v6 {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
        }
    };
    good.then_some((host, port))
}

fn is_loopback(host: &str) -> bool {
    let v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match v6 {
        Some(address) => address
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost")
                || host
                    .parse::<Ipv4Addr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_written() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("10m", 600),
            ("2h", 7_200),
            ("1h30m", 5_400),
            ("1d", 86_400),
        ] {
            assert_eq!(span(text).unwrap().as_secs(), seconds);
        }
        for text in [
            "",
            "10",
            "m",
            "10 m",
            "-5m",
            "1.5h",
            "10min",
            "99999999999999999999s",
            "18446744073709551615d",
            "5M",
        ] {
            assert_eq!(span(text), Err(BadValue::Span(text.to_owned())), "{text}");
        }
        assert_eq!(
            ["0s", "90s", "10m", "24h"].map(|text| show_span(span(text).unwrap())),
            ["0s", "90s", "10m", "1d"]
        );
    }

    #[test]
    fn without_encryption_only_this_host_is_asked() {
        for good in [
            "https://api.github.com",
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:80/api/v3",
        ] {
            assert_eq!(http_url(good).as_deref(), Ok(good));
        }
        assert_eq!(
            http_url("https://ghe.example/api/v3/").as_deref(),
            Ok("https://ghe.example/api/v3")
        );
        for plain in [
            "http://api.github.com",
            "http://127.0.0.1.example.org",
            "http://10.0.0.1",
        ] {
            assert_eq!(http_url(plain), Err(BadValue::PlainHttp(plain.to_owned())));
        }
        for bad in [
            "api.github.com",
            "ftp://x",
            "https://",
            "https://a@b",
            "https://a:0",
            "https://a b",
            "https://x/?q",
            "http://127.0.0.1@evil",
        ] {
            assert_eq!(http_url(bad), Err(BadValue::Url(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn mail_goes_out_unprotected_only_to_this_host() {
        let server =
            |text| mail_server(text).map(|server| (server.protection, server.host, server.port));
        assert_eq!(
            server("smtp://127.0.0.1:2525"),
            Ok((MailProtection::Plain, "127.0.0.1".to_owned(), 2525))
        );
        assert_eq!(
            server("smtp://[::1]"),
            Ok((MailProtection::Plain, "::1".to_owned(), 25))
        );
        assert_eq!(
            server("smtp+starttls://mail.example"),
            Ok((MailProtection::StartTls, "mail.example".to_owned(), 587))
        );
        assert_eq!(
            server("smtps://mail.example/"),
            Ok((MailProtection::Tls, "mail.example".to_owned(), 465))
        );
        assert_eq!(
            server("smtp://mail.example"),
            Err(BadValue::PlainSmtp("smtp://mail.example".to_owned()))
        );
        assert_eq!(
            server("smtps://me:pw@mail.example"),
            Err(BadValue::UserInAddress)
        );
        assert_eq!(
            server("mail.example"),
            Err(BadValue::Smtp("mail.example".to_owned()))
        );
    }

    #[test]
    fn names_are_checked() {
        assert!(
            socket("unix:///var/run/docker.sock").is_ok() && socket("/run/docker.sock").is_ok()
        );
        assert!(matches!(
            socket("tcp://10.0.0.1:2375"),
            Err(BadValue::RemoteEngine(_))
        ));
        assert!(matches!(
            socket("docker.sock"),
            Err(BadValue::RelativePath(_))
        ));
        for good in ["ghcr.io/mastodon/mastodon", "localhost:5000/x", "mastodon"] {
            assert!(image(good).is_ok(), "{good}");
        }
        for bad in [
            "ghcr.io/mastodon/mastodon:v4.5.8",
            "a@sha256:0",
            "",
            "/a",
            "A/b",
            "a//b",
        ] {
            assert!(image(bad).is_err(), "{bad}");
        }
        assert!(
            repository("mastodon/mastodon").is_ok()
                && repository("a/b/c").is_err()
                && repository("../x").is_err()
        );
        assert!(project("mastodon").is_ok() && project("-x").is_err() && project("Masto").is_err());
        assert!(mail_address("a@b.example").is_ok());
        for bad in ["a", "a@", "a@b@c", "a\r\nBcc: x@y", "Me <a@b>", "a@b,c"] {
            assert!(mail_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_typing_mistake_finds_its_word() {
        let known = || ["name", "project", "main_image", "streaming_image"].into_iter();
        assert_eq!(nearest("projct", known()), Some("project"));
        assert_eq!(nearest("nmae", known()), Some("name"));
        assert_eq!(nearest("colour", known()), None);
    }
}
