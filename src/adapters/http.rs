//! HTTP probes: hyper over a plain TCP connection, one request each. Probes stay on this host, so there is
//! no TLS here.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::ports::probe::{Answer, BODY_MAX, Probe, ProbeError, Request};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Asks over TCP.
#[derive(Debug, Default)]
pub struct HttpProbe;

impl Probe for HttpProbe {
    async fn get(&self, request: Request<'_>) -> Result<Answer, ProbeError> {
        let Request {
            address,
            path,
            limit,
            ..
        } = request;
        match tokio::time::timeout(limit, exchange(&request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(ProbeError::NoAnswer {
                address,
                path: path.to_owned(),
                source,
            }),
            Err(_elapsed) => Err(ProbeError::TimedOut {
                address,
                path: path.to_owned(),
                limit,
            }),
        }
    }
}

async fn exchange(request: &Request<'_>) -> Result<Answer, BoxError> {
    let stream = TcpStream::connect(request.address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The connection ends with the sender; what it says then is no news.
    let connection = tokio::spawn(async move { drop(connection.await) });
    let wire = http::Request::get(request.path)
        .header(http::header::HOST, request.host)
        .header(
            http::header::USER_AGENT,
            concat!("mastopatch/", env!("CARGO_PKG_VERSION")),
        )
        .header("X-Forwarded-Proto", "https")
        // An address of its own, so that probes never eat the quota of the reverse proxy's address.
        .header("X-Forwarded-For", "127.0.0.2")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(wire).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), BODY_MAX)
        .collect()
        .await?
        .to_bytes();
    drop(sender);
    // Bounded: a peer that keeps the connection open is left to itself.
    drop(tokio::time::timeout(Duration::from_millis(100), connection).await);
    Ok(Answer {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
