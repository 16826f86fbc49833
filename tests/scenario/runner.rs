//! Runs scenarios in suites: the scenarios of a suite share an instance and run one after the other, suites
//! run side by side. Understands the arguments of the usual test harness that matter: names, `--exact`,
//! `--skip`, `--list`, `--test-threads`.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::github::GitHub;
use crate::support::lab::{Instance, InstanceOptions, Lab};
use crate::support::panics;
use crate::support::product::Product;

/// Stacks that run at the same time; three keep two cores busy without starving a boot.
const SIDE_BY_SIDE: usize = 3;

/// Why a scenario could not run on this machine.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

/// What a scenario returns; a failure is a panic.
pub(crate) type Verdict = Result<(), Skip>;

/// One scenario: a sentence and what it does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Stage) -> Verdict,
}

/// Makes a [`Scenario`] of a function; its name becomes the sentence.
macro_rules! scenarios {
    ($($run:ident),+ $(,)?) => {
        vec![$($crate::runner::Scenario { name: stringify!($run), run: $run }),+]
    };
}
pub(crate) use scenarios;

/// An instance with its GitHub and its configured product.
pub(crate) struct Site {
    pub(crate) instance: Instance,
    pub(crate) github: GitHub,
    pub(crate) product: Product,
}

/// What the scenarios of a suite share.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    site: Option<Site>,
}

impl Stage {
    /// The shared instance if it is at this tag, else a new one.
    pub(crate) fn site(&mut self, options: &InstanceOptions) -> &mut Site {
        let fits = |site: &Site| {
            site.instance.dotenv == options.dotenv
                && site.instance.shared_servers == options.shared_servers
                && site.instance.addresses == options.addresses
                && site
                    .instance
                    .shown_version()
                    .is_ok_and(|shown| shown == options.tag.trim_start_matches('v'))
        };
        if !self.site.as_ref().is_some_and(fits) {
            drop(self.site.take());
            let instance = Instance::start(&self.lab, options);
            let github = GitHub::with_releases(&[&options.tag]);
            let product = Product::configure(&instance, &github.base_url());
            self.site = Some(Site {
                instance,
                github,
                product,
            });
        }
        self.site.as_mut().expect("just made")
    }
}

struct Arguments {
    names: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
    threads: usize,
}

impl Arguments {
    fn read() -> Self {
        let mut read = Self {
            names: Vec::new(),
            skip: Vec::new(),
            exact: false,
            list: false,
            threads: SIDE_BY_SIDE,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--exact" => read.exact = true,
                "--list" => read.list = true,
                "--skip" => read.skip.extend(args.next()),
                "--test-threads" => {
                    read.threads = args
                        .next()
                        .and_then(|n| n.parse().ok())
                        .unwrap_or(SIDE_BY_SIDE)
                }
                "--format" | "-Z" | "--color" | "--logfile" => drop(args.next()),
                other => match other.strip_prefix("--test-threads=") {
                    Some(n) => read.threads = n.parse().unwrap_or(SIDE_BY_SIDE),
                    None if other.starts_with('-') => (),
                    None => read.names.push(arg),
                },
            }
        }
        read
    }

    fn wants(&self, name: &str) -> bool {
        let hit = |pattern: &String| {
            if self.exact {
                name == pattern
            } else {
                name.contains(pattern.as_str())
            }
        };
        (self.names.is_empty() || self.names.iter().any(hit)) && !self.skip.iter().any(hit)
    }
}

enum End {
    Ok,
    Failed(String),
    Skipped(String),
}

/// Runs what the arguments ask for; `closing` looks at the machine when everything is gone.
pub(crate) fn main(suites: Vec<Vec<Scenario>>, closing: fn() -> Result<(), String>) -> ExitCode {
    let arguments = Arguments::read();
    let mut queue: VecDeque<Vec<Scenario>> = suites
        .into_iter()
        .map(|suite| {
            suite
                .into_iter()
                .filter(|scenario| arguments.wants(scenario.name))
                .collect()
        })
        .filter(|suite: &Vec<Scenario>| !suite.is_empty())
        .collect();
    if arguments.list {
        queue
            .iter()
            .flatten()
            .for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    let total = queue.iter().map(Vec::len).sum::<usize>();
    if total == 0 {
        println!("no scenario has such a name");
        return ExitCode::SUCCESS;
    }
    let lab = Lab::from_env();
    crate::support::lab::sweep(&lab);
    println!(
        "\nrunning {total} scenarios on the engine at {}",
        lab.docker_host
    );
    panics::listen();
    let started = Instant::now();
    let workers = arguments.threads.clamp(1, queue.len());
    let queue = Mutex::new(std::mem::take(&mut queue));
    let ends: Mutex<Vec<(&'static str, End)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some(suite) = queue.lock().expect("queue").pop_front() else {
                        return;
                    };
                    run_suite(&lab, &suite, &ends);
                }
            });
        }
    });
    let mut ends = ends.into_inner().expect("ends");
    let closed = panic::catch_unwind(closing).unwrap_or_else(|_| Err(panics::take()));
    if let Err(left) = closed {
        ends.push(("nothing_is_left_on_the_machine", End::Failed(left)));
    }
    report(&ends, started.elapsed())
}

fn run_suite(lab: &Lab, suite: &[Scenario], ends: &Mutex<Vec<(&'static str, End)>>) {
    let mut stage = Stage {
        lab: lab.clone(),
        site: None,
    };
    for scenario in suite {
        let started = Instant::now();
        let end = match panic::catch_unwind(AssertUnwindSafe(|| (scenario.run)(&mut stage))) {
            Ok(Ok(())) => End::Ok,
            Ok(Err(Skip(reason))) => End::Skipped(reason),
            Err(_) => {
                // What a failed scenario leaves is nobody's "before".
                drop(stage.site.take());
                End::Failed(panics::take())
            }
        };
        let word = match &end {
            End::Ok => "ok",
            End::Failed(_) => "FAILED",
            End::Skipped(_) => "skipped",
        };
        let seconds = started.elapsed().as_secs_f64();
        // A failure is told at once, in one piece, and once more at the end.
        let why = if let End::Failed(why) = &end {
            format!("\n{why}\n")
        } else {
            String::new()
        };
        println!("test {} ... {word} ({seconds:.1} s){why}", scenario.name);
        ends.lock().expect("ends").push((scenario.name, end));
    }
}

fn report(ends: &[(&'static str, End)], elapsed: Duration) -> ExitCode {
    let (mut ok, mut failed, mut skipped) = (0, 0, 0);
    for (name, end) in ends {
        match end {
            End::Ok => ok += 1,
            End::Failed(why) => {
                failed += 1;
                println!("\n---- {name}\n{why}");
            }
            End::Skipped(_) => skipped += 1,
        }
    }
    for (name, end) in ends {
        if let End::Skipped(reason) = end {
            println!("\nskipped on this machine: {name}: {reason}");
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {ok} passed; {failed} failed; {skipped} skipped; finished in {:.0} s\n",
        elapsed.as_secs_f64()
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
