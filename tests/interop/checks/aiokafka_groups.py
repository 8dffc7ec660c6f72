"""Groups and transactions with aiokafka."""

import asyncio

from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalGenerationError, UnknownMemberIdError
from aiokafka.structs import OffsetAndMetadata
from aiokafka_common import Admin, all_of, consumer, numbers, produce, read, topic, until, values
from harness import check, equal, unique


@check()
async def a_commit_comes_back_with_its_metadata(bootstrap):
    name, group = await topic(bootstrap, "commits"), unique("group")
    place = TopicPartition(name, 0)
    await produce(bootstrap, name, numbers(10))
    member = consumer(bootstrap, name, group=group)
    await member.start()
    await read(member, 10)
    await member.commit({place: OffsetAndMetadata(4, "four")})
    await member.stop()
    member = consumer(bootstrap, name, group=group)
    await member.start()
    try:
        equal(await member.committed(place), 4, "committed")
        equal((await read(member, 6))[0].offset, 4, "first offset")
    finally:
        await member.stop()
    async with Admin(bootstrap) as admin:
        offsets = await admin.list_consumer_group_offsets(group)
        equal(offsets[place], OffsetAndMetadata(4, "four"), "offset and metadata")


@check(limit=120)
async def two_members_share_then_one_has_all(bootstrap):
    name, group = await topic(bootstrap, "shared", partitions=4), unique("group")
    timing = {
        "session_timeout_ms": 10000,
        "heartbeat_interval_ms": 500,
        "max_poll_interval_ms": 20000,
    }
    members = [consumer(bootstrap, name, group=group, **timing) for _ in range(2)]
    await asyncio.gather(*(member.start() for member in members))

    def parts(member):
        return sorted(part.partition for part in member.assignment())

    def shared():
        both = [parts(member) for member in members]
        return all(both) and sorted(both[0] + both[1]) == [0, 1, 2, 3]

    await until(shared, 40, "two members with all partitions")
    for part in range(4):
        await produce(bootstrap, name, numbers(10), partition=part)
    got = await asyncio.gather(*(read(member, 20) for member in members))
    places = {(m.partition, m.offset) for messages in got for m in messages}
    equal(len(places), 40, "records, each once")
    await members[0].stop()
    await until(lambda: parts(members[1]) == [0, 1, 2, 3], 40, "all partitions at the other")
    await members[1].stop()


@check(limit=90)
async def a_static_member_comes_back_with_the_same_partitions(bootstrap):
    name, group = await topic(bootstrap, "static", partitions=4), unique("group")

    async def member(instance):
        client = consumer(bootstrap, name, group=group, group_instance_id=instance)
        await client.start()
        return client

    def parts(client):
        return sorted(part.partition for part in client.assignment())

    one, two = await asyncio.gather(member("one"), member("two"))
    await until(
        lambda: sorted(parts(one) + parts(two)) == [0, 1, 2, 3] and parts(one) and parts(two),
        40,
        "both",
    )
    before, other = parts(one), parts(two)
    await one.stop()
    one = await member("one")
    await until(lambda: parts(one) == before, 30, "the same partitions again")
    equal(parts(two), other, "the other's partitions")
    await one.stop()
    await two.stop()


@check(limit=90)
async def a_commit_of_a_member_that_was_put_out_is_refused(bootstrap):
    name, group = await topic(bootstrap, "stale"), unique("group")
    await produce(bootstrap, name, numbers(5))
    lazy = consumer(
        bootstrap, name, group=group, max_poll_interval_ms=3000, session_timeout_ms=6000
    )
    await lazy.start()
    await read(lazy, 5)
    await asyncio.sleep(6)
    eager = consumer(bootstrap, name, group=group, session_timeout_ms=6000)
    await eager.start()
    await until(lambda: eager.assignment(), 40, "an assignment of the one that polls")
    try:
        await lazy.commit({TopicPartition(name, 0): 5})
        raise AssertionError("a stale commit was taken")
    except (CommitFailedError, IllegalGenerationError, UnknownMemberIdError):
        pass
    await eager.stop()
    await lazy.stop()


@check()
async def a_rebalance_listener_is_called(bootstrap):
    name, group = await topic(bootstrap, "listener", partitions=2), unique("group")
    seen = []

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            seen.append(("revoked", len(revoked)))

        def on_partitions_assigned(self, assigned):
            seen.append(("assigned", len(assigned)))

    member = consumer(bootstrap, group=group)
    await member.start()
    member.subscribe([name], listener=Listener())
    await until(lambda: ("assigned", 2) in seen, 30, "the assignment")
    await member.stop()


@check()
async def transactions_commit_and_abort(bootstrap):
    name = await topic(bootstrap, "txn")
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=unique("txn"))
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(name, b"kept", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(name, b"dropped", partition=0)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(name, b"kept too", partition=0)
    finally:
        await producer.stop()
    committed = await all_of(bootstrap, name, 2, isolation_level="read_committed")
    equal(values(committed), [b"kept", b"kept too"], "committed")
