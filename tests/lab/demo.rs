//! `make demo`: three updates of a practice Mastodon on a real engine, told as they happen.
//!
//! First a security patch without migrations, then a minor release that rewrites data, then a release whose
//! migration breaks half-way. Somebody posts all the time. Ends with 1 when a proof fails.

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

#[path = "../support/mod.rs"]
mod support;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::dump::Dump;
use support::github::GitHub;
use support::lab::{Instance, InstanceOptions, Lab, sweep};
use support::panics;
use support::product::{Finished, Product};
use support::world;
use support::writer::{Writer, WriterReport};

/// What `mastopatch` prints stands after this.
const OUTPUT: &str = "      | ";
/// A mail's lines stand after this.
const MAIL: &str = "      > ";
/// What the product and the writer measure may differ by so much: the writer posts every 150 ms, and a
/// post that was taken before the stop is answered after the product began to count.
const TOLERANCE_MS: u64 = 3000;

fn main() -> ExitCode {
    STARTED.get_or_init(Instant::now);
    panics::listen();
    if let Ok(proofs) = panic::catch_unwind(story) {
        return conclude(&proofs);
    }
    println!("\nThe demo could not go on: {}", panics::take());
    ExitCode::FAILURE
}

fn story() -> Vec<Proof> {
    let lab = Lab::from_env();
    sweep(&lab);
    println!(
        "mastopatch, shown on a practice Mastodon: Docker Engine, PostgreSQL, Redis, Rails, Sidekiq and a"
    );
    println!(
        "streaming server are real, and so are the registry and the mail server. GitHub is a local server"
    );
    println!(
        "that answers like its REST API. Times in front of the lines are seconds since the start.\n"
    );
    say("starting two sites: the first at v4.3.20 (acts 1 and 2), the second at v4.5.8 (act 3)");
    let for_second = lab.clone();
    let second = std::thread::spawn(move || {
        let options = InstanceOptions::at("v4.5.8").seeded(1000, 10_000);
        panic::catch_unwind(|| site(&for_second, &options)).map_err(|_payload| panics::take())
    });
    let first = site(&lab, &InstanceOptions::at("v4.3.20").seeded(1000, 10_000));
    say("the first site serves");
    let mut proofs = act_1(&first);
    proofs.extend(act_2(&first));
    say("removing the first site");
    drop(first);
    say("waiting until the second site serves");
    let second = second
        .join()
        .expect("thread")
        .unwrap_or_else(|why| panic!("the second site could not be started: {why}"));
    proofs.extend(act_3(&second));
    say("removing the second site");
    drop(second);
    proofs.push(Proof::of(
        "nothing is left: no container, network or image tag of a run",
        || {
            let mut left: Vec<String> = support::lab::containers("label=org.mastopatch.run")
                .into_iter()
                .map(|container| container.name)
                .collect();
            left.extend(world::networks("label=org.mastopatch.run"));
            left.extend(world::keep_tags());
            assert!(left.is_empty(), "left: {left:?}");
        },
    ));
    proofs
}

fn act_1(site: &Site) -> Vec<Proof> {
    heading("Act 1. A security patch: v4.3.20 -> v4.3.21, no migrations (class M0)");
    site.github.show(&["v4.3.20", "v4.3.21"]);
    update(site, "v4.3.20", "v4.3.21", "M0")
}

fn act_2(site: &Site) -> Vec<Proof> {
    heading("Act 2. A minor release that rewrites data: v4.3.21 -> v4.4.15 (class M2)");
    site.github
        .show(&["v4.3.21", "v4.4.0", "v4.4.14", "v4.4.15"]);
    let user = "SELECT min(id) FROM users";
    say("a user's row, a status and the tags before:");
    let settings = site.instance.sql(&format!(
        "SELECT left(replace(settings, E'\\n', ' '), 90) FROM users WHERE id = ({user})"
    ));
    println!("      users.settings     {settings} ...");
    println!(
        "      statuses.language  {} rows are empty",
        site.instance
            .sql("SELECT count(*) FROM statuses WHERE language IS NULL")
    );
    println!(
        "      tags               {} rows",
        site.instance.sql("SELECT count(*) FROM tags")
    );
    let texts = "SELECT count(*), md5(string_agg(id || text, ',' ORDER BY id)) FROM statuses WHERE text NOT LIKE 'writer%'";
    let texts_before = site.instance.sql(texts);
    let mut proofs = update(site, "v4.3.21", "v4.4.15", "M2");
    say("the same after:");
    let preferences = site.instance.sql(&format!(
        "SELECT left(preferences::text, 90) FROM users WHERE id = ({user})"
    ));
    println!("      users.preferences  {preferences} ...");
    println!(
        "      statuses.language  {} rows are empty",
        site.instance
            .sql("SELECT count(*) FROM statuses WHERE language IS NULL")
    );
    println!(
        "      tags               {} rows",
        site.instance.sql("SELECT count(*) FROM tags")
    );
    proofs.push(Proof::of("data rewritten: users.settings and accounts.silenced are gone, no language is empty", || {
        let columns = "SELECT count(*) FROM information_schema.columns WHERE (table_name, column_name) IN (('users', 'settings'), ('accounts', 'silenced'))";
        assert_eq!(site.instance.sql(columns), "0", "columns left");
        assert_eq!(site.instance.sql("SELECT count(*) FROM statuses WHERE language IS NULL"), "0", "empty languages");
    }));
    proofs.push(Proof::of("every older status has the text it had", || {
        assert_eq!(site.instance.sql(texts), texts_before)
    }));
    proofs
}

/// One good update, from the question what is new to the proofs.
fn update(site: &Site, from: &str, to: &str, class: &str) -> Vec<Proof> {
    let mails = site.product.mailbox.all().len();
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(10);
    say(&format!(
        "somebody posts several times a second; {} posts acknowledged so far",
        writer.count()
    ));
    let checked = command(site, &["check"]);
    let planned = command(site, &["plan", "--to", to]);
    let applied = command(site, &["apply", "--to", to, "--yes"]);
    let serving = Proof::of(
        &format!("{to} serves, with web, streaming and Sidekiq of one version"),
        || {
            site.instance.wait_healthy(to);
            world::assert_one_version(&site.instance, to);
        },
    );
    if serving.holds {
        writer.wait_for_more(10);
    }
    let report = writer.stop();
    let offered = if class == "M0" {
        ended(&checked, 10, "`check` says that an update is available")
    } else {
        ended(&checked, 11, "`check` says that a person must look first")
    };
    let mut proofs = vec![
        offered,
        ended(&planned, 0, "`plan` makes a plan"),
        ended(&applied, 0, "`apply` says: committed"),
        serving,
    ];
    proofs.push(Proof::of(
        &format!("the journal says committed, class {class}"),
        || {
            let run = world::assert_journal(&site.product, from, to, "committed");
            assert_eq!(run["class"], class, "class");
        },
    ));
    proofs.extend(downtime_and_writes(site, &report));
    proofs.push(Proof::of(
        &format!(
            "the compose file names {to}, and a person's `compose up -d` changes no container"
        ),
        || {
            world::assert_files_name(&site.instance, to);
            world::assert_up_changes_nothing(&site.instance);
        },
    ));
    proofs.push(Proof::of("nothing is left over from the run", || {
        world::assert_no_leftovers(&site.instance, &site.product)
    }));
    proofs.push(mail(site, mails, to));
    proofs
}

fn act_3(site: &Site) -> Vec<Proof> {
    let (from, to) = ("v4.5.8", "v4.6.1");
    heading("Act 3. A release whose migration breaks half-way: v4.5.8 -> v4.6.1");
    site.github.show(&[from, "v4.6.0", to]);
    let mails = site.product.mailbox.all().len();
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(10);
    say(&format!(
        "somebody posts several times a second; {} posts acknowledged so far",
        writer.count()
    ));
    say("taking a dump of the database, to compare afterwards");
    let before = site.instance.dump();
    let ids = container_ids(&site.instance);
    let files = site.instance.compose_text();
    let checked = command(site, &["check"]);
    let planned = command(site, &["plan", "--to", to]);
    let applied = command(site, &["apply", "--to", to, "--yes"]);
    let serving = Proof::of(
        &format!("{from} serves again, in the very containers that served before"),
        || {
            site.instance.wait_healthy(from);
            world::assert_one_version(&site.instance, from);
            assert_eq!(
                ids,
                container_ids(&site.instance),
                "containers before and after"
            );
            assert_eq!(
                files,
                site.instance.compose_text(),
                "compose file before and after"
            );
        },
    );
    if serving.holds {
        writer.wait_for_more(10);
    }
    let report = writer.stop();
    site.instance.wait_for_quiet_sidekiq();
    let after = site.instance.dump();
    let mut proofs = vec![
        ended(&checked, 11, "`check` says that a person must look first"),
        ended(&planned, 0, "`plan` makes a plan"),
        ended(&applied, 20, "`apply` says: rolled back"),
        serving,
        same_content(&before, &after),
    ];
    proofs.extend(downtime_and_writes(site, &report));
    proofs.push(Proof::of("the journal says rolled back, and why", || {
        let run = world::assert_journal(&site.product, from, to, "rolled_back");
        say(&format!("the journal's reason: {}", text(&run["reason"])));
    }));
    let reason = site.product.quarantine_reason(world::plain(to));
    say(&format!(
        "{to} is quarantined: {}",
        reason.as_deref().unwrap_or("no, it is not")
    ));
    command(site, &["check"]);
    proofs.push(Proof::of(
        &format!("{to} is quarantined with a reason, and `check` does not offer it any more"),
        || {
            world::assert_quarantined(&site.product, to);
        },
    ));
    proofs.push(Proof::of("nothing is left over from the run", || {
        world::assert_no_leftovers(&site.instance, &site.product)
    }));
    proofs.push(mail(site, mails, to));
    proofs
}

/// Compares the dumps: what was there is there, unchanged, and what came on top are new statuses.
fn same_content(before: &Dump, after: &Dump) -> Proof {
    let all = before.difference(after);
    let rest = all.clone().without_new_statuses();
    let posted = all.added.get("table public.statuses").map_or(0, Vec::len);
    let lines = before.text().lines().count();
    say(&format!(
        "dump before: {lines} lines, {} bytes, sha256 {}",
        before.len(),
        short(&before.sha256())
    ));
    say(&format!(
        "dump after:  {} lines, {} bytes, sha256 {}",
        after.text().lines().count(),
        after.len(),
        short(&after.sha256())
    ));
    say(&format!(
        "compared: {} lines lost or changed, {posted} statuses added by the posts meanwhile",
        rest.lost.values().map(Vec::len).sum::<usize>()
    ));
    Proof::of(
        "the database's content is what it was: every line of the old dump is in the new one, and only the posts made meanwhile came on top",
        || {
            assert!(rest.is_empty(), "{rest}");
        },
    )
}

fn downtime_and_writes(site: &Site, report: &WriterReport) -> Vec<Proof> {
    let run = site.product.last_run();
    let said = run["downtime_ms"].as_u64();
    let seen = u64::try_from(report.downtime.as_millis()).expect("short");
    say(&format!(
        "downtime: {:.1} s as the writer saw it (last acknowledged post to the next), {} as mastopatch measured it",
        report.downtime.as_secs_f64(),
        said.map_or_else(
            || "nothing".to_owned(),
            |ms| format!("{:.1} s", Duration::from_millis(ms).as_secs_f64())
        ),
    ));
    let missing = report.missing(&site.instance);
    say(&format!(
        "posts: {} acknowledged, {} refused and {} failed while the site was down; missing afterwards: {}",
        report.acknowledged.len(),
        report.refused,
        report.failed,
        missing.len()
    ));
    vec![
        Proof::of(
            &format!(
                "all {} acknowledged posts are in the database, with their text",
                report.acknowledged.len()
            ),
            || {
                assert!(missing.is_empty(), "missing: {missing:?}");
            },
        ),
        Proof::of("both agree on the downtime", || {
            let said = said.expect("the journal has no downtime");
            assert!(
                said.abs_diff(seen) <= TOLERANCE_MS,
                "{said} ms and {seen} ms"
            );
        }),
    ]
}

fn mail(site: &Site, known: usize, to: &str) -> Proof {
    let proof = Proof::of(
        "exactly one mail arrived, with a text and an HTML part",
        || {
            world::assert_one_mail(&site.product, known, to);
        },
    );
    for mail in site.product.mailbox.all().iter().skip(known) {
        say(&format!(
            "the mail as it arrived at {} (text part; it has an HTML part too):",
            mail.to
        ));
        println!("{MAIL}From: {}", mail.from);
        println!("{MAIL}Subject: {}", mail.subject);
        println!("{MAIL}");
        for line in mail.text.as_deref().unwrap_or_default().lines() {
            println!("{MAIL}{line}");
        }
    }
    proof
}

struct Site {
    instance: Instance,
    github: GitHub,
    product: Product,
}

fn site(lab: &Lab, options: &InstanceOptions) -> Site {
    let instance = Instance::start(lab, options);
    let github = GitHub::with_releases(&[&options.tag]);
    let product = Product::configure(&instance, &github.base_url());
    Site {
        instance,
        github,
        product,
    }
}

fn command(site: &Site, args: &[&str]) -> Finished {
    say(&format!("$ mastopatch {}", args.join(" ")));
    let finished = site.product.run_live(args, OUTPUT);
    let code = finished
        .code
        .map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
    say(&format!(
        "ended with {code} after {:.1} s",
        finished.elapsed.as_secs_f64()
    ));
    finished
}

fn ended(finished: &Finished, code: i32, sentence: &str) -> Proof {
    Proof::of(&format!("{sentence} (exit code {code})"), || {
        assert_eq!(finished.code, Some(code), "exit code")
    })
}

fn container_ids(instance: &Instance) -> Vec<(String, String)> {
    instance
        .containers()
        .into_iter()
        .map(|container| (container.name, container.id))
        .collect()
}

/// Something that was to be shown, and whether it was.
struct Proof {
    sentence: String,
    holds: bool,
}

impl Proof {
    fn of(sentence: &str, look: impl FnOnce()) -> Self {
        let holds = panic::catch_unwind(AssertUnwindSafe(look)).is_ok();
        if holds {
            println!("  ok  {sentence}");
        } else {
            println!("FAIL  {sentence}");
            for line in panics::take().lines().take(20) {
                println!("        {line}");
            }
        }
        Self {
            sentence: sentence.to_owned(),
            holds,
        }
    }
}

fn conclude(proofs: &[Proof]) -> ExitCode {
    let failed: Vec<&Proof> = proofs.iter().filter(|proof| !proof.holds).collect();
    println!();
    if failed.is_empty() {
        say(&format!("all {} proofs hold", proofs.len()));
        return ExitCode::SUCCESS;
    }
    say(&format!(
        "{} of {} proofs failed:",
        failed.len(),
        proofs.len()
    ));
    for proof in failed {
        println!("FAIL  {}", proof.sentence);
    }
    ExitCode::FAILURE
}

fn heading(title: &str) {
    println!("\n{title}\n{}\n", "=".repeat(title.len()));
}

fn say(words: &str) {
    let elapsed = STARTED.get_or_init(Instant::now).elapsed().as_secs();
    println!("{elapsed:>4}  {words}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn short(hash: &str) -> &str {
    hash.get(..16).unwrap_or(hash)
}

static STARTED: OnceLock<Instant> = OnceLock::new();
