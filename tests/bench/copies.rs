//! `make bench`, third part: what a copy of the database costs, beside the tools that everybody has.
//!
//! A practice Mastodon's database is filled up to each size of `BENCH_SIZES` (`100M 1G`; `5G` is possible where there is
//! room), always with the same rows: accounts, statuses, media attachments and their indexes. Then, in rounds, so that
//! whatever else the machine does meets all of them: the program's own code (`clone`, `logical`: copy, proof and way back, by
//! the adapters that a run uses), the bare `CREATE DATABASE`, `pg_dump -Fc` with `pg_restore`, `pg_basebackup`, `cp -a` of the
//! stopped server's folder, and restic if it is installed. At the end, real runs that have to go back say the same from their
//! journals, with the peak memory of the process.
//!
//! `BENCH_RUNS` says how many rounds; usually 3. Medians are shown.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people to watch: it prints, reads the clock and may fail loudly"
)]

mod rows;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mastopatch::adapters::docker::Engine;
use mastopatch::adapters::files::StateDir;
use mastopatch::adapters::postgres::Postgres;
use mastopatch::domain::plan::{DatabaseRef, Owner};
use mastopatch::ports::database::{Database as _, OnBehalf};
use mastopatch::ports::files::{MANIFEST_FORMAT, Manifest, RunFiles as _};
use secrecy::SecretString;
use support::github::GitHub;
use support::lab::{Instance, InstanceOptions, Lab, sweep};
use support::product::Product;
use support::shell;

/// The site's version, and one whose web ends after some seconds: its migrations run, and the run goes back.
const FROM: &str = "v4.4.15";
const BROKEN: &str = "v4.5.97";
const NAME: &str = "mastodon_production";
const LIMIT: Duration = Duration::from_secs(3_600);
/// Often enough not to miss the end of a process by much.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const RUN: &str = "019b0000-0000-7000-8000-00000000be4c";

fn main() {
    let lab = Lab::from_env();
    sweep(&lab);
    let variable = |name: &str, usual: &str| std::env::var(name).unwrap_or(usual.to_owned());
    let runs: u32 = variable("BENCH_RUNS", "3")
        .parse()
        .expect("BENCH_RUNS is a number");
    let sizes = variable("BENCH_SIZES", "100M 1G");
    println!(
        "bench: copies of a database; {runs} rounds, medians; {}\n",
        machine()
    );
    for size in sizes.split_whitespace() {
        let bench = Bench::start(&lab, rows::bytes_of(size));
        bench.measure(size, runs);
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or_default();
    format!("{cores} cores, load {load} at the beginning")
}

/// Seconds of each part of one way to copy.
#[derive(Debug, Clone, Copy, Default)]
struct Took {
    copy: f64,
    proof: f64,
    back: f64,
    bytes: u64,
}

struct Bench {
    instance: Instance,
    database: DatabaseRef,
    runtime: tokio::runtime::Runtime,
    postgres: Postgres<Engine>,
    dir: PathBuf,
}

impl Bench {
    fn start(lab: &Lab, bytes: u64) -> Self {
        let instance = Instance::start(lab, &InstanceOptions::at(FROM).seeded(200, 2_000));
        let started = Instant::now();
        rows::fill(&instance, bytes);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let engine = runtime.block_on(Engine::connect(&lab.socket())).unwrap();
        let container = instance.container("db").unwrap();
        let database = DatabaseRef {
            network: container.networks.first().unwrap().clone(),
            container: container.name,
            owner: Owner::Instance,
            host: "db".to_owned(),
            port: 5432,
            user: "mastodon".to_owned(),
            name: NAME.to_owned(),
            server_version: 0,
            bytes: 0,
        };
        let postgres = Postgres::new(engine);
        let facts = runtime
            .block_on(postgres.facts(&database, &none()))
            .unwrap();
        println!(
            "filled to {} MiB in {:.0} s; PostgreSQL {}",
            facts.bytes >> 20,
            started.elapsed().as_secs_f64(),
            facts.version / 10_000
        );
        let database = DatabaseRef {
            server_version: facts.version,
            bytes: facts.bytes,
            ..database
        };
        let dir = lab.sites.join(format!("{}-mastopatch", instance.project));
        fs::create_dir_all(&dir).unwrap();
        Self {
            instance,
            database,
            runtime,
            postgres,
            dir,
        }
    }

    fn measure(&self, size: &str, runs: u32) {
        // Nobody writes, as behind the fence.
        self.instance
            .compose(&["stop", "-t", "10", "web", "streaming", "sidekiq"]);
        let has_restic = shell::attempt("restic", ["version"]).is_ok();
        let mut took: BTreeMap<&str, Vec<Took>> = BTreeMap::new();
        for _ in 0..runs {
            let mut note = |name, one| took.entry(name).or_default().push(one);
            note(BARE, self.bare());
            note(CLONE, self.clone_of_ours());
            note(LOGICAL, self.logical());
            note(DUMP, self.dump());
            note(BASE, self.base_backup());
            note(COPY, self.copied_folder());
            if has_restic {
                note(RESTIC, self.restic());
            }
        }
        let took: BTreeMap<&str, Took> = took
            .iter()
            .map(|(name, all)| (*name, median(all)))
            .collect();
        println!(
            "\n{size}: {} MiB in the server; seconds",
            self.database.bytes >> 20
        );
        println!(
            "{:<34} {:>7} {:>7} {:>7} {:>9} {:>7}",
            "", "copy", "proof", "both", "way back", "MiB"
        );
        for name in [BARE, CLONE, LOGICAL, DUMP, BASE, COPY, RESTIC] {
            if let Some(one) = took.get(name) {
                println!(
                    "{name:<34} {:>7.2} {:>7.2} {:>7.2} {:>9.2} {:>7}",
                    one.copy,
                    one.proof,
                    one.copy + one.proof,
                    one.back,
                    one.bytes >> 20
                );
            }
        }
        let both = |name| took.get(name).map_or(0.0, |one| one.copy + one.proof);
        println!(
            "clone with proof / CREATE DATABASE: {:.2} (wanted: 1.1); its way back: {:.2} s (wanted: under 1)",
            both(CLONE) / both(BARE),
            took[CLONE].back
        );
        println!(
            "logical with proof / pg_dump -Fc with pg_restore as its proof: {:.2}; the copies alone: {:.2}; the ways back: {:.2} \
             (wanted: 1.3)",
            both(LOGICAL) / both(DUMP),
            took[LOGICAL].copy / took[DUMP].copy,
            took[LOGICAL].back / took[DUMP].back
        );
        if !has_restic {
            println!("SKIPPED restic: it is not installed (apt-get install restic)");
        }
        self.real_runs(size);
    }

    fn on_behalf(&self) -> OnBehalf {
        OnBehalf {
            run: RUN.to_owned(),
            short_run: "be4c".to_owned(),
            instance: self.instance.project.clone(),
            gently: false,
        }
    }

    /// The statement alone, as a person would type it.
    fn bare(&self) -> Took {
        let sql = format!("CREATE DATABASE bare WITH TEMPLATE {NAME} STRATEGY FILE_COPY");
        let (copy, _) = timed(|| self.psql(&sql));
        let back = "ALTER DATABASE bare RENAME TO bare_2";
        let (back, _) = timed(|| self.psql(back));
        self.psql("DROP DATABASE bare_2");
        Took {
            copy,
            back,
            bytes: self.database.bytes,
            ..Took::default()
        }
    }

    fn clone_of_ours(&self) -> Took {
        let (server, database) = (&self.postgres, &self.database);
        let (clone, original) = ("bench_clone", "bench_before");
        let (copy, ()) = timed(|| self.wait(server.clone_to(database, &none(), clone, LIMIT)));
        let (proof, seen) = timed(|| self.wait(server.compare_clone(database, &none(), clone)));
        self.wait(server.swap(database, &none(), clone, original));
        let (back, ()) =
            timed(|| self.wait(server.swap(database, &none(), original, "bench_damaged")));
        self.wait(server.ensure_dropped(database, &none(), "bench_damaged"));
        Took {
            copy,
            proof,
            back,
            bytes: seen.bytes,
        }
    }

    fn logical(&self) -> Took {
        let (server, database) = (&self.postgres, &self.database);
        let on_behalf = self.on_behalf();
        let root = self.dir.join("bench-state");
        drop(fs::remove_dir_all(&root));
        let files = StateDir::open(&root).unwrap();
        let (copy, (rows, bytes)) = timed(|| {
            let rows = self.wait(server.row_counts(database, &none(), LIMIT));
            let dir = files.begin_snapshot(RUN).unwrap();
            self.wait(server.dump(database, &none(), &on_behalf, &dir, LIMIT));
            let (_, bytes) = files.seal_snapshot(&dir, manifest(&rows)).unwrap();
            (rows, bytes)
        });
        let (proof, dir) = timed(|| {
            let (dir, _) = files.open_snapshot(RUN).unwrap().unwrap();
            let counted = self.wait(server.count_dump(database, &on_behalf, &dir, LIMIT));
            assert_eq!(counted, rows);
            dir
        });
        let (restored, damaged) = ("bench_restored_x", "bench_damaged_x");
        let (back, ()) = timed(|| {
            let counted =
                self.wait(server.restore(database, &none(), &on_behalf, &dir, restored, LIMIT));
            assert_eq!(counted, rows);
            self.wait(server.swap(database, &none(), restored, damaged));
        });
        self.wait(server.ensure_dropped(database, &none(), damaged));
        drop(shell::attempt(
            "docker",
            ["rm", "-f", "mastopatch_toolbox_be4c"],
        ));
        fs::remove_dir_all(&root).unwrap();
        Took {
            copy,
            proof,
            back,
            bytes,
        }
    }

    /// Its proof is a restore into another database, which is also its way back.
    fn dump(&self) -> Took {
        let tool = [
            "pg_dump",
            "-U",
            "mastodon",
            "-Fc",
            "-f",
            "/var/tmp/bench.dump",
            NAME,
        ];
        let (copy, _) = timed(|| self.inside(&tool));
        let bytes = self.inside(&["stat", "-c", "%s", "/var/tmp/bench.dump"]);
        self.psql("CREATE DATABASE bench_fc TEMPLATE template0");
        let tool = [
            "pg_restore",
            "-U",
            "mastodon",
            "-j",
            "2",
            "-d",
            "bench_fc",
            "/var/tmp/bench.dump",
        ];
        let (proof, _) = timed(|| self.inside(&tool));
        self.psql("DROP DATABASE bench_fc");
        self.inside(&["rm", "/var/tmp/bench.dump"]);
        Took {
            copy,
            proof,
            back: proof,
            bytes: bytes.trim().parse().unwrap(),
        }
    }

    fn base_backup(&self) -> Took {
        let to = "/var/tmp/bench.base";
        let tool = [
            "pg_basebackup",
            "-h",
            "127.0.0.1",
            "-U",
            "mastodon",
            "-c",
            "fast",
            "-D",
            to,
        ];
        let (copy, _) = timed(|| self.inside(&tool));
        let (proof, _) = timed(|| self.inside(&["pg_verifybackup", "-q", to]));
        let bytes = self.inside(&["du", "-sb", to]);
        let (back, _) = timed(|| {
            self.inside(&[
                "sh",
                "-c",
                "cp -a /var/tmp/bench.base /var/tmp/bench.back && sync -f /var/tmp",
            ])
        });
        self.inside(&["rm", "-rf", to, "/var/tmp/bench.back"]);
        Took {
            copy,
            proof,
            back,
            bytes: first_number(&bytes),
        }
    }

    /// The physical limit: files are copied, and nobody looks at them.
    fn copied_folder(&self) -> Took {
        let (from, to) = (
            self.instance.dir.join("postgres14"),
            self.dir.join("bench-folder"),
        );
        self.instance.compose(&["stop", "-t", "60", "db"]);
        let (copy, ()) = timed(|| copy_folder(&from, &to));
        let back_to = self.dir.join("bench-folder-back");
        let (back, ()) = timed(|| copy_folder(&to, &back_to));
        let bytes = first_number(&shell::run("du", ["-sb", &text(&to)]));
        shell::run("rm", ["-rf", &text(&to), &text(&back_to)]);
        self.start_database();
        Took {
            copy,
            back,
            bytes,
            ..Took::default()
        }
    }

    fn restic(&self) -> Took {
        let (from, repository) = (
            self.instance.dir.join("postgres14"),
            self.dir.join("bench-restic"),
        );
        let restic = |args: &[&str]| {
            let repository = text(&repository);
            let all = ["--insecure-no-password", "-q", "-r", &repository];
            if shell::attempt("restic", all.iter().chain(args)).is_ok() {
                return;
            }
            // Before 0.17 it wants a password.
            let script = "RESTIC_PASSWORD=bench exec restic -q -r \"$0\" \"$@\"";
            shell::run("sh", ["-c", script, &repository].iter().chain(args));
        };
        restic(&["init"]);
        self.instance.compose(&["stop", "-t", "60", "db"]);
        let (copy, ()) = timed(|| restic(&["backup", &text(&from)]));
        self.start_database();
        let (proof, ()) = timed(|| restic(&["check", "--read-data"]));
        let target = self.dir.join("bench-restic-back");
        let (back, ()) = timed(|| restic(&["restore", "latest", "--target", &text(&target)]));
        let bytes = first_number(&shell::run("du", ["-sb", &text(&repository)]));
        shell::run("rm", ["-rf", &text(&repository), &text(&target)]);
        Took {
            copy,
            proof,
            back,
            bytes,
        }
    }

    /// One run of each method that has to go back: its own journal's times, and its peak memory.
    fn real_runs(&self, size: &str) {
        self.instance.compose(&["up", "-d"]);
        self.instance.wait_healthy(FROM);
        let github = GitHub::with_releases(&[FROM, BROKEN]);
        for method in ["clone", "logical"] {
            let mut product =
                Product::configure(&self.instance, &github.base_url()).newcomer(method);
            product.change(|settings| {
                settings.snapshot = method.to_owned();
                settings.migrate_timeout = "10m".to_owned();
            });
            let mut applying = product.spawn(&["apply", "--to", BROKEN, "--yes"]);
            let pid = applying.pid();
            let mut peak = 0;
            while applying.ended().is_none() {
                peak = peak.max(peak_kib(pid));
                std::thread::sleep(LOOK_EVERY);
            }
            let finished = applying.finish(LIMIT);
            assert_eq!(finished.code, Some(20), "{finished}");
            let run = product.last_run();
            let ms = |name: &str| {
                let steps = run["steps"].as_array().expect("steps").iter();
                let mut found = steps.filter(|step| step["step"] == name);
                found
                    .next()
                    .and_then(|step| step["elapsed_ms"].as_f64())
                    .unwrap_or(f64::NAN)
                    / 1_000.0
            };
            println!(
                "a real run of `{method}` at {size}: fence {:.1} s, snapshot {:.1} s, prove {:.1} s, restore-data {:.1} s; peak memory \
                 {:.1} MiB (wanted: 64)",
                ms("fence"),
                ms("snapshot"),
                ms("prove"),
                ms("restore-data"),
                f64::from(peak) / 1_024.0
            );
            shell::run("rm", ["-rf", &text(&product.state_dir())]);
        }
    }

    fn wait<T, E: std::fmt::Display>(&self, future: impl Future<Output = Result<T, E>>) -> T {
        self.runtime
            .block_on(future)
            .unwrap_or_else(|err| panic!("{err}"))
    }

    fn inside(&self, command: &[&str]) -> String {
        let args = ["exec", &self.database.container];
        shell::run("docker", args.iter().chain(command))
    }

    fn psql(&self, sql: &str) -> String {
        self.inside(&["psql", "-U", "mastodon", "-d", "postgres", "-Atc", sql])
    }

    fn start_database(&self) {
        self.instance.compose(&["start", "db"]);
        support::eventually("PostgreSQL takes connections", LIMIT, || {
            let asks = [
                "exec",
                &self.database.container,
                "psql",
                "-U",
                "mastodon",
                "-d",
                NAME,
                "-Atc",
                "SELECT 1",
            ];
            shell::attempt("docker", asks)
        });
    }
}

const BARE: &str = "CREATE DATABASE ... FILE_COPY";
const CLONE: &str = "mastopatch, clone";
const LOGICAL: &str = "mastopatch, logical";
const DUMP: &str = "pg_dump -Fc; pg_restore -j 2";
const BASE: &str = "pg_basebackup; pg_verifybackup";
const COPY: &str = "cp -a of the stopped server";
const RESTIC: &str = "restic of the stopped server";

fn none() -> SecretString {
    SecretString::from("")
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let done = work();
    (started.elapsed().as_secs_f64(), done)
}

fn median(all: &[Took]) -> Took {
    let of = |part: fn(&Took) -> f64| {
        let mut values: Vec<f64> = all.iter().map(part).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Took {
        copy: of(|one| one.copy),
        proof: of(|one| one.proof),
        back: of(|one| one.back),
        bytes: all[0].bytes,
    }
}

fn copy_folder(from: &Path, to: &Path) {
    shell::run("cp", ["-a", &text(from), &text(to)]);
    shell::run("sync", ["-f", &text(to)]);
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn first_number(text: &str) -> u64 {
    let first = text.split_whitespace().next();
    first
        .and_then(|it| it.parse().ok())
        .expect("a number first")
}

/// The most memory that a process has had so far, in KiB; 0 once it is gone.
fn peak_kib(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

fn manifest(rows: &BTreeMap<String, u64>) -> Manifest {
    Manifest {
        format: MANIFEST_FORMAT,
        run: RUN.to_owned(),
        instance: "bench".to_owned(),
        version: FROM.to_owned(),
        taken_at: jiff::Timestamp::now(),
        images: BTreeMap::new(),
        method: "bench".to_owned(),
        original: None,
        hot: false,
        postgres: 0,
        schema: [].into(),
        rows: rows.clone(),
        redis_keys: 0,
        files: BTreeMap::new(),
    }
}
