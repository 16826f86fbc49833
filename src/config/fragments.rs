//! The configuration as written: every value optional, nothing checked but its type.

use crate::config::reader::{Located, Place, Reader};
use crate::domain::window::WindowError;

/// What to do about a list without an entry, where no list means anything.
const ANY: &str = "name at least one, or leave the key out for all of them";

pub(super) type Text = Option<Located<String>>;

#[derive(Debug)]
pub(super) struct Main {
    pub(super) place: Place,
    pub(super) state_dir: Text,
    pub(super) policy: Text,
    pub(super) changes: PolicyChanges,
    pub(super) docker: Docker,
    pub(super) github: GitHub,
    pub(super) update_check: UpdateCheck,
    pub(super) instances: Vec<Instance>,
    pub(super) run: Run,
    pub(super) mail: Option<Mail>,
}

#[derive(Debug, Default)]
pub(super) struct Docker {
    pub(super) socket: Text,
}

#[derive(Debug, Default)]
pub(super) struct GitHub {
    pub(super) base_url: Text,
    pub(super) repository: Text,
    pub(super) poll: Text,
    pub(super) timeout: Text,
    pub(super) token_file: Text,
}

#[derive(Debug, Default)]
pub(super) struct UpdateCheck {
    pub(super) enabled: Option<Located<bool>>,
    pub(super) url: Text,
}

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) place: Place,
    pub(super) name: Text,
    pub(super) project: Text,
    pub(super) main_image: Text,
    pub(super) streaming_image: Text,
    pub(super) policy: Text,
    pub(super) windows: Option<Vec<Located<String>>>,
}

#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) pull_timeout: Text,
    pub(super) stop_grace: Text,
    pub(super) snapshot_timeout: Text,
    pub(super) migrate_timeout: Text,
    pub(super) boot_timeout: Text,
    pub(super) settle: Text,
    pub(super) keep_snapshots: Option<Located<i64>>,
    pub(super) keep_snapshots_for: Text,
    pub(super) hot_rate: Option<Located<i64>>,
    pub(super) on_deadline: Text,
    pub(super) snapshot: Text,
    pub(super) proof: Text,
    pub(super) rehearse: Text,
}

#[derive(Debug)]
pub(super) struct Mail {
    pub(super) place: Place,
    pub(super) smtp: Text,
    pub(super) from: Text,
    pub(super) username: Text,
    pub(super) password_file: Text,
    pub(super) to: Vec<Recipient>,
}

#[derive(Debug)]
pub(super) struct Recipient {
    pub(super) place: Place,
    pub(super) address: Text,
    pub(super) role: Text,
}

#[derive(Debug)]
pub(super) struct PolicyFile {
    pub(super) place: Place,
    pub(super) time: Time,
    pub(super) pre_releases: Option<Located<bool>>,
    pub(super) windows: Vec<Window>,
    pub(super) blackouts: Vec<Blackout>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Time {
    /// Where the table is, if there is one.
    pub(super) place: Option<Place>,
    pub(super) zone: Text,
    pub(super) require_sync: Option<Located<bool>>,
}

/// What the main file changes in every policy it names.
#[derive(Debug, Default, Clone)]
pub(super) struct PolicyChanges {
    pub(super) time: Time,
    pub(super) windows: Vec<Window>,
    pub(super) blackouts: Vec<Blackout>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) place: Place,
    pub(super) id: Text,
    pub(super) opens: Option<Vec<Located<String>>>,
    pub(super) lasts: Text,
    pub(super) zone: Text,
    pub(super) jitter: Text,
    pub(super) allow: Option<Vec<Located<String>>>,
}

#[derive(Debug, Clone)]
pub(super) struct Blackout {
    pub(super) place: Place,
    pub(super) id: Text,
    pub(super) from: Text,
    pub(super) to: Text,
    pub(super) every: Text,
    pub(super) strength: Text,
    pub(super) reason: Text,
}

/// A rule; in the main file, its name says which rule of the policy gets the other keys.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) place: Place,
    pub(super) name: Text,
    pub(super) matches: Option<Match>,
    pub(super) action: Text,
    pub(super) outside_windows: Text,
    pub(super) may_break: Option<Vec<Located<String>>>,
    pub(super) approval: Text,
    pub(super) approval_expires: Text,
    pub(super) min_age: Text,
    pub(super) deadline: Text,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Match {
    pub(super) class: Option<Vec<Located<String>>>,
    pub(super) severity: Option<Vec<Located<String>>>,
    pub(super) exploited: Text,
    pub(super) fork: Text,
    pub(super) older_than: Text,
}

impl Main {
    pub(super) fn read(mut reader: Reader<'_>) -> Self {
        let main = Self {
            place: reader.place(),
            state_dir: reader.text("state_dir"),
            policy: reader.text("policy"),
            changes: PolicyChanges {
                time: reader.table("time").map(Time::read).unwrap_or_default(),
                windows: windows(&mut reader),
                blackouts: blackouts(&mut reader),
                rules: rules(&mut reader, "override"),
            },
            docker: reader.table("docker").map(Docker::read).unwrap_or_default(),
            github: reader.table("github").map(GitHub::read).unwrap_or_default(),
            update_check: reader
                .table("update_check")
                .map(UpdateCheck::read)
                .unwrap_or_default(),
            instances: reader
                .tables("instance")
                .into_iter()
                .map(Instance::read)
                .collect(),
            run: reader.table("run").map(Run::read).unwrap_or_default(),
            mail: reader.table("mail").map(Mail::read),
        };
        reader.finish();
        main
    }
}

impl Docker {
    fn read(mut reader: Reader<'_>) -> Self {
        let docker = Self {
            socket: reader.text("socket"),
        };
        reader.finish();
        docker
    }
}

impl GitHub {
    fn read(mut reader: Reader<'_>) -> Self {
        let github = Self {
            base_url: reader.text("base_url"),
            repository: reader.text("repository"),
            poll: reader.text("poll"),
            timeout: reader.text("timeout"),
            token_file: reader.text("token_file"),
        };
        reader.finish();
        github
    }
}

impl UpdateCheck {
    fn read(mut reader: Reader<'_>) -> Self {
        let update_check = Self {
            enabled: reader.flag("enabled"),
            url: reader.text("url"),
        };
        reader.finish();
        update_check
    }
}

impl Instance {
    fn read(mut reader: Reader<'_>) -> Self {
        let instance = Self {
            place: reader.place(),
            name: reader.text("name"),
            project: reader.text("project"),
            main_image: reader.text("main_image"),
            streaming_image: reader.text("streaming_image"),
            policy: reader.text("policy"),
            windows: reader.some_texts(
                "windows",
                "name at least one window, or leave the key out for all of them",
            ),
        };
        reader.finish();
        instance
    }
}

impl Run {
    fn read(mut reader: Reader<'_>) -> Self {
        let run = Self {
            pull_timeout: reader.text("pull_timeout"),
            stop_grace: reader.text("stop_grace"),
            snapshot_timeout: reader.text("snapshot_timeout"),
            migrate_timeout: reader.text("migrate_timeout"),
            boot_timeout: reader.text("boot_timeout"),
            settle: reader.text("settle"),
            keep_snapshots: reader.number("keep_snapshots"),
            keep_snapshots_for: reader.text("keep_snapshots_for"),
            hot_rate: reader.number("hot_rate"),
            on_deadline: reader.text("on_deadline"),
            snapshot: reader.text("snapshot"),
            proof: reader.text("proof"),
            rehearse: reader.text("rehearse"),
        };
        reader.finish();
        run
    }
}

impl Mail {
    fn read(mut reader: Reader<'_>) -> Self {
        let mail = Self {
            place: reader.place(),
            smtp: reader.text("smtp"),
            from: reader.text("from"),
            username: reader.text("username"),
            password_file: reader.text("password_file"),
            to: reader
                .tables("to")
                .into_iter()
                .map(Recipient::read)
                .collect(),
        };
        reader.finish();
        mail
    }
}

impl Recipient {
    fn read(mut reader: Reader<'_>) -> Self {
        let recipient = Self {
            place: reader.place(),
            address: reader.text("address"),
            role: reader.text("role"),
        };
        reader.finish();
        recipient
    }
}

impl PolicyFile {
    pub(super) fn read(mut reader: Reader<'_>) -> Self {
        let file = Self {
            place: reader.place(),
            time: reader.table("time").map(Time::read).unwrap_or_default(),
            pre_releases: reader.flag("pre_releases"),
            windows: windows(&mut reader),
            blackouts: blackouts(&mut reader),
            rules: rules(&mut reader, "policy"),
        };
        reader.finish();
        file
    }
}

impl Time {
    fn read(mut reader: Reader<'_>) -> Self {
        let time = Self {
            place: Some(reader.place()),
            zone: reader.text("zone"),
            require_sync: reader.flag("require_sync"),
        };
        reader.finish();
        time
    }
}

fn blackouts(reader: &mut Reader<'_>) -> Vec<Blackout> {
    reader
        .tables("blackout")
        .into_iter()
        .map(Blackout::read)
        .collect()
}

fn windows(reader: &mut Reader<'_>) -> Vec<Window> {
    reader
        .tables("window")
        .into_iter()
        .map(Window::read)
        .collect()
}

fn rules(reader: &mut Reader<'_>, key: &'static str) -> Vec<Rule> {
    reader.tables(key).into_iter().map(Rule::read).collect()
}

impl Window {
    fn read(mut reader: Reader<'_>) -> Self {
        let window = Self {
            place: reader.place(),
            id: reader.text("id"),
            opens: reader.some_texts("opens", &WindowError::NeverOpens),
            lasts: reader.text("lasts"),
            zone: reader.text("zone"),
            jitter: reader.text("jitter"),
            allow: reader.some_texts("allow", &WindowError::AllowsNothing),
        };
        reader.finish();
        window
    }
}

impl Blackout {
    fn read(mut reader: Reader<'_>) -> Self {
        let blackout = Self {
            place: reader.place(),
            id: reader.text("id"),
            from: reader.text("from"),
            to: reader.text("to"),
            every: reader.text("every"),
            strength: reader.text("strength"),
            reason: reader.text("reason"),
        };
        reader.finish();
        blackout
    }
}

impl Rule {
    fn read(mut reader: Reader<'_>) -> Self {
        let matches = reader.table("match").map(|mut matches| {
            let found = Match {
                class: matches.some_texts("class", ANY),
                severity: matches.some_texts("severity", ANY),
                exploited: matches.text("exploited"),
                fork: matches.text("fork"),
                older_than: matches.text("older_than"),
            };
            matches.finish();
            found
        });
        let rule = Self {
            place: reader.place(),
            name: reader.text("name"),
            matches,
            action: reader.text("action"),
            outside_windows: reader.text("outside_windows"),
            may_break: reader.texts("may_break"),
            approval: reader.text("approval"),
            approval_expires: reader.text("approval_expires"),
            min_age: reader.text("min_age"),
            deadline: reader.text("deadline"),
        };
        reader.finish();
        rule
    }
}
