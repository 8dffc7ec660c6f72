//! One scenario against one broker: sends its steps and writes down what came back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_kafka_tests::{Answer, Broker, Conn, Received, Schemas, hex};

use crate::tree::Aliases;

/// How long an answer may take. A rebalance waits for its members, everything else is quick.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this time a broker that said nothing will not.
const SILENCE: Duration = Duration::from_millis(2_500);

/// What a broker did with one request.
#[derive(Debug)]
pub struct Step {
    /// The step's name and its version: `unknown-topic.v9`.
    pub name: String,
    /// The request.
    pub api: String,
    /// Its version.
    pub version: i16,
    /// The answer, made comparable; an object with `_outcome` where there was none.
    pub outcome: Value,
    /// Whether the broker gave an answer that could be decoded.
    pub answered: bool,
}

/// A topic of the scenario.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id, as the broker chose it.
    pub id: String,
}

/// A connection of the scenario other than its first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line(usize);

/// Which request an answer belongs to.
#[derive(Clone, Debug)]
struct Sent {
    name: String,
    api: String,
    version: i16,
    correlation: i32,
}

/// The scenario at work.
pub struct Run<'a> {
    schemas: &'a Schemas,
    broker: Broker,
    prefix: String,
    aliases: Aliases,
    lines: Vec<(Option<Conn>, Vec<Sent>)>,
    steps: Vec<Step>,
    barriers: usize,
}

impl<'a> Run<'a> {
    /// A scenario that has done nothing yet. Names of topics and groups begin with the run's tag
    /// and the scenario, so that none meets another.
    pub fn new(schemas: &'a Schemas, broker: Broker, tag: &str, scenario: &str) -> Run<'a> {
        let prefix = format!("{tag}-{scenario}.");
        let aliases = Aliases::new(prefix.clone(), broker);
        let lines = vec![(None, Vec::new())];
        Run { schemas, broker, prefix, aliases, lines, steps: Vec::new(), barriers: 0 }
    }

    /// What happened.
    pub fn finish(self) -> Vec<Step> {
        self.steps
    }

    /// A name of the scenario's own.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Sends a request and writes down the answer, which is returned as it came. Where none came
    /// it is null, and so are its fields.
    pub fn call(&mut self, name: &str, api: &str, version: i16, body: Value) -> Value {
        self.call_on(Line(0), name, api, version, body)
    }

    /// The same on another connection.
    pub fn call_on(
        &mut self,
        line: Line,
        name: &str,
        api: &str,
        version: i16,
        body: Value,
    ) -> Value {
        self.send_on(line, name, api, version, body);
        self.answer(line)
    }

    /// The same, but only what `keep` leaves of the answer is written down: for answers that also
    /// tell of other scenarios.
    pub fn call_part(
        &mut self,
        name: &str,
        api: &str,
        version: i16,
        body: Value,
        keep: impl Fn(&mut Value),
    ) -> Value {
        self.send_on(Line(0), name, api, version, body);
        self.answer_within(Line(0), PATIENCE, keep)
    }

    /// Another connection.
    pub fn line(&mut self) -> Line {
        self.lines.push((None, Vec::new()));
        Line(self.lines.len() - 1)
    }

    /// Sends a request whose answer is asked for later.
    pub fn send_on(&mut self, line: Line, name: &str, api: &str, version: i16, body: Value) {
        let bytes = self.schemas.encode(api, version, &body);
        self.send_bytes(line, name, api, version, &bytes);
    }

    /// Sends a body of any bytes under a right header.
    pub fn send_bytes(&mut self, line: Line, name: &str, api: &str, version: i16, body: &[u8]) {
        let request = self.schemas.request(api);
        let broker = self.broker;
        let (conn, sent) = &mut self.lines[line.0];
        let conn = conn.get_or_insert_with(|| Conn::open(broker));
        let correlation = conn.send(request.key, version, request.is_flexible(version), body);
        let (name, api) = (format!("{name}.v{version}"), api.to_owned());
        sent.push(Sent { name, api, version, correlation });
    }

    /// The answer to the oldest request on a connection that has none yet.
    pub fn answer(&mut self, line: Line) -> Value {
        self.answer_within(line, PATIENCE, |_| {})
    }

    /// The same, for a broker that may keep silent.
    pub fn answer_or_silence(&mut self, line: Line) -> Value {
        self.answer_within(line, SILENCE, |_| {})
    }

    fn answer_within(&mut self, line: Line, wait: Duration, keep: impl Fn(&mut Value)) -> Value {
        let Some((sent, decoded)) = self.receive(line, wait) else { return Value::Null };
        let (outcome, body, answered) = match decoded {
            Ok(answer) => {
                let mut tree = answer.body.clone();
                if answer.correlation != sent.correlation {
                    tree["_correlation"] = Value::from("of another request");
                }
                keep(&mut tree);
                (tree, answer.body, true)
            }
            Err(reason) => (json!({ "_outcome": reason }), Value::Null, false),
        };
        let Sent { name, api, version, .. } = sent;
        let outcome = self.aliases.comparable(&name, &outcome);
        self.steps.push(Step { name, api, version, outcome, answered });
        body
    }

    /// What came back for the oldest request on a connection, if one is there.
    fn receive(&mut self, line: Line, wait: Duration) -> Option<(Sent, Result<Answer, String>)> {
        let (conn, sent) = &mut self.lines[line.0];
        if sent.is_empty() {
            return None;
        }
        let sent = sent.remove(0);
        let decoded = match conn.as_mut().map_or(Received::Closed, |conn| conn.receive(wait)) {
            Received::Frame(frame) => self.schemas.decode(&sent.api, sent.version, &frame),
            other => Err(outcome(&other)),
        };
        if decoded.is_err() {
            // Nothing more can be read in step from this connection.
            self.lines[line.0] = (None, Vec::new());
        }
        Some((sent, decoded))
    }

    /// Sends bytes on a connection of their own and writes down what came back: an answer to the
    /// request that they look like, or none. Between the pieces passes a moment. With `finish` the
    /// sending side then ends, as when a client dies.
    pub fn raw(&mut self, name: &str, pieces: &[&[u8]], like: (&str, i16), finish: bool) {
        let mut conn = Conn::open(self.broker);
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                std::thread::sleep(Duration::from_millis(60));
            }
            conn.send_raw(piece);
        }
        if finish {
            conn.finish();
        }
        let outcome = match conn.receive(SILENCE) {
            Received::Frame(frame) => match self.schemas.decode(like.0, like.1, &frame) {
                Ok(answer) => json!({ "_correlation": answer.correlation, "_body": answer.body }),
                Err(_) => json!({ "_frame": hex(&frame) }),
            },
            other => json!({ "_outcome": outcome(&other) }),
        };
        self.note(name, "raw", outcome);
    }

    /// The same, where only whether there was an answer can be compared.
    pub fn raw_outcome(&mut self, name: &str, bytes: &[u8]) {
        let mut conn = Conn::open(self.broker);
        conn.send_raw(bytes);
        let outcome = outcome(&conn.receive(SILENCE));
        self.note(name, "raw", json!({ "_outcome": outcome }));
    }

    /// Sends a request's body cut after each of its bytes, each on a connection of its own, and
    /// writes down how many cuts each outcome had.
    pub fn cut(&mut self, api: &str, version: i16, body: &Value) {
        let body = self.schemas.encode(api, version, body);
        let request = self.schemas.request(api);
        let mut outcomes = serde_json::Map::new();
        for cut in 0..body.len() {
            let mut conn = Conn::open(self.broker);
            conn.send(request.key, version, request.is_flexible(version), &body[..cut]);
            let outcome = outcome(&conn.receive(SILENCE));
            let count = outcomes.get(&outcome).and_then(Value::as_i64).unwrap_or(0);
            outcomes.insert(outcome, Value::from(count + 1));
        }
        self.note(&format!("{api}.v{version}"), "raw", Value::Object(outcomes));
    }

    /// Sends a request that has no answer when all is well.
    pub fn send_without_answer(
        &mut self,
        line: Line,
        name: &str,
        api: &str,
        version: i16,
        body: Value,
    ) {
        self.send_on(line, name, api, version, body);
        self.lines[line.0].1.pop();
    }

    /// Writes down something else that was seen.
    pub fn note(&mut self, name: &str, api: &str, outcome: Value) {
        let outcome = self.aliases.comparable(name, &outcome);
        let (name, api) = (name.to_owned(), api.to_owned());
        self.steps.push(Step { name, api, version: -1, outcome, answered: false });
    }

    /// A request that only prepares: its answer is returned and not written down.
    pub fn quiet(&mut self, api: &str, version: i16, body: Value) -> Value {
        self.send_on(Line(0), "quiet", api, version, body);
        let received = self.receive(Line(0), PATIENCE);
        received.and_then(|(_, answer)| answer.ok()).map_or(Value::Null, |answer| answer.body)
    }

    /// Creates a topic and waits until it can be used. Its failure is a step.
    pub fn topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let full = self.name(name);
        let configs: Vec<_> =
            configs.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
        let answer = self.quiet(
            "CreateTopics",
            7,
            json!({
                "Topics": [{
                    "Name": full, "NumPartitions": partitions, "ReplicationFactor": 1,
                    "Configs": configs,
                }],
                "timeoutMs": 10_000,
            }),
        );
        let error = &answer["Topics"][0]["ErrorCode"];
        if *error != 0 {
            self.note(&format!("create-{name}"), "CreateTopics", json!({ "ErrorCode": error }));
        }
        self.settled(&full);
        let id = answer["Topics"][0]["TopicId"].as_str().unwrap_or_default().to_owned();
        Topic { name: full, id }
    }

    /// Waits until a topic can be used: a broker may acknowledge it, and tell of it, a moment
    /// before its partitions take anything.
    pub fn settled(&mut self, name: &str) {
        let ready = |answer: &Value, list: &str| {
            let topic = &answer["Topics"][0];
            let partitions = topic[list].as_array();
            let well = |partition: &Value| partition["ErrorCode"] == 0;
            partitions.is_some_and(|list| !list.is_empty() && list.iter().all(well))
        };
        let settled = self.wait(|run| {
            let body = json!({ "Topics": [{ "Name": name }], "AllowAutoTopicCreation": false });
            let answer = run.quiet("Metadata", 9, body);
            if answer["Topics"][0]["ErrorCode"] != 0 || !ready(&answer, "Partitions") {
                return false;
            }
            let count = answer["Topics"][0]["Partitions"].as_array().map_or(0, Vec::len);
            let partitions: Vec<_> = (0..count)
                .map(|index| json!({ "PartitionIndex": index, "Timestamp": -1 }))
                .collect();
            let body = json!({
                "ReplicaId": -1, "Topics": [{ "Name": name, "Partitions": partitions }],
            });
            ready(&run.quiet("ListOffsets", 5, body), "Partitions")
        });
        if !settled {
            self.note(&format!("settled-{name}"), "Metadata", json!({ "_outcome": "never" }));
        }
    }

    /// Waits until all that the broker acknowledged so far can be seen: changes of metadata reach
    /// those who ask in the order in which they were made, but a moment later.
    pub fn barrier(&mut self) {
        let name = self.name("barrier");
        if self.barriers == 0 {
            self.topic("barrier", 1, &[]);
        }
        self.barriers += 1;
        let value = format!("{}", 1_000_000 + self.barriers);
        let body = json!({ "Resources": [{ "ResourceType": 2, "ResourceName": name, "Configs": [
            { "Name": "retention.ms", "ConfigOperation": 0, "Value": value },
        ]}]});
        self.quiet("IncrementalAlterConfigs", 1, body);
        let passed = self.wait(|run| {
            let body = json!({ "Resources": [{
                "ResourceType": 2, "ResourceName": name, "ConfigurationKeys": ["retention.ms"],
            }]});
            run.quiet("DescribeConfigs", 4, body)["Results"][0]["Configs"][0]["Value"] == value
        });
        if !passed {
            let name = format!("barrier-{}", self.barriers);
            self.note(&name, "DescribeConfigs", json!({ "_outcome": "never" }));
        }
    }

    /// Asks again and again until it is so, for ten seconds.
    fn wait(&mut self, mut so: impl FnMut(&mut Run<'a>) -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if so(self) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(15));
        }
        false
    }
}

fn outcome(received: &Received) -> String {
    match received {
        Received::Frame(_) => "an answer".to_owned(),
        Received::Closed => "closed".to_owned(),
        Received::Silent => "silent".to_owned(),
        Received::BadLength(length) => format!("a frame of length {length}"),
    }
}
