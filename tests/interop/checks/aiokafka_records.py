"""Producing and consuming with aiokafka."""

import time

from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError, OffsetOutOfRangeError
from aiokafka_common import START, all_of, consumer, numbers, produce, read, topic, values
from harness import check, equal


def declare_codecs():
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):

        async def run(bootstrap, codec=codec):
            name = await topic(bootstrap, "codec")
            wanted = [f"{codec} {n} ".encode() + b"x" * 300 for n in range(1000)]
            await produce(bootstrap, name, wanted, compression_type=codec)
            equal(values(await all_of(bootstrap, name, 1000)), wanted, "records")

        run.__name__ = f"codec_{codec or 'none'}"
        check()(run)


declare_codecs()


@check(limit=90)
async def idempotent_and_in_order(bootstrap):
    name = await topic(bootstrap, "idempotent")
    sent = await produce(bootstrap, name, numbers(5000), enable_idempotence=True)
    equal([one.offset for one in sent], list(range(5000)), "offsets")
    equal(values(await all_of(bootstrap, name, 5000)), numbers(5000), "records")


@check()
async def headers_keep_order_and_duplicates(bootstrap):
    name = await topic(bootstrap, "headers")
    wanted = [("b", b"1"), ("a", b""), ("b", b"2")]
    await produce(bootstrap, name, [b"x"], headers=wanted)
    (message,) = await all_of(bootstrap, name, 1)
    equal(list(message.headers), wanted, "headers")


@check()
async def timestamps_of_both_kinds(bootstrap):
    name = await topic(bootstrap, "create-time")
    await produce(bootstrap, name, numbers(3), stamp=START)
    got = await all_of(bootstrap, name, 3)
    equal(
        [(m.timestamp, m.timestamp_type) for m in got], [(START + n, 0) for n in range(3)], "create"
    )
    name = await topic(bootstrap, "append-time", message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    await produce(bootstrap, name, numbers(3), stamp=START)
    for message in await all_of(bootstrap, name, 3):
        equal(message.timestamp_type, 1, "kind of timestamp")
        equal(before <= message.timestamp <= int(time.time() * 1000), True, "the broker's own time")


@check()
async def a_record_too_large_is_refused(bootstrap):
    name = await topic(bootstrap, "large", max_message_bytes=10_000)
    try:
        await produce(bootstrap, name, [b"x" * 20_000])
        raise AssertionError("it was taken")
    except MessageSizeTooLargeError:
        pass


def declare_acks():
    for acks in (0, 1, "all"):

        async def run(bootstrap, acks=acks):
            name = await topic(bootstrap, "acks")
            await produce(bootstrap, name, numbers(500), acks=acks)
            equal(values(await all_of(bootstrap, name, 500)), numbers(500), "records")

        run.__name__ = f"acks_{acks}"
        check()(run)


declare_acks()


@check()
async def seeking_by_offset_and_time(bootstrap):
    name = await topic(bootstrap, "seek")
    place = TopicPartition(name, 0)
    await produce(bootstrap, name, numbers(100), stamp=START)
    client = consumer(bootstrap)
    await client.start()
    try:
        client.assign([place])
        client.seek(place, 70)
        equal((await read(client, 1))[0].offset, 70, "after a seek")
        found = await client.offsets_for_times({place: START + 42})
        equal((found[place].offset, found[place].timestamp), (42, START + 42), "offset by time")
        client.seek(place, found[place].offset)
        equal((await read(client, 1))[0].value, b"42", "record by time")
        late = await client.offsets_for_times({place: START + 10_000})
        equal(late[place], None, "after all")
        await client.seek_to_end(place)
        equal(await client.position(place), 100, "position at the end")
    finally:
        await client.stop()


@check()
async def an_offset_out_of_range_is_told(bootstrap):
    name = await topic(bootstrap, "range")
    await produce(bootstrap, name, numbers(5))
    client = consumer(bootstrap, auto_offset_reset="none")
    await client.start()
    try:
        client.assign([TopicPartition(name, 0)])
        client.seek(TopicPartition(name, 0), 500)
        try:
            await read(client, 1)
            raise AssertionError("a record came")
        except OffsetOutOfRangeError:
            pass
    finally:
        await client.stop()
