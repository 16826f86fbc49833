//! The engine's answers that a real engine gives only on a bad day, from a made-up one.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;

#[test]
fn both_sides_speak_the_newest_version_they_share() {
    assert_eq!(agree((1, 12), (1, 41), &json!({})).unwrap(), (1, 41));
    assert_eq!(agree((1, 44), (1, 60), &json!({})).unwrap(), API_MAX);
    assert!(agree((1, 12), (1, 40), &json!({})).is_err());
    assert!(agree((1, 99), (1, 120), &json!({})).is_err());
}

#[test]
fn podman_is_refused_by_name() {
    let said = json!({"Components": [{"Name": "Podman Engine"}]});
    let err = agree((1, 24), (1, 41), &said).unwrap_err();
    let why = std::error::Error::source(&err).unwrap().to_string();
    assert!(why.contains("Podman"), "{why}");
}

#[tokio::test]
async fn a_missing_socket_is_named() {
    let socket = Path::new("/nonexistent/docker.sock");
    let err = Engine::connect(socket).await.unwrap_err();
    assert!(matches!(err, RuntimeError::Unreachable { .. }));
    assert!(err.to_string().contains("/nonexistent/docker.sock"));
}

/// How a request is answered.
#[derive(Clone)]
enum Answer {
    /// With this status and text.
    Text(u16, String),
    /// Not at all: the connection is closed.
    Cut,
}

/// An engine that knows these answers, by the beginning of `METHOD PATH` without the version; each is
/// given once, in order. It notes down every request line.
struct Fake {
    engine: Engine,
    asked: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

async fn fake(answers: &[(&str, Answer)]) -> Fake {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut left: Vec<_> = answers
        .iter()
        .map(|(start, answer)| ((*start).to_owned(), answer.clone()))
        .collect();
    let version =
        json!({"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"});
    left.push((
        "GET /version".to_owned(),
        Answer::Text(200, version.to_string()),
    ));
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let line = request_line(&mut stream).await;
            noted.lock().unwrap().push(line.clone());
            let line = line.replacen("/v1.41", "", 1);
            let found = left
                .iter()
                .position(|(start, _)| line.starts_with(start.as_str()));
            match found.map(|idx| left.remove(idx).1) {
                Some(Answer::Text(status, text)) => {
                    let head = format!(
                        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        text.len()
                    );
                    stream.write_all((head + &text).as_bytes()).await.unwrap();
                }
                Some(Answer::Cut) => {}
                None => stream
                    .write_all(b"HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n")
                    .await
                    .unwrap(),
            }
        }
    });
    Fake {
        engine: Engine::connect(&socket).await.unwrap(),
        asked,
        _dir: dir,
    }
}

async fn request_line(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut bytes = [0; 4096];
        let n = stream.read(&mut bytes).await.unwrap();
        assert!(n > 0, "half a request");
        head.extend_from_slice(&bytes[..n]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    text.lines().next().unwrap().to_owned()
}

fn container(status: &str) -> Answer {
    let state = json!({"Status": status, "Running": status == "running", "ExitCode": 3});
    let labels = json!({"org.mastopatch.run": "r", "org.mastopatch.role": "new"});
    let raw = json!({"Id": "c1", "Name": "/m", "State": state, "Config": {"Labels": labels}});
    Answer::Text(200, raw.to_string())
}

fn no(status: u16, message: &str) -> Answer {
    Answer::Text(status, json!({"message": message}).to_string())
}

fn spec() -> ContainerSpec {
    ContainerSpec {
        body: json!({"Labels": {"org.mastopatch.run": "r", "org.mastopatch.role": "new"}}),
        more_networks: Vec::new(),
    }
}

const INSPECT: &str = "GET /containers/";
const GONE: (u16, &str) = (404, "No such container: m");

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_found() {
    for lost in [Answer::Cut, no(409, "name in use")] {
        let fake = fake(&[
            (INSPECT, no(GONE.0, GONE.1)),
            ("POST /containers/create?name=m", lost),
            (INSPECT, container("created")),
        ])
        .await;
        assert_eq!(
            fake.engine.ensure_created("m", &spec()).await.unwrap(),
            "c1"
        );
    }
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_and_that_is_not_there_stays_open() {
    let fake = fake(&[
        (INSPECT, no(GONE.0, GONE.1)),
        ("POST /containers/create", Answer::Cut),
        (INSPECT, no(GONE.0, GONE.1)),
    ])
    .await;
    let err = fake.engine.ensure_created("m", &spec()).await.unwrap_err();
    assert!(matches!(err, RuntimeError::Unknown { .. }), "{err:?}");
}

#[tokio::test]
async fn a_stop_whose_answer_was_lost_is_looked_up() {
    for (found, is_good) in [("exited", true), ("running", false)] {
        let fake = fake(&[
            (INSPECT, container("running")),
            ("POST /containers/c1/stop?t=2", Answer::Cut),
            (INSPECT, container(found)),
        ])
        .await;
        let grace = Duration::from_millis(1500);
        match fake.engine.ensure_stopped("c1", grace).await {
            Ok(()) => assert!(is_good),
            Err(err) => assert!(
                !is_good && matches!(err, RuntimeError::Unknown { .. }),
                "{err:?}"
            ),
        }
    }
}

#[tokio::test]
async fn a_wait_that_was_cut_takes_the_state_for_the_answer() {
    let fake = fake(&[
        ("POST /containers/c1/wait", Answer::Cut),
        (INSPECT, container("exited")),
    ])
    .await;
    assert_eq!(fake.engine.wait("c1", CALL_LIMIT).await.unwrap(), 3);
}

#[tokio::test]
async fn a_removal_under_way_is_waited_for() {
    let fake = fake(&[
        (
            "DELETE /containers/c1?force=1&v=0",
            no(409, "removal is already in progress"),
        ),
        (
            "POST /containers/c1/wait?condition=removed",
            no(404, "No such container: c1"),
        ),
    ])
    .await;
    fake.engine.ensure_removed("c1").await.unwrap();
}

#[tokio::test]
async fn an_error_inside_a_good_pull_stream_is_an_error() {
    type Sort = fn(&RuntimeError) -> bool;
    let sorts: &[(&str, Sort)] = &[
        ("manifest for a:b not found: manifest unknown", |err| {
            matches!(err, RuntimeError::NoSuchImage { .. })
        }),
        (
            "no matching manifest for linux/arm64 in the manifest list entries",
            |err| matches!(err, RuntimeError::NoSuchImage { .. }),
        ),
        ("dial tcp: connection refused", |err| {
            matches!(err, RuntimeError::Registry { .. })
        }),
        (
            "toomanyrequests: You have reached your pull rate limit. access denied",
            |err| matches!(err, RuntimeError::Registry { .. }),
        ),
        ("write /x: no space left on device", |err| {
            matches!(err, RuntimeError::Engine { .. })
        }),
    ];
    for (message, is_right) in sorts {
        let lines = format!(
            "{}\r\n{}\r\n",
            json!({"status": "Downloading", "id": "l", "progressDetail": {"current": 1, "total": 2}}),
            json!({"errorDetail": {"message": message}, "error": message}),
        );
        let fake = fake(&[
            ("GET /images/a/b@sha256:0/json", no(404, "no such image")),
            ("POST /images/create?", Answer::Text(200, lines)),
        ])
        .await;
        let pulled = fake
            .engine
            .ensure_image("a/b", "sha256:0", CALL_LIMIT, &|_| {})
            .await;
        let err = pulled.unwrap_err();
        assert!(is_right(&err), "{message}: {err:?}");
    }
}

#[tokio::test]
async fn a_pull_that_says_done_without_the_image_is_an_error() {
    let other = json!({"Id": "sha256:1", "RepoDigests": ["a/b@sha256:9"]}).to_string();
    for after in [no(404, "no such image"), Answer::Text(200, other)] {
        let image = "GET /images/a/b@sha256:0/json";
        let fake = fake(&[
            (image, no(404, "no such image")),
            ("POST /images/create?", Answer::Text(200, String::new())),
            (image, after),
        ])
        .await;
        let pulled = fake
            .engine
            .ensure_image("a/b", "sha256:0", CALL_LIMIT, &|_| {})
            .await;
        let err = pulled.unwrap_err();
        assert!(matches!(err, RuntimeError::Engine { .. }), "{err:?}");
    }
}

#[tokio::test]
async fn every_request_names_the_version_agreed_on() {
    let fake = fake(&[]).await;
    let _refused = fake.engine.container("c1").await;
    let _refused = fake.engine.logs("c1", 5).await;
    let asked = fake.asked.lock().unwrap().clone();
    assert!(asked[0].starts_with("GET /version "), "{asked:?}");
    assert!(
        asked[1].starts_with("GET /v1.41/containers/c1/json"),
        "{asked:?}"
    );
    assert!(
        asked[2].starts_with("GET /v1.41/containers/c1/logs?"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn the_files_of_a_container_are_read_without_making_anything() {
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["migrate/20240101000000_a.rb", "migrate/old/b.rb"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_path(name).unwrap();
        header.set_cksum();
        tar.append(&header, std::io::empty()).unwrap();
    }
    let archive = String::from_utf8(tar.into_inner().unwrap()).unwrap();
    let fake = fake(&[
        (
            "GET /containers/abc/archive?path=%2Fapp%2Fmigrate%2F.",
            Answer::Text(200, archive),
        ),
        (
            "GET /containers/abc/archive",
            Answer::Text(404, json!({"message": "no such path"}).to_string()),
        ),
    ])
    .await;
    let files = fake.engine.files_in_container("abc", "/app/migrate").await;
    assert_eq!(files.unwrap(), ["20240101000000_a.rb"]);
    let none = fake.engine.files_in_container("abc", "/no/such").await;
    assert_eq!(none.unwrap(), Vec::<String>::new());
    let asked = fake.asked.lock().unwrap();
    assert!(
        asked.iter().all(|line| line.starts_with("GET ")),
        "{asked:?}"
    );
}
