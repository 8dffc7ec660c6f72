//! What a certificate allows, stream by stream.

use tidegate_client::{Client, ClientConfig, ConsumeError, ConsumerConfig, Identity};
use tidegate_transport::{
    ClientTls, ConnectOptions, Connection, Connector, FrameReceiver, FrameSender,
};
use tidegate_types::{
    Acks, Incarnation, LeaderEpoch, Offset, PartitionId, SiteName, TopicConfig, TopicId,
    TopicPartition,
};
use tidegate_wire::{
    ErrorCode, MirrorAnswer, MirrorBatches, MirrorPartition, MirrorReply, MirrorTopic,
    MirrorVerdict, Open, OpenMirror,
};

use crate::support::{Session, TestNode, batch, topic};

/// The certificate of a link from site `edge`.
async fn link_identity(region: &TestNode) -> Identity {
    let invitation = region.client.invite_site("edge".parse().unwrap()).await.unwrap();
    Identity {
        authority: invitation.authority,
        certificate: invitation.certificate,
        key: invitation.key,
    }
}

async fn connect(node: &TestNode, identity: &Identity) -> Connection {
    let connector = Connector::new(ClientTls::new(identity).unwrap());
    let options = ConnectOptions::default();
    connector.connect(&node.address.to_string(), &options).await.unwrap().0
}

fn offer(site: &str, partitions: u32) -> OpenMirror {
    let described = (0..partitions).map(|partition| MirrorPartition {
        partition: PartitionId(partition),
        incarnation: Incarnation(7),
        start: Offset(0),
        end: Offset(0),
        last_epoch: LeaderEpoch::NONE,
    });
    OpenMirror {
        link: "up".parse().unwrap(),
        site: site.parse::<SiteName>().unwrap(),
        topics: vec![MirrorTopic {
            name: topic("t"),
            id: TopicId::random(),
            config: TopicConfig { partitions, ..TopicConfig::default() },
            partitions: described.collect(),
        }],
    }
}

async fn open(connection: &Connection, offer: OpenMirror) -> (FrameSender, FrameReceiver) {
    connection.open(&Open::Mirror(offer), &[]).await.unwrap()
}

async fn reply(receiver: &mut FrameReceiver) -> Option<MirrorReply> {
    Some(receiver.recv::<MirrorReply>().await.unwrap()?.0)
}

async fn first_reply(connection: &Connection, offer: OpenMirror) -> MirrorReply {
    let (_sender, mut receiver) = open(connection, offer).await;
    reply(&mut receiver).await.unwrap()
}

#[tokio::test]
async fn a_links_certificate_writes_mirrors_of_its_site_and_does_nothing_else() {
    let region = TestNode::start_site("region").await;
    region.create("t", 1).await;
    let identity = link_identity(&region).await;
    let config = ClientConfig::new(region.address.to_string(), identity.clone());
    let client = Client::connect(config).await.unwrap();

    let produce = Session::try_open(&client, "t", Acks::All, None).await.err().unwrap();
    assert_eq!(produce.refusal().unwrap().code, ErrorCode::NotAuthorized);
    let consume = client.consumer(topic("t"), ConsumerConfig::default()).await.err().unwrap();
    let ConsumeError::Refused { error } = consume else { panic!("{consume}") };
    assert_eq!(error.code, ErrorCode::NotAuthorized);
    let ask = client.status().await.unwrap_err();
    assert_eq!(ask.refusal().unwrap().code, ErrorCode::NotAuthorized);
    let delete = client.delete_topic(topic("t")).await.unwrap_err();
    assert_eq!(delete.refusal().unwrap().code, ErrorCode::NotAuthorized);

    let connection = connect(&region, &identity).await;
    let MirrorReply::Failed(error) = first_reply(&connection, offer("other", 1)).await else {
        panic!("a copy in another site's name was taken");
    };
    assert_eq!(error.code, ErrorCode::NotAuthorized, "{error}");
    let MirrorReply::Ready(answers) = first_reply(&connection, offer("edge", 1)).await else {
        panic!("its own copy was not taken");
    };
    let [MirrorAnswer { verdict: MirrorVerdict::Resume { from: Offset(0) }, .. }] = &answers[..]
    else {
        panic!("{answers:?}");
    };
    let names: Vec<_> = region.client.list_topics().await.unwrap();
    let names: Vec<_> = names.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["edge/t", "t"]);
}

#[tokio::test]
async fn a_client_that_was_not_invited_cannot_write_a_mirror() {
    let region = TestNode::start_site("region").await;
    let identity = Identity::client_from_dir(&region.tls()).unwrap();
    let connection = connect(&region, &identity).await;
    let MirrorReply::Failed(error) = first_reply(&connection, offer("edge", 1)).await else {
        panic!("a client's copy was taken");
    };
    assert_eq!(error.code, ErrorCode::NotAuthorized, "{error}");
    assert_eq!(region.client.list_topics().await.unwrap(), []);
}

#[tokio::test]
async fn a_new_stream_takes_a_mirror_over_from_the_one_before() {
    let region = TestNode::start_site("region").await;
    let connection = connect(&region, &link_identity(&region).await).await;
    let offer = offer("edge", 2);
    // The line was cut: the first stream looks alive here, and its site dials anew.
    let (_first, mut old) = open(&connection, offer.clone()).await;
    assert!(matches!(reply(&mut old).await, Some(MirrorReply::Ready(_))));
    let (_second, mut new) = open(&connection, offer).await;
    assert!(matches!(reply(&mut new).await, Some(MirrorReply::Ready(_))));
    let Some(MirrorReply::Failed(error)) = reply(&mut old).await else {
        panic!("two streams write to one mirror");
    };
    assert!(error.retriable && error.message.contains("edge/t"), "{error:?}");
    assert_eq!(reply(&mut old).await, None);
}

#[tokio::test]
async fn damaged_batches_stop_their_partition_of_a_mirror_and_no_other() {
    let region = TestNode::start_site("region").await;
    let connection = connect(&region, &link_identity(&region).await).await;
    let mut offered = offer("edge", 2);
    for partition in &mut offered.topics[0].partitions {
        partition.end = Offset(1);
    }
    let id = offered.topics[0].id;
    let (mut sender, mut receiver) = open(&connection, offered).await;
    assert!(matches!(reply(&mut receiver).await, Some(MirrorReply::Ready(_))));

    let mut good = batch(&["a"]).to_vec();
    tidegate_record::set_leader_epoch(&mut good, LeaderEpoch(0));
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    for (partition, bytes) in [(0, bad), (1, good)] {
        let at = TopicPartition { topic: id, partition: PartitionId(partition) };
        let header = MirrorBatches { at, from: Offset(0), source_end: Offset(1) };
        sender.send(&header, &[bytes.into()]).await.unwrap();
    }
    let (mut failed, mut durable) = (None, None);
    while failed.is_none() || durable.is_none() {
        match reply(&mut receiver).await {
            Some(MirrorReply::PartitionFailed { at, error }) => failed = Some((at, error)),
            Some(MirrorReply::Progress(progress)) => durable = progress.last().copied(),
            other => panic!("{other:?}"),
        }
    }
    let ((at, error), progress) = (failed.unwrap(), durable.unwrap());
    assert_eq!((at.partition, error.written), (PartitionId(0), false), "{error:?}");
    assert_eq!((progress.at.partition, progress.durable), (PartitionId(1), Offset(1)));
    let stored = region.read("edge/t").await;
    assert_eq!((stored.len(), stored[0].partition), (1, PartitionId(1)));
}

#[tokio::test]
async fn a_client_of_another_site_is_not_let_in() {
    let here = TestNode::start_site("here").await;
    let there = TestNode::start_site("there").await;
    let stranger = Identity::client_from_dir(&there.tls()).unwrap();
    let trusting = Identity::client_from_dir(&here.tls()).unwrap();
    // It trusts the node, but the node has no reason to trust it.
    let identity = Identity { authority: trusting.authority, ..stranger };
    let config = ClientConfig::new(here.address.to_string(), identity);
    let client = Client::new(config).unwrap();
    let refused = client.status().await.unwrap_err();
    assert!(!refused.is_retriable(), "{refused:?}");
    assert_eq!(here.client.status().await.unwrap().topics, 0);
}
