//! Commands inside running containers, and what containers wrote.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::convert::text;
use super::wire::{WireError, escaped};
use super::{CALL_LIMIT, Engine};
use crate::ports::runtime::{EXEC_OUTPUT_MAX, Exec, ExecDone, RuntimeError, RuntimeResult};

/// How often the engine is asked for an exit code that it has not noted yet. It notes it within
/// milliseconds after the streams have closed.
const EXIT_POLL: Duration = Duration::from_millis(50);

/// Bytes of log kept, the newest. A line of the engine's own format has up to 16 KiB.
const LOG_MAX: usize = 1 << 20;

impl Engine {
    pub(super) async fn run_inside(&self, id: &str, exec: Exec<'_>) -> RuntimeResult<ExecDone> {
        let shown = exec.command.first().copied().unwrap_or("nothing");
        let action = format!("run `{shown}` in container {}", short(id));
        let body = json!({
            "AttachStdout": true, "AttachStderr": true, "Tty": false,
            "Cmd": exec.command,
            "Env": exec.env.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
        });
        let path = format!("/containers/{}/exec", escaped(id));
        let made = match self.wire.post(&path, Some(&body), CALL_LIMIT).await {
            Ok(made) => made,
            Err(err) if err.status() == Some(404) => {
                return Err(RuntimeError::NotFound {
                    what: "container",
                    name: id.to_owned(),
                });
            }
            // Nothing runs before the exec is started.
            Err(err) => return Err(self.asking(action, err)),
        };
        let exec_id = text(&made, "/Id");

        let unknown = |err: bollard::errors::Error| {
            let err = super::stream_error(err);
            self.changing(action.clone(), err)
        };
        let work = async {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let started = self.docker.start_exec(&exec_id, None).await;
            let StartExecResults::Attached { mut output, .. } = started.map_err(unknown)? else {
                return Err(RuntimeError::Unknown {
                    action: action.clone(),
                    source: Box::new(WireError::Nonsense("no streams".to_owned())),
                });
            };
            while let Some(chunk) = output.next().await {
                match chunk.map_err(unknown)? {
                    LogOutput::StdOut { message } => keep_first(&mut stdout, &message),
                    LogOutput::StdErr { message } => keep_first(&mut stderr, &message),
                    // Never without a terminal, save for a frame that a lost connection cut short: then
                    // the exit code below decides.
                    LogOutput::Console { .. } | LogOutput::StdIn { .. } => {}
                }
            }
            let exit = self.exit_code(&exec_id, &action).await?;
            Ok(ExecDone {
                exit,
                stdout: String::from_utf8_lossy(&stdout).into_owned(),
                stderr: String::from_utf8_lossy(&stderr).into_owned(),
            })
        };
        tokio::time::timeout(exec.limit, work)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(RuntimeError::TimedOut {
                    action: action.clone(),
                    limit: exec.limit,
                })
            })
    }

    /// The end of the streams is no proof of anything; only a command that no longer runs has a code.
    /// Ends with the caller's limit at the latest.
    async fn exit_code(&self, exec_id: &str, action: &str) -> RuntimeResult<i64> {
        let path = format!("/exec/{}/json", escaped(exec_id));
        let mut poll = tokio::time::interval(EXIT_POLL);
        loop {
            poll.tick().await;
            let now = match self.wire.get(&path, CALL_LIMIT).await {
                Ok(now) => now,
                Err(err) => {
                    return Err(RuntimeError::Unknown {
                        action: action.to_owned(),
                        source: Box::new(err),
                    });
                }
            };
            let running = now.pointer("/Running").and_then(Value::as_bool);
            let code = now.pointer("/ExitCode").and_then(Value::as_i64);
            if let (Some(false), Some(code)) = (running, code) {
                return Ok(code);
            }
        }
    }

    pub(super) async fn last_lines(&self, id: &str, max_lines: usize) -> RuntimeResult<String> {
        let action = format!("read the log of container {}", short(id));
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(&max_lines.to_string())
            .build();
        let read = async {
            let mut kept = Vec::new();
            let mut lines = self.docker.logs(&escaped(id), Some(options));
            while let Some(line) = lines.next().await {
                let line = line
                    .map_err(super::stream_error)
                    .map_err(|err| self.container_error("read the log of", id, err))?;
                kept.extend_from_slice(line.as_ref());
                if kept.len() > LOG_MAX {
                    kept.drain(..kept.len() - LOG_MAX);
                }
            }
            Ok(String::from_utf8_lossy(&kept).into_owned())
        };
        tokio::time::timeout(CALL_LIMIT, read)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(RuntimeError::TimedOut {
                    action: action.clone(),
                    limit: CALL_LIMIT,
                })
            })
    }
}

/// The first twelve characters of an id; a name as it is.
pub(super) fn short(id: &str) -> &str {
    match id.get(..12) {
        Some(start) if id.len() == 64 => start,
        Some(_) | None => id,
    }
}

fn keep_first(kept: &mut Vec<u8>, more: &[u8]) {
    let room = EXEC_OUTPUT_MAX.saturating_sub(kept.len());
    kept.extend_from_slice(more.get(..room).unwrap_or(more));
}
