"""What the confluent-kafka checks share."""

import functools
import time

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from harness import unique, until


@functools.cache
def admin(bootstrap):
    # Kept: a client that goes out of scope takes its unfinished calls with it.
    return AdminClient({"bootstrap.servers": bootstrap})


def done(futures, seconds=20):
    """The results of an admin call's futures, by key."""
    return {key: future.result(timeout=seconds) for key, future in futures.items()}


def code(future, seconds=20):
    """The code of the error that a future ends with; None where there is none."""
    error = future.exception(timeout=seconds)
    return None if error is None else error.args[0].code()


def topic(bootstrap, prefix, partitions=1, **config):
    """A new topic with these settings; `_` stands for `.` in their names."""
    name = unique(prefix)
    settings = {key.replace("_", "."): str(value) for key, value in config.items()}
    client = admin(bootstrap)
    done(client.create_topics([NewTopic(name, partitions, 1, config=settings)]))
    # A broker may know it a little later than the controller that made it.
    until(lambda: name in client.list_topics(timeout=10).topics, 10, "the new topic")
    return name


def produce(bootstrap, name, values, partition=0, keys=None, headers=None, stamp=0, **config):
    """Produces values in order; returns what became of each: (offset, timestamp, error)."""
    settings = {key.replace("_", "."): value for key, value in config.items()}
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **settings})
    reports = []

    def delivered(error, message):
        reports.append((message.offset(), message.timestamp(), error))

    for place, value in enumerate(values):
        key = keys[place] if keys else None
        more = {"headers": headers} if headers else {}
        while True:
            try:
                producer.produce(
                    name,
                    value,
                    key,
                    partition=partition,
                    on_delivery=delivered,
                    timestamp=stamp + place if stamp else 0,
                    **more,
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(30)
    if left:
        raise AssertionError(f"{left} records were not delivered in 30 s")
    return reports


def ok(reports):
    """Fails if any record was refused."""
    for _, _, error in reports:
        if error is not None:
            raise AssertionError(f"a record was refused: {error}")


def consumer(bootstrap, group=None, **config):
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": group or unique("group"),
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **{key.replace("_", "."): value for key, value in config.items()},
    }
    return Consumer(settings)


def read(client, count, seconds=20):
    """Polls until this many records came; fails if they do not."""
    got, deadline = [], time.monotonic() + seconds
    while len(got) < count:
        message = client.poll(0.2)
        if message is not None and message.error():
            raise AssertionError(f"consumer: {message.error()}")
        if message is not None:
            got.append(message)
        elif time.monotonic() > deadline:
            raise AssertionError(f"{len(got)} of {count} records in {seconds} s")
    return got


def drain(client, seconds=2):
    """All that comes until nothing came for a while."""
    got, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = client.poll(0.1)
        if message is not None and not message.error():
            got.append(message)
            deadline = time.monotonic() + seconds
    return got


def values(messages):
    return [message.value().decode() for message in messages]
