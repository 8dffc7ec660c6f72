//! Takes connections, within bounds, and gives each its task.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tidegate_transport::Role;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::Shared;
use crate::connection::{self, Client};
use crate::limits::{HANDSHAKE_TIME, MAX_CONNECTIONS};
use crate::stream::Stream;

/// Connections that the system holds until they are taken.
const BACKLOG: i32 = 1_024;

/// After the system refused a connection, for want of open files perhaps.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds the address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A node that was just stopped leaves connections behind that are still closing.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes connections until the node stops, then waits for those that are served.
pub(crate) async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, address)) if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(serve(shared.clone(), tcp, address, acceptor.clone()));
                }
                Ok((_, address)) => {
                    tracing::warn!(client = %address, limit = MAX_CONNECTIONS, "too many Kafka clients: one was refused");
                }
                Err(error) => {
                    tracing::warn!(%error, "a Kafka client could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = shared.broker.stopping() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(
    shared: Arc<Shared>,
    tcp: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(client = %address, %error, "a Kafka client was gone at once");
        return;
    }
    let stream = match acceptor {
        None => Stream::Plain(tcp),
        Some(acceptor) => match handshake(&acceptor, tcp).await {
            Ok(stream) => stream,
            Err(reason) => {
                tracing::info!(client = %address, %reason, "a Kafka client was refused");
                return;
            }
        },
    };
    match connection::serve(shared, Client { address }, stream).await {
        Ok(()) => tracing::debug!(client = %address, "a Kafka client left"),
        Err(ended) => {
            let cause = ended.source().map(ToString::to_string);
            tracing::info!(client = %address, reason = %ended, cause, "a Kafka client was cut off");
        }
    }
}

/// The TLS handshake, and whether the certificate is one that may use the site.
async fn handshake(acceptor: &TlsAcceptor, tcp: TcpStream) -> Result<Stream, String> {
    let shaking = tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(tcp));
    let tls = match shaking.await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no TLS handshake within {HANDSHAKE_TIME:?}")),
    };
    let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().ok_or("it showed no certificate")?;
    match Role::from_certificate(certificate).map_err(|error| error.to_string())? {
        Role::Client { .. } | Role::Node { .. } => Ok(Stream::Tls(Box::new(tls))),
        role @ Role::Link { .. } => Err(format!("{role} may not use the Kafka listener")),
    }
}
