//! A client that asks in the program's own types, for tests that are not about the codec.

use std::time::Duration;

use tidegate_kafka_proto::client;
use tidegate_kafka_proto::request::RequestBody;

use crate::{Broker, Conn, Line, Received};

/// How long an answer may take. Far above what is expected: machines under test are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub struct Typed {
    conn: Conn,
    correlation: i32,
}

/// The connection ended before the answer came.
#[derive(Debug)]
pub struct Gone;

impl Typed {
    /// Connects; `None` if nobody listens there.
    #[must_use]
    pub fn try_open(broker: Broker) -> Option<Typed> {
        Some(Typed { conn: Conn::try_open(broker)?, correlation: 0 })
    }

    /// Connects.
    ///
    /// # Panics
    /// If nobody listens there.
    #[must_use]
    pub fn open(broker: Broker) -> Typed {
        Typed { conn: Conn::open(broker), correlation: 0 }
    }

    /// Takes up a connection that there is.
    #[must_use]
    pub fn over(line: Box<dyn Line>) -> Typed {
        Typed { conn: Conn::over(line), correlation: 0 }
    }

    /// The bytes of a request, length in front, and its number.
    ///
    /// # Panics
    /// If the version cannot express it.
    pub fn frame<B: RequestBody>(&mut self, version: i16, body: &B) -> (i32, Vec<u8>) {
        self.correlation += 1;
        let frame = client::encode_request(version, self.correlation, Some("test"), body);
        (self.correlation, frame.expect("a request that the version can express").to_vec())
    }

    /// Sends a request; its number.
    pub fn send<B: RequestBody>(&mut self, version: i16, body: &B) -> i32 {
        let (id, frame) = self.frame(version, body);
        self.conn.send_raw(&frame);
        id
    }

    /// The next answer, which must be that of the request with this number.
    ///
    /// # Errors
    /// If the connection ends first.
    ///
    /// # Panics
    /// If nothing comes, or something else does.
    pub fn receive<B: RequestBody>(&mut self, version: i16, id: i32) -> Result<B::Response, Gone> {
        match self.conn.receive(PATIENCE) {
            Received::Frame(frame) => {
                let (found, body) = client::decode_response::<B::Response>(version, frame.into())
                    .expect("an answer of the version asked for");
                assert_eq!(found, id, "answers come in the order of the requests");
                Ok(body)
            }
            Received::Closed => Err(Gone),
            other => panic!("{} version {version}: {other:?}", B::API),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// If the connection ends first.
    pub fn try_ask<B: RequestBody>(&mut self, version: i16, body: &B) -> Result<B::Response, Gone> {
        let id = self.send(version, body);
        self.receive::<B>(version, id)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Panics
    /// If none comes.
    pub fn ask<B: RequestBody>(&mut self, version: i16, body: &B) -> B::Response {
        self.try_ask(version, body).expect("an answer")
    }

    /// What it runs over, for one that has nothing more to say.
    #[must_use]
    pub fn into_line(self) -> Box<dyn Line> {
        self.conn.into_line()
    }

    /// The connection itself, for what no client would send.
    pub fn raw(&mut self) -> &mut Conn {
        &mut self.conn
    }
}
