//! The contract of the database port, held against PostgreSQL itself: the oldest that Mastodon's versions run on here, the one
//! of the practice Mastodon, and the newest.
//!
//! Started by the lab: `tests/lab/lab.sh run cargo test --test database_contract`.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests may fail loudly, and look at the world they test against"
)]

mod corner;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use corner::{Corner, LAB_LABEL, MINUTE, corner, docker, env};
use mastopatch::adapters::docker::Engine;
use mastopatch::adapters::postgres::Postgres;
use mastopatch::domain::plan::DatabaseRef;
use mastopatch::ports::database::{
    Cluster, ClusterStands, DataError, Database, Haste, OnBehalf, RowCounts, Soundness,
};
use mastopatch::ports::runtime::{ContainerRuntime as _, ROLE_LABEL, RUN_LABEL};
use secrecy::SecretString;

const LIMIT: Duration = Duration::from_secs(120);
const NAME: &str = "mastodon_production";

/// Something of everything that a copy has to bring: names that need quotes, an index, a sequence, a view, a large text, and
/// whatever of the database lies in the server's catalogue.
const FILL: &str = r#"
CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
INSERT INTO schema_migrations VALUES ('20240101000000'), ('20240202000000');
CREATE TABLE accounts (id bigserial PRIMARY KEY, uri text, note text);
INSERT INTO accounts (uri, note) SELECT CASE WHEN i > 1 THEN 'https://a.example/' || i ELSE '' END, repeat(md5(i::text), 300) FROM generate_series(1, 500) i;
INSERT INTO accounts (uri) VALUES ('https://a.example/2');
CREATE TABLE statuses (id bigserial PRIMARY KEY, account_id bigint REFERENCES accounts, text text);
INSERT INTO statuses (account_id, text) SELECT 1 + i % 500, 'post ' || i || E' with a tab\t and a \\. in it' FROM generate_series(1, 20000) i;
CREATE INDEX ON statuses (account_id, id DESC);
CREATE TABLE "Odd table" ("a b" int); INSERT INTO "Odd table" VALUES (1), (NULL);
CREATE VIEW busy AS SELECT account_id, count(*) FROM statuses GROUP BY 1;
CREATE EXTENSION pg_trgm;
CREATE ROLE reader NOLOGIN; GRANT SELECT ON statuses TO reader;
GRANT CONNECT ON DATABASE mastodon_production TO reader; REVOKE TEMPORARY ON DATABASE mastodon_production FROM PUBLIC;
ALTER DATABASE mastodon_production SET statement_timeout TO '12min';
ALTER DATABASE mastodon_production CONNECTION LIMIT 90;
"#;

/// What of a database lies in the catalogue, and how it sorts.
const DRESS: &str = "SELECT pg_get_userbyid(datdba), datconnlimit, datcollate, datctype, j ->> 'datlocprovider', \
COALESCE(j ->> 'datlocale', j ->> 'daticulocale'), (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(datacl) a), \
(SELECT string_agg(setconfig::text, ' ') FROM pg_db_role_setting WHERE setdatabase = d.oid) \
FROM pg_database d, to_jsonb(d) j WHERE datname = ";

struct Server {
    corner: Corner,
    postgres: Postgres<Engine>,
    database: DatabaseRef,
    dir: PathBuf,
}

fn none() -> SecretString {
    SecretString::from("")
}

/// `psql` inside a container, over TCP.
fn psql_command(container: &str, database: &str, sql: &str) -> Command {
    let mut command = Command::new("docker");
    command.args([
        "exec",
        container,
        "psql",
        "-X",
        "-h",
        "127.0.0.1",
        "-U",
        "mastodon",
        "-d",
        database,
    ]);
    command.args(["-v", "ON_ERROR_STOP=1", "-Atqc", sql]);
    command
}

fn psql_in(container: &str, database: &str, sql: &str) -> String {
    let done = psql_command(container, database, sql).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{sql}: {said}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

impl Server {
    /// A server of this version with a filled database, which sorts by ICU where the version knows how to.
    async fn start(version: u32) -> Self {
        let corner = corner(&format!("pg{version}")).await;
        let (name, network) = (corner.object("db"), corner.network("net", false));
        let image = format!("{}/lab/postgres:{version}", env("LAB_REGISTRY"));
        let label = format!("{LAB_LABEL}={}", corner.name);
        let made = docker(&[
            "run",
            "-d",
            "--name",
            &name,
            "--network",
            &network,
            "--network-alias",
            "db",
            "--label",
            &label,
            "-e",
            "POSTGRES_USER=mastodon",
            "-e",
            "POSTGRES_DB=postgres",
            "-e",
            "POSTGRES_HOST_AUTH_METHOD=trust",
            &image,
        ]);
        assert!(!made.is_empty(), "the server's container is made");
        let engine = Engine::connect(&corner::socket()).await.unwrap();
        let postgres = Postgres::new(engine, None);
        let mut database = DatabaseRef {
            container: name,
            network,
            host: "db".to_owned(),
            port: 5432,
            user: "mastodon".to_owned(),
            name: "postgres".to_owned(),
            server_version: 0,
            bytes: 0,
        };
        // Its socket answers already while it is made.
        corner::until("PostgreSQL answers", MINUTE, async || {
            let asks = ["exec", &database.container, "pg_isready", "-h", "127.0.0.1"];
            let asked = Command::new("docker").args(asks).output().unwrap();
            asked.status.success().then_some(())
        })
        .await;
        let dir = PathBuf::from(env("LAB_SITES")).join(&corner.name);
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).unwrap();
        NAME.clone_into(&mut database.name);
        let mut server = Self {
            corner,
            postgres,
            database,
            dir,
        };
        let icu = match version {
            ..15 => "",
            15..17 => " LOCALE_PROVIDER icu ICU_LOCALE 'en-US'",
            17.. => " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'",
        };
        server.psql(
            "postgres",
            &format!("CREATE DATABASE {NAME} TEMPLATE template0{icu}"),
        );
        server.psql(NAME, FILL);
        let facts = server
            .postgres
            .facts(&server.database, &none())
            .await
            .unwrap();
        assert_eq!(facts.version / 10_000, version);
        assert!(
            facts.may_create_databases && facts.bytes > 1_000_000,
            "{facts:?}"
        );
        assert_eq!(facts.no_clone, None);
        server.database.server_version = facts.version;
        server.database.bytes = facts.bytes;
        server
    }

    fn psql(&self, database: &str, sql: &str) -> String {
        psql_in(&self.database.container, database, sql)
    }

    fn dress(&self, database: &str) -> String {
        self.psql("postgres", &format!("{DRESS} '{database}'"))
    }

    fn on_behalf(&self) -> OnBehalf {
        OnBehalf {
            run: self.corner.name.clone(),
            short_run: self.corner.name.clone(),
            instance: self.corner.name.clone(),
            gently: false,
        }
    }

    fn named(&self, name: &str) -> DatabaseRef {
        DatabaseRef {
            name: name.to_owned(),
            ..self.database.clone()
        }
    }

    /// An empty folder for a copy.
    fn folder(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for label in [RUN_LABEL, ROLE_LABEL] {
            corner::sweep(&format!("{label}={}", self.corner.name));
        }
        drop(fs::remove_dir_all(&self.dir));
    }
}

async fn keeps_the_contract(version: u32) {
    let server = Server::start(version).await;
    questions_are_answered(&server).await;
    let dump = a_dump_is_read_back_and_restored(&server).await;
    a_harmed_dump_is_refused(&server, &dump).await;
    a_dump_of_an_open_site_keeps_to_its_rate(&server).await;
    a_throw_away_server_takes_the_dump(&server, &dump).await;
    a_clone_is_made_compared_and_switched(&server).await;
    the_data_folder_is_copied_tried_and_put_back(&server).await;
}

async fn questions_are_answered(server: &Server) {
    let (postgres, database) = (&server.postgres, &server.database);
    let places = postgres.places(database, &none()).await.unwrap();
    let data = &places[0];
    assert!(data.path.starts_with("/var/lib/postgresql/"), "{places:?}");
    assert!(
        data.bytes >= database.bytes / 2 && data.relations > 50 && data.room.total > 0,
        "{places:?}"
    );
    let schema = postgres.schema_versions(database, &none()).await.unwrap();
    assert_eq!(schema.len(), 2);
    let twice = postgres.duplicate_accounts(database, &none(), LIMIT).await;
    assert_eq!(twice.unwrap(), 1);
    let rows = postgres.row_counts(database, &none(), LIMIT).await.unwrap();
    let counted =
        ["public.accounts", "public.statuses", "public.\"Odd table\""].map(|table| rows[table]);
    assert_eq!(counted, [501, 20_000, 2]);

    assert_eq!(
        locked(server, &server.database.container).await,
        ["public.statuses"]
    );
}

/// The tables that are seen locked while somebody holds one.
async fn locked(server: &Server, container: &str) -> Vec<String> {
    let database = DatabaseRef {
        container: container.to_owned(),
        ..server.database.clone()
    };
    let none_yet = server
        .postgres
        .locked_tables(&database, &none())
        .await
        .unwrap();
    assert_eq!(none_yet, Vec::<String>::new());
    let holds = "BEGIN; LOCK TABLE statuses IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60);";
    let mut holder = psql_command(container, NAME, holds)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let seen = corner::until("the lock is seen", MINUTE, async || {
        let seen = server
            .postgres
            .locked_tables(&database, &none())
            .await
            .unwrap();
        Some(seen).filter(|seen| !seen.is_empty())
    })
    .await;
    let ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%' AND pid <> pg_backend_pid()";
    psql_in(container, "postgres", ends);
    holder.wait().unwrap();
    seen
}

async fn a_dump_is_read_back_and_restored(server: &Server) -> PathBuf {
    let (postgres, database, behalf) = (&server.postgres, &server.database, server.on_behalf());
    let rows = postgres.row_counts(database, &none(), LIMIT).await.unwrap();
    let schema = postgres.schema_versions(database, &none()).await.unwrap();
    let dress = server.dress(NAME);
    let dir = server.folder("dump");
    postgres
        .dump(database, &none(), &behalf, &dir, LIMIT)
        .await
        .unwrap();
    assert_eq!(
        postgres
            .count_dump(database, &behalf, &dir, LIMIT)
            .await
            .unwrap(),
        rows
    );
    assert_eq!(
        postgres
            .dump_schema(database, &behalf, &dir, LIMIT)
            .await
            .unwrap(),
        schema
    );

    // The new version harms the live one meanwhile.
    server.psql(
        NAME,
        "DROP TABLE statuses CASCADE; INSERT INTO schema_migrations VALUES ('20250101000000')",
    );
    let (restored, damaged) = ("mastopatch_restored_1", "mastopatch_damaged_1");
    for _twice in 0..2 {
        let counted = postgres
            .restore(database, &none(), &behalf, &dir, restored, LIMIT)
            .await;
        assert_eq!(counted.unwrap(), rows);
    }
    assert_eq!(
        server.dress(restored),
        dress,
        "owner, limit, grants, settings and order"
    );
    postgres
        .remark(database, &none(), restored, "it's back")
        .await
        .unwrap();
    for _twice in 0..2 {
        postgres
            .swap(database, &none(), restored, damaged)
            .await
            .unwrap();
        assert_eq!(
            postgres.row_counts(database, &none(), LIMIT).await.unwrap(),
            rows
        );
        assert_eq!(
            postgres.remark_on(database, &none(), NAME).await.unwrap(),
            "it's back"
        );
        assert!(postgres.exists(database, &none(), damaged).await.unwrap());
    }
    assert_eq!(server.dress(NAME), dress);
    let next = server.psql(NAME, "SELECT nextval('statuses_id_seq')");
    assert_eq!(next, "20001", "sequences go on");
    for _twice in 0..2 {
        postgres
            .ensure_dropped(database, &none(), damaged)
            .await
            .unwrap();
        assert!(!postgres.exists(database, &none(), damaged).await.unwrap());
    }
    let refused = postgres.ensure_dropped(database, &none(), NAME).await;
    assert!(
        matches!(refused, Err(DataError::Names { .. })),
        "{refused:?}"
    );
    dir
}

async fn a_harmed_dump_is_refused(server: &Server, dump: &Path) {
    let (postgres, database, behalf) = (&server.postgres, &server.database, server.on_behalf());
    let dir = server.folder("harmed");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(dump.join("database"))
        .arg(&dir)
        .status();
    assert!(copied.unwrap().success());
    let largest = fs::read_dir(dir.join("database"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let largest = largest
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let length = largest.metadata().unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&largest).unwrap();
    file.set_len(length / 2).unwrap();
    postgres
        .count_dump(database, &behalf, &dir, LIMIT)
        .await
        .unwrap_err();
    let into = "mastopatch_restored_2";
    postgres
        .restore(database, &none(), &behalf, &dir, into, LIMIT)
        .await
        .unwrap_err();
    postgres
        .ensure_dropped(database, &none(), into)
        .await
        .unwrap();
    assert_eq!(server.psql(NAME, "SELECT count(*) FROM statuses"), "20000");
}

async fn a_throw_away_server_takes_the_dump(server: &Server, dump: &Path) {
    let (postgres, database, behalf) = (&server.postgres, &server.database, server.on_behalf());
    let network = server.corner.network("isolated", true);
    let rows = postgres.row_counts(database, &none(), LIMIT).await.unwrap();
    for haste in [Haste::Measured, Haste::Hurried] {
        let scratch = postgres
            .fresh_scratch(database, &none(), &behalf, &network, haste, LIMIT)
            .await
            .unwrap();
        assert_ne!(scratch.container, database.container);
        postgres
            .restore_scratch(&scratch, &none(), &behalf, dump, LIMIT)
            .await
            .unwrap();
        assert_eq!(
            postgres.row_counts(&scratch, &none(), LIMIT).await.unwrap(),
            rows
        );
        assert_eq!(
            postgres
                .schema_versions(&scratch, &none())
                .await
                .unwrap()
                .len(),
            2
        );
        let sound = postgres
            .check_scratch(&scratch, &none(), LIMIT)
            .await
            .unwrap();
        // The tool came with 14.
        let has_tool = database.server_version >= 140_000;
        assert_eq!(sound == Soundness::Sound, has_tool, "{sound:?}");
        postgres
            .clone_to(&scratch, &none(), "mastopatch_clone_1", LIMIT)
            .await
            .unwrap();
        postgres
            .ensure_dropped(&scratch, &none(), "mastopatch_clone_1")
            .await
            .unwrap();
        let mounts = docker(&[
            "inspect",
            "-f",
            "{{range .Mounts}}{{.Type}} {{end}}",
            &scratch.container,
        ]);
        assert!(!mounts.contains("volume"), "its data go with it: {mounts}");
        assert_eq!(
            locked(server, &scratch.container).await,
            ["public.statuses"]
        );
        server
            .corner
            .engine
            .ensure_removed(&scratch.container)
            .await
            .unwrap();
    }
    assert_eq!(server.psql(NAME, "SELECT count(*) FROM statuses"), "20000");
}

async fn a_clone_is_made_compared_and_switched(server: &Server) {
    let (postgres, database) = (&server.postgres, &server.database);
    let (clone, original, damaged) = (
        "mastopatch_clone_1",
        "mastopatch_before_1",
        "mastopatch_damaged_1",
    );
    let dress = server.dress(NAME);
    for _twice in 0..2 {
        postgres
            .clone_to(database, &none(), clone, LIMIT)
            .await
            .unwrap();
    }
    let seen = postgres
        .compare_clone(database, &none(), clone)
        .await
        .unwrap();
    assert!(seen.relations > 50 && seen.bytes > 1_000_000, "{seen:?}");
    assert_eq!(server.dress(clone), dress);
    let schema = postgres
        .schema_versions(&server.named(clone), &none())
        .await
        .unwrap();
    assert_eq!(schema.len(), 2);
    server.psql(clone, "INSERT INTO accounts (note) SELECT repeat(md5(i::text), 300) FROM generate_series(1, 500) i");
    let differs = postgres.compare_clone(database, &none(), clone).await;
    assert!(
        matches!(differs, Err(DataError::Incomplete { .. })),
        "{differs:?}"
    );
    postgres
        .swap(database, &none(), clone, original)
        .await
        .unwrap();
    assert_eq!(server.psql(NAME, "SELECT count(*) FROM accounts"), "1001");
    // And back, by name.
    postgres
        .swap(database, &none(), original, damaged)
        .await
        .unwrap();
    assert_eq!(server.psql(NAME, "SELECT count(*) FROM accounts"), "501");
    assert_eq!(server.dress(NAME), dress);
    postgres.ensure_open(database, &none(), NAME).await.unwrap();
    postgres
        .ensure_dropped(database, &none(), damaged)
        .await
        .unwrap();
}

async fn a_dump_of_an_open_site_keeps_to_its_rate(server: &Server) {
    // The least that can be configured. What is written between two looks is not yet limited, so there has to be more.
    const RATE: u64 = 1 << 20;
    server.psql(
        NAME,
        "CREATE TABLE heavy AS SELECT md5(random()::text) FROM generate_series(1, 700000)",
    );
    let engine = Engine::connect(&corner::socket()).await.unwrap();
    let slowly = Postgres::new(engine, Some(RATE));
    let behalf = OnBehalf {
        gently: true,
        ..server.on_behalf()
    };
    let dir = server.folder("slowly");
    let begun = std::time::Instant::now();
    slowly
        .dump(&server.database, &none(), &behalf, &dir, LIMIT)
        .await
        .unwrap();
    let took = begun.elapsed();
    let files = fs::read_dir(dir.join("database")).unwrap();
    let bytes: u64 = files.map(|it| it.unwrap().metadata().unwrap().len()).sum();
    // The last piece may be written before anybody looks.
    let least = Duration::from_millis((bytes / 2) * 1_000 / RATE);
    assert!(bytes > 2 * RATE, "{bytes} bytes tell nothing of the rate");
    assert!(took >= least, "{bytes} bytes within {took:?}");
    let rows = slowly
        .count_dump(&server.database, &behalf, &dir, LIMIT)
        .await
        .unwrap();
    let (live, password) = (&server.postgres, none());
    let counted = live.row_counts(&server.database, &password, LIMIT).await;
    assert_eq!(rows, counted.unwrap());
    server.psql(NAME, "DROP TABLE heavy");
}

async fn the_data_folder_is_copied_tried_and_put_back(server: &Server) {
    let (postgres, database, behalf) = (&server.postgres, &server.database, server.on_behalf());
    let against = async || postgres.facts(database, &none()).await.unwrap().no_cluster;
    assert_eq!(against().await, None);
    server.psql("postgres", "CREATE DATABASE forum");
    let why = against().await.unwrap();
    assert!(why.contains("database forum"), "{why}");
    server.psql("postgres", "DROP DATABASE forum");
    server.psql(NAME, "CREATE UNLOGGED TABLE hasty (a int)");
    let why = against().await.unwrap();
    assert!(why.contains("unlogged table hasty"), "{why}");
    server.psql(NAME, "DROP TABLE hasty");

    // The lab's disk shares no blocks, and says so.
    assert!(!postgres.shares_blocks(database, &none()).await.unwrap());
    let folder = ".mastopatch-run";
    let shared = postgres
        .copy_cluster(database, &none(), &behalf, folder, true, LIMIT)
        .await;
    assert!(shared.is_err(), "{shared:?}");

    let rows = postgres.row_counts(database, &none(), LIMIT).await.unwrap();
    let copied = postgres
        .copy_cluster(database, &none(), &behalf, folder, false, LIMIT)
        .await
        .unwrap();
    assert!(
        copied.data.starts_with("/var/lib/postgresql/"),
        "{copied:?}"
    );
    let stands = async || {
        postgres
            .cluster_stands(database, &behalf, &copied)
            .await
            .unwrap()
    };
    assert_eq!(stands().await, ClusterStands::Copied);
    a_copy_of_the_folder_serves(server, &copied, &rows).await;

    // The new version harms it meanwhile.
    server.psql(
        NAME,
        "DROP TABLE statuses CASCADE; CREATE TABLE more AS SELECT generate_series(1, 1000)",
    );
    let refused = postgres
        .put_cluster_back(database, &behalf, &copied, LIMIT)
        .await;
    assert!(refused.is_err(), "it runs");
    docker(&["stop", "-t", "60", &database.container]);
    cut_off_while_it_is_put_back(server, &copied);
    assert_eq!(stands().await, ClusterStands::GoingBack);
    let start = ["start", "--attach", &database.container];
    let started = Command::new("docker").args(start).output().unwrap();
    let in_half = "no server starts in a folder that is half of two";
    assert!(!started.status.success(), "{in_half}: {started:?}");
    for _twice in 0..2 {
        postgres
            .put_cluster_back(database, &behalf, &copied, LIMIT)
            .await
            .unwrap();
        assert_eq!(stands().await, ClusterStands::Back);
    }
    docker(&["start", &database.container]);
    corner::until("PostgreSQL answers", MINUTE, async || {
        postgres.facts(database, &none()).await.ok()
    })
    .await;
    assert_eq!(
        postgres.row_counts(database, &none(), LIMIT).await.unwrap(),
        rows
    );
    postgres
        .ensure_no_cluster(database, &none(), &behalf, folder)
        .await
        .unwrap();
    assert_eq!(stands().await, ClusterStands::Gone);
    let left = docker(&["exec", &database.container, "ls", "-a", &copied.data]);
    assert!(
        left.contains("PG_VERSION") && !left.contains("mastopatch"),
        "{left}"
    );
}

async fn a_copy_of_the_folder_serves(server: &Server, copied: &Cluster, rows: &RowCounts) {
    let (postgres, database, behalf) = (&server.postgres, &server.database, server.on_behalf());
    let network = server.corner.network("isolated-too", true);
    let opened = postgres
        .open_cluster(database, &none(), &behalf, copied, &network, LIMIT)
        .await
        .unwrap();
    let seen = postgres
        .compare_cluster(database, &none(), &opened)
        .await
        .unwrap();
    assert!(seen.relations > 5 && seen.bytes > 0, "{seen:?}");
    assert_eq!(
        &postgres.row_counts(&opened, &none(), LIMIT).await.unwrap(),
        rows
    );
    server.psql(
        NAME,
        "CREATE TABLE since (a int); INSERT INTO since VALUES (1)",
    );
    let differs = postgres.compare_cluster(database, &none(), &opened).await;
    assert!(
        matches!(differs, Err(DataError::Incomplete { .. })),
        "{differs:?}"
    );
    server.psql(NAME, "DROP TABLE since");
    postgres.close_cluster(&opened).await.unwrap();
}

/// Does a part of what putting back does, as a process that was killed in the middle leaves it.
fn cut_off_while_it_is_put_back(server: &Server, copied: &Cluster) {
    let (data, stage) = (&copied.data, format!("{}/{}", copied.data, copied.folder));
    let script = format!(
        "mv {stage}/copied {stage}/going; mv {data}/PG_VERSION {data}/base {data}/global {stage}/aside/"
    );
    let image = format!(
        "{}/lab/postgres:{}",
        env("LAB_REGISTRY"),
        server.database.server_version / 10_000
    );
    docker(&[
        "run",
        "--rm",
        "--volumes-from",
        &server.database.container,
        "--entrypoint",
        "sh",
        &image,
        "-c",
        &script,
    ]);
}

#[tokio::test]
async fn postgresql_13_keeps_the_contract() {
    keeps_the_contract(13).await;
}

#[tokio::test]
async fn postgresql_15_keeps_the_contract() {
    keeps_the_contract(15).await;
}

#[tokio::test]
async fn postgresql_17_keeps_the_contract() {
    keeps_the_contract(17).await;
}

#[tokio::test]
async fn postgresql_18_keeps_the_contract() {
    keeps_the_contract(18).await;
}
