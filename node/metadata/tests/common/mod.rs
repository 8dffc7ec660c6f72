//! Random commands that meet each other often.

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_metadata::Command;
use tidegate_types::{
    Attachment, ByteSize, Hook, Incarnation, LinkName, LinkSpec, PluginHash, PluginKind,
    PluginLimits, PluginName, PluginVersion, PoisonPolicy, Secret, SiteName, TopicConfig, TopicId,
    TopicName,
};
use uuid::Uuid;

fn topic() -> impl Strategy<Value = TopicName> {
    prop::sample::select(vec!["a", "b", "c", "hub/a", "hub/b", "other/a"])
        .prop_map(|name| TopicName::new(name).unwrap())
}

fn plugin() -> impl Strategy<Value = PluginName> {
    prop::sample::select(vec!["p", "q"]).prop_map(|name| PluginName::new(name).unwrap())
}

fn link() -> impl Strategy<Value = LinkName> {
    prop::sample::select(vec!["l", "m"]).prop_map(|name| LinkName::new(name).unwrap())
}

fn hash() -> impl Strategy<Value = PluginHash> {
    (0..3_u8).prop_map(|n| PluginHash([n; 32]))
}

fn create() -> impl Strategy<Value = Command> {
    (topic(), 0..6_u128, 0..4_u32, prop::bool::weighted(0.9)).prop_map(
        |(name, id, partitions, named_right)| {
            let site = name.site().map(|site| SiteName::new(site).unwrap());
            Command::CreateTopic {
                mirror_of: if named_right { site } else { SiteName::new("hub").ok() },
                name,
                id: TopicId(Uuid::from_u128(id)),
                config: TopicConfig { partitions, ..TopicConfig::default() },
                incarnations: (0..partitions).map(|n| Incarnation(u64::from(n))).collect(),
            }
        },
    )
}

fn attach() -> impl Strategy<Value = Command> {
    (topic(), plugin(), hash(), "[a-z]{0,3}").prop_map(|(topic, plugin, hash, config)| {
        Command::Attach(Attachment {
            topic,
            hook: Hook::Ingest,
            plugin,
            hash,
            config,
            policy: PoisonPolicy::Halt,
            limits: PluginLimits::default(),
            derive: None,
            canary: None,
            previous: None,
        })
    })
}

fn add_link() -> impl Strategy<Value = Command> {
    (link(), vec(topic(), 0..3)).prop_map(|(name, topics)| {
        Command::AddLink(LinkSpec {
            name,
            address: "hub:9440".to_owned(),
            local_site: SiteName::new("edge").unwrap(),
            authority: String::new(),
            certificate: String::new(),
            key: Secret(String::new()),
            topics,
        })
    })
}

fn install() -> impl Strategy<Value = Command> {
    (plugin(), hash()).prop_map(|(name, hash)| {
        Command::InstallPlugin(PluginVersion {
            name,
            hash,
            kind: PluginKind::Filter,
            contract: "tidegate:plugin@0.1.0".to_owned(),
            size: ByteSize::bytes(1),
        })
    })
}

pub fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => create(),
        1 => topic().prop_map(|name| Command::DeleteTopic { name }),
        4 => install(),
        1 => (plugin(), prop::option::of(hash()))
            .prop_map(|(name, hash)| Command::RemovePlugin { name, hash }),
        4 => attach(),
        1 => (topic(), plugin()).prop_map(|(topic, plugin)| Command::Detach {
            topic,
            hook: Hook::Ingest,
            plugin
        }),
        2 => add_link(),
        1 => link().prop_map(|name| Command::RemoveLink { name }),
        1 => (link(), vec(topic(), 0..3))
            .prop_map(|(name, topics)| Command::SetLinkTopics { name, topics }),
        1 => (0..2_000_u32).prop_map(|count| Command::AllocateProducerIds { count }),
    ]
}
