//! Copies of a real database by the program's own hands: where the server keeps it and what room is there, and which copies
//! are refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mastopatch::adapters::docker::Engine;
use mastopatch::adapters::postgres::Postgres;
use mastopatch::domain::plan::{DatabaseRef, Method, Owner};
use mastopatch::domain::room::{DataPlace, in_server, shortage};
use mastopatch::ports::database::{Database as _, OnBehalf};
use secrecy::SecretString;

use crate::runner::{Scenario, Stage, Verdict, scenarios};
use crate::support::lab::{Instance, InstanceOptions, Lab};
use crate::support::world::{self, World};
use crate::support::{eventually, shell};

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        a_server_says_where_its_data_lie_and_what_is_free_there,
        data_in_an_odd_place_and_in_a_tablespace_are_found_by_any_role,
        a_server_whose_data_cannot_be_found_says_what_would_help,
        a_dump_that_is_tiny_cut_flipped_or_lacks_a_table_is_refused,
        a_clone_that_lacks_a_table_or_has_another_is_refused,
        a_method_is_chosen_by_itself_and_told_and_a_clone_that_cannot_be_is_refused,
    ]
}

const LIMIT: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;

/// Runs a question to its end.
fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn postgres(lab: &Lab) -> Postgres<Engine> {
    Postgres::new(now(Engine::connect(&lab.socket())).unwrap())
}

/// A server for itself, removed when this is dropped.
struct Server {
    name: String,
    volume: String,
}

impl Server {
    fn start(lab: &Lab, name: &str, options: &[&str]) -> Self {
        let name = format!("mplab{}-{name}", std::process::id());
        let server = Self {
            volume: format!("{name}-data"),
            name,
        };
        let image = format!("{}/lab/postgres:15", lab.registry);
        let mut args = vec!["run", "-d", "--name", &server.name, "--network", "none"];
        args.extend(["-e", "POSTGRES_HOST_AUTH_METHOD=trust"]);
        args.extend([
            "-e",
            "POSTGRES_USER=mastodon",
            "-e",
            "POSTGRES_DB=mastodon_production",
        ]);
        let volume = format!("{}:/var/lib/postgresql/data", server.volume);
        if options.is_empty() {
            args.extend(["-v", &volume]);
        }
        args.extend(options);
        args.push(&image);
        shell::run("docker", args);
        eventually("PostgreSQL takes connections", LIMIT, || {
            let asks = [
                "exec",
                &server.name,
                "psql",
                "-h",
                "127.0.0.1",
                "-U",
                "mastodon",
            ];
            let asks = asks
                .into_iter()
                .chain(["-d", "mastodon_production", "-Atc", "SELECT 1"]);
            shell::attempt("docker", asks)
        });
        server
    }

    fn sql(&self, text: &str) {
        let args = [
            "exec",
            "-i",
            &self.name,
            "psql",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "mastodon",
        ];
        shell::feed(
            "docker",
            args.into_iter().chain(["-d", "mastodon_production"]),
            text,
        );
    }

    fn places(&self, lab: &Lab, user: &str) -> Result<Vec<DataPlace>, String> {
        let database = DatabaseRef {
            container: self.name.clone(),
            network: "none".to_owned(),
            owner: Owner::Instance,
            host: "db".to_owned(),
            port: 5432,
            user: user.to_owned(),
            name: "mastodon_production".to_owned(),
            server_version: 150_000,
            bytes: 0,
        };
        let found = now(async {
            let engine = Engine::connect(&lab.socket()).await.unwrap();
            let server = Postgres::new(engine);
            server.places(&database, &SecretString::from("")).await
        });
        found.map_err(|err| err.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(shell::attempt("docker", ["rm", "-fv", &self.name]));
        drop(shell::attempt(
            "docker",
            ["volume", "rm", "-f", &self.volume],
        ));
    }
}

fn a_server_says_where_its_data_lie_and_what_is_free_there(stage: &mut Stage) -> Verdict {
    let lab = &stage.lab;
    // A named volume, in the usual place: what the host sees of it.
    let server = Server::start(lab, "volume", &[]);
    let places = server.places(lab, "mastodon").unwrap();
    assert_eq!(places.len(), 1, "{places:?}");
    assert_eq!(places[0].path, "/var/lib/postgresql/data");
    assert!(
        places[0].bytes > 5 * MIB && places[0].relations > 200,
        "{places:?}"
    );
    let source = "{{range .Mounts}}{{.Source}}{{end}}";
    let source = shell::run("docker", ["inspect", "-f", source, &server.name]);
    let seen = shell::run("stat", ["-f", "-c", "%S %b", source.trim()]);
    let total: u64 = seen
        .split_whitespace()
        .map(|it| it.parse::<u64>().unwrap())
        .product();
    assert_eq!(places[0].room.total, total);
    Ok(())
}

fn data_in_an_odd_place_and_in_a_tablespace_are_found_by_any_role(stage: &mut Stage) -> Verdict {
    let lab = &stage.lab;
    // On a file system of its own that the host has no path to; the tablespace on another one.
    let options = [
        "-e",
        "PGDATA=/somewhere/else/pg",
        "--tmpfs",
        "/somewhere/else:size=300m",
        "--tmpfs",
        "/big:size=64m,mode=0777",
    ];
    let server = Server::start(lab, "odd", &options);
    server.sql(
        "CREATE ROLE plain LOGIN CREATEDB; ALTER DATABASE mastodon_production OWNER TO plain;",
    );
    // A role that may not ask for the folder finds it by the environment and by what the running server wrote there.
    for user in ["mastodon", "plain"] {
        let places = server.places(lab, user).unwrap();
        assert_eq!(places[0].path, "/somewhere/else/pg", "{user}");
        assert_eq!(places[0].room.total, 300 * MIB, "{user}");
        let needs = in_server(&places, 1);
        let text = shortage(&needs).expect("300 MiB are too few");
        assert!(text.contains("/somewhere/else/pg"), "{text}");
    }
    shell::run(
        "docker",
        [
            "exec",
            &server.name,
            "sh",
            "-c",
            "mkdir /big/t && chown postgres /big/t",
        ],
    );
    server.sql(
        "CREATE TABLESPACE big LOCATION '/big/t'; \
         CREATE TABLE much TABLESPACE big AS SELECT generate_series(1, 100000) AS n;",
    );
    let places = server.places(lab, "plain").unwrap();
    assert_eq!(places.len(), 2, "{places:?}");
    assert_eq!(
        (places[1].path.as_str(), places[1].room.total),
        ("/big/t", 64 * MIB)
    );
    assert!((3 * MIB..5 * MIB).contains(&places[1].bytes), "{places:?}");
    Ok(())
}

fn a_server_whose_data_cannot_be_found_says_what_would_help(stage: &mut Stage) -> Verdict {
    let lab = &stage.lab;
    // The role may not ask, and nothing in the folder of the environment tells of a server.
    let options = [
        "--tmpfs",
        "/var/lib/postgresql/data:size=300m",
        "-e",
        "POSTGRES_USER=mastodon",
    ];
    let server = Server::start(lab, "lies", &options);
    server.sql("CREATE ROLE plain LOGIN CREATEDB");
    shell::run(
        "docker",
        [
            "exec",
            &server.name,
            "mv",
            "/var/lib/postgresql/data/postmaster.pid",
            "/tmp/",
        ],
    );
    let text = server.places(lab, "plain").unwrap_err();
    for words in [
        "could not be seen",
        "GRANT pg_read_all_settings TO \"plain\"",
    ] {
        assert!(text.contains(words), "{text}");
    }
    Ok(())
}

fn database_of(instance: &Instance) -> DatabaseRef {
    let container = instance.container("db").unwrap();
    DatabaseRef {
        network: container.networks.first().unwrap().clone(),
        container: container.name,
        owner: Owner::Instance,
        host: "db".to_owned(),
        port: 5432,
        user: "mastodon".to_owned(),
        name: "mastodon_production".to_owned(),
        server_version: 150_000,
        bytes: 0,
    }
}

/// Something that befalls a dump.
#[derive(Debug, Clone, Copy)]
enum Spoilt {
    Tiny,
    Cut,
    Flipped,
    Lacking,
}

fn a_dump_that_is_tiny_cut_flipped_or_lacks_a_table_is_refused(stage: &mut Stage) -> Verdict {
    let postgres = postgres(&stage.lab);
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    let database = database_of(&site.instance);
    let before = World::of(&site.instance);
    let none = SecretString::from("");
    let dir = site.product.state_dir().with_file_name("copies");
    let on_behalf = OnBehalf {
        run: "copies".to_owned(),
        short_run: "copies".to_owned(),
        instance: site.instance.project.clone(),
        gently: false,
    };
    let folder = |name: &str| -> PathBuf {
        let folder = dir.join(name);
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let count = |dir: &Path| now(postgres.count_dump(&database, &on_behalf, dir, LIMIT));
    let whole = folder("whole");
    now(postgres.dump(&database, &none, &on_behalf, &whole, LIMIT)).unwrap();
    let rows = now(postgres.row_counts(&database, &none, LIMIT)).unwrap();
    assert_eq!(count(&whole).unwrap(), rows);

    for how in [Spoilt::Tiny, Spoilt::Cut, Spoilt::Flipped, Spoilt::Lacking] {
        let dir = folder("spoilt");
        shell::run(
            "cp",
            [
                "-a",
                &format!("{}/database", whole.display()),
                &dir.display().to_string(),
            ],
        );
        spoil(&dir.join("database"), how);
        let counted = count(&dir);
        assert!(
            counted.as_ref().ok() != Some(&rows),
            "{how:?} counts for whole: {counted:?}"
        );
        let into = "mastodon_production_restored_copies";
        let restored = now(postgres.restore(&database, &none, &on_behalf, &dir, into, LIMIT));
        assert!(
            restored.as_ref().ok() != Some(&rows),
            "{how:?} is restored: {restored:?}"
        );
        now(postgres.ensure_dropped(&database, &none, into)).unwrap();
    }

    shell::run("docker", ["rm", "-f", "mastopatch_toolbox_copies"]);
    fs::remove_dir_all(&dir).unwrap();
    World::of(&site.instance).assert_same_as(&before);
    Ok(())
}

fn a_clone_that_lacks_a_table_or_has_another_is_refused(stage: &mut Stage) -> Verdict {
    let postgres = postgres(&stage.lab);
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    let (database, none) = (database_of(&site.instance), SecretString::from(""));
    let before = World::of(&site.instance);
    let clone = "mastodon_production_clone_copies";
    for (sql, words) in [
        ("", ""),
        ("DROP TABLE distributions CASCADE", "the original has"),
        (
            "INSERT INTO accounts SELECT * FROM accounts WHERE false; CREATE TABLE more AS SELECT 1 AS n",
            "the copy",
        ),
    ] {
        now(postgres.clone_to(&database, &none, clone, LIMIT)).unwrap();
        if !sql.is_empty() {
            let args = [
                "exec",
                &database.container,
                "psql",
                "-U",
                "mastodon",
                "-d",
                clone,
                "-c",
                sql,
            ];
            shell::run("docker", args);
        }
        let seen = now(postgres.compare_clone(&database, &none, clone));
        match seen {
            Ok(seen) => assert!(sql.is_empty() && seen.relations > 20, "`{sql}` is not seen"),
            Err(err) => assert!(
                !words.is_empty() && err.to_string().contains(words),
                "{sql}: {err}"
            ),
        }
    }
    now(postgres.ensure_dropped(&database, &none, clone)).unwrap();
    World::of(&site.instance).assert_same_as(&before);
    Ok(())
}

fn spoil(database: &Path, how: Spoilt) {
    let files = fs::read_dir(database)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let data = files.filter(|path| path.extension().is_some_and(|it| it == "gz"));
    let largest = data
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let bytes = fs::read(&largest).unwrap();
    match how {
        Spoilt::Tiny => {
            let toc = database.join("toc.dat");
            let text = fs::read(&toc).unwrap();
            fs::write(toc, &text[..1_500]).unwrap();
        }
        Spoilt::Cut => fs::write(&largest, &bytes[..bytes.len() / 2]).unwrap(),
        Spoilt::Flipped => {
            let mut other = bytes;
            let middle = other.len() / 2;
            other[middle] ^= 16;
            fs::write(&largest, other).unwrap();
        }
        Spoilt::Lacking => fs::remove_file(&largest).unwrap(),
    }
}

fn a_method_is_chosen_by_itself_and_told_and_a_clone_that_cannot_be_is_refused(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.9"]);
    let product = site.product.newcomer("methods");
    let before = World::of(&site.instance);
    let planned = |words: &str, method: Method| {
        let plan = product.json(&["plan", "--to", "v4.6.9"])["plan"].clone();
        let found = plan["method"].as_str().unwrap_or("logical").to_owned();
        let because = plan["method_because"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(found, method.name(), "{because}");
        assert!(because.contains(words), "{because}");
        let text = product.run(&["plan", "--to", "v4.6.9"]).expect_code(0);
        assert!(text.stdout.contains(&format!("{found}: ")), "{text}");
        let doctor = product.run(&["doctor"]);
        assert!(
            doctor.stdout.contains(&format!("    {found}: ")),
            "{doctor}"
        );
    };
    planned("the server has room for a second copy", Method::Clone);
    // A slot belongs to one database: a clone would not have it.
    site.instance
        .sql("ALTER SYSTEM SET wal_level = logical; ALTER SYSTEM SET max_replication_slots = 10");
    site.instance.compose(&["restart", "-t", "20", "db"]);
    site.instance.wait_healthy("v4.5.8");
    site.instance
        .sql("SELECT pg_create_logical_replication_slot('somebodys', 'pgoutput')");
    planned("replication slot somebodys belongs to it", Method::Logical);

    let explicit = product.variant("explicit", |settings| {
        settings.snapshot = "clone".to_owned()
    });
    let refused = explicit
        .run(&["apply", "--to", "v4.6.9", "--yes"])
        .expect_code(22);
    world::assert_clear(
        &refused,
        &[
            "cannot be cloned",
            "replication slot somebodys",
            "`snapshot = \"auto\"`",
        ],
    );
    site.instance
        .sql("SELECT pg_drop_replication_slot('somebodys'); ALTER SYSTEM RESET ALL");
    site.instance.compose(&["restart", "-t", "20", "db"]);
    site.instance.wait_healthy("v4.5.8");
    world::assert_one_version(&site.instance, "v4.5.8");
    World::of(&site.instance).assert_same_as(&before);
    Ok(())
}
