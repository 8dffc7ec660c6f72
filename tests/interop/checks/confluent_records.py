"""Producing and consuming with confluent-kafka."""

import time

from confluent_common import admin, consumer, drain, ok, produce, read, topic, values
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    Producer,
    TopicPartition,
)
from harness import check, equal, unique, until

START = 1_700_000_000_000


def numbers(count):
    return [str(n) for n in range(count)]


def all_of(bootstrap, name, count, **config):
    reader = consumer(bootstrap, **config)
    reader.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
    got = read(reader, count)
    reader.close()
    return got


def declare_codecs():
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):

        def run(bootstrap, codec=codec):
            name = topic(bootstrap, "codec")
            wanted = [f"{codec} {n} " + "x" * 300 for n in range(2000)]
            ok(produce(bootstrap, name, wanted, compression_type=codec))
            equal(values(all_of(bootstrap, name, 2000)), wanted, "records")

        run.__name__ = f"codec_{codec}"
        check()(run)


declare_codecs()


@check(limit=90)
def idempotent_and_in_order(bootstrap):
    name = topic(bootstrap, "idempotent")
    reports = produce(bootstrap, name, numbers(30_000), enable_idempotence=True)
    ok(reports)
    equal([offset for offset, _, _ in reports], list(range(30_000)), "offsets")
    equal(values(all_of(bootstrap, name, 30_000)), numbers(30_000), "records")


@check()
def keys_choose_partitions(bootstrap):
    name = topic(bootstrap, "keys", partitions=4)
    keys = [f"key-{n % 20}" for n in range(400)]
    ok(produce(bootstrap, name, numbers(400), partition=-1, keys=keys))
    reader = consumer(bootstrap)
    reader.assign([TopicPartition(name, part, OFFSET_BEGINNING) for part in range(4)])
    places = {}
    for message in read(reader, 400):
        places.setdefault(message.key(), set()).add(message.partition())
    equal([len(where) for where in places.values()], [1] * 20, "partitions of each key")
    reader.close()


@check()
def headers_keep_order_and_duplicates(bootstrap):
    name = topic(bootstrap, "headers")
    wanted = [("b", b"1"), ("a", b""), ("b", b"2"), ("none", None), ("\u00fc", b"\xff\x00")]
    ok(produce(bootstrap, name, ["x"], headers=wanted))
    equal(all_of(bootstrap, name, 1)[0].headers(), wanted, "headers")


@check()
def nulls_and_empties(bootstrap):
    name = topic(bootstrap, "nulls")
    ok(produce(bootstrap, name, [None, b"", b"v"], keys=[b"k", b"", None]))
    got = [(message.key(), message.value()) for message in all_of(bootstrap, name, 3)]
    equal(got, [(b"k", None), (b"", b""), (None, b"v")], "keys and values")


@check()
def create_time_is_the_producers(bootstrap):
    name = topic(bootstrap, "create-time")
    ok(produce(bootstrap, name, numbers(3), stamp=START))
    got = [message.timestamp() for message in all_of(bootstrap, name, 3)]
    equal(got, [(TIMESTAMP_CREATE_TIME, START + n) for n in range(3)], "timestamps")


@check()
def append_time_is_the_brokers(bootstrap):
    name = topic(bootstrap, "append-time", message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    ok(produce(bootstrap, name, numbers(3), stamp=START))
    for message in all_of(bootstrap, name, 3):
        kind, stamp = message.timestamp()
        equal(kind, TIMESTAMP_LOG_APPEND_TIME, "kind of timestamp")
        equal(before <= stamp <= int(time.time() * 1000), True, "the broker's own time")


@check()
def a_record_too_large_is_refused(bootstrap):
    name = topic(bootstrap, "large", max_message_bytes=10_000)
    (report,) = produce(bootstrap, name, ["x" * 20_000])
    equal(report[2] and report[2].code(), KafkaError.MSG_SIZE_TOO_LARGE, "error")
    ok(produce(bootstrap, name, ["x" * 5_000]))


@check()
def a_record_without_key_is_refused_by_a_compacted_topic(bootstrap):
    name = topic(bootstrap, "compacted", cleanup_policy="compact")
    (report,) = produce(bootstrap, name, ["x"])
    equal(report[2] and report[2].code(), KafkaError.INVALID_RECORD, "error")
    ok(produce(bootstrap, name, ["x"], keys=["k"]))


@check()
def an_unknown_partition_is_refused(bootstrap):
    name = topic(bootstrap, "few")
    try:
        (report,) = produce(bootstrap, name, ["x"], partition=9, message_timeout_ms=8000)
        error = report[2]
    except Exception as refused:
        error = refused.args[0]
    wanted = (KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART)
    equal(error is not None and error.code() in wanted, True, f"{error} is about the partition")


def declare_acks():
    for acks in ("0", "1", "all"):

        def run(bootstrap, acks=acks):
            name = topic(bootstrap, "acks")
            ok(produce(bootstrap, name, numbers(1000), acks=acks))
            equal(values(all_of(bootstrap, name, 1000)), numbers(1000), "records")

        run.__name__ = f"acks_{acks}"
        check()(run)


declare_acks()


@check()
def seeking(bootstrap):
    name = topic(bootstrap, "seek")
    ok(produce(bootstrap, name, numbers(100)))
    reader = consumer(bootstrap)
    reader.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
    equal(values(read(reader, 3)[:3]), ["0", "1", "2"], "from the beginning")
    for offset in (50, 7, 99):
        reader.seek(TopicPartition(name, 0, offset))
        equal(read(reader, 1)[0].offset(), offset, "offset after a seek")
    reader.close()


@check()
def offsets_for_times(bootstrap):
    name = topic(bootstrap, "times", partitions=2)
    ok(produce(bootstrap, name, numbers(100), stamp=START))
    ok(produce(bootstrap, name, numbers(10), partition=1, stamp=START + 1000))
    reader = consumer(bootstrap)

    def offset(partition, stamp):
        (part,) = reader.offsets_for_times([TopicPartition(name, partition, stamp)], timeout=10)
        return part.offset

    equal(offset(0, START + 30), 30, "within the first")
    equal(offset(1, START + 30), 0, "before the second")
    equal(offset(0, START + 5000), OFFSET_END, "after all")
    reader.assign([TopicPartition(name, 0, offset(0, START + 42))])
    equal(read(reader, 1)[0].value(), b"42", "the record read from there")
    reader.close()


@check()
def watermarks_and_positions(bootstrap):
    name = topic(bootstrap, "marks")
    ok(produce(bootstrap, name, numbers(20)))
    reader = consumer(bootstrap)
    place = TopicPartition(name, 0, OFFSET_BEGINNING)
    equal(reader.get_watermark_offsets(place, timeout=10), (0, 20), "watermarks")
    reader.assign([place])
    read(reader, 5)
    (position,) = reader.position([TopicPartition(name, 0)])
    equal(position.offset, 5, "position")
    reader.close()


@check()
def the_end_is_told_even_of_an_empty_partition(bootstrap):
    name = topic(bootstrap, "ends", partitions=2)
    ok(produce(bootstrap, name, numbers(5)))
    reader = consumer(bootstrap, enable_partition_eof=True)
    reader.assign([TopicPartition(name, part, OFFSET_BEGINNING) for part in range(2)])
    ends, deadline = {}, time.monotonic() + 15
    while len(ends) < 2 and time.monotonic() < deadline:
        message = reader.poll(0.2)
        if message is not None and message.error():
            equal(message.error().code(), KafkaError._PARTITION_EOF, "event")
            ends[message.partition()] = message.offset()
    equal(ends, {0: 5, 1: 0}, "ends")
    reader.close()


@check()
def an_offset_out_of_range_is_reset(bootstrap):
    name = topic(bootstrap, "range")
    ok(produce(bootstrap, name, numbers(10)))
    for policy, want in (("earliest", 0), ("latest", 10)):
        reader = consumer(bootstrap, auto_offset_reset=policy)
        reader.assign([TopicPartition(name, 0, 5000)])
        if policy == "latest":
            drain(reader, 2)
            ok(produce(bootstrap, name, ["late"]))
        equal(read(reader, 1)[0].offset(), want, policy)
        reader.close()
    reader = consumer(bootstrap, auto_offset_reset="error")
    reader.assign([TopicPartition(name, 0, 5000)])
    event = until(lambda: reader.poll(0.2), 15, "an error")
    equal(event.error() and event.error().code(), KafkaError._AUTO_OFFSET_RESET, "error")
    reader.close()


@check()
def pause_and_resume(bootstrap):
    name = topic(bootstrap, "pause", partitions=2)
    ok(
        produce(bootstrap, name, ["a"] * 5, partition=0)
        + produce(bootstrap, name, ["b"] * 5, partition=1)
    )
    reader = consumer(bootstrap)
    reader.assign([TopicPartition(name, part, OFFSET_BEGINNING) for part in range(2)])
    reader.pause([TopicPartition(name, 0)])
    equal(set(values(drain(reader))), {"b"}, "while the first is paused")
    reader.resume([TopicPartition(name, 0)])
    equal(values(read(reader, 5)), ["a"] * 5, "resumed")
    reader.close()


@check()
def small_fetches_still_make_progress(bootstrap):
    name = topic(bootstrap, "small")
    wanted = [str(n) * 50_000 for n in range(10)]
    ok(produce(bootstrap, name, wanted))
    config = {"fetch_message_max_bytes": 1000, "fetch_max_bytes": 1000, "message_max_bytes": 1000}
    equal(values(all_of(bootstrap, name, 10, **config)), wanted, "records")


@check()
def a_fetch_waits_for_bytes_and_no_longer_than_asked(bootstrap):
    name = topic(bootstrap, "wait")
    ok(produce(bootstrap, name, ["first"]))
    config = {"fetch_min_bytes": 100_000, "fetch_wait_max_ms": 1500}
    reader = consumer(bootstrap, **config)
    reader.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
    began = time.monotonic()
    read(reader, 1)
    waited = time.monotonic() - began
    equal(
        1.2 < waited < 5, True, f"waited {waited:.2f} s for 100 kB that never came, asked for 1.5"
    )
    reader.close()


@check()
def a_new_topic_is_made_by_its_first_record(bootstrap):
    name = unique("auto")
    ok(produce(bootstrap, name, ["x"], partition=3))
    equal(
        len(admin(bootstrap).list_topics(name, timeout=10).topics[name].partitions), 4, "partitions"
    )


@check(limit=90)
def topics_by_pattern(bootstrap):
    prefix = unique("pattern")
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": unique("group"),
            "auto.offset.reset": "earliest",
            "topic.metadata.refresh.interval.ms": 1000,
        }
    )
    ok(produce(bootstrap, prefix + "-1", ["one"], partition=0))
    reader.subscribe([f"^{prefix}-.*"])
    equal(values(read(reader, 1)), ["one"], "the first")
    ok(produce(bootstrap, prefix + "-2", ["two"], partition=0))
    equal(values(read(reader, 1, 30)), ["two"], "a topic made later")
    reader.close()


@check()
def many_connections(bootstrap):
    name = topic(bootstrap, "connections")
    producers = [Producer({"bootstrap.servers": bootstrap}) for _ in range(30)]
    for producer in producers:
        producer.produce(name, b"x", partition=0)
    equal([producer.flush(20) for producer in producers], [0] * 30, "records left")
    equal(len(all_of(bootstrap, name, 30)), 30, "records")
