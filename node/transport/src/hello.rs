//! The first exchange on every connection: who calls, in which version.
//!
//! A stranger, or a peer of another version, is told what is wrong before it is cut off. The
//! caller answers for the time this takes.

use std::time::Duration;

use tidegate_types::{NodeId, SiteName};
use tidegate_wire::{ErrorBody, ErrorCode, Hello, HelloReply, MAGIC, Open, VERSION};

use crate::connection::{Connection, OpenError, OpenedStream};
use crate::connector::ConnectError;
use crate::listener::AcceptError;
use crate::lost::{CloseCode, Lost};
use crate::stream::RecvError;

/// How long a refusal may take to reach the peer before the connection is closed over it.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// Longest program name taken from a peer for the log.
const MAX_SOFTWARE: usize = 200;

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalNode {
    /// Its id.
    pub node: NodeId,
    /// Its site.
    pub site: SiteName,
    /// Program and version.
    pub software: String,
}

/// The node that was reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// Its id.
    pub node: NodeId,
    /// Its site.
    pub site: SiteName,
    /// Program and version.
    pub software: String,
    /// Protocol version that both speak.
    pub version: u16,
    /// Features that both know.
    pub features: u64,
}

/// Introduces this end on a new connection.
///
/// # Errors
/// If the node refuses, is of another version, or is lost.
pub async fn say_hello(connection: &Connection, software: &str) -> Result<Welcome, ConnectError> {
    let hello = Open::Hello(Hello {
        magic: MAGIC,
        version: VERSION,
        features: 0,
        software: software.to_owned(),
    });
    let exchange = async {
        let (mut sender, mut receiver) = connection.open(&hello, &[]).await?;
        sender.finish();
        Ok::<_, OpenError>(receiver.recv::<HelloReply>().await?)
    };
    let reply = match exchange.await {
        Ok(reply) => reply,
        // The connection tells why it is gone better than the stream that was cut off with it.
        Err(error) => {
            return Err(match error.lost().cloned().or_else(|| connection.lost()) {
                Some(lost) => ConnectError::from_lost(lost),
                None => ConnectError::Hello { source: error },
            });
        }
    };
    match reply {
        Some((HelloReply::Welcome { version, features, node, site, software }, _)) => {
            if version != VERSION {
                let message = format!("the node answered in version {version}, not {VERSION}");
                connection.close(CloseCode::UnsupportedVersion, &message);
                let error = ErrorBody::new(ErrorCode::UnsupportedVersion, message);
                return Err(ConnectError::Refused { error });
            }
            Ok(Welcome { node, site, software, version, features })
        }
        Some((HelloReply::Refused(error), _)) => Err(ConnectError::Refused { error }),
        None => Err(ConnectError::Hello { source: OpenError::Empty }),
    }
}

/// Reads the hello on a new connection and answers it; gives what the caller said.
///
/// A caller that is refused gets the reason; then the connection is closed.
///
/// # Errors
/// If the caller sends something else, wants another version, or is lost.
pub async fn answer_hello(
    connection: &Connection,
    local: &LocalNode,
) -> Result<Hello, AcceptError> {
    let outcome = read_hello(connection).await;
    let (opened, hello) = match outcome {
        Ok(found) => found,
        Err(error) => {
            let (code, reason) = match &error {
                AcceptError::Hello { source: OpenError::TooSlow } => {
                    (CloseCode::TooSlow, "no hello within the time allowed".to_owned())
                }
                AcceptError::Hello {
                    source: OpenError::Recv { source: RecvError::Frame { source } },
                } => (CloseCode::BadFrame, format!("no hello of tidegate: {source}")),
                other => (CloseCode::BadFrame, other.to_string()),
            };
            connection.close(code, &reason);
            return Err(error);
        }
    };
    let OpenedStream { mut sender, .. } = opened;
    if hello.version != VERSION {
        let message = format!(
            "this node ({}) speaks protocol version {VERSION}, not {}",
            local.software, hello.version
        );
        let refusal =
            HelloReply::Refused(ErrorBody::new(ErrorCode::UnsupportedVersion, message.as_str()));
        if sender.send(&refusal, &[]).await.is_ok() {
            sender.finish();
            let _ = tokio::time::timeout(REFUSAL_LINGER, sender.closed()).await;
        }
        connection.close(CloseCode::UnsupportedVersion, &message);
        return Err(AcceptError::Version { version: hello.version });
    }
    let welcome = HelloReply::Welcome {
        version: VERSION,
        features: 0,
        node: local.node,
        site: local.site.clone(),
        software: local.software.clone(),
    };
    sender.send(&welcome, &[]).await.map_err(OpenError::from)?;
    sender.finish();
    Ok(hello)
}

async fn read_hello(connection: &Connection) -> Result<(OpenedStream, Hello), AcceptError> {
    let opened =
        connection.accept_stream().await.map_err(|source: Lost| OpenError::from(source))?;
    let opened = opened.accept().await?;
    let Open::Hello(hello) = &opened.open else { return Err(AcceptError::NoHello) };
    if hello.magic != MAGIC {
        return Err(AcceptError::Magic { magic: hello.magic });
    }
    let mut hello = hello.clone();
    hello.software =
        hello.software.chars().filter(|c| !c.is_control()).take(MAX_SOFTWARE).collect();
    Ok((opened, hello))
}
