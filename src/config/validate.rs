//! From what is written to [`Settings`]: defaults, bounds, secrets.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::config::checks::{all, missing, required, word};
use crate::config::fragments::{self, Main, Text};
use crate::config::policy::{self, Changes, SHIPPED};
use crate::config::reader::{File, Located, Place, Problems, ReadFile, Reader};
use crate::config::values::{self, show_span};
use crate::config::windows::WrittenWindow;
use crate::config::{
    ConfigError, ConfigErrors, Docker, GitHub, Instance, Mail, MailLogin, Problem, Recipient, Role,
    Settings,
};
use crate::domain::policy::Policy;

mod run;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Below this, an address without token would use up its hourly allowance; above, a critical release would wait a day.
const POLL: Bounds = Bounds {
    least: Duration::from_secs(300),
    most: DAY,
    usual: Duration::from_secs(600),
};
/// Where every Mastodon server asks for itself, too.
const UPDATE_CHECK: &str = "https://api.joinmastodon.org/update-check";
const TIMEOUT: Bounds = Bounds {
    least: SECOND,
    most: Duration::from_secs(300),
    usual: Duration::from_secs(30),
};
/// The policy where none is named.
const DEFAULT_POLICY: &str = "security-first";
/// A secret is one line; anything longer is a wrong file.
const LONGEST_SECRET: usize = 4_096;

#[derive(Debug, Clone, Copy)]
struct Bounds {
    least: Duration,
    most: Duration,
    usual: Duration,
}

/// A problem was reported; there is no value.
#[derive(Debug, Clone, Copy)]
struct Reported;

pub(super) fn load(path: &Path, credentials: Option<&Path>) -> Result<Settings, ConfigErrors> {
    match fs::read_to_string(path) {
        Ok(text) => parse(path, &text, credentials, |path| fs::read_to_string(path)),
        Err(err) => {
            let problems = Problems::default();
            let problem = Problem::Unreadable(err.to_string());
            problems.push(ConfigError {
                file: path.to_owned(),
                at: None,
                key: String::new(),
                problem,
            });
            Err(problems.into_errors())
        }
    }
}

pub(super) fn parse(
    name: &Path,
    text: &str,
    credentials: Option<&Path>,
    read: ReadFile,
) -> Result<Settings, ConfigErrors> {
    let problems = Problems::default();
    let file = File {
        name,
        text,
        problems: &problems,
        read,
    };
    match check(file, credentials) {
        Some(settings) if problems.is_empty() => Ok(settings),
        Some(_) | None => Err(problems.into_errors()),
    }
}

/// Looks at everything before giving up on anything: the `?` stand at the end only.
fn check(file: File<'_>, credentials: Option<&Path>) -> Option<Settings> {
    let written = Main::read(Reader::root(file, &file.parse()?));
    let state_dir = or(
        file,
        &written.state_dir,
        "/var/lib/mastopatch",
        values::absolute,
    );
    let host = host(file.read);
    let changes = policy::changes(file, &written.changes, &host);
    // Without good changes, the policy is still checked by itself, so that all mistakes come out at once.
    let applied = changes.clone().unwrap_or_default();
    let policies = Policies {
        file,
        changes: &applied,
        host: &host,
    };
    let policy = policies.read(written.policy.as_ref());
    let docker = or(
        file,
        &written.docker.socket,
        "/var/run/docker.sock",
        values::socket,
    )
    .map(|socket| Docker { socket });
    let github = check_github(file, &written.github, credentials);
    let update_check = check_update_check(file, &written.update_check);
    let instances = check_instances(&policies, &written, policy.as_ref());
    let run = run::check(file, &written.run);
    let mail = match &written.mail {
        None => Some(None),
        Some(mail) => check_mail(file, mail, credentials).map(Some),
    };
    changes?;
    let Found { path, policy, .. } = policy?;
    Some(Settings {
        file: file.name.to_owned(),
        state_dir: state_dir?,
        policy_file: path,
        policy,
        docker: docker?,
        github: github?,
        update_check: update_check.ok()?,
        instances: instances?,
        run: run?,
        mail: mail?,
    })
}

/// What makes this host's jitter its own: a number made when it was installed, and its name, since copies of one disk
/// have the same number.
fn host(read: ReadFile) -> String {
    let files = ["/etc/machine-id", "/proc/sys/kernel/hostname"];
    files
        .map(|path| read(Path::new(path)).unwrap_or_default().trim().to_owned())
        .join("/")
}

/// How the policies that a file names are found.
struct Policies<'a> {
    file: File<'a>,
    changes: &'a Changes,
    host: &'a str,
}

/// A policy that was found.
#[derive(Debug, Clone)]
struct Found {
    /// Its file, or its name if it is a shipped one.
    path: PathBuf,
    policy: Policy,
    written: Vec<WrittenWindow>,
}

impl Policies<'_> {
    /// The policy of this name or in this file, with the changes of the main file; the default one where none is named.
    fn read(&self, named: Option<&Located<String>>) -> Option<Found> {
        let file = self.file;
        let name = named.map_or(DEFAULT_POLICY, |name| name.value.as_str());
        let parse = |path: PathBuf, text: &str, shown: PathBuf| {
            let changes = Some((file.name, self.changes));
            let (policy, written) = policy::parse(&path, text, changes, self.host, file.problems)?;
            Some(Found {
                path: shown,
                policy,
                written,
            })
        };
        if let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return parse(
                PathBuf::from(format!("{name}.toml")),
                text,
                PathBuf::from(name),
            );
        }
        let place = named.map(|name| name.place.clone())?;
        let path = file
            .name
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .join(name);
        match (file.read)(&path) {
            Ok(text) => parse(path.clone(), &text, path),
            Err(err) => {
                let shipped: Vec<String> = SHIPPED
                    .iter()
                    .map(|(name, _)| format!("`{name}`"))
                    .collect();
                file.refuse(
                    &place,
                    &format!(
                        "`{name}` is none of the policies {}, and the file cannot be read: `{}`: {err}",
                        shipped.join(", "),
                        path.display()
                    ),
                );
                None
            }
        }
    }
}

fn check_github(
    file: File<'_>,
    github: &fragments::GitHub,
    credentials: Option<&Path>,
) -> Option<GitHub> {
    let base_url = or(
        file,
        &github.base_url,
        "https://api.github.com",
        values::http_url,
    );
    let repository = or(
        file,
        &github.repository,
        "mastodon/mastodon",
        values::repository,
    );
    let poll = span(file, &github.poll, POLL);
    let timeout = span(file, &github.timeout, TIMEOUT);
    let token = secret(
        file,
        &github.token_file,
        credentials,
        "github-token",
        "github.token_file",
    );
    Some(GitHub {
        base_url: base_url?,
        repository: repository?,
        poll: poll?,
        timeout: timeout?,
        token: token.ok()?,
    })
}

fn check_update_check(
    file: File<'_>,
    update_check: &fragments::UpdateCheck,
) -> Result<Option<String>, Reported> {
    let url = or(file, &update_check.url, UPDATE_CHECK, values::http_url).ok_or(Reported)?;
    let enabled = update_check.enabled.as_ref().is_none_or(|flag| flag.value);
    Ok(enabled.then_some(url))
}

fn check_instances(
    policies: &Policies<'_>,
    main: &Main,
    usual: Option<&Found>,
) -> Option<Vec<Instance>> {
    let file = policies.file;
    if main.instances.is_empty() {
        missing(file, &main.place, "instance");
        return None;
    }
    let mut checked: Vec<Option<Instance>> = Vec::new();
    for (position, fragment) in main.instances.iter().enumerate() {
        let earlier = main.instances.iter().take(position);
        let same = |one: &Text, other: &Text| {
            one.as_ref()
                .zip(other.as_ref())
                .is_some_and(|(one, other)| one.value == other.value)
        };
        let twice = |text: &Text, what: &str| {
            if let Some(text) = text {
                file.refuse(
                    &text.place,
                    &format!("another instance has the {what} `{}` already", text.value),
                );
            }
        };
        if earlier
            .clone()
            .any(|other| same(&other.name, &fragment.name))
        {
            twice(&fragment.name, "name");
        }
        if earlier
            .clone()
            .any(|other| same(&other.project, &fragment.project))
        {
            twice(&fragment.project, "project");
        }
        checked.push(check_instance(policies, fragment, usual));
    }
    checked.into_iter().collect()
}

fn check_instance(
    policies: &Policies<'_>,
    fragment: &fragments::Instance,
    usual: Option<&Found>,
) -> Option<Instance> {
    let file = policies.file;
    let found = match &fragment.policy {
        Some(name) => policies.read(Some(name)),
        None => usual.cloned(),
    };
    let found = match &fragment.windows {
        None => found,
        Some(ids) => found.and_then(|found| with_only(file, found, ids)),
    };
    let name = required(file, &fragment.place, "name", fragment.name.as_ref())
        .and_then(|name| file.check(name, values::name));
    let project = required(file, &fragment.place, "project", fragment.project.as_ref())
        .and_then(|project| file.check(project, values::project));
    let main_image = or(
        file,
        &fragment.main_image,
        "ghcr.io/mastodon/mastodon",
        values::image,
    );
    let streaming_image = or(
        file,
        &fragment.streaming_image,
        "ghcr.io/mastodon/mastodon-streaming",
        values::image,
    );
    Some(Instance {
        name: name?,
        project: project?,
        main_image: main_image?,
        streaming_image: streaming_image?,
        policy_file: found.as_ref().map(|found| found.path.clone())?,
        written: found.as_ref().map(|found| found.written.clone())?,
        policy: found?.policy,
    })
}

/// The same policy with only the windows of these ids.
fn with_only(file: File<'_>, found: Found, ids: &[Located<String>]) -> Option<Found> {
    let windows = found.policy.schedule().windows();
    let known: Vec<(&str, ())> = windows.iter().map(|window| (window.id(), ())).collect();
    all(ids.iter().map(|id| word(file, id, &known)))?;
    let wanted: Vec<&str> = ids.iter().map(|id| id.value.as_str()).collect();
    let place = ids.first().map(|id| id.place.clone())?;
    match found.policy.with_only_windows(&wanted) {
        Ok(policy) => Some(Found { policy, ..found }),
        Err(errors) => {
            for err in &errors {
                file.refuse(&place, err);
            }
            None
        }
    }
}

fn check_mail(file: File<'_>, mail: &fragments::Mail, credentials: Option<&Path>) -> Option<Mail> {
    let server = required(file, &mail.place, "smtp", mail.smtp.as_ref())
        .and_then(|smtp| file.check(smtp, values::mail_server));
    let from = required(file, &mail.place, "from", mail.from.as_ref())
        .and_then(|from| file.check(from, values::mail_address));
    let login = check_login(file, mail, credentials);
    if mail.to.is_empty() {
        missing(file, &mail.place, "to");
    }
    let to: Vec<Option<Recipient>> = mail
        .to
        .iter()
        .map(|recipient| check_recipient(file, recipient))
        .collect();
    Some(Mail {
        server: server?,
        from: from?,
        login: login.ok()?,
        to: to.into_iter().collect::<Option<Vec<_>>>()?,
    })
}

/// A credential that nobody logs in with is left alone.
fn check_login(
    file: File<'_>,
    mail: &fragments::Mail,
    credentials: Option<&Path>,
) -> Result<Option<MailLogin>, Reported> {
    let Some(username) = &mail.username else {
        if mail.password_file.is_some() {
            missing(file, &mail.place, "username");
            return Err(Reported);
        }
        return Ok(None);
    };
    let password = secret(
        file,
        &mail.password_file,
        credentials,
        "smtp-password",
        "mail.password_file",
    )?;
    let Some(password) = password else {
        file.refuse(
            &username.place,
            "there is no password: give `password_file` or the credential `smtp-password`",
        );
        return Err(Reported);
    };
    Ok(Some(MailLogin {
        username: username.value.clone(),
        password,
    }))
}

fn check_recipient(file: File<'_>, fragment: &fragments::Recipient) -> Option<Recipient> {
    const ROLES: [(&str, Role); 2] = [
        ("manager", Role::Manager),
        ("administrator", Role::Administrator),
    ];
    let address = required(file, &fragment.place, "address", fragment.address.as_ref())
        .and_then(|address| file.check(address, values::mail_address));
    let role = required(file, &fragment.place, "role", fragment.role.as_ref())
        .and_then(|role| word(file, role, &ROLES));
    Some(Recipient {
        address: address?,
        role: role?,
    })
}

fn or<T, E: ToString>(
    file: File<'_>,
    text: &Text,
    usual: &str,
    check: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    match text {
        Some(text) => file.check(text, check),
        None => check(usual).ok(),
    }
}

fn span(file: File<'_>, text: &Text, bounds: Bounds) -> Option<Duration> {
    let Some(text) = text else {
        return Some(bounds.usual);
    };
    let span = file.check(text, values::span)?;
    if span < bounds.least || span > bounds.most {
        let (least, most) = (show_span(bounds.least), show_span(bounds.most));
        file.refuse(
            &text.place,
            &format!("must be from {least} to {most}, not `{}`", text.value),
        );
        return None;
    }
    Some(span)
}

/// Reads a secret from the file that a key names, or else from the credential; gives nothing if there is neither.
fn secret(
    file: File<'_>,
    key: &Text,
    credentials: Option<&Path>,
    credential: &str,
    name: &str,
) -> Result<Option<SecretString>, Reported> {
    let (path, place) = match (key, credentials) {
        (Some(text), _) => {
            let path = file.check(text, values::absolute).ok_or(Reported)?;
            (path, text.place.clone())
        }
        // A credential that cannot even be looked for is not absent: reading it tells what is wrong.
        (None, Some(directory)) if directory.join(credential).try_exists().unwrap_or(true) => (
            directory.join(credential),
            Place {
                at: (1, 1),
                key: name.to_owned(),
            },
        ),
        (None, _) => return Ok(None),
    };
    let refuse = |why: &str| {
        file.refuse(&place, &format!("`{}` {why}", path.display()));
        Reported
    };
    let text = (file.read)(&path).map_err(|err| refuse(&format!("cannot be read: {err}")))?;
    let line = text.trim();
    if line.is_empty() || line.len() > LONGEST_SECRET || line.chars().any(|c| c.is_ascii_control())
    {
        return Err(refuse("does not hold a secret on one line"));
    }
    Ok(Some(SecretString::from(line.to_owned())))
}
