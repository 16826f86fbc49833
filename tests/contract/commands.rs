//! What is in a container: commands, what it wrote, files.

use std::time::Duration;

use mastopatch::ports::runtime::{ContainerRuntime, Exec, RuntimeError};

use super::{Bench, Does, MINUTE, Says, created, is_missing, is_refused, look, spec, started};

pub(crate) async fn a_command_inside_gives_its_code_and_both_streams(bench: &impl Bench) {
    let engine = bench.runtime();
    let id = started(bench, "toolbox", &Does::runs()).await;
    let run = async |command: &[String], limit| {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let exec = Exec {
            command: &command,
            env: &[("SECRET", "s3")],
            limit,
        };
        engine.exec(&id, exec).await
    };
    let does = Does::ends(3)
        .saying(Says::Out("out"))
        .saying(Says::Variable("SECRET"))
        .saying(Says::Err("err"));
    let done = run(&bench.command(&does), MINUTE).await.unwrap();
    let found = (done.exit, &*done.stdout, &*done.stderr);
    assert_eq!(found, (3, "out\ns3\n", "err\n"));

    let missing = run(&["/no/such/program".to_owned()], MINUTE).await;
    let is_good = matches!(&missing, Ok(done) if done.exit == 0);
    assert!(!is_good, "{missing:?}");

    let limit = Duration::from_secs(1);
    let long = Does::ends(0).lasting(Duration::from_secs(30));
    let err = run(&bench.command(&long), limit).await.unwrap_err();
    assert!(matches!(err, RuntimeError::TimedOut { .. }), "{err:?}");

    engine.ensure_stopped(&id, Duration::ZERO).await.unwrap();
    let command = bench.command(&Does::ends(0));
    let err = run(&command, MINUTE).await.unwrap_err();
    assert!(is_refused(&err), "{err:?}");
    engine.ensure_removed(&id).await.unwrap();
    let err = run(&command, MINUTE).await.unwrap_err();
    assert!(is_missing(&err, "container"), "{err:?}");
}

pub(crate) async fn logs_are_the_last_lines_of_both_streams(bench: &impl Bench) {
    let engine = bench.runtime();
    let lines = [
        Says::Out("1"),
        Says::Err("e1"),
        Says::Out("2"),
        Says::Err("e2"),
        Says::Out("3"),
        Says::Err("e3"),
    ];
    let does = lines.into_iter().fold(Does::ends(0), Does::saying);
    let id = started(bench, "new", &does).await;
    assert_eq!(engine.wait(&id, MINUTE).await.unwrap(), 0);
    assert_eq!(engine.logs(&id, 3).await.unwrap(), "e2\n3\ne3\n");
    // What an earlier start wrote stays before it.
    engine.ensure_running(&id).await.unwrap();
    assert_eq!(engine.wait(&id, MINUTE).await.unwrap(), 0);
    let all = engine.logs(&id, 100).await.unwrap();
    assert_eq!(all, "1\ne1\n2\ne2\n3\ne3\n".repeat(2));
}

pub(crate) async fn files_of_a_container_are_listed_whether_it_runs_or_not(bench: &impl Bench) {
    let engine = bench.runtime();
    let id = created(bench, "new", &spec(bench, "new", &Does::runs())).await;
    for runs in [false, true] {
        if runs {
            engine.ensure_running(&id).await.unwrap();
        }
        let files = engine.files_in_container(&id, "/etc").await.unwrap();
        assert!(files.iter().any(|name| name == "passwd"), "{files:?}");
        let none = engine.files_in_container(&id, "/no/such").await.unwrap();
        assert!(none.is_empty(), "{none:?}");
        assert_eq!(look(bench, &id).await.state.running, runs);
    }
}
