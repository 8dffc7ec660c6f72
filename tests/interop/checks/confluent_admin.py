"""Administration with confluent-kafka."""

from confluent_common import admin, code, consumer, done, ok, produce, read, topic
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from harness import check, equal, unique, until

TOPIC, BROKER = ConfigResource.Type.TOPIC, ConfigResource.Type.BROKER


@check()
def create_and_describe_a_topic(bootstrap):
    client = admin(bootstrap)
    name = topic(bootstrap, "made", partitions=3, retention_ms=1234567)
    seen = client.list_topics(timeout=10).topics[name]
    equal(sorted(seen.partitions), [0, 1, 2], "partitions in the metadata")
    (described,) = done(client.describe_topics(TopicCollection([name]))).values()
    equal(described.name, name, "name")
    equal([part.id for part in described.partitions], [0, 1, 2], "partitions described")
    equal([len(part.isr) for part in described.partitions], [1, 1, 1], "in-sync replicas")
    if str(described.topic_id) in ("", "AAAAAAAAAAAAAAAAAAAAAA"):
        raise AssertionError("the topic has no id")


@check()
def creating_twice_is_refused(bootstrap):
    name = topic(bootstrap, "twice")
    future = admin(bootstrap).create_topics([NewTopic(name, 1, 1)])[name]
    equal(code(future), KafkaError.TOPIC_ALREADY_EXISTS, "error")


@check()
def bad_topics_are_refused_each_with_its_error(bootstrap):
    client = admin(bootstrap)
    wanted = {
        "bad name": (NewTopic("bad name", 1, 1), KafkaError.TOPIC_EXCEPTION),
        "replicas": (NewTopic(unique("rf"), 1, 3), KafkaError.INVALID_REPLICATION_FACTOR),
        "partitions": (NewTopic(unique("none"), 0, 1), KafkaError.INVALID_PARTITIONS),
        "config": (
            NewTopic(unique("cfg"), 1, 1, config={"retention.ms": "soon"}),
            KafkaError.INVALID_CONFIG,
        ),
        "config name": (
            NewTopic(unique("cfg"), 1, 1, config={"no.such.setting": "1"}),
            KafkaError.INVALID_CONFIG,
        ),
    }
    for what, (new, error) in wanted.items():
        (future,) = client.create_topics([new]).values()
        equal(code(future), error, what)


@check()
def validating_makes_nothing(bootstrap):
    client = admin(bootstrap)
    name = unique("only-checked")
    done(client.create_topics([NewTopic(name, 1, 1)], validate_only=True))
    equal(name in client.list_topics(timeout=10).topics, False, "the topic exists")


@check()
def more_partitions(bootstrap):
    client = admin(bootstrap)
    name = topic(bootstrap, "grow", partitions=2)
    done(client.create_partitions([NewPartitions(name, 5)]))
    until(lambda: len(client.list_topics(name, timeout=10).topics[name].partitions) == 5, 10, "5")
    (future,) = client.create_partitions([NewPartitions(name, 3)]).values()
    equal(code(future), KafkaError.INVALID_PARTITIONS, "fewer partitions")
    ok(produce(bootstrap, name, ["x"], partition=4))


@check()
def delete_a_topic(bootstrap):
    client = admin(bootstrap)
    name = topic(bootstrap, "gone")
    done(client.delete_topics([name]))
    until(lambda: name not in client.list_topics(timeout=10).topics, 15, "the deletion")
    (future,) = client.delete_topics([unique("never-there")]).values()
    equal(code(future), KafkaError.UNKNOWN_TOPIC_OR_PART, "deleting what is not there")


@check()
def a_topic_made_again_starts_empty(bootstrap):
    client = admin(bootstrap)
    name = topic(bootstrap, "again")
    ok(produce(bootstrap, name, ["old"] * 10))
    done(client.delete_topics([name]))
    until(lambda: name not in client.list_topics(timeout=10).topics, 15, "the deletion")
    until(lambda: code(client.create_topics([NewTopic(name, 1, 1)])[name]) is None, 15, "creation")
    reports = produce(bootstrap, name, ["new"])
    ok(reports)
    equal(reports[0][0], 0, "offset of the first record")


def settings(client, kind, name):
    resource = ConfigResource(kind, name)
    (entries,) = done(client.describe_configs([resource])).values()
    return entries


@check()
def topic_settings_with_their_defaults(bootstrap):
    name = topic(bootstrap, "settings", retention_ms=7200000)
    entries = settings(admin(bootstrap), TOPIC, name)
    equal(entries["retention.ms"].value, "7200000", "retention.ms")
    equal(entries["retention.ms"].is_default, False, "retention.ms is a default")
    equal(entries["cleanup.policy"].value, "delete", "cleanup.policy")
    equal(entries["cleanup.policy"].is_default, True, "cleanup.policy is a default")
    wanted = {"segment.bytes", "retention.bytes", "max.message.bytes", "message.timestamp.type"}
    wanted |= {"compression.type", "min.insync.replicas", "delete.retention.ms", "segment.ms"}
    equal(wanted - set(entries), set(), "settings without a value")


@check()
def broker_settings(bootstrap):
    client = admin(bootstrap)
    broker = next(iter(client.list_topics(timeout=10).brokers))
    entries = settings(client, BROKER, str(broker))
    equal(bootstrap in (entries["advertised.listeners"].value or ""), True, "advertised.listeners")
    equal(entries["num.partitions"].value, "4", "num.partitions")


def alter(client, name, entry, operation, value):
    change = ConfigEntry(entry, value, incremental_operation=operation)
    resource = ConfigResource(TOPIC, name, incremental_configs=[change])
    (future,) = client.incremental_alter_configs([resource]).values()
    return code(future)


@check()
def settings_are_set_and_reset(bootstrap):
    client = admin(bootstrap)
    name = topic(bootstrap, "altered")
    before = settings(client, TOPIC, name)["retention.ms"].value

    def now(entry, value):
        until(lambda: settings(client, TOPIC, name)[entry].value == value, 10, f"{entry}={value}")

    equal(alter(client, name, "retention.ms", AlterConfigOpType.SET, "60000"), None, "set")
    now("retention.ms", "60000")
    equal(alter(client, name, "retention.ms", AlterConfigOpType.DELETE, None), None, "delete")
    now("retention.ms", before)
    bad = alter(client, name, "retention.ms", AlterConfigOpType.SET, "soon")
    equal(bad, KafkaError.INVALID_CONFIG, "a value that is none")


@check()
def lists_are_appended_to_and_subtracted_from(bootstrap):
    client = admin(bootstrap)
    name = topic(bootstrap, "lists")

    def policy():
        return set(settings(client, TOPIC, name)["cleanup.policy"].value.split(","))

    equal(
        alter(client, name, "cleanup.policy", AlterConfigOpType.APPEND, "compact"), None, "append"
    )
    until(lambda: policy() == {"delete", "compact"}, 10, "delete,compact")
    equal(
        alter(client, name, "cleanup.policy", AlterConfigOpType.SUBTRACT, "delete"),
        None,
        "subtract",
    )
    until(lambda: policy() == {"compact"}, 10, "compact")


@check()
def describes_the_cluster(bootstrap):
    cluster = admin(bootstrap).describe_cluster().result(timeout=20)
    equal([f"{node.host}:{node.port}" for node in cluster.nodes], [bootstrap], "nodes")
    equal(bool(cluster.cluster_id), True, "there is a cluster id")
    equal(cluster.controller.id, cluster.nodes[0].id, "controller")


@check()
def delete_records(bootstrap):
    client = admin(bootstrap)
    name = topic(bootstrap, "trimmed")
    ok(produce(bootstrap, name, [str(n) for n in range(100)]))
    (result,) = done(client.delete_records([TopicPartition(name, 0, 40)])).values()
    equal(result.low_watermark, 40, "low watermark")
    reader = consumer(bootstrap)
    reader.assign([TopicPartition(name, 0, 40)])
    equal(read(reader, 60)[0].offset(), 40, "first offset")
    equal(
        reader.get_watermark_offsets(TopicPartition(name, 0), timeout=10), (40, 100), "watermarks"
    )
    reader.close()
    (future,) = client.delete_records([TopicPartition(name, 0, 500)]).values()
    equal(code(future), KafkaError.OFFSET_OUT_OF_RANGE, "beyond the end")


@check()
def list_offsets_of_each_kind(bootstrap):
    client = admin(bootstrap)
    name = topic(bootstrap, "offsets")
    start = 1_700_000_000_000
    ok(produce(bootstrap, name, [str(n) for n in range(50)], stamp=start))

    def offset(spec):
        (result,) = done(client.list_offsets({TopicPartition(name, 0): spec})).values()
        return result.offset

    equal(offset(OffsetSpec.earliest()), 0, "earliest")
    equal(offset(OffsetSpec.latest()), 50, "latest")
    equal(offset(OffsetSpec.max_timestamp()), 49, "the highest timestamp")
    equal(offset(OffsetSpec.for_timestamp(start + 20)), 20, "by timestamp")
    equal(offset(OffsetSpec.for_timestamp(start + 10_000)), -1, "after all")


def committed_group(bootstrap, name):
    """A group that has committed 7 and is left empty."""
    group = unique("group")
    member = consumer(bootstrap, group)
    member.subscribe([name])
    read(member, 10)
    member.commit(offsets=[TopicPartition(name, 0, 7, metadata="seven")], asynchronous=False)
    member.close()
    return group


@check(limit=90)
def groups_are_listed_described_and_deleted(bootstrap):
    client = admin(bootstrap)
    name = topic(bootstrap, "groups")
    ok(produce(bootstrap, name, ["x"] * 10))
    group = unique("group")
    member = consumer(bootstrap, group, client_id="the-member")
    member.subscribe([name])
    read(member, 10)
    member.commit(offsets=[TopicPartition(name, 0, 7)], asynchronous=False)
    listed = client.list_consumer_groups().result(timeout=20)
    equal([one.group_id for one in listed.valid if one.group_id == group], [group], "listed")
    (described,) = done(client.describe_consumer_groups([group])).values()
    equal(described.state.name, "STABLE", "state")
    equal(len(described.members), 1, "members")
    equal(described.members[0].client_id, "the-member", "client id")
    assigned = described.members[0].assignment.topic_partitions
    equal([(part.topic, part.partition) for part in assigned], [(name, 0)], "assignment")
    (future,) = client.delete_consumer_groups([group]).values()
    equal(code(future), KafkaError.NON_EMPTY_GROUP, "deleting a group with members")
    member.close()
    until(lambda: code(client.delete_consumer_groups([group])[group]) is None, 15, "the deletion")
    (described,) = client.describe_consumer_groups([group]).values()
    gone = described.exception(timeout=20)
    state = "DEAD" if gone else described.result().state.name
    equal(state, "DEAD", "state after the deletion")


@check()
def offsets_of_a_group_are_read_and_altered(bootstrap):
    client = admin(bootstrap)
    name = topic(bootstrap, "altered-offsets")
    ok(produce(bootstrap, name, ["x"] * 10))
    group = committed_group(bootstrap, name)

    def committed():
        asked = [ConsumerGroupTopicPartitions(group)]
        (result,) = done(client.list_consumer_group_offsets(asked)).values()
        return [(part.topic, part.partition, part.offset) for part in result.topic_partitions]

    equal(committed(), [(name, 0, 7)], "committed")
    change = ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0, 3)])
    done(client.alter_consumer_group_offsets([change]))
    equal(committed(), [(name, 0, 3)], "altered")
    member = consumer(bootstrap, group)
    member.subscribe([name])
    equal(read(member, 7)[0].offset(), 3, "first offset read")
    member.close()


@check()
def offsets_of_an_unknown_group(bootstrap):
    name = topic(bootstrap, "unknown-group")
    reader = consumer(bootstrap)
    (part,) = reader.committed([TopicPartition(name, 0)], timeout=15)
    equal((part.offset, part.error), (-1001, None), "no offset, no error")
    reader.close()


@check()
def users_without_scram_credentials(bootstrap):
    futures = admin(bootstrap).describe_user_scram_credentials(["nobody"])
    equal(code(futures["nobody"]), KafkaError.RESOURCE_NOT_FOUND, "an unknown user")
