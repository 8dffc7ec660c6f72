//! The group coordinator under its node: what was acknowledged is there again, whatever becomes of
//! the process or of the view; nobody else writes to its topic.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_broker::{GROUPS_TOPIC, Groups, Node, NodeConfig};
use tidegate_group::request::{self, Client, Commit, CommitPartition, FetchOffsets};
use tidegate_group::{GroupError, Request, Response};
use tidegate_types::{
    LeaderEpoch, Offset, PartitionId, StartPosition, TopicConfig, TopicName, limits,
};
use tidegate_wire::{ErrorCode, GroupKind};
use tokio::runtime::Runtime;

use crate::support::{Attach, Session, TestNode, batch, topic};

/// A node that can be killed: it runs on a runtime of its own, whose tasks end where they are.
struct Killable {
    runtime: Runtime,
    node: Node,
}

impl Killable {
    fn start(data: &Path) -> Killable {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let config = NodeConfig {
            data: data.to_owned(),
            site: "here".parse().unwrap(),
            node: tidegate_types::NodeId(1),
            listen: ([127, 0, 0, 1], 0).into(),
            names: Vec::new(),
            reserve: limits::DEFAULT_RESERVE,
            groups: tidegate_group::Config::default(),
            plugins: Default::default(),
        };
        let node = runtime.block_on(Node::start(config)).unwrap();
        Killable { runtime, node }
    }

    fn ask(&self, request: Request) -> Response {
        self.runtime.block_on(ask(self.node.broker().groups(), request))
    }

    fn make(&self, name: &str) {
        let config = TopicConfig { partitions: 2, ..TopicConfig::default() };
        let making = self.node.broker().make_topic(topic(name), config, true);
        self.runtime.block_on(making).unwrap();
    }

    fn commit(&self, group: &str, name: &str, offset: i64) {
        assert_eq!(committed(self.ask(commit(group, name, offset))), Ok(()));
    }

    fn offset(&self, group: &str, name: &str) -> Option<i64> {
        offset_of(self.ask(fetch(group, name)))
    }

    fn delete(&self, group: &str) {
        let request = request::DeleteGroup { group: group.to_owned() };
        let deleted = self.ask(Request::DeleteGroup(request));
        assert_eq!(deleted, Response::DeleteGroup(Ok(())));
    }

    fn groups(&self) -> Vec<String> {
        match self.ask(Request::List(request::List::default())) {
            Response::List(Ok(groups)) => groups.into_iter().map(|group| group.group).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Ends every task where it is: nothing is written that was not written yet.
    fn kill(self) {
        let Killable { runtime, node } = self;
        drop(node);
        runtime.shutdown_timeout(Duration::from_secs(20));
    }

    fn stop(self) {
        self.runtime.block_on(self.node.shutdown());
    }
}

/// Asks until the coordinator has read its records.
async fn ask(groups: &Groups, request: Request) -> Response {
    loop {
        let response = groups.ask(request.clone()).await.unwrap();
        if !is_loading(&response) {
            return response;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_loading(response: &Response) -> bool {
    let loading = Some(&GroupError::CoordinatorLoadInProgress);
    match response {
        Response::Commit(refused) => refused.as_ref().err() == loading,
        Response::FetchOffsets(refused) => refused.as_ref().err() == loading,
        Response::DeleteGroup(refused) => refused.as_ref().err() == loading,
        Response::List(refused) => refused.as_ref().err() == loading,
        Response::View(refused) => refused.as_ref().err() == loading,
        Response::Join(refused) => refused.as_ref().err().map(|refused| &refused.error) == loading,
        _ => false,
    }
}

fn commit(group: &str, name: &str, offset: i64) -> Request {
    let partition = CommitPartition {
        partition: PartitionId(0),
        offset: Offset(offset),
        leader_epoch: LeaderEpoch(0),
        metadata: Some("m".to_owned()),
    };
    Request::Commit(Commit {
        group: group.to_owned(),
        member_id: String::new(),
        instance_id: None,
        generation: -1,
        knows_epochs: true,
        retention: None,
        topics: vec![(name.to_owned(), vec![partition])],
    })
}

fn committed(response: Response) -> Result<(), GroupError> {
    match response {
        Response::Commit(Ok(mut topics)) => topics.remove(0).1.remove(0).1,
        Response::Commit(Err(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn fetch(group: &str, name: &str) -> Request {
    Request::FetchOffsets(FetchOffsets {
        group: group.to_owned(),
        member_id: None,
        member_epoch: -1,
        require_stable: true,
        topics: Some(vec![(name.to_owned(), vec![PartitionId(0)])]),
    })
}

fn offset_of(response: Response) -> Option<i64> {
    match response {
        Response::FetchOffsets(Ok(mut topics)) => {
            let (_, fetched) = topics.remove(0).1.remove(0);
            fetched.unwrap().map(|committed| committed.offset.get())
        }
        other => panic!("{other:?}"),
    }
}

fn join(group: &str) -> Request {
    Request::Join(request::Join {
        group: group.to_owned(),
        member_id: String::new(),
        instance_id: Some("i".to_owned()),
        client: Client { id: "c".to_owned(), host: "/127.0.0.1".to_owned() },
        fresh: tidegate_types::TopicId::random().0,
        session_timeout: Duration::from_secs(30),
        rebalance_timeout: Duration::from_secs(30),
        protocol_type: "consumer".to_owned(),
        protocols: vec![request::Protocol { name: "range".to_owned(), metadata: "x".into() }],
        can_learn_id: true,
        can_skip_assignment: true,
    })
}

fn view(data: &Path) -> PathBuf {
    data.join("groups.redb")
}

/// A data folder in which one group committed 5 and another is gone.
fn used_folder() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let node = Killable::start(data.path());
    node.make("t");
    for offset in 0..=5 {
        node.commit("kept", "t", offset);
    }
    node.commit("gone", "t", 9);
    node.delete("gone");
    assert_eq!(node.groups(), ["kept"]);
    node.kill();
    data
}

fn assert_whole(node: &Killable) {
    assert_eq!(node.offset("kept", "t"), Some(5));
    assert_eq!(node.offset("gone", "t"), None);
    assert_eq!(node.groups(), ["kept"]);
}

#[test]
fn commits_that_were_acknowledged_outlive_a_killed_node() {
    let data = used_folder();
    let node = Killable::start(data.path());
    assert_whole(&node);
    node.commit("kept", "t", 5);
    node.stop();
    assert!(view(data.path()).exists(), "a stop writes the view");
    // With the view, and with a log that goes on behind it.
    for round in 0..3 {
        let node = Killable::start(data.path());
        assert_whole(&node);
        node.commit("late", "t", round);
        assert_eq!(node.offset("late", "t"), Some(round));
        node.delete("late");
        node.kill();
    }
    assert_whole(&Killable::start(data.path()));
}

#[test]
fn a_view_that_is_missing_or_damaged_is_made_anew() {
    let data = used_folder();
    let start = || {
        let node = Killable::start(data.path());
        assert_whole(&node);
        node.stop();
        std::fs::read(view(data.path())).unwrap()
    };
    let whole = start();
    std::fs::remove_file(view(data.path())).unwrap();
    start();
    for cut in [0, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(view(data.path()), &whole[..cut]).unwrap();
        start();
    }
    // A byte in each stretch of the file: of its head, of its pages, of what is free.
    let mut at = 0;
    while at < whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        std::fs::write(view(data.path()), &damaged).unwrap();
        start();
        at += whole.len() / 24 + 1;
    }
    std::fs::write(view(data.path()), vec![0xa5; whole.len()]).unwrap();
    start();
}

#[test]
fn a_view_of_another_log_or_ahead_of_it_is_made_anew() {
    let data = used_folder();
    let node = Killable::start(data.path());
    node.commit("kept", "t", 5);
    node.stop();
    let ahead = std::fs::read(view(data.path())).unwrap();

    // The log is gone, and another began: what the view says is of another life.
    let node = Killable::start(data.path());
    let name = TopicName::new(GROUPS_TOPIC).unwrap();
    let id = node.node.broker().topics().get(&name).unwrap().id();
    node.stop();
    std::fs::remove_dir_all(data.path().join("topics").join(id.to_string())).unwrap();
    let node = Killable::start(data.path());
    assert_eq!(node.groups(), Vec::<String>::new());
    node.commit("new", "t", 1);
    node.stop();
    let node = Killable::start(data.path());
    assert_eq!(node.groups(), ["new"]);
    node.stop();

    // A log that lost its end, as a disk that lies about syncs leaves it.
    let data = used_folder();
    let stopped = Killable::start(data.path());
    stopped.stop();
    let early = tempfile::tempdir().unwrap();
    copy(data.path(), early.path());
    let node = Killable::start(data.path());
    node.commit("kept", "t", 77);
    node.commit("more", "t", 1);
    node.stop();
    std::fs::copy(view(data.path()), view(early.path())).unwrap();
    let node = Killable::start(early.path());
    assert_whole(&node);
    node.stop();

    // And a view without any log at all.
    let empty = tempfile::tempdir().unwrap();
    Killable::start(empty.path()).stop();
    std::fs::write(view(empty.path()), ahead).unwrap();
    let node = Killable::start(empty.path());
    assert_eq!(node.groups(), Vec::<String>::new());
    node.make("t");
    node.commit("new", "t", 3);
    node.stop();
    let node = Killable::start(empty.path());
    assert_eq!((node.groups(), node.offset("new", "t")), (vec!["new".to_owned()], Some(3)));
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

#[tokio::test]
async fn offsets_go_with_their_topic_and_not_with_one_made_anew() {
    let mut node = TestNode::start().await;
    node.create("t", 1).await;
    node.create("stays", 1).await;
    for name in ["t", "stays"] {
        assert_eq!(committed(ask(node.groups(), commit("g", name, 3)).await), Ok(()));
    }
    node.client.delete_topic(topic("t")).await.unwrap();
    node.create("t", 1).await;
    assert_eq!(offset_of(ask(node.groups(), fetch("g", "t")).await), None);
    assert_eq!(offset_of(ask(node.groups(), fetch("g", "stays")).await), Some(3));
    node.restart().await;
    assert_eq!(offset_of(ask(node.groups(), fetch("g", "t")).await), None);
    assert_eq!(offset_of(ask(node.groups(), fetch("g", "stays")).await), Some(3));
}

#[tokio::test]
async fn the_groups_topic_is_the_nodes_own() {
    let node = TestNode::start().await;
    let name = topic(GROUPS_TOPIC);
    let refused = node.client.create_topic(name.clone(), TopicConfig::default(), false).await;
    assert!(refused.unwrap_err().to_string().contains("consumer groups"));
    node.create("t", 1).await;
    assert_eq!(committed(ask(node.groups(), commit("g", "t", 3)).await), Ok(()));

    let code = |refused: tidegate_client::RequestError| match refused {
        tidegate_client::RequestError::Refused(body) => body.code,
        other => panic!("{other}"),
    };
    let client = &node.client;
    let refused = client.delete_topic(name.clone()).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::InvalidRequest);
    let settings = vec![("cleanup.policy".to_owned(), "delete".to_owned())];
    let refused = client.configure_topic(name.clone(), settings).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::InvalidRequest);
    let refused = client.trim_topic(name.clone(), None, StartPosition::End).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::InvalidRequest);
    node.install("keep", tidegate_test_guests::KEEP).await;
    let attach = Attach::new(GROUPS_TOPIC, "keep", r#""plain""#);
    let refused = node.try_attach(attach).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::InvalidRequest);

    let mut session = Session::open(client, GROUPS_TOPIC, None).await;
    let refused = session.put(batch(&["x"])).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRequest);
    assert_eq!(offset_of(ask(node.groups(), fetch("g", "t")).await), Some(3));
    // Reading is fine.
    assert_eq!(node.read(GROUPS_TOPIC).await.len(), 1);
}

#[tokio::test]
async fn people_list_describe_seek_and_delete_groups() {
    let node = TestNode::start().await;
    node.create("t", 2).await;
    node.produce("t", &["a", "b", "c", "d"]).await;
    assert_eq!(node.client.list_groups().await.unwrap().groups, []);
    assert_eq!(committed(ask(node.groups(), commit("g", "t", 1)).await), Ok(()));

    let list = node.client.list_groups().await.unwrap();
    assert_eq!((list.groups.len(), list.left_out), (1, 0));
    assert_eq!((&*list.groups[0].group, list.groups[0].kind), ("g", GroupKind::Classic));
    let group = node.client.describe_group("g".to_owned()).await.unwrap();
    assert_eq!((group.members.len(), group.offsets.len()), (0, 1));
    assert_eq!(group.offsets[0].committed, Some(Offset(1)));
    assert_eq!(group.offsets[0].lag(), Some(3));

    let seek = |group: &str, partition, to| {
        node.client.seek_group(group.to_owned(), topic("t"), partition, to)
    };
    let code = |refused: tidegate_client::RequestError| match refused {
        tidegate_client::RequestError::Refused(body) => body.code,
        other => panic!("{other}"),
    };
    let group = seek("g", None, StartPosition::BeforeEnd(1)).await.unwrap();
    let places: Vec<_> = group.offsets.iter().map(|o| o.committed.unwrap().get()).collect();
    assert_eq!(places, [3, 0]);
    let group = seek("g", Some(PartitionId(0)), StartPosition::Start).await.unwrap();
    assert_eq!(group.offsets[0].committed, Some(Offset(0)));
    let refused = seek("g", Some(PartitionId(9)), StartPosition::Start).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::UnknownPartition);
    let refused = seek("g", None, StartPosition::Offset(Offset(99))).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::OffsetOutOfRange);
    let refused = seek("typo", None, StartPosition::Start).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::UnknownGroup);

    let refused = node.client.describe_group("typo".to_owned()).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::UnknownGroup);
    node.client.delete_group("g".to_owned()).await.unwrap();
    let refused = node.client.delete_group("g".to_owned()).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::UnknownGroup);

    // A group with a member is left alone. The member's join is answered once the group begins.
    let Response::Join(joined) = ask(node.groups(), join("busy")).await else { panic!("no join") };
    joined.unwrap();
    let refused = seek("busy", None, StartPosition::Start).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::GroupInUse);
    let refused = node.client.delete_group("busy".to_owned()).await.unwrap_err();
    assert_eq!(code(refused), ErrorCode::GroupInUse);
    let group = node.client.describe_group("busy".to_owned()).await.unwrap();
    assert_eq!((&*group.members[0].client, &*group.members[0].host), ("c", "/127.0.0.1"));
}
