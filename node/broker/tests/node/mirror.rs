//! Copies between two sites, each a node in this process.

use bytes::Bytes;
use tidegate_types::{LinkSpec, Offset, PoisonPolicy, StartPosition};
use tidegate_wire::{
    ErrorCode, Invitation, LinkPartitionStatus, LinkState, OpenSubscribe, SubscribeReply,
    TopicDescription,
};

use crate::support::{Attach, Session, TestNode, batch, eventually, texts, topic};

/// Two sites, of which the edge may copy topics to the region.
pub struct Sites {
    pub edge: TestNode,
    pub region: TestNode,
    invitation: Invitation,
}

impl Sites {
    pub async fn start() -> Sites {
        let edge = TestNode::start_site("edge").await;
        let region = TestNode::start_site("region").await;
        let invitation = region.client.invite_site("edge".parse().unwrap()).await.unwrap();
        Sites { edge, region, invitation }
    }

    /// Begins to copy these topics to the region.
    pub async fn link(&self, topics: &[&str]) {
        self.edge.client.add_link(self.spec(topics)).await.unwrap();
    }

    fn spec(&self, topics: &[&str]) -> LinkSpec {
        let Invitation { authority, certificate, key, .. } = self.invitation.clone();
        LinkSpec {
            name: "up".parse().unwrap(),
            address: self.region.address.to_string(),
            local_site: "edge".parse().unwrap(),
            authority,
            certificate,
            key,
            topics: topics.iter().map(|name| topic(name)).collect(),
        }
    }

    async fn unlink(&self) {
        self.edge.client.remove_link("up".parse().unwrap()).await.unwrap();
    }

    /// Waits until the mirror has all that the source has; gives its description.
    pub async fn copied(&self, name: &str) -> TopicDescription {
        let source = self.edge.describe(name).await;
        let mirror = format!("edge/{name}");
        eventually(&format!("{mirror} to have all of {name}"), async || {
            let copy = self.region.client.describe_topic(topic(&mirror)).await;
            let copy = copy.map_err(|e| e.to_string())?;
            let ends =
                |t: &TopicDescription| t.partitions.iter().map(|p| p.high_watermark).collect();
            let (have, want): (Vec<_>, Vec<_>) = (ends(&copy), ends(&source));
            if have == want { Ok(copy) } else { Err(format!("{have:?} of {want:?}")) }
        })
        .await
    }

    /// How the link says that this partition does, once it is as `wanted`.
    async fn status(
        &self,
        what: &str,
        wanted: impl Fn(&LinkPartitionStatus) -> bool,
    ) -> LinkPartitionStatus {
        eventually(what, async || {
            let status = self.edge.client.link_status("up".parse().unwrap()).await;
            let status = status.map_err(|e| e.to_string())?;
            let found = status.partitions.iter().find(|p| wanted(p)).cloned();
            found.ok_or_else(|| format!("{status:?}"))
        })
        .await
    }
}

/// All batches of a partition 0 as they are.
async fn bytes_of(node: &TestNode, name: &str) -> Bytes {
    let from = StartPosition::Start;
    let open = OpenSubscribe {
        topic: topic(name),
        from,
        partitions: Vec::new(),
        until_end: true,
        plugin: None,
    };
    let mut raw = node.client.open_subscribe(open).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        match raw.next().await.unwrap().unwrap() {
            (SubscribeReply::Records { .. }, batches) => bytes.extend_from_slice(&batches),
            (SubscribeReply::End, _) => return bytes.into(),
            (SubscribeReply::Ready { .. } | SubscribeReply::CaughtUp { .. }, _) => {}
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_mirror_has_the_same_bytes_at_the_same_offsets_and_takes_no_writes() {
    let sites = Sites::start().await;
    let source = sites.edge.create("t", 1).await;
    sites.edge.produce("t", &["before", "the link"]).await;
    sites.link(&["t"]).await;
    sites.copied("t").await;
    for n in 0..20 {
        sites.edge.produce("t", &[&format!("live {n}"), "and more"]).await;
    }
    let mirror = sites.copied("t").await;
    assert_eq!(mirror.id, source.id);
    assert_eq!(mirror.mirror_of, Some("edge".parse().unwrap()));
    assert_eq!(mirror.partitions[0].incarnation, source.partitions[0].incarnation);
    let bytes = bytes_of(&sites.edge, "t").await;
    assert_eq!(bytes_of(&sites.region, "edge/t").await, bytes);

    let mut session = Session::open(&sites.region.client, "edge/t", None).await;
    let refused = session.put(batch(&["mine"])).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ReadOnly);
    assert!(!refused.retriable && !refused.written, "{refused:?}");
    assert_eq!(bytes_of(&sites.region, "edge/t").await, bytes);
    let caught_up = |p: &LinkPartitionStatus| p.copied == Some(p.source_end);
    let status = sites.status("the link to know", caught_up).await;
    assert_eq!((status.source_end, status.problem), (Offset(42), None));
}

#[tokio::test]
async fn holes_that_a_plugin_left_are_copied_as_they_are() {
    let sites = Sites::start().await;
    sites.edge.create("t", 1).await;
    sites.edge.install("keep", tidegate_test_guests::KEEP).await;
    let letters = Attach::new("t", "keep", r#""plain""#).policy(PoisonPolicy::DeadLetter);
    sites.edge.attach(letters).await;
    sites.edge.produce("t", &["drop", "a", "fail", "b"]).await;
    sites.link(&["t", "t.dead"]).await;
    // The last batches hold nothing at all.
    for _ in 0..3 {
        sites.edge.produce("t", &["drop", "drop"]).await;
    }
    sites.copied("t").await;
    sites.copied("t.dead").await;
    for (name, values) in [("t", &["a", "b"][..]), ("t.dead", &["fail"])] {
        let mirror = format!("edge/{name}");
        assert_eq!(sites.region.values(&mirror).await, values);
        assert_eq!(bytes_of(&sites.region, &mirror).await, bytes_of(&sites.edge, name).await);
    }
}

#[tokio::test]
async fn a_copy_goes_on_after_a_restart_of_either_site() {
    let mut sites = Sites::start().await;
    sites.edge.create("t", 2).await;
    sites.edge.create("u", 1).await;
    sites.link(&["t", "u"]).await;
    let mut expected = Vec::new();
    for round in 0..2 {
        for (place, restarts_edge) in [("edge", true), ("region", false)] {
            let value = format!("before {place} {round}");
            sites.edge.produce("t", &[&value]).await;
            expected.push(value);
            sites.copied("t").await;
            if restarts_edge {
                sites.edge.restart().await;
            } else {
                sites.region.stop().await;
                // Offline for a while: what comes now waits.
                let value = format!("while away {round}");
                sites.edge.produce("t", &[&value]).await;
                expected.push(value);
                sites.region.start_again().await;
            }
        }
        let mut session = Session::open(&sites.edge.client, "t", None).await;
        session.put_to(1, batch(&["in the other partition"])).await.unwrap();
        sites.edge.produce("u", &["of the other topic"]).await;
    }
    sites.copied("t").await;
    sites.copied("u").await;
    assert_eq!(sites.region.read("edge/t").await, sites.edge.read("t").await);
    assert_eq!(sites.region.read("edge/u").await, sites.edge.read("u").await);
    let first: Vec<String> = sites.region.values("edge/t").await;
    assert_eq!(first[..expected.len()], expected, "partition 0");
}

#[tokio::test]
async fn a_link_that_is_removed_and_added_again_resumes() {
    let sites = Sites::start().await;
    sites.edge.create("t", 1).await;
    sites.link(&["t"]).await;
    sites.edge.produce("t", &["a", "b"]).await;
    sites.copied("t").await;

    let deleting = sites.edge.client.delete_topic(topic("t")).await.unwrap_err();
    assert!(deleting.refusal().unwrap().message.contains("link up"), "{deleting}");
    let twice = sites.edge.client.add_link(sites.spec(&["t"])).await.unwrap_err();
    assert_eq!(twice.refusal().unwrap().code, ErrorCode::LinkExists);

    sites.unlink().await;
    let gone = sites.edge.client.link_status("up".parse().unwrap()).await.unwrap_err();
    assert_eq!(gone.refusal().unwrap().code, ErrorCode::UnknownLink);
    sites.edge.produce("t", &["c"]).await;
    assert_eq!(sites.region.values("edge/t").await, ["a", "b"], "what was copied stays");
    sites.link(&["t"]).await;
    sites.copied("t").await;
    assert_eq!(bytes_of(&sites.region, "edge/t").await, bytes_of(&sites.edge, "t").await);
    assert_eq!(sites.region.values("edge/t").await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_source_that_was_made_again_is_not_mixed_with_its_copy() {
    let sites = Sites::start().await;
    sites.edge.create("t", 1).await;
    sites.edge.create("u", 1).await;
    sites.link(&["t", "u"]).await;
    sites.edge.produce("t", &["of the old one"]).await;
    sites.copied("t").await;
    sites.unlink().await;
    sites.edge.client.delete_topic(topic("t")).await.unwrap();
    sites.edge.create("t", 1).await;
    sites.edge.produce("t", &["of the new one", "and more"]).await;
    sites.link(&["t", "u"]).await;

    let status = sites.status("the link to tell", |p| p.problem.is_some()).await;
    assert_eq!(status.topic, topic("t"));
    let problem = status.problem.unwrap();
    assert!(problem.contains("another life"), "{problem}");
    sites.edge.produce("u", &["unharmed"]).await;
    sites.copied("u").await;
    assert_eq!(sites.region.values("edge/t").await, ["of the old one"]);

    // As the problem says: the old copy away, and a new one begins.
    sites.region.client.delete_topic(topic("edge/t")).await.unwrap();
    sites.unlink().await;
    sites.link(&["t", "u"]).await;
    sites.copied("t").await;
    assert_eq!(sites.region.values("edge/t").await, ["of the new one", "and more"]);
}

#[tokio::test]
async fn links_that_cannot_be_are_refused_with_the_reason() {
    let sites = Sites::start().await;
    sites.edge.create("t", 1).await;
    let right = sites.spec(&["t"]);
    let no_key = LinkSpec { key: tidegate_types::Secret(String::new()), ..right.clone() };
    for (spec, code, told) in [
        (sites.spec(&[]), ErrorCode::InvalidRequest, "no topics"),
        (sites.spec(&["none"]), ErrorCode::UnknownTopic, "none"),
        (sites.spec(&["t", "t"]), ErrorCode::InvalidRequest, "t"),
        (no_key, ErrorCode::InvalidRequest, "invitation"),
        (LinkSpec { address: "here".into(), ..right.clone() }, ErrorCode::InvalidRequest, "here"),
    ] {
        let refused = sites.edge.client.add_link(spec).await.unwrap_err();
        let refused = refused.refusal().unwrap();
        assert_eq!(refused.code, code, "{refused:?}");
        assert!(refused.message.contains(told), "{refused}");
    }
    let own = sites.region.client.invite_site("region".parse().unwrap()).await.unwrap_err();
    assert_eq!(own.refusal().unwrap().code, ErrorCode::InvalidRequest);
    let unknown = sites.edge.client.remove_link("up".parse().unwrap()).await.unwrap_err();
    assert_eq!(unknown.refusal().unwrap().code, ErrorCode::UnknownLink);
    assert_eq!(sites.edge.client.list_links().await.unwrap(), []);
}

#[tokio::test]
async fn an_invitation_of_another_authority_copies_nothing_and_the_link_says_so() {
    let sites = Sites::start().await;
    let stranger = TestNode::start_site("region").await;
    let forged = stranger.client.invite_site("edge".parse().unwrap()).await.unwrap();
    sites.edge.create("t", 1).await;
    sites.edge.produce("t", &["secret"]).await;
    let spec = LinkSpec { certificate: forged.certificate, key: forged.key, ..sites.spec(&["t"]) };
    sites.edge.client.add_link(spec).await.unwrap();
    let status = eventually("the link to be refused", async || {
        let status = sites.edge.client.link_status("up".parse().unwrap()).await.unwrap();
        if status.last_error.is_some() { Ok(status) } else { Err(format!("{status:?}")) }
    })
    .await;
    assert_ne!(status.state, LinkState::Connected);
    assert_eq!(sites.region.client.list_topics().await.unwrap(), []);
    assert_eq!(texts(&sites.edge.read("t").await), ["secret"]);
}
