use tidegate_types::{
    Incarnation, PartitionId, PluginKind, PluginLimits, PoisonPolicy, Secret, SiteName,
    TopicConfig, TopicId,
};

use super::*;

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn create(name: &str, mirror_of: Option<&str>) -> Command {
    Command::CreateTopic {
        name: topic(name),
        id: TopicId::random(),
        config: TopicConfig::default(),
        mirror_of: mirror_of.map(|site| SiteName::new(site).unwrap()),
        incarnations: vec![Incarnation(1)],
    }
}

fn install(name: &str, hash: u8) -> Command {
    Command::InstallPlugin(PluginVersion {
        name: PluginName::new(name).unwrap(),
        hash: PluginHash([hash; 32]),
        kind: PluginKind::Filter,
        contract: "tidegate:plugin@0.1.0".to_owned(),
        size: ByteSize::kib(100),
    })
}

fn attachment(at: &str, plugin: &str, hash: u8, config: &str) -> Attachment {
    Attachment {
        topic: topic(at),
        hook: Hook::Ingest,
        plugin: PluginName::new(plugin).unwrap(),
        hash: PluginHash([hash; 32]),
        config: config.to_owned(),
        policy: PoisonPolicy::Skip,
        limits: PluginLimits::default(),
        derive: None,
        canary: None,
        previous: None,
    }
}

fn link(name: &str, topics: &[&str]) -> LinkSpec {
    LinkSpec {
        name: LinkName::new(name).unwrap(),
        address: "hub.example:9440".to_owned(),
        local_site: SiteName::new("edge").unwrap(),
        authority: "authority".to_owned(),
        certificate: "certificate".to_owned(),
        key: Secret("key".to_owned()),
        topics: topics.iter().map(|name| topic(name)).collect(),
    }
}

/// An image with topic `a`, mirror `hub/b`, and two versions of plugin `p` and one of `q`.
fn image() -> Image {
    let mut image = Image::default();
    let commands = [
        create("a", None),
        create("hub/b", Some("hub")),
        install("p", 1),
        install("q", 1),
        install("p", 2),
    ];
    for command in &commands {
        do_one(&mut image, command).unwrap();
    }
    image
}

fn do_one(image: &mut Image, command: &Command) -> Result<Outcome, Rejection> {
    let index = image.applied() + 1;
    let before = image.clone();
    let result = image.apply(index, command);
    assert_eq!(image.applied(), index);
    if result.is_err() {
        assert_eq!(Image { applied: before.applied, ..image.clone() }, before, "{command:?}");
    }
    image.check().unwrap();
    result
}

#[test]
fn only_mirrors_have_a_slash_in_their_name() {
    let mut image = image();
    let error = do_one(&mut image, &create("edge/x", None)).unwrap_err();
    assert!(matches!(error, Rejection::MirrorName { .. }), "{error}");
    let error = do_one(&mut image, &create("hub/x", Some("edge"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a mirror from site edge cannot be named hub/x: it must begin with \"edge/\""
    );
    assert!(do_one(&mut image, &create("x", Some("edge"))).is_err());
    assert_eq!(do_one(&mut image, &create("edge/x", Some("edge"))), Ok(Outcome::Done));
    assert_eq!(do_one(&mut image, &create("x.dead", None)), Ok(Outcome::Done));
}

#[test]
fn names_and_ids_of_topics_are_unique() {
    let mut image = image();
    let again = do_one(&mut image, &create("a", None));
    assert_eq!(again, Err(Rejection::TopicExists { name: topic("a") }));
    let id = image.topic(&topic("a")).unwrap().id;
    let mut taken = create("c", None);
    if let Command::CreateTopic { id: other, .. } = &mut taken {
        *other = id;
    }
    assert_eq!(do_one(&mut image, &taken), Err(Rejection::TopicIdExists { id, name: topic("a") }));
    assert_eq!(image.topic_by_id(id).unwrap().name, topic("a"));
}

#[test]
fn settings_out_of_bounds_are_refused() {
    let mut image = image();
    for (partitions, segment, incarnations) in [
        (0, ByteSize::mib(64), 0),
        (10_001, ByteSize::mib(64), 10_001),
        (1, ByteSize::kib(1), 1),
        (1, ByteSize::gib(4), 1),
        (2, ByteSize::mib(64), 1),
    ] {
        let command = Command::CreateTopic {
            name: topic("c"),
            id: TopicId::random(),
            config: TopicConfig { partitions, segment, ..TopicConfig::default() },
            mirror_of: None,
            incarnations: vec![Incarnation(1); incarnations],
        };
        assert!(do_one(&mut image, &command).is_err(), "{command:?} was taken");
    }
}

#[test]
fn a_topic_gets_more_partitions_and_never_fewer() {
    let mut image = image();
    let before = image.topic(&topic("a")).unwrap().config.partitions;
    let add = |partitions, new| Command::AddPartitions {
        name: topic("a"),
        partitions,
        incarnations: vec![Incarnation(7); new],
    };
    assert_eq!(do_one(&mut image, &add(before, 2)), Ok(Outcome::Done));
    let grown = image.topic(&topic("a")).unwrap().clone();
    assert_eq!(grown.config.partitions, before + 2);
    assert_eq!(grown.incarnation(PartitionId(before + 1)), Some(Incarnation(7)));
    assert_eq!(image.check(), Ok(()));
    // Decided on another state, as a repeated command is.
    assert!(matches!(
        do_one(&mut image, &add(before, 2)),
        Err(Rejection::PartitionsFixed { partitions, .. }) if partitions == before + 2
    ));
    assert_eq!(do_one(&mut image, &add(before + 2, 0)), Ok(Outcome::Unchanged));
    let over = do_one(&mut image, &add(before + 2, MAX_PARTITIONS_PER_TOPIC as usize));
    assert!(matches!(over, Err(Rejection::PartitionCount { .. })));
}

#[test]
fn deleting_a_topic_detaches_its_plugins() {
    let mut image = image();
    do_one(&mut image, &Command::Attach(attachment("a", "p", 1, ""))).unwrap();
    let deleted = do_one(&mut image, &Command::DeleteTopic { name: topic("a") }).unwrap();
    assert!(matches!(deleted, Outcome::Deleted(topic) if topic.name.as_str() == "a"));
    assert_eq!(image.all_attachments().count(), 0);
    let plugin = PluginName::new("p").unwrap();
    let removed = do_one(&mut image, &Command::RemovePlugin { name: plugin, hash: None });
    assert_eq!(removed, Ok(Outcome::Done));
    let again = do_one(&mut image, &Command::DeleteTopic { name: topic("a") });
    assert_eq!(again, Err(Rejection::UnknownTopic { name: topic("a") }));
}

#[test]
fn a_topic_that_a_link_mirrors_cannot_be_deleted() {
    let mut image = image();
    do_one(&mut image, &Command::AddLink(link("l", &["a"]))).unwrap();
    let error = do_one(&mut image, &Command::DeleteTopic { name: topic("a") }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic a is mirrored by link l: end that first with `link remove l`"
    );
    let name = LinkName::new("l").unwrap();
    do_one(&mut image, &Command::RemoveLink { name }).unwrap();
    assert!(do_one(&mut image, &Command::DeleteTopic { name: topic("a") }).is_ok());
}

#[test]
fn the_newest_version_of_a_plugin_comes_first_and_installing_again_changes_nothing() {
    let mut image = image();
    let name = PluginName::new("p").unwrap();
    let hashes = |image: &Image| -> Vec<u8> {
        image.plugin(&name).iter().map(|version| version.hash.0[0]).collect()
    };
    assert_eq!(hashes(&image), [2, 1]);
    assert_eq!(do_one(&mut image, &install("p", 1)), Ok(Outcome::Unchanged));
    assert_eq!(hashes(&image), [2, 1]);
    let remove = |hash| Command::RemovePlugin { name: name.clone(), hash };
    do_one(&mut image, &remove(Some(PluginHash([2; 32])))).unwrap();
    assert_eq!(hashes(&image), [1]);
    assert!(matches!(
        do_one(&mut image, &remove(Some(PluginHash([2; 32])))),
        Err(Rejection::UnknownPluginVersion { .. })
    ));
    do_one(&mut image, &remove(None)).unwrap();
    assert!(matches!(do_one(&mut image, &remove(None)), Err(Rejection::UnknownPlugin { .. })));
}

#[test]
fn an_attached_version_cannot_be_removed() {
    let mut image = image();
    do_one(&mut image, &Command::Attach(attachment("a", "p", 1, ""))).unwrap();
    let name = PluginName::new("p").unwrap();
    let remove = |hash| Command::RemovePlugin { name: name.clone(), hash };
    let error = do_one(&mut image, &remove(None)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin p version 010101010101 is attached to topic a: detach it there first"
    );
    assert!(do_one(&mut image, &remove(Some(PluginHash([1; 32])))).is_err());
    assert!(do_one(&mut image, &remove(Some(PluginHash([2; 32])))).is_ok());
}

#[test]
fn an_attachment_is_replaced_in_its_place() {
    let mut image = image();
    let (p, q) = (attachment("a", "p", 1, ""), attachment("a", "q", 1, ""));
    assert_eq!(do_one(&mut image, &Command::Attach(p.clone())), Ok(Outcome::Done));
    assert_eq!(do_one(&mut image, &Command::Attach(q.clone())), Ok(Outcome::Done));
    assert_eq!(do_one(&mut image, &Command::Attach(p.clone())), Ok(Outcome::Unchanged));
    let newer = attachment("a", "p", 2, "{}");
    assert_eq!(
        do_one(&mut image, &Command::Attach(newer.clone())),
        Ok(Outcome::Replaced(Box::new(p)))
    );
    let attached: Vec<_> = image.attachments(&topic("a"), Hook::Ingest).collect();
    assert_eq!(attached, [&newer, &q]);

    let detach = |plugin: &str| Command::Detach {
        topic: topic("a"),
        hook: Hook::Ingest,
        plugin: PluginName::new(plugin).unwrap(),
    };
    do_one(&mut image, &detach("p")).unwrap();
    assert_eq!(image.attachments_of(&topic("a")), [q]);
    assert!(matches!(do_one(&mut image, &detach("p")), Err(Rejection::UnknownAttachment { .. })));
    do_one(&mut image, &detach("q")).unwrap();
    assert_eq!(image.attachments_of(&topic("a")), []);
}

#[test]
fn what_cannot_be_attached_is_refused_with_its_reason() {
    let mut image = image();
    let mut attach = |attachment| do_one(&mut image, &Command::Attach(attachment)).unwrap_err();
    assert!(matches!(attach(attachment("x", "p", 1, "")), Rejection::UnknownTopic { .. }));
    assert!(matches!(attach(attachment("hub/b", "p", 1, "")), Rejection::ReadOnly { .. }));
    assert!(matches!(attach(attachment("a", "x", 1, "")), Rejection::UnknownPlugin { .. }));
    assert!(matches!(attach(attachment("a", "p", 9, "")), Rejection::UnknownPluginVersion { .. }));
    let long = " ".repeat(MAX_PLUGIN_CONFIG.as_usize() + 1);
    assert!(matches!(
        attach(attachment("a", "p", 1, &long)),
        Rejection::PluginConfigTooLong { .. }
    ));
}

#[test]
fn links_name_topics_of_this_site_once_each() {
    let mut image = image();
    let mut add = |topics| do_one(&mut image, &Command::AddLink(link("l", topics)));
    assert!(matches!(add(&["x"]), Err(Rejection::UnknownTopic { .. })));
    assert!(matches!(add(&["hub/b"]), Err(Rejection::LinkOfMirror { .. })));
    assert!(matches!(add(&["a", "a"]), Err(Rejection::LinkTopicTwice { .. })));
    assert_eq!(add(&["a"]), Ok(Outcome::Done));
    assert!(matches!(add(&["a"]), Err(Rejection::LinkExists { .. })));
    let name = LinkName::new("l").unwrap();
    let set = |topics: &[&str]| Command::SetLinkTopics {
        name: name.clone(),
        topics: topics.iter().map(|name| topic(name)).collect(),
    };
    assert_eq!(do_one(&mut image, &set(&["a"])), Ok(Outcome::Unchanged));
    assert!(do_one(&mut image, &set(&["x"])).is_err());
    assert_eq!(do_one(&mut image, &set(&[])), Ok(Outcome::Done));
    assert!(image.link(&name).unwrap().topics.is_empty());
}

#[test]
fn addresses_are_hosts_with_ports() {
    for good in ["hub:9440", "10.0.0.1:1", "[::1]:9440", "hub.example.org:65535"] {
        assert!(is_address(good), "{good} was refused");
    }
    for bad in ["", "hub", "hub:", ":9440", "hub:0", "hub:65536", "::1:9440", "a b:1", "x/y:1"] {
        assert!(!is_address(bad), "{bad:?} was taken");
    }
}

#[test]
fn producer_ids_are_handed_out_once() {
    let mut image = image();
    let mut take = |count| do_one(&mut image, &Command::AllocateProducerIds { count });
    let first = |first| Outcome::ProducerIds { first: ProducerId(first), count: 1_000 };
    assert_eq!(take(1_000), Ok(first(0)));
    assert_eq!(take(1_000), Ok(first(1_000)));
    assert!(matches!(take(0), Err(Rejection::ProducerIdCount { .. })));
    assert!(matches!(take(MAX_PRODUCER_ID_BLOCK + 1), Err(Rejection::ProducerIdCount { .. })));
    image.next_producer_id = ProducerId::FIRST_DERIVED - 10;
    let last = do_one(&mut image, &Command::AllocateProducerIds { count: 10 });
    assert!(last.is_ok());
    let over = do_one(&mut image, &Command::AllocateProducerIds { count: 1 });
    assert_eq!(over, Err(Rejection::ProducerIdsExhausted));
}

#[test]
fn a_command_is_applied_once() {
    let mut image = image();
    let before = image.clone();
    let stale = image.apply(5, &create("c", None));
    assert_eq!(stale, Err(Rejection::Stale { index: 5, applied: 5 }));
    assert_eq!(image, before);
    assert!(image.apply(9, &create("c", None)).is_ok(), "indices may leave gaps");
}

fn deriving(from: &str, to: &str, plugin: &str) -> Attachment {
    let spec = DeriveSpec { to: topic(to), table: None, from_end: false, life: 1 };
    Attachment { hook: Hook::Derive, derive: Some(spec), ..attachment(from, plugin, 1, "") }
}

#[test]
fn what_is_derived_never_comes_back() {
    let mut image = Image::default();
    for name in ["a", "b", "c"] {
        do_one(&mut image, &create(name, None)).unwrap();
    }
    do_one(&mut image, &install("p", 1)).unwrap();
    let mut attach = |attachment| do_one(&mut image, &Command::Attach(attachment));
    attach(deriving("a", "b", "p")).unwrap();
    attach(deriving("b", "c", "p")).unwrap();
    for (from, to) in [("c", "a"), ("c", "b"), ("a", "a")] {
        let refused = attach(deriving(from, to, "p")).unwrap_err();
        assert!(matches!(refused, Rejection::DeriveCircle { .. }), "{from} to {to}: {refused}");
    }
    let aimless = Attachment { derive: None, ..deriving("c", "a", "p") };
    assert!(matches!(attach(aimless), Err(Rejection::DeriveTarget { .. })));
    let ingest = Attachment { hook: Hook::Ingest, ..deriving("c", "a", "p") };
    assert!(matches!(attach(ingest), Err(Rejection::DeriveTarget { .. })));
    let delete = |name| Command::DeleteTopic { name: topic(name) };
    let refused = do_one(&mut image, &delete("b")).unwrap_err();
    assert!(matches!(refused, Rejection::TopicDerived { .. }), "{refused}");
    do_one(&mut image, &delete("a")).unwrap();
    do_one(&mut image, &delete("b")).unwrap();
}
