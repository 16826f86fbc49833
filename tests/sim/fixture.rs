//! The world that runs start from, and their plan, made by the product's own planner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use mastopatch::domain::event::MigrationClass;
use mastopatch::domain::method::MethodChoice;
use mastopatch::domain::plan::{Asked, Limits, Method, OnDeadline, Plan, Proof, Why};
use mastopatch::domain::run::RunState;
use mastopatch::domain::version::UpdateKind;
use mastopatch::engine::Ports as _;
use mastopatch::engine::planner::{Goal, InstanceRef, make_plan, survey};
use mastopatch::engine::restorable::{Looking, of_run, of_snapshot};
use mastopatch::ports::database::RedisUse;
use mastopatch::ports::files::{MANIFEST_FORMAT, Manifest, RunFiles as _};
use mastopatch::ports::runtime::{ContainerSpec, Image};
use mastopatch::ports::store::Journal as _;
use serde_json::{Value, json};

use super::data::fresh;
use super::platter::Platter;
use super::process::{carry_through, run_to_end};
use super::web::{A, B, name_of};
use super::world::{COMPOSE_FILE, LIVE, Setting, SimImage, SimPorts, Target, Version, World};

const MAIN: &str = "ghcr.io/mastodon/mastodon";
const STREAMING: &str = "ghcr.io/mastodon/mastodon-streaming";
/// The id of the run that takes it back.
pub(crate) const TAKEN_BACK: &str = "019aa000-0000-7000-8000-0000000000bb";
/// The instance's Compose project.
const PROJECT: &str = "mastodon";
/// The run's id.
pub(crate) const RUN: &str = "019aa000-0000-7000-8000-0000000000aa";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Runs that left their snapshots, and when: the first one is one too many when this run is over.
pub(crate) const EARLIER: [(&str, &str); 2] = [
    (
        "019a8000-0000-7000-8000-000000000001",
        "2026-09-01T02:00:00Z",
    ),
    (
        "019a9000-0000-7000-8000-000000000002",
        "2026-10-01T02:00:00Z",
    ),
];

/// A world before its run, and the run's plan.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) world: World,
    pub(crate) plan: Plan,
}

/// The fixture of a class of migrations; made once.
pub(crate) fn fixture(class: MigrationClass, method: Method) -> &'static Fixture {
    static MADE: [[OnceLock<Fixture>; 3]; 2] = [const { [const { OnceLock::new() }; 3] }; 2];
    let place = match class {
        MigrationClass::M0 => 0,
        MigrationClass::M1 => 1,
        MigrationClass::M2 => 2,
    };
    let of_method = match method {
        Method::Logical => &MADE[0],
        Method::Clone => &MADE[1],
    };
    of_method[place].get_or_init(|| make(class, method, PROJECT))
}

/// A fixture in which PostgreSQL and Redis are of another Compose project.
pub(crate) fn with_servers_of(project: &str, class: MigrationClass, method: Method) -> Fixture {
    make(class, method, project)
}

fn make(class: MigrationClass, method: Method, servers_of: &str) -> Fixture {
    let mut world = empty(class, method);
    images(&mut world);
    containers(&mut world, servers_of);
    world.pass(60_000);
    world.in_full = true;
    let ports = SimPorts::new(world);
    ports.files.open().unwrap();
    let instance = instance();
    let made = run_to_end(async {
        let survey = survey(&ports, &instance).await.unwrap();
        make_plan(&ports, &instance, &survey, goal(&ports))
            .await
            .unwrap()
    });
    for (run, taken_at) in EARLIER {
        earlier_snapshot(&ports, run, taken_at.parse().unwrap());
    }
    let (plan, material) = made.unwrap();
    let mut world = ports.into_world();
    world.in_full = false;
    world.material = material.into();
    world.disk.sync_all();
    world.calls = 0;
    Fixture { world, plan }
}

/// The instance, as a configuration names it.
pub(crate) fn instance() -> InstanceRef {
    InstanceRef {
        name: "social.example".to_owned(),
        project: "mastodon".to_owned(),
        main_image: MAIN.to_owned(),
        streaming_image: STREAMING.to_owned(),
    }
}

/// What a person brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brings {
    /// The update of [`fixture`], which went well, is taken back; where it migrated what the old code cannot use, the data of
    /// its snapshot come back, too.
    UpdateBack,
    /// The data of its snapshot, after it was rolled back: the version stays, and so does the schema.
    DataBack,
}

/// The fixture in which a person brings something back of the update of [`fixture`]; made once.
pub(crate) fn brought_back(
    brings: Brings,
    class: MigrationClass,
    method: Method,
) -> &'static Fixture {
    static MADE: [OnceLock<Fixture>; 12] = [const { OnceLock::new() }; 12];
    let place = match class {
        MigrationClass::M0 => 0,
        MigrationClass::M1 => 1,
        MigrationClass::M2 => 2,
    };
    let of_method = match method {
        Method::Logical => 0,
        Method::Clone => 3,
    };
    let of_brings = match brings {
        Brings::UpdateBack => 0,
        Brings::DataBack => 6,
    };
    MADE[place + of_method + of_brings].get_or_init(|| bring_back(brings, class, method))
}

fn bring_back(brings: Brings, class: MigrationClass, method: Method) -> Fixture {
    let start = fixture(class, method);
    let mut world = start.world.clone();
    if brings == Brings::DataBack {
        world.target = Target::Unhealthy;
    }
    let mut world = carry_through(world, Some(start.plan.clone())).world;
    world.target = Target::Good;
    let from = if world.state.is_committed() {
        Version::B
    } else {
        Version::A
    };
    for _ in 0..5 {
        world.pass(3_000);
        world.public_writes();
    }
    assert_eq!(world.violation, None);
    world.in_full = true;
    world.beside_runs = true;
    let ports = SimPorts::new(world);
    ports.files.open().unwrap();
    // What may come back is said by the product itself, while the journal knows the update.
    let found = run_to_end(async {
        let survey = survey(&ports, &instance()).await.unwrap();
        let run = ports.journal().run(RUN).unwrap();
        let looking = Looking {
            limit: Duration::from_secs(600),
            progress: &|_| {},
        };
        match brings {
            Brings::UpdateBack => of_run(&ports, &instance(), &survey, &run, looking).await,
            Brings::DataBack => of_snapshot(&ports, &instance(), RUN, looking).await,
        }
    });
    let found = found.unwrap().unwrap();
    let data = class == MigrationClass::M2;
    assert_eq!(found.restore.data, data, "{class:?}");
    let mut world = ports.into_world();
    world.setting = Arc::new(Setting {
        from_schema: world.databases[LIVE].schema.clone(),
        run: TAKEN_BACK,
        from,
        to: Version::A,
        too_many: EARLIER[1].0,
        to_keep: RUN,
        method: if data { Method::Clone } else { method },
        source: Some(method),
        ..(*world.setting).clone()
    });
    // Another process, another run: what the last one said is history.
    let fresh = empty(class, method);
    let world = World {
        begun: None,
        beside_runs: false,
        log: Vec::new(),
        state: RunState::default(),
        seen: super::invariants::Seen::default(),
        mails: Vec::new(),
        quarantine: None,
        has_copy: None,
        schedule: fresh.schedule,
        ..world
    };
    let ports = SimPorts::new(world);
    ports.files.open().unwrap();
    let made = run_to_end(async {
        let survey = survey(&ports, &instance()).await.unwrap();
        let goal = Goal {
            restore: Some(found.restore),
            ..goal(&ports)
        };
        make_plan(&ports, &instance(), &survey, goal).await.unwrap()
    });
    let (plan, material) = made.unwrap();
    let mut world = ports.into_world();
    world.in_full = false;
    world.material = material.into();
    world.disk.sync_all();
    world.calls = 0;
    Fixture { world, plan }
}

/// A snapshot of an earlier run.
fn earlier_snapshot(ports: &SimPorts, run: &str, taken_at: Timestamp) {
    let files = ports.files.state_dir();
    let dir = files.begin_snapshot(run).unwrap();
    ports
        .world()
        .disk
        .put(&dir.join("database/1.dat"), b"what was then");
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        run: run.to_owned(),
        instance: "social.example".to_owned(),
        version: "4.5.6".to_owned(),
        taken_at,
        images: BTreeMap::new(),
        method: "simulated".to_owned(),
        hot: false,
        original: None,
        postgres: 150_000,
        schema: BTreeSet::new(),
        rows: BTreeMap::new(),
        redis_keys: 0,
        files: BTreeMap::new(),
    };
    files.seal_snapshot(&dir, manifest).unwrap();
}

fn goal(ports: &SimPorts) -> Goal {
    let setting = ports.world().setting.clone();
    let method = setting.method;
    Goal {
        run: setting.run.to_owned(),
        to: name_of(setting.to).parse().unwrap(),
        kind: UpdateKind::Patch,
        why: Why {
            asked_by: Asked::Person("ada".to_owned()),
            reasons: vec!["because".to_owned()],
            emergency: None,
            advisories: Vec::new(),
            severity: None,
            published_at: Timestamp::UNIX_EPOCH,
            url: "https://example.org".to_owned(),
        },
        expected_commit: Some(COMMIT.to_owned()),
        limits: Limits {
            pull_s: 600,
            stop_grace_s: 10,
            snapshot_s: 600,
            migrate_s: 60,
            boot_s: 30,
            settle_s: 3,
            keep_snapshots: 2,
            keep_snapshots_for_s: None,
        },
        now: ports.world().wall(),
        hard_deadline: None,
        close_by: None,
        on_deadline: OnDeadline::Rollback,
        method: MethodChoice::Only(method),
        proof: Proof::Restore,
        way_back_s: 300,
        restore: None,
    }
}

fn empty(class: MigrationClass, method: Method) -> World {
    let base: BTreeSet<String> = (1..=3).map(|n| format!("2025010100000{n}")).collect();
    let pre = (1..=2).map(|n| format!("2026010100000{n}"));
    let post = (1..=1).map(|n| format!("2026020100000{n}"));
    let base = Arc::new(base);
    let setting = Setting {
        from_schema: base.clone(),
        run: RUN,
        from: Version::A,
        to: Version::B,
        too_many: EARLIER[0].0,
        to_keep: EARLIER[1].0,
        source: None,
        base,
        pre: pre.filter(|_| class != MigrationClass::M0).collect(),
        post: post.filter(|_| class == MigrationClass::M2).collect(),
        registry: registry(),
        digests: digests(),
        method,
    };
    let text = [("web", MAIN), ("streaming", STREAMING), ("sidekiq", MAIN)]
        .map(|(service, image)| format!("  {service}:\n    image: {image}:v{A}\n"))
        .concat();
    let mut disk = Platter::default();
    let folders = ["/var/lib/docker/engine-id", "/srv/mastodon/.env.production"];
    for path in folders {
        disk.put(path.as_ref(), b"somebody's");
    }
    disk.put(
        COMPOSE_FILE.as_ref(),
        format!("services:\n{text}").as_bytes(),
    );
    disk.sync_all();
    World {
        databases: [(LIVE.to_owned(), fresh(&setting.base))].into(),
        setting: Arc::new(setting),
        server_full_from: None,
        target: Target::Good,
        now_ms: 1_000,
        boot_ms: 0,
        wall_offset_ms: 0,
        containers: Vec::new(),
        images: Vec::new(),
        networks: [
            ("mastodon_external".to_owned(), false),
            ("mastodon_internal".to_owned(), true),
        ]
        .into(),
        network_labels: BTreeMap::new(),
        scratch: BTreeMap::new(),
        next_id: 0,
        engine_back_ms: 0,
        in_full: false,
        redis: Vec::new(),
        redis_use: RedisUse::default(),
        edited: false,
        material: "".into(),
        disk,
        cloning: None,
        copied: Vec::new(),
        has_copy: None,
        begun: None,
        log: Vec::new(),
        state: RunState::default(),
        seen: super::invariants::Seen::default(),
        mails: Vec::new(),
        quarantine: None,
        silent: false,
        full_until: 0,
        out_of_reach: None,
        refused: false,
        ever_refused: false,
        harm: None,
        harmed: false,
        garbled: false,
        order_refused: false,
        ended_unwritten: None,
        acknowledged: Vec::new(),
        beside_runs: false,
        given_up: Vec::new(),
        next_post: 0,
        schedule: Arc::default(),
        calls: 0,
        n_faults: 0,
        interfered: Vec::new(),
        stop_asked: false,
        violation: None,
        made: None,
        trace: None,
    }
}

fn image(
    id: &str,
    reference: &str,
    version: Option<Version>,
    env: &[(&str, &str)],
    cmd: &[&str],
) -> SimImage {
    let (repository, _) = reference.rsplit_once(':').unwrap();
    let env: BTreeMap<String, String> = env
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let list: Vec<String> = env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let raw = json!({"Id": id, "Os": "linux", "Architecture": "amd64", "Config": {"Env": list, "Cmd": cmd}});
    let digest = format!("{repository}@{}", digest_of(reference));
    SimImage {
        id: id.into(),
        tags: BTreeSet::new(),
        version,
        image: Arc::new(Image {
            id: id.to_owned(),
            repo_digests: vec![digest],
            repo_tags: vec![reference.to_owned()],
            env,
            size: 1 << 20,
            platform: "linux/amd64".to_owned(),
            raw,
        }),
    }
}

fn digest_of(reference: &str) -> String {
    format!("sha256:digest-of-{}", reference.replace(['/', ':'], "-"))
}

fn mastodon(version: Version) -> [SimImage; 2] {
    let (number, letter) = match version {
        Version::A => (A, "a"),
        Version::B => (B, "b"),
    };
    let env = [("SOURCE_COMMIT", COMMIT), ("RAILS_ENV", "production")];
    [(MAIN, "main"), (STREAMING, "streaming")].map(|(repository, kind)| {
        let reference = format!("{repository}:v{number}");
        image(
            &format!("sha256:{kind}-{letter}"),
            &reference,
            Some(version),
            &env,
            &[],
        )
    })
}

fn registry() -> BTreeMap<String, SimImage> {
    let all = [Version::A, Version::B].into_iter().flat_map(mastodon);
    all.map(|image| (image.image.repo_digests[0].clone(), image))
        .collect()
}

fn digests() -> BTreeMap<String, String> {
    let all = [A, B]
        .into_iter()
        .flat_map(|version| [MAIN, STREAMING].map(|repository| format!("{repository}:v{version}")));
    all.map(|reference| (reference.clone(), digest_of(&reference)))
        .collect()
}

fn images(world: &mut World) {
    let others = [
        ("sha256:postgres", "postgres:15"),
        ("sha256:redis", "redis:7"),
    ];
    let others = others.map(|(id, reference)| image(id, reference, None, &[], &[]));
    world.images.extend(others);
    world.images.extend(mastodon(Version::A));
    for image in &mut world.images {
        image.tags.extend(image.image.repo_tags.iter().cloned());
    }
}

fn containers(world: &mut World, servers_of: &str) {
    let outside = &["mastodon_external", "mastodon_internal"][..];
    let inside = &["mastodon_internal"][..];
    let web = format!("{MAIN}:v{A}");
    let streaming = format!("{STREAMING}:v{A}");
    for (service, image, cmd, networks, policy, port) in [
        ("db", "postgres:15", "postgres", inside, "always", None),
        ("redis", "redis:7", "redis-server", inside, "always", None),
        (
            "web",
            &web,
            "bundle exec puma",
            outside,
            "always",
            Some(3000),
        ),
        (
            "streaming",
            &streaming,
            "node ./streaming/index.js",
            outside,
            "unless-stopped",
            Some(4000),
        ),
        (
            "sidekiq",
            &web,
            "bundle exec sidekiq",
            outside,
            "always",
            None,
        ),
    ] {
        let is_server = ["db", "redis"].contains(&service);
        let project = if is_server { servers_of } else { PROJECT };
        let mut spec = spec(service, image, cmd, networks, policy, port);
        spec.body["Labels"]["com.docker.compose.project"] = json!(project);
        let id = world
            .create(&format!("{project}-{service}-1"), &spec, true)
            .unwrap();
        world.start(&id).unwrap();
    }
}

fn spec(
    service: &str,
    image: &str,
    cmd: &str,
    networks: &[&str],
    policy: &str,
    port: Option<u16>,
) -> ContainerSpec {
    let env = [
        "LOCAL_DOMAIN=social.example",
        "DB_HOST=db",
        "DB_PASS=a-secret-password",
        "REDIS_HOST=redis",
        "ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY=1",
        "ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT=2",
        "ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY=3",
    ];
    let bindings: serde_json::Map<String, Value> = port
        .map(|port| {
            (
                format!("{port}/tcp"),
                json!([{"HostIp": "127.0.0.1", "HostPort": port.to_string()}]),
            )
        })
        .into_iter()
        .collect();
    let endpoint = json!({"Aliases": [format!("mastodon-{service}-1"), service]});
    let cmd: Vec<&str> = cmd.split(' ').collect();
    ContainerSpec {
        body: json!({
            "Image": image, "Cmd": cmd, "Env": env,
            "Labels": {
                "com.docker.compose.project": "mastodon", "com.docker.compose.service": service,
                "com.docker.compose.oneoff": "False",
                "com.docker.compose.config-hash": format!("hash-{service}-v{A}"),
            },
            "HostConfig": {
                "NetworkMode": networks[0], "PortBindings": bindings, "RestartPolicy": {"Name": policy},
            },
            "NetworkingConfig": {"EndpointsConfig": {networks[0]: endpoint}},
        }),
        more_networks: networks
            .iter()
            .skip(1)
            .map(|name| ((*name).to_owned(), endpoint.clone()))
            .collect(),
    }
}
