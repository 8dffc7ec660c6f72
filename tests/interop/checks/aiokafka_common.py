"""What the aiokafka checks share."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from harness import equal, unique

START = 1_700_000_000_000


def numbers(count):
    return [str(n).encode() for n in range(count)]


class Admin:
    """An admin client that is closed again."""

    def __init__(self, bootstrap):
        self.client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)

    async def __aenter__(self):
        await self.client.start()
        return self.client

    async def __aexit__(self, *_):
        await self.client.close()


def codes(response):
    """The error code of each topic in a response."""
    name = "topic_errors" if hasattr(response, "topic_errors") else "topic_error_codes"
    return [entry[1] for entry in getattr(response, name)]


async def topic(bootstrap, prefix, partitions=1, **config):
    name = unique(prefix)
    settings = {key.replace("_", "."): str(value) for key, value in config.items()}
    async with Admin(bootstrap) as admin:
        new = NewTopic(
            name, num_partitions=partitions, replication_factor=1, topic_configs=settings
        )
        equal(codes(await admin.create_topics([new])), [0], "error of the creation")
        deadline = time.monotonic() + 10
        # A broker may know it a little later than the controller that made it.
        while name not in await admin.list_topics():
            equal(time.monotonic() < deadline, True, "it is known within 10 s")
    return name


async def produce(
    bootstrap, name, values, partition=0, keys=None, stamp=None, headers=None, **config
):
    """Produces values in order; returns their metadata."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **config)
    await producer.start()
    try:
        futures = []
        for place, value in enumerate(values):
            futures.append(
                await producer.send(
                    name,
                    value,
                    keys[place] if keys else None,
                    partition=partition,
                    timestamp_ms=stamp + place if stamp else None,
                    headers=headers,
                )
            )
        return [await future for future in futures]
    finally:
        await producer.stop()


def consumer(bootstrap, *topics, group=None, **config):
    config = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **config}
    return AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, group_id=group, **config)


async def read(client, count, seconds=20):
    got = []
    async with asyncio.timeout(seconds):
        while len(got) < count:
            got.append(await client.getone())
    return got


async def all_of(bootstrap, name, count, **config):
    client = consumer(bootstrap, **config)
    await client.start()
    try:
        client.assign([TopicPartition(name, 0)])
        await client.seek_to_beginning()
        return await read(client, count)
    finally:
        await client.stop()


def values(messages):
    return [message.value for message in messages]


async def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about in {seconds} s")
        await asyncio.sleep(0.05)
