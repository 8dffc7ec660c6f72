//! The connection to a node, kept and renewed, and requests on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_transport::{
    ClientTls, CloseCode, ConnectOptions, Connection, Connector, FrameReceiver, FrameSender, Lost,
    OpenError, RecvError, SendError, TlsError, Welcome,
};
use tidegate_wire::{ErrorBody, ErrorCode, Open, Request, Response};
use tokio::sync::Mutex;

use crate::config::ClientConfig;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Certificates and key are of no use.
    #[error("the client's identity cannot be used")]
    Tls(#[from] TlsError),
    /// The node was not reached, or does not want this client.
    #[error(transparent)]
    Dial(#[from] tidegate_transport::ConnectError),
}

/// Why a request has no answer that is good.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// The node says no.
    #[error("{0}")]
    Refused(ErrorBody),
    /// The node was not reached: nothing was done.
    #[error("the node cannot be reached")]
    Unreachable(#[source] Arc<tidegate_transport::ConnectError>),
    /// The connection was lost before the answer came: it may have been done.
    #[error("the connection was lost before the answer came; the request may have been done")]
    Lost(#[source] Lost),
    /// No answer came in time: it may have been done.
    #[error("no answer within {} ms; the request may have been done", .waited.as_millis())]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// The node's answer is not understood.
    #[error("the node's answer is not understood: {0}")]
    Protocol(String),
    /// The request breaks a limit and was not sent.
    #[error("the request cannot be sent: {0}")]
    Invalid(String),
}

impl RequestError {
    /// What the node said, if it was the node that refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&ErrorBody> {
        match self {
            RequestError::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            RequestError::Refused(error) => error.retriable,
            RequestError::Unreachable(error) => error.is_retriable(),
            RequestError::Lost(_) | RequestError::TimedOut { .. } => true,
            RequestError::Protocol(_) | RequestError::Invalid(_) => false,
        }
    }
}

impl From<OpenError> for RequestError {
    fn from(error: OpenError) -> RequestError {
        if let Some(lost) = error.lost() {
            return RequestError::Lost(lost.clone());
        }
        match error {
            OpenError::Send { source } => source.into(),
            OpenError::Recv { source } => source.into(),
            other => RequestError::Protocol(other.to_string()),
        }
    }
}

impl From<SendError> for RequestError {
    fn from(error: SendError) -> RequestError {
        match error {
            SendError::Encode { source } => RequestError::Invalid(source.to_string()),
            SendError::Lost { source } => RequestError::Lost(source),
            SendError::Stopped { code } => ended_early(code, "stopped"),
            SendError::Ended => RequestError::Lost(Lost::ClosedHere),
        }
    }
}

impl From<RecvError> for RequestError {
    fn from(error: RecvError) -> RequestError {
        match error {
            RecvError::Lost { source } => RequestError::Lost(source),
            RecvError::Reset { code } => ended_early(code, "abandoned"),
            RecvError::Frame { source } => RequestError::Protocol(source.to_string()),
            RecvError::Truncated | RecvError::Ended => RequestError::Protocol(error.to_string()),
        }
    }
}

/// A node that ends a stream without a word tells why in its code.
fn ended_early(code: CloseCode, how: &str) -> RequestError {
    match code {
        CloseCode::NotAuthorized => RequestError::Refused(ErrorBody::new(
            ErrorCode::NotAuthorized,
            "the node does not allow this with the client's certificate",
        )),
        CloseCode::Overloaded => RequestError::Refused(ErrorBody::retriable(
            ErrorCode::Overloaded,
            "the node has reached a limit; try again later",
        )),
        CloseCode::ShuttingDown => RequestError::Refused(ErrorBody::retriable(
            ErrorCode::ShuttingDown,
            "the node is about to stop",
        )),
        code => RequestError::Protocol(format!("the node {how} the stream ({code})")),
    }
}

/// A node's client. Clones share one connection, which is made when first needed and made anew
/// when it was lost.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: String,
    request_timeout: Duration,
    options: ConnectOptions,
    connector: Connector,
    /// Held while a connection is made, so that it is made once.
    current: Mutex<Option<(Connection, Welcome)>>,
}

impl Client {
    /// Connects, so that a wrong address or certificate is told at once.
    ///
    /// # Errors
    /// If the identity is of no use, or the node is not reached or does not want this client.
    pub async fn connect(config: ClientConfig) -> Result<Client, ConnectError> {
        let client = Client::new(config)?;
        client.connection().await?;
        Ok(client)
    }

    /// A client that connects when first needed.
    ///
    /// # Errors
    /// If the identity is of no use.
    pub fn new(config: ClientConfig) -> Result<Client, TlsError> {
        let connector = Connector::new(ClientTls::new(&config.identity)?);
        let options = ConnectOptions {
            timeout: config.connect_timeout,
            software: config.software,
            stream_window: config.stream_window,
        };
        Ok(Client {
            inner: Arc::new(Inner {
                address: config.address,
                request_timeout: config.request_timeout,
                options,
                connector,
                current: Mutex::new(None),
            }),
        })
    }

    /// The address that this client dials.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// The node that answers, connecting if need be.
    ///
    /// # Errors
    /// If it is not reached.
    pub async fn welcome(&self) -> Result<Welcome, tidegate_transport::ConnectError> {
        Ok(self.connected().await?.1)
    }

    /// Closes the connection and waits until the node knows. A later call connects anew.
    pub async fn close(&self) {
        if let Some((connection, _)) = self.inner.current.lock().await.take() {
            connection.close(CloseCode::Done, "");
        }
        self.inner.connector.wait_idle().await;
    }

    pub(crate) async fn connection(&self) -> Result<Connection, tidegate_transport::ConnectError> {
        Ok(self.connected().await?.0)
    }

    async fn connected(&self) -> Result<(Connection, Welcome), tidegate_transport::ConnectError> {
        let mut current = self.inner.current.lock().await;
        if let Some((connection, welcome)) = &*current
            && connection.lost().is_none()
        {
            return Ok((connection.clone(), welcome.clone()));
        }
        let fresh = self.inner.connector.connect(&self.inner.address, &self.inner.options).await?;
        *current = Some(fresh.clone());
        Ok(fresh)
    }

    /// Opens a stream, connecting if need be. A connection that turns out to be dead is replaced
    /// once.
    pub(crate) async fn open(
        &self,
        open: &Open,
        payload: &[Bytes],
    ) -> Result<(FrameSender, FrameReceiver), RequestError> {
        let reach = async || {
            self.connection().await.map_err(|error| RequestError::Unreachable(Arc::new(error)))
        };
        match reach().await?.open(open, payload).await {
            // Not even the stream could be opened: nothing was sent.
            Err(OpenError::Lost { .. }) => Ok(reach().await?.open(open, payload).await?),
            other => Ok(other?),
        }
    }

    /// Asks, and waits for the answer. [`Response::Failed`] becomes [`RequestError::Refused`].
    ///
    /// # Errors
    /// If the node refuses, is not reached, or does not answer in time.
    pub async fn request(&self, request: Request) -> Result<Response, RequestError> {
        self.request_with_payload(request, Bytes::new()).await
    }

    /// Asks with a payload, and waits for the answer.
    ///
    /// # Errors
    /// If the node refuses, is not reached, or does not answer in time.
    pub async fn request_with_payload(
        &self,
        request: Request,
        payload: Bytes,
    ) -> Result<Response, RequestError> {
        let again = asks_only(&request);
        let open = Open::Request(request);
        let ask = async {
            match self.ask(&open, &payload).await {
                // The old connection was dead without anyone knowing.
                Err(RequestError::Lost(_)) if again => self.ask(&open, &payload).await,
                other => other,
            }
        };
        let waited = self.inner.request_timeout;
        tokio::time::timeout(waited, ask).await.unwrap_or(Err(RequestError::TimedOut { waited }))
    }

    async fn ask(&self, open: &Open, payload: &Bytes) -> Result<Response, RequestError> {
        let parts: &[Bytes] = if payload.is_empty() { &[] } else { std::slice::from_ref(payload) };
        let (mut sender, mut receiver) = self.open(open, parts).await?;
        sender.finish();
        match receiver.recv::<Response>().await? {
            Some((Response::Failed(error), _)) => Err(RequestError::Refused(error)),
            Some((response, _)) => Ok(response),
            None => Err(RequestError::Protocol("the stream ended without an answer".to_owned())),
        }
    }
}

/// Whether a request changes nothing, so that it may be asked twice.
fn asks_only(request: &Request) -> bool {
    matches!(
        request,
        Request::Status
            | Request::ListTopics
            | Request::DescribeTopic(_)
            | Request::ListPlugins
            | Request::ShowPlugin(_)
            | Request::ListLinks
            | Request::LinkStatus(_)
    )
}
