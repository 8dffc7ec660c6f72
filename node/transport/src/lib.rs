//! QUIC endpoints, TLS identities and the built-in certificate authority.
//!
//! A site has one [`Authority`]. Every certificate that it issues names a [`Role`] as a URI, and
//! both ends of every connection prove theirs: there is no connection without mutual TLS.
//!
//! - [`init_tls_dir`] makes a node's `tls` folder; [`Identity`] reads it.
//! - [`Listener`] accepts: [`Incoming::establish`] does the handshake and the hello, and gives the
//!   [`Connection`] with its peer's role.
//! - [`Connector`] dials, hello included.
//! - [`FrameSender`] and [`FrameReceiver`] carry the messages of `tidegate-wire` with payloads.
//!
//! What a role may do, and what answers which stream, is not decided here.

mod authority;
mod connection;
mod connector;
mod hello;
mod listener;
mod lost;
mod restart;
mod role;
mod settings;
mod stream;
mod tls;
mod tls_dir;

pub use authority::{Authority, IssueError, Issued, LoadAuthorityError};
pub use connection::{Connection, OpenError, OpenedStream, StreamRequest};
pub use connector::{ConnectError, ConnectOptions, Connector, connect};
pub use hello::{LocalNode, Welcome, answer_hello, say_hello};
pub use listener::{AcceptError, BindError, Incoming, Listener};
pub use lost::{CloseCode, Lost, RefusedBy};
pub use role::{Role, RoleError};
pub use stream::{FrameReceiver, FrameSender, RecvError, SendError};
pub use tls::{
    ClientTls, Identity, ReadIdentityError, SERVER_NAME, ServerTls, TlsError, tcp_server_config,
};
pub use tls_dir::{InitTlsError, init_tls_dir};

#[cfg(test)]
mod tests;
