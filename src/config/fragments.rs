//! The configuration as written: every value optional, nothing checked but its type.

use crate::config::reader::{Located, Place, Reader};

pub(super) type Text = Option<Located<String>>;

#[derive(Debug)]
pub(super) struct Main {
    pub(super) place: Place,
    pub(super) state_dir: Text,
    pub(super) policy: Text,
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
    pub(super) zone: Text,
    pub(super) windows: Vec<Window>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug)]
pub(super) struct Window {
    pub(super) place: Place,
    pub(super) id: Text,
    pub(super) opens: Option<Vec<Located<String>>>,
    pub(super) lasts: Text,
    pub(super) allow: Option<Vec<Located<String>>>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) place: Place,
    pub(super) name: Text,
    pub(super) class: Option<Vec<Located<String>>>,
    pub(super) severity: Option<Vec<Located<String>>>,
    pub(super) when: Text,
    pub(super) approval: Text,
    pub(super) min_age: Text,
}

impl Main {
    pub(super) fn read(mut reader: Reader<'_>) -> Self {
        let main = Self {
            place: reader.place(),
            state_dir: reader.text("state_dir"),
            policy: reader.text("policy"),
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
        let zone = reader.table("time").and_then(|mut time| {
            let zone = time.text("zone");
            time.finish();
            zone
        });
        let file = Self {
            place: reader.place(),
            zone,
            windows: reader
                .tables("window")
                .into_iter()
                .map(Window::read)
                .collect(),
            rules: reader
                .tables("policy")
                .into_iter()
                .map(Rule::read)
                .collect(),
        };
        reader.finish();
        file
    }
}

impl Window {
    fn read(mut reader: Reader<'_>) -> Self {
        let window = Self {
            place: reader.place(),
            id: reader.text("id"),
            opens: reader.texts("opens"),
            lasts: reader.text("lasts"),
            allow: reader.texts("allow"),
        };
        reader.finish();
        window
    }
}

impl Rule {
    fn read(mut reader: Reader<'_>) -> Self {
        let (class, severity) = match reader.table("match") {
            Some(mut matches) => {
                let found = (matches.texts("class"), matches.texts("severity"));
                matches.finish();
                found
            }
            None => (None, None),
        };
        let rule = Self {
            place: reader.place(),
            name: reader.text("name"),
            class,
            severity,
            when: reader.text("when"),
            approval: reader.text("approval"),
            min_age: reader.text("min_age"),
        };
        reader.finish();
        rule
    }
}
