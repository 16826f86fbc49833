//! The real world: every port answered by its adapter, from the settings.

use jiff::Timestamp;

use crate::adapters::clock::SystemClock;
use crate::adapters::compose::Compose;
use crate::adapters::docker::Engine;
use crate::adapters::files::StateDir;
use crate::adapters::github::GitHub;
use crate::adapters::http::HttpProbe;
use crate::adapters::mail::MailReporter;
use crate::adapters::postgres::Postgres;
use crate::adapters::redis::RedisTools;
use crate::adapters::store::Store;
use crate::adapters::update_check::UpdateChecker;
use crate::config::{self, Settings};
use crate::domain::event::{Entry, Event};
use crate::domain::plan::Plan;
use crate::engine::Ports;
use crate::ports::files::FilesError;
use crate::ports::mailer::{Recipient, RecipientRole, Security, SmtpSettings};
use crate::ports::release_source::ReleaseSourceError;
use crate::ports::runtime::RuntimeError;
use crate::ports::store::{Journal, NewMail, StoreError, StoredRun};

/// Name of the state file in the state folder.
pub const STATE_FILE: &str = "state.db";

/// Everything a run needs. Without a state file that can be used, the journal is [`NoJournal`].
#[derive(Debug)]
pub struct World<J = Store> {
    engine: Engine,
    postgres: Postgres<Engine>,
    redis: RedisTools<Engine, SystemClock>,
    compose: Compose,
    probe: HttpProbe,
    files: StateDir,
    store: J,
    reporter: MailReporter,
    clock: SystemClock,
}

/// Why the world could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The container engine.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The state folder.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the state file; needs no engine.
pub fn open_store(settings: &Settings) -> Result<Store, WorldError> {
    // Makes the folder too, with its mode.
    let _files = StateDir::open(&settings.state_dir)?;
    Ok(Store::open(&settings.state_dir.join(STATE_FILE))?)
}

impl World {
    /// Opens the state and connects to the engine.
    pub async fn open(settings: &Settings, clock: SystemClock) -> Result<Self, WorldError> {
        // Makes the folder, too.
        let store = open_store(settings)?;
        Self::with(settings, clock, store).await
    }

    /// The state file.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl World<NoJournal> {
    /// Connects to the engine though the state file cannot be used; enough to bring a site back that a run has closed.
    pub async fn without_journal(
        settings: &Settings,
        clock: SystemClock,
    ) -> Result<Self, WorldError> {
        let path = settings.state_dir.join(STATE_FILE).display().to_string();
        Self::with(settings, clock, NoJournal { path }).await
    }
}

impl<J> World<J> {
    async fn with(settings: &Settings, clock: SystemClock, store: J) -> Result<Self, WorldError> {
        let files = StateDir::open(&settings.state_dir)?;
        let engine = Engine::connect(&settings.docker.socket).await?;
        Ok(Self {
            postgres: Postgres::new(engine.clone(), settings.run.hot_rate),
            redis: RedisTools::new(engine.clone(), clock),
            compose: Compose::new(&settings.docker.socket),
            probe: HttpProbe,
            files,
            store,
            reporter: reporter(settings.mail.as_ref()),
            engine,
            clock,
        })
    }
}

/// The journal of a state file that cannot be used: it knows nothing and takes nothing.
#[derive(Debug)]
pub struct NoJournal {
    path: String,
}

impl NoJournal {
    fn refuses<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Damaged {
            path: self.path.clone(),
            what: "header: it cannot be used at all".to_owned(),
        })
    }
}

impl Journal for NoJournal {
    fn begin(&self, _plan: &Plan, _at: Timestamp) -> Result<Entry, StoreError> {
        self.refuses()
    }

    fn append(&self, _run: &str, _at: Timestamp, _event: &Event) -> Result<Entry, StoreError> {
        self.refuses()
    }

    fn reopen(&self, _run: &str, _at: Timestamp, _event: &Event) -> Result<Entry, StoreError> {
        self.refuses()
    }

    fn finish(
        &self,
        _run: &str,
        _at: Timestamp,
        _event: &Event,
        _mails: &[NewMail],
        _quarantine: Option<&str>,
    ) -> Result<Entry, StoreError> {
        self.refuses()
    }

    fn run(&self, _run: &str) -> Result<StoredRun, StoreError> {
        self.refuses()
    }

    fn runs(&self, _instance: &str, _limit: u32) -> Result<Vec<StoredRun>, StoreError> {
        self.refuses()
    }

    fn unfinished(&self, _instance: &str) -> Result<Option<StoredRun>, StoreError> {
        self.refuses()
    }
}

impl<J: Journal> Ports for World<J> {
    type Runtime = Engine;
    type Database = Postgres<Engine>;
    type Redis = RedisTools<Engine, SystemClock>;
    type Compose = Compose;
    type Probe = HttpProbe;
    type Files = StateDir;
    type Journal = J;
    type Reporter = MailReporter;
    type Clock = SystemClock;

    fn runtime(&self) -> &Engine {
        &self.engine
    }
    fn database(&self) -> &Postgres<Engine> {
        &self.postgres
    }
    fn redis(&self) -> &RedisTools<Engine, SystemClock> {
        &self.redis
    }
    fn compose(&self) -> &Compose {
        &self.compose
    }
    fn probe(&self) -> &HttpProbe {
        &self.probe
    }
    fn files(&self) -> &StateDir {
        &self.files
    }
    fn journal(&self) -> &J {
        &self.store
    }
    fn reporter(&self) -> &MailReporter {
        &self.reporter
    }
    fn clock(&self) -> &SystemClock {
        &self.clock
    }
}

/// Whoever gets mails; nobody, if none are wanted.
pub fn reporter(mail: Option<&config::Mail>) -> MailReporter {
    let Some(mail) = mail else {
        return MailReporter::new(String::new(), Vec::new());
    };
    let recipients = mail.to.iter().map(|to| Recipient {
        address: to.address.clone(),
        role: role(to.role),
    });
    MailReporter::new(mail.from.clone(), recipients.collect())
}

fn role(role: config::Role) -> RecipientRole {
    match role {
        config::Role::Manager => RecipientRole::Manager,
        config::Role::Administrator => RecipientRole::Administrator,
    }
}

/// The settings of the mail server, as the transport wants them.
pub fn smtp_settings(mail: &config::Mail) -> SmtpSettings {
    SmtpSettings {
        host: mail.server.host.clone(),
        port: mail.server.port,
        security: match mail.server.protection {
            config::MailProtection::Plain => Security::PlainLoopback,
            config::MailProtection::StartTls => Security::StartTls,
            config::MailProtection::Tls => Security::Tls,
        },
        username: mail.login.as_ref().map(|login| login.username.clone()),
        password: mail.login.as_ref().map(|login| login.password.clone()),
        from: mail.from.clone(),
    }
}

/// GitHub, as configured.
pub fn github(settings: &Settings) -> Result<GitHub, ReleaseSourceError> {
    let github = &settings.github;
    GitHub::new(
        &github.base_url,
        &github.repository,
        github.timeout,
        github.token.clone(),
    )
}

/// Mastodon's own update check, if it is to be asked.
pub fn update_check(settings: &Settings) -> Result<Option<UpdateChecker>, ReleaseSourceError> {
    let url = settings.update_check.as_deref();
    url.map(|url| UpdateChecker::new(url, settings.github.timeout))
        .transpose()
}
