//! `kill -9` in a storm of commands that change metadata. Afterwards each topic is as it was before
//! or after the command that was cut off, nothing in between, and the node serves.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tidegate_client::{Client, RequestError};
use tidegate_tests::{Load, Node, PATIENCE, Rng, Seed, check_log, files, scaled};
use tidegate_types::{Hook, PartitionId, PluginName, PoisonPolicy, TopicConfig, TopicName};
use tidegate_wire::{AttachRequest, TopicDescription};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const WORKERS: u64 = 3;
const TOPICS_EACH: u64 = 4;

/// What is known of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Absent,
    Bare { partitions: u32 },
    Attached { partitions: u32, config: u64 },
}

impl State {
    /// What the node says of it.
    fn of(topic: Option<&TopicDescription>) -> State {
        let Some(topic) = topic else { return State::Absent };
        let partitions = topic.config.partitions;
        assert_eq!(topic.partitions.len() as u32, partitions, "{}", topic.name);
        match topic.attachments.as_slice() {
            [] => State::Bare { partitions },
            [one] => {
                let config = one.config.strip_prefix("{\"low\": ");
                let config = config.and_then(|rest| rest.strip_suffix('}')).unwrap();
                State::Attached { partitions, config: config.parse().unwrap() }
            }
            more => panic!("{}: {more:?}", topic.name),
        }
    }
}

/// The topics of one worker: what each is, and what the command under way would make of it.
#[derive(Default)]
struct Book {
    known: BTreeMap<TopicName, State>,
    under_way: Option<(TopicName, State)>,
}

fn plugin() -> PluginName {
    "threshold".parse().unwrap()
}

async fn apply(
    client: &Client,
    name: &TopicName,
    from: State,
    to: State,
) -> Result<(), RequestError> {
    match (from, to) {
        (State::Absent, State::Bare { partitions }) => {
            let config = TopicConfig { partitions, ..TopicConfig::default() };
            client.create_topic(name.clone(), config, false).await.map(drop)
        }
        (_, State::Absent) => client.delete_topic(name.clone()).await,
        (_, State::Attached { config, .. }) => {
            let request = AttachRequest {
                config: format!("{{\"low\": {config}}}"),
                policy: PoisonPolicy::Skip,
                ..AttachRequest::new(name.clone(), plugin())
            };
            client.attach_plugin(request).await.map(drop)
        }
        _ => client.detach_plugin(name.clone(), Hook::Ingest, plugin()).await,
    }
}

fn next_state(from: State, rng: &mut Rng) -> State {
    match from {
        State::Absent => State::Bare { partitions: 1 + rng.below(3) as u32 },
        State::Bare { partitions } | State::Attached { partitions, .. } => match rng.below(3) {
            0 => State::Absent,
            1 if matches!(from, State::Attached { .. }) => State::Bare { partitions },
            _ => State::Attached { partitions, config: rng.below(1_000) },
        },
    }
}

/// Commands one after the other until one is lost with the node, or there is to be no other.
async fn storm(
    client: Client,
    worker: u64,
    mut book: Book,
    mut rng: Rng,
    killed: watch::Receiver<bool>,
) -> Book {
    while !*killed.borrow() {
        let name: TopicName = format!("w{worker}-{}", rng.below(TOPICS_EACH)).parse().unwrap();
        let from = book.known.get(&name).copied().unwrap_or(State::Absent);
        let to = next_state(from, &mut rng);
        book.under_way = Some((name.clone(), to));
        match apply(&client, &name, from, to).await {
            Ok(()) => {
                book.known.insert(name, to);
                book.under_way = None;
            }
            Err(RequestError::Refused(error)) => panic!("{name}: {from:?} to {to:?}: {error:?}"),
            Err(_) => return book,
        }
    }
    book
}

/// Compares what the node has with the book, and brings the book up to date.
fn check(book: &mut Book, topics: &BTreeMap<TopicName, TopicDescription>) {
    let under_way = book.under_way.take();
    if let Some((name, _)) = &under_way {
        book.known.entry(name.clone()).or_insert(State::Absent);
    }
    for (name, before) in &mut book.known {
        let found = State::of(topics.get(name));
        let after = under_way.as_ref().filter(|(at, _)| at == name).map(|(_, after)| *after);
        assert!(
            found == *before || Some(found) == after,
            "{name} is {found:?}; it was {before:?}, and {after:?} was under way"
        );
        *before = found;
    }
}

async fn topics_of(client: &Client) -> BTreeMap<TopicName, TopicDescription> {
    let topics = client.list_topics().await.unwrap();
    topics.into_iter().map(|topic| (topic.name.clone(), topic)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_old_or_new_after_kill_9_and_the_node_serves() {
    let seed = Seed::take("metadata");
    let mut rng = seed.rng(0);
    let mut node = Node::start("hq").await;
    node.cli().run(&["plugin", "install", "threshold"]).await.exits(0);
    let steady: TopicName = "steady".parse().unwrap();
    node.client().await.create_topic(steady.clone(), TopicConfig::default(), false).await.unwrap();
    let load = Load::start(node.client().await, "steady", 1, 0, Duration::from_millis(10));

    let mut books: Vec<Book> = (0..WORKERS).map(|_| Book::default()).collect();
    for round in 0..scaled(10) {
        let (kill, killed) = watch::channel(false);
        let mut workers: Vec<JoinHandle<Book>> = Vec::new();
        for (worker, book) in (0..WORKERS).zip(books.drain(..)) {
            let client = node.client().await;
            let rng = seed.rng(100 * (round + 1) + worker);
            workers.push(tokio::spawn(storm(client, worker, book, rng, killed.clone())));
        }
        tokio::time::sleep(Duration::from_millis(50 + rng.below(400))).await;
        node.kill();
        kill.send_replace(true);
        node.restart().await;
        for worker in workers {
            let ended = tokio::time::timeout(PATIENCE, worker).await;
            books.push(ended.expect("a worker ends with its node").expect("no command is refused"));
        }
        let topics = topics_of(&node.client().await).await;
        println!("round {round}: {} topics", topics.len());
        books.iter_mut().for_each(|book| check(book, &topics));
        load.progress(10).await;
    }

    let acked = load.finish().await;
    let client = node.client().await;
    let topics = topics_of(&client).await;
    check_log(&acked, &[files::read_partition(node.data(), topics[&steady].id, 0)]);
    for (name, topic) in &topics {
        serves(&node, name, topic).await;
    }
    nothing_is_left_over(&node, &topics);
}

/// Every partition takes records.
async fn serves(node: &Node, name: &TopicName, topic: &TopicDescription) {
    for PartitionId(partition) in topic.partitions.iter().map(|p| p.partition) {
        let partition = partition.to_string();
        let produce = ["produce", name.as_str(), "--partition", &partition];
        node.cli().feed(&produce, b"5000\n").await.exits(0);
    }
}

/// A delete that was cut short ends at the next start.
fn nothing_is_left_over(node: &Node, topics: &BTreeMap<TopicName, TopicDescription>) {
    for topic in names_in(&node.data().join("topics")) {
        let known = topics.values().any(|known| known.id.to_string() == topic);
        assert!(known, "logs of {topic} are left, which is no topic");
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
