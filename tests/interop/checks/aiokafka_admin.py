"""Administration with aiokafka."""

import time

from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    InvalidTopicError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka_common import Admin, codes, consumer, numbers, produce, read, topic
from harness import check, equal, unique


async def refused(call, kind, what):
    """The call has to end with this error: raised, or as a code in the response."""
    try:
        response = await call
    except KafkaError as error:
        equal(type(error), kind, what)
        return
    equal([for_code(code) for code in codes(response)], [kind], what)


@check()
async def topics_are_made_described_and_deleted(bootstrap):
    name = await topic(bootstrap, "made", partitions=3)
    async with Admin(bootstrap) as admin:
        equal(name in await admin.list_topics(), True, "it is listed")
        (described,) = await admin.describe_topics([name])
        equal((described["topic"], described["error_code"]), (name, 0), "description")
        equal(
            sorted(part["partition"] for part in described["partitions"]), [0, 1, 2], "partitions"
        )
        equal(codes(await admin.delete_topics([name])), [0], "error of the deletion")
        deadline = time.monotonic() + 15
        while name in await admin.list_topics():
            equal(time.monotonic() < deadline, True, "it goes within 15 s")


@check()
async def bad_topics_are_refused_each_with_its_error(bootstrap):
    taken = await topic(bootstrap, "taken")
    config = {"retention.ms": "soon"}
    async with Admin(bootstrap) as admin:
        for new, kind in (
            (NewTopic(taken, 1, 1), TopicAlreadyExistsError),
            (NewTopic("bad name", 1, 1), InvalidTopicError),
            (NewTopic(unique("rf"), 1, 3), InvalidReplicationFactorError),
            (NewTopic(unique("none"), 0, 1), InvalidPartitionsError),
            (NewTopic(unique("cfg"), 1, 1, topic_configs=config), InvalidConfigurationError),
        ):
            await refused(admin.create_topics([new]), kind, f"{kind.__name__} for {new.name}")
        gone = unique("never-there")
        await refused(admin.delete_topics([gone]), UnknownTopicOrPartitionError, "deletion")


@check()
async def more_partitions(bootstrap):
    name = await topic(bootstrap, "grow")
    async with Admin(bootstrap) as admin:
        response = await admin.create_partitions({name: NewPartitions(4)})
        equal([(entry[0], entry[1]) for entry in response.topic_errors], [(name, 0)], "answer")
        (described,) = await admin.describe_topics([name])
        equal(len(described["partitions"]), 4, "partitions")


@check()
async def settings_are_described_and_altered(bootstrap):
    name = await topic(bootstrap, "settings", retention_ms=7200000)
    resource = ConfigResource(ConfigResourceType.TOPIC, name)

    async def settings(admin):
        (response,) = await admin.describe_configs([resource])
        ((code, _, _, _, entries),) = response.resources
        equal(code, 0, "error")
        return {entry[0]: entry[1] for entry in entries}

    async with Admin(bootstrap) as admin:
        seen = await settings(admin)
        equal((seen["retention.ms"], seen["cleanup.policy"]), ("7200000", "delete"), "settings")
        change = ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": "60000"})
        await admin.alter_configs([change])
        deadline = time.monotonic() + 10
        while (await settings(admin))["retention.ms"] != "60000":
            equal(time.monotonic() < deadline, True, "it is altered within 10 s")


@check()
async def delete_records(bootstrap):
    name = await topic(bootstrap, "trimmed")
    await produce(bootstrap, name, numbers(50))
    place = TopicPartition(name, 0)
    async with Admin(bootstrap) as admin:
        equal(
            await admin.delete_records({place: RecordsToDelete(20)}), {place: 20}, "low watermark"
        )
    client = consumer(bootstrap)
    await client.start()
    try:
        equal(await client.beginning_offsets([place]), {place: 20}, "beginning")
        equal(await client.end_offsets([place]), {place: 50}, "end")
    finally:
        await client.stop()


@check()
async def groups_are_listed_described_and_read(bootstrap):
    name, group = await topic(bootstrap, "groups"), unique("group")
    await produce(bootstrap, name, numbers(5))
    member = consumer(bootstrap, name, group=group, client_id="the-member")
    await member.start()
    try:
        await read(member, 5)
        await member.commit()
        async with Admin(bootstrap) as admin:
            equal(
                group in [entry[0] for entry in await admin.list_consumer_groups()], True, "listed"
            )
            (response,) = await admin.describe_consumer_groups([group])
            (described,) = response.groups
            equal((described[0], described[1], described[2]), (0, group, "Stable"), "description")
            equal(len(described[5]), 1, "members")
            offsets = await admin.list_consumer_group_offsets(group)
            equal(offsets[TopicPartition(name, 0)].offset, 5, "offset")
    finally:
        await member.stop()
