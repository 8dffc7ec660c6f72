//! One client's connection: requests in, answers out, in the order of the requests.
//!
//! Everything happens as if requests were done one after the other. Only produce requests overlap:
//! the next one gets its place in the log's queue while those before it wait for the disk. A
//! request of another kind begins once all before it are answered, and holds back the produce
//! requests behind it.
//!
//! One task serves a connection. It reads while the oldest request waits, as long as few enough
//! wait; memory for large requests is taken from a store that all connections share.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidegate_kafka_proto::frame::{FrameError, FrameReader};
use tidegate_kafka_proto::request::{self, ParsedRequest, Request, RequestError};
use tidegate_log::FileRange;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::Shared;
use crate::limits::{
    IDLE, LAST_WORDS, LOOK, MAX_PIPELINED, MAX_REQUEST, REQUEST_TIME, SMALL_REQUEST,
};
use crate::stream::Stream;
use crate::{dispatch, versions};

/// What goes back for one request.
pub(crate) enum Reply {
    /// A whole frame.
    Frame(Bytes),
    /// A frame in parts, some of which lie in logs.
    Parts(Vec<Part>),
    /// Nothing: it was not asked for.
    Nothing,
    /// Nothing, and the connection ends, for this reason.
    Close(String),
}

/// A part of an answer.
pub(crate) enum Part {
    Bytes(Bytes),
    Records(FileRange),
}

/// Why a connection ends that the client did not end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{0}")]
    Refused(String),
    #[error("nothing came for {IDLE:?}")]
    Idle,
    #[error("a request was not whole after {REQUEST_TIME:?}")]
    Slow,
}

/// Who is served.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
}

/// A request whose answer is not written yet.
struct InFlight {
    reply: BoxFuture<'static, Reply>,
    /// Whether requests of the same kind may begin before this one is answered.
    overlaps: bool,
    /// Room for its bytes, where it is large.
    _room: Option<OwnedSemaphorePermit>,
}

/// A request that was read and has not begun.
struct Waiting {
    request: ParsedRequest,
    room: Option<OwnedSemaphorePermit>,
}

/// What a produce request becomes while its batches get their places.
type Staging = BoxFuture<'static, InFlight>;

/// Serves a connection until it ends; why, unless the client ended it.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    client: Client,
    stream: Stream,
) -> Result<(), Ended> {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let connection = Connection {
        shared,
        client: Arc::new(client),
        stream,
        reader: Reader::default(),
        staging: None,
        waiting: None,
        in_flight: VecDeque::new(),
        active: Instant::now(),
        last_words: None,
        look,
    };
    connection.run().await
}

struct Connection {
    shared: Arc<Shared>,
    client: Arc<Client>,
    stream: Stream,
    reader: Reader,
    staging: Option<Staging>,
    waiting: Option<Waiting>,
    in_flight: VecDeque<InFlight>,
    /// When something was last read or written.
    active: Instant,
    /// The client has said its last; until then what it asked before is still answered.
    last_words: Option<Instant>,
    look: Interval,
}

/// What happened first.
enum Event {
    Read(Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>, Ended>),
    Staged(InFlight),
    Answered(Reply),
    Look,
}

impl Connection {
    async fn run(mut self) -> Result<(), Ended> {
        let shared = self.shared.clone();
        let mut stopping = std::pin::pin!(shared.broker.stopping());
        loop {
            self.begin();
            if self.last_words.is_some() && !self.is_busy() {
                return Ok(());
            }
            let last_words = self.last_words;
            let may_read = last_words.is_none()
                && self.staging.is_none()
                && self.waiting.is_none()
                && self.in_flight.len() < MAX_PIPELINED;
            let Connection { stream, reader, staging, in_flight, look, .. } = &mut self;
            let event = tokio::select! {
                reply = front(in_flight) => Event::Answered(reply),
                staged = optional(staging) => Event::Staged(staged),
                read = reader.next(&shared, stream), if may_read => Event::Read(read),
                _ = look.tick() => Event::Look,
                () = until(last_words) => return Ok(()),
                () = &mut stopping => return Ok(()),
            };
            match event {
                Event::Answered(reply) => self.answer(reply).await?,
                Event::Staged(staged) => {
                    self.staging = None;
                    self.in_flight.push_back(staged);
                }
                Event::Read(read) => match read? {
                    Some((payload, room)) => self.take(payload, room)?,
                    None => self.last_words = Some(Instant::now() + LAST_WORDS),
                },
                Event::Look => self.check_times()?,
            }
        }
    }

    /// Takes one request's bytes.
    fn take(&mut self, payload: Bytes, room: Option<OwnedSemaphorePermit>) -> Result<(), Ended> {
        self.active = Instant::now();
        let request = match request::parse(payload) {
            Ok(request) => request,
            Err(error) => {
                let Some(correlation_id) = error.unsupported_api_versions() else {
                    return Err(error.into());
                };
                // The client asks again in a version that it is told of.
                let reply = versions::unsupported(correlation_id);
                let reply = std::future::ready(reply).boxed();
                self.in_flight.push_back(InFlight { reply, overlaps: false, _room: room });
                return Ok(());
            }
        };
        tracing::trace!(
            client = %self.client.address, api = %request.header.api,
            version = request.header.version, "request"
        );
        self.waiting = Some(Waiting { request, room });
        Ok(())
    }

    /// Begins the request that was read, if it may begin.
    fn begin(&mut self) {
        let Some(waiting) = &self.waiting else { return };
        let overlaps = matches!(waiting.request.request, Request::Produce(_));
        if overlaps && !self.in_flight.iter().all(|request| request.overlaps) {
            return;
        }
        let Some(Waiting { request, room }) = self.waiting.take() else { return };
        let (shared, client) = (self.shared.clone(), self.client.clone());
        if overlaps {
            let staging = async move {
                let reply = dispatch::produce(shared, request).await;
                InFlight { reply, overlaps, _room: room }
            };
            self.staging = Some(staging.boxed());
        } else {
            // Polled once all before it are answered.
            let reply = dispatch::answer(shared, client, request);
            self.in_flight.push_back(InFlight { reply, overlaps, _room: room });
        }
    }

    /// Writes the oldest request's answer, and those of the next ones that are ready with it.
    async fn answer(&mut self, first: Reply) -> Result<(), Ended> {
        let mut frames = Vec::new();
        let mut next = Some(first);
        while let Some(reply) = next.take() {
            self.in_flight.pop_front();
            match reply {
                Reply::Frame(frame) => frames.push(frame),
                Reply::Nothing => {}
                Reply::Parts(parts) => {
                    self.stream.write(&frames).await?;
                    frames.clear();
                    for part in parts {
                        match part {
                            Part::Bytes(bytes) => self.stream.write(&[bytes]).await?,
                            Part::Records(range) => self.stream.send(range).await?,
                        }
                    }
                }
                Reply::Close(reason) => {
                    self.stream.write(&frames).await?;
                    return Err(Ended::Refused(reason));
                }
            }
            // Only what overlaps has begun; another would begin here.
            next = match self.in_flight.front_mut() {
                Some(request) if request.overlaps => (&mut request.reply).now_or_never(),
                _ => None,
            };
        }
        self.stream.write(&frames).await?;
        self.active = Instant::now();
        Ok(())
    }

    /// Whether an answer is due.
    fn is_busy(&self) -> bool {
        self.staging.is_some() || self.waiting.is_some() || !self.in_flight.is_empty()
    }

    fn check_times(&self) -> Result<(), Ended> {
        if self.reader.begun.is_some_and(|begun| begun.elapsed() > REQUEST_TIME) {
            return Err(Ended::Slow);
        }
        if !self.is_busy() && self.active.elapsed() > IDLE {
            return Err(Ended::Idle);
        }
        Ok(())
    }
}

/// The answer of the oldest request; never, if there is none.
async fn front(in_flight: &mut VecDeque<InFlight>) -> Reply {
    match in_flight.front_mut() {
        Some(request) => (&mut request.reply).await,
        None => std::future::pending().await,
    }
}

/// Ends at that time; never, if there is none.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn optional<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Takes requests out of a stream's bytes.
struct Reader {
    buf: BytesMut,
    frames: FrameReader,
    /// Room for the request at hand, where it is large.
    room: Option<OwnedSemaphorePermit>,
    /// When the first bytes came of a request that is not whole yet.
    begun: Option<Instant>,
}

impl Default for Reader {
    fn default() -> Reader {
        let frames = FrameReader::new(MAX_REQUEST.as_usize());
        Reader { buf: BytesMut::new(), frames, room: None, begun: None }
    }
}

impl Reader {
    /// The next request; `None` at the end. May be dropped while it waits, and nothing is lost.
    async fn next(
        &mut self,
        shared: &Shared,
        stream: &mut Stream,
    ) -> Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>, Ended> {
        loop {
            if let Some(payload) = self.frames.next_frame(&mut self.buf)? {
                self.begun = (!self.buf.is_empty()).then(Instant::now);
                return Ok(Some((payload, self.room.take())));
            }
            let len = self.frames.awaited().unwrap_or_default();
            if len > SMALL_REQUEST.as_usize() && self.room.is_none() {
                let permits = u32::try_from(len).unwrap_or(u32::MAX);
                let room = shared.memory.clone().acquire_many_owned(permits).await;
                // Never closed.
                self.room = room.ok();
            }
            if self.buf.is_empty() {
                // An idle connection holds no buffer.
                self.buf = BytesMut::new();
            }
            let wanted = self.frames.room(&self.buf);
            if stream.read(&mut self.buf, wanted).await? == 0 {
                return if self.frames.is_between_frames(&self.buf) {
                    Ok(None)
                } else {
                    let message = "the client left in the middle of a request";
                    Err(io::Error::new(io::ErrorKind::UnexpectedEof, message).into())
                };
            }
            self.begun.get_or_insert_with(Instant::now);
        }
    }
}
