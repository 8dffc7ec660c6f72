//! These bytes are on users' disks: a change that breaks a test here breaks their nodes.

use std::time::Duration;

use tidegate_types::{
    ByteSize, Flush, Hook, Incarnation, LinkName, LogPolicy, PluginHash, PluginKind, PluginLimits,
    PluginName, PoisonPolicy, Secret, SiteName, TopicConfig, TopicId, TopicName,
};

use super::*;

fn golden() -> Vec<(Command, &'static str)> {
    let topic = TopicName::new("readings").unwrap();
    let plugin = PluginName::new("redact").unwrap();
    let link = LinkName::new("hub").unwrap();
    let hash = PluginHash([0xab; 32]);
    // An id with every byte different, without the uuid crate as a dependency.
    let id: TopicId =
        postcard::from_bytes(&[16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]).unwrap();
    let policy = LogPolicy { retention: Some(Duration::from_secs(3_600)), ..LogPolicy::default() };
    vec![
        (
            Command::CreateTopic {
                name: TopicName::new("edge/readings").unwrap(),
                id,
                config: TopicConfig {
                    partitions: 2,
                    flush: Flush::Os,
                    policy,
                    ..TopicConfig::default()
                },
                mirror_of: Some(SiteName::new("edge").unwrap()),
                incarnations: vec![Incarnation(1), Incarnation(300)],
            },
            "0103000d656467652f72656164696e677310000102030405060708090a0b0c0d0e0f0280\
             80802001010c726574656e74696f6e2e6d730231680104656467650201ac02",
        ),
        (Command::DeleteTopic { name: topic.clone() }, "0103010872656164696e6773"),
        (
            Command::InstallPlugin(PluginVersion {
                name: plugin.clone(),
                hash,
                kind: PluginKind::Transform,
                contract: "tidegate:plugin@0.1.0".to_owned(),
                size: ByteSize::bytes(1_000),
            }),
            "01030206726564616374abababababababababababababababababababababababababab\
             abababababab021574696465676174653a706c7567696e40302e312e30e807",
        ),
        (
            Command::RemovePlugin { name: plugin.clone(), hash: Some(hash) },
            "0103030672656461637401ababababababababababababababababababababababababab\
             ababababababab",
        ),
        (
            Command::Attach(Attachment {
                topic: topic.clone(),
                hook: Hook::Ingest,
                plugin: plugin.clone(),
                hash,
                config: "{}".to_owned(),
                policy: PoisonPolicy::DeadLetter,
                limits: PluginLimits::default(),
                derive: None,
                canary: None,
                previous: None,
            }),
            ATTACH,
        ),
        (
            Command::Detach { topic: topic.clone(), hook: Hook::Ingest, plugin: plugin.clone() },
            "0103050872656164696e67730006726564616374",
        ),
        (
            Command::AddLink(LinkSpec {
                name: link.clone(),
                address: "hub:9440".to_owned(),
                local_site: SiteName::new("edge").unwrap(),
                authority: "A".to_owned(),
                certificate: "C".to_owned(),
                key: Secret("K".to_owned()),
                topics: vec![topic.clone()],
            }),
            "01030603687562086875623a39343430046564676501410143014b010872656164696e67\
             73",
        ),
        (Command::RemoveLink { name: link.clone() }, "01030703687562"),
        (
            Command::SetLinkTopics { name: link, topics: vec![topic.clone()] },
            "01030803687562010872656164696e6773",
        ),
        (Command::AllocateProducerIds { count: 1_000 }, "010309e807"),
        (
            Command::AddPartitions {
                name: topic,
                partitions: 2,
                incarnations: vec![Incarnation(5)],
            },
            "01030b0872656164696e6773020105",
        ),
    ]
}

const ATTACH: &str = "01030c0872656164696e67730006726564616374abababababababababababababababab\
    abababababababababababababababab027b7d010080cab5ee01808080208080800800e8\
    078002808080800164000000";

/// The same, as it was written at first.
const ATTACH_V1: &str = "0103040872656164696e67730006726564616374abababababababababababababababab\
    abababababababababababababababab027b7d010080cab5ee018080802080808008";

const SNAPSHOT: &str = "0206010872656164696e677310000102030405060708090a0b0c0d0e0f02808080200101\
    0c726574656e74696f6e2e6d73023168000201ac020106726564616374ababababababab\
    ababababababababababababababababababababababababab021574696465676174653a\
    706c7567696e40302e312e30e807010872656164696e67730006726564616374abababab\
    abababababababababababababababababababababababababababab027b7d010080cab5\
    ee01808080208080800800e80780028080808001640000000103687562086875623a3934\
    3430046564676501410143014b010872656164696e6773d00f";

/// The same, as it was written at first.
const SNAPSHOT_V1: &str = "0106010872656164696e677310000102030405060708090a0b0c0d0e0f028080802001010c726574656e74696f6e2e6d7302316800\
    0201ac020106726564616374abababababababababababababababababababababababab\
    abababababababab021574696465676174653a706c7567696e40302e312e30e807010872\
    656164696e67730006726564616374ababababababababababababababababababababab\
    ababababababababababab027b7d010080cab5ee01808080208080800801036875620868\
    75623a39343430046564676501410143014b010872656164696e6773d00f";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

#[test]
fn commands_lie_on_disk_as_they_always_did() {
    for (command, bytes) in golden() {
        assert_eq!(hex(&encode_entry(3, &command).unwrap()), bytes, "{command:?}");
        let entry = decode_entry(9, &unhex(bytes)).unwrap();
        assert_eq!(entry, Entry { index: 9, term: 3, command });
    }
}

/// An image with one of everything.
fn image() -> Image {
    let mut image = Image::default();
    let mut index = 0;
    for (mut command, _) in golden() {
        if let Command::CreateTopic { name, mirror_of, .. } = &mut command {
            (*name, *mirror_of) = (TopicName::new("readings").unwrap(), None);
        }
        let ends = matches!(
            command,
            Command::DeleteTopic { .. }
                | Command::RemovePlugin { .. }
                | Command::Detach { .. }
                | Command::RemoveLink { .. }
                | Command::AddPartitions { .. }
        );
        if !ends {
            index += 1;
            image.apply(index, &command).unwrap();
        }
    }
    image
}

#[test]
fn images_lie_on_disk_as_they_always_did() {
    let image = image();
    assert_eq!(hex(&encode_snapshot(&image).unwrap()), SNAPSHOT);
    assert_eq!(decode_snapshot(&unhex(SNAPSHOT)).unwrap(), image);
}

#[test]
fn what_was_written_at_first_is_still_read() {
    assert_eq!(decode_snapshot(&unhex(SNAPSHOT_V1)).unwrap(), image());
    let read = |bytes| decode_entry(9, &unhex(bytes)).unwrap();
    assert_eq!(read(ATTACH_V1), read(ATTACH));
}

#[test]
fn what_is_cut_off_too_long_or_newer_is_refused() {
    let bytes = encode_snapshot(&image()).unwrap();
    assert!(matches!(decode_snapshot(&[]), Err(FormatError::Empty { .. })));
    for end in 1..bytes.len() {
        assert!(decode_snapshot(&bytes[..end]).is_err(), "{end} bytes were taken");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(decode_snapshot(&longer), Err(FormatError::Trailing { len: 1, .. })));
    let newer = [&[3], &bytes[1..]].concat();
    let error = decode_snapshot(&newer).unwrap_err().to_string();
    assert_eq!(
        error,
        "the snapshot has format version 3, this program reads up to 2: use a newer program"
    );
    assert!(decode_entry(1, &[VERSION, 0, 200]).is_err(), "a command nobody knows was taken");
}

#[test]
fn an_image_that_contradicts_itself_is_refused() {
    let whole = image();
    let breaks: [fn(&mut Image); 4] = [
        |image| {
            image.topics.clear();
            image.names.clear();
        },
        |image| image.plugins.clear(),
        |image| {
            let twice = image.all_attachments().next().unwrap().clone();
            Arc::make_mut(image.attachments.values_mut().next().unwrap()).push(twice);
        },
        |image| {
            Arc::make_mut(image.topics.values_mut().next().unwrap()).incarnations.clear();
        },
    ];
    for (n, break_it) in breaks.iter().enumerate() {
        let mut image = whole.clone();
        break_it(&mut image);
        let read = decode_snapshot(&encode_snapshot(&image).unwrap());
        assert!(matches!(read, Err(FormatError::Inconsistent(_))), "break {n} was taken");
    }
}
