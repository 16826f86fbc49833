//! Plain JSON over the engine's socket.
//!
//! The engine's definitions go in and come out as they are: a typed client forgets the fields it does
//! not know and stumbles over enum values it has not heard of. One connection per request, as the
//! engine's own client does after an idle while; nothing is shared, nothing can go stale.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Bytes of one answer: the inspect of a container is some 10 KB, a list of thousands some MB.
const ANSWER_MAX: usize = 32 << 20;

/// Why a request got no good answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The socket cannot be opened: nothing was sent.
    #[error("failed to connect")]
    Connect(#[source] io::Error),
    /// The connection broke; the request may have been carried out.
    #[error("the connection broke")]
    Cut(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No whole answer in time; the request may have been carried out.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// The engine said no.
    #[error("{message} (status {code})")]
    Status {
        /// HTTP status.
        code: u16,
        /// What the engine wrote.
        message: String,
    },
    /// The answer is not what this request is answered with.
    #[error("the answer makes no sense: {0}")]
    Nonsense(String),
}

impl WireError {
    /// The status the engine answered with, if it answered.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            Self::Connect(_) | Self::Cut(_) | Self::Slow(_) | Self::Nonsense(_) => None,
        }
    }

    /// The engine's words when it answered 404: it uses that for more than what the path names.
    pub(super) fn missing(&self) -> Option<String> {
        match self {
            Self::Status { code: 404, message } => Some(message.to_ascii_lowercase()),
            Self::Status { .. }
            | Self::Connect(_)
            | Self::Cut(_)
            | Self::Slow(_)
            | Self::Nonsense(_) => None,
        }
    }

    /// Whether the engine may have done what was asked although it did not say so.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Cut(_) | Self::Slow(_) => true,
            Self::Connect(_) | Self::Status { .. } | Self::Nonsense(_) => false,
        }
    }
}

/// A way to the engine.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    socket: PathBuf,
    prefix: String,
}

impl Wire {
    /// A way to the socket, without an API version yet.
    pub(super) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            prefix: String::new(),
        }
    }

    /// The same way, speaking this API version.
    pub(super) fn pinned(&self, api: (u32, u32)) -> Self {
        Self {
            socket: self.socket.clone(),
            prefix: format!("/v{}.{}", api.0, api.1),
        }
    }

    /// Where it leads.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads. `path` starts with a slash and has its query.
    pub(super) async fn get(&self, path: &str, limit: Duration) -> Result<Value, WireError> {
        self.ask(Method::GET, path, None, limit).await
    }

    /// Changes something. An answer without a body is `Null`.
    pub(super) async fn post(
        &self,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Value, WireError> {
        self.ask(Method::POST, path, body, limit).await
    }

    /// Takes something away.
    pub(super) async fn delete(&self, path: &str, limit: Duration) -> Result<Value, WireError> {
        self.ask(Method::DELETE, path, None, limit).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Value, WireError> {
        tokio::time::timeout(limit, self.ask_unbounded(method, path, body))
            .await
            .map_err(|_elapsed| WireError::Slow(limit))?
    }

    async fn ask_unbounded(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, WireError> {
        let mut req = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(HOST, "docker");
        if body.is_some() {
            req = req.header(CONTENT_TYPE, "application/json");
        }
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let req = req
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|err| WireError::Nonsense(err.to_string()))?;

        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(WireError::Connect)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(cut)?;
        let answer = async {
            let answer = sender.send_request(req).await.map_err(cut)?;
            let code = answer.status();
            let bytes = Limited::new(answer.into_body(), ANSWER_MAX)
                .collect()
                .await
                .map_err(|err| match err.downcast::<LengthLimitError>() {
                    Ok(too_long) => WireError::Nonsense(too_long.to_string()),
                    Err(other) => WireError::Cut(other),
                })?
                .to_bytes();
            Ok((code, bytes))
        };
        // The connection has to be driven while the answer is awaited. Its own error is the answer's too.
        let drive = async {
            let _reported_by_the_answer = connection.await;
            std::future::pending::<()>().await;
        };
        let (code, bytes) = tokio::select! {
            biased;
            answer = answer => answer?,
            () = drive => return Err(WireError::Nonsense("no answer at all".to_owned())),
        };

        let value = if bytes.iter().all(u8::is_ascii_whitespace) {
            Value::Null
        } else {
            match serde_json::from_slice(&bytes) {
                Ok(value) => value,
                Err(_not_json) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
            }
        };
        if code.is_success() || code == hyper::StatusCode::NOT_MODIFIED {
            Ok(value)
        } else {
            let message = value
                .get("message")
                .and_then(Value::as_str)
                .or_else(|| value.as_str())
                .unwrap_or("no reason given")
                .trim()
                .to_owned();
            Err(WireError::Status {
                code: code.as_u16(),
                message,
            })
        }
    }
}

/// A name or value as it goes into a path segment or a query.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 0xf] {
                out.push(
                    char::from_digit(u32::from(nibble), 16)
                        .unwrap_or('0')
                        .to_ascii_uppercase(),
                );
            }
        }
    }
    out
}

/// An image reference as it goes into a path: the engine's router wants its slashes and colons bare.
pub(super) fn image_path(reference: &str) -> String {
    reference
        .split('/')
        .map(|part| escaped(part).replace("%3A", ":").replace("%40", "@"))
        .collect::<Vec<_>>()
        .join("/")
}

fn cut(err: hyper::Error) -> WireError {
    WireError::Cut(Box::new(err))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_keeps_its_slashes_and_a_query_value_does_not() {
        assert_eq!(
            image_path("127.0.0.1:5057/a/b@sha256:00"),
            "127.0.0.1:5057/a/b@sha256:00"
        );
        assert_eq!(image_path("a b?c/../d"), "a%20b%3Fc/../d");
        assert_eq!(
            escaped("{\"label\":[\"a=b\"]}"),
            "%7B%22label%22%3A%5B%22a%3Db%22%5D%7D"
        );
    }

    #[tokio::test]
    async fn a_socket_that_closes_without_an_answer_leaves_the_outcome_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            drop(stream);
        });
        let err = Wire::new(&path)
            .post("/x", None, Duration::from_secs(5))
            .await
            .unwrap_err();
        assert!(err.is_open(), "{err:?}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_says_nothing_is_left_after_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = tokio::net::UnixListener::bind(&path).unwrap();
        let err = Wire::new(&path)
            .get("/x", Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(matches!(err, WireError::Slow(_)), "{err:?}");
    }

    #[tokio::test]
    async fn a_missing_socket_means_that_nothing_was_sent() {
        let dir = tempfile::tempdir().unwrap();
        let err = Wire::new(&dir.path().join("none"))
            .get("/x", Duration::from_secs(5))
            .await
            .unwrap_err();
        assert!(!err.is_open(), "{err:?}");
    }
}
