"""Kafka's own command line tools, which are the Java client as its users meet it."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

from harness import check, equal, main, unique, until

KAFKA = Path(__file__).resolve().parent.parent / "kafka.sh"
TOOLS = "org.apache.kafka.tools."

TOPICS = TOOLS + "TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"
GROUPS = TOOLS + "consumer.group.ConsumerGroupCommand"
CONSOLE_PRODUCER = TOOLS + "ConsoleProducer"
CONSOLE_CONSUMER = TOOLS + "consumer.ConsoleConsumer"


def tool(name, *arguments, stdin="", limit=60, fails=False, advice=True):
    """Runs one of the tools; returns what it printed. It has to succeed, or to fail if told so.

    Without `advice` what it says beside its results is left out.
    """
    command = [KAFKA, "tool", name, *map(str, arguments)]
    try:
        run = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{name} was not done in {limit} s: {late.stdout!r:.300}") from None
    output = run.stdout + run.stderr
    if (run.returncode != 0) != fails:
        raise AssertionError(f"{name} ended with {run.returncode}: {output.strip()[-400:]}")
    return output if advice else run.stdout


def at(bootstrap):
    return ("--bootstrap-server", bootstrap)


def has(text, pattern, what=""):
    """Fails unless the pattern is found; returns the match."""
    found = re.search(pattern, text, re.M)
    if not found:
        raise AssertionError(f"{what or pattern!r} is not in: {text.strip()[-400:]}")
    return found


def topic(bootstrap, prefix, partitions=1, **settings):
    name = unique(prefix)
    config = []
    for key, value in settings.items():
        config += ["--config", f"{key.replace('_', '.')}={value}"]
    make = ["--create", "--topic", name, "--partitions", partitions]
    tool(TOPICS, *at(bootstrap), *make, *config)
    return name


def produce(bootstrap, name, lines, *arguments):
    text = "".join(line + "\n" for line in lines)
    tool(CONSOLE_PRODUCER, *at(bootstrap), "--topic", name, *arguments, stdin=text)


def consume(bootstrap, name, count, *arguments):
    """So many records from the beginning, line by line."""
    flags = ["--from-beginning", "--max-messages", count, "--timeout-ms", 30000]
    text = tool(CONSOLE_CONSUMER, *at(bootstrap), "--topic", name, *flags, *arguments, advice=False)
    return text.splitlines()


def numbers(count):
    return [str(n) for n in range(count)]


@check(limit=120)
def topics(bootstrap):
    name = topic(bootstrap, "tool", partitions=3, retention_ms=7200000)
    equal(name in tool(TOPICS, *at(bootstrap), "--list").split(), True, "it is listed")
    text = tool(TOPICS, *at(bootstrap), "--describe", "--topic", name)
    has(text, r"PartitionCount: 3\s+ReplicationFactor: 1\s+Configs:.*retention\.ms=7200000")
    equal(
        len(re.findall(r"Partition: \d+\s+Leader: (\d+)\s+Replicas: \1\s+Isr: \1", text)),
        3,
        "partitions",
    )
    has(text, r"TopicId: (?!AAAAAAAAAAAAAAAAAAAAAA)\S{22}", "a topic id")
    tool(TOPICS, *at(bootstrap), "--alter", "--topic", name, "--partitions", 5)
    has(tool(TOPICS, *at(bootstrap), "--describe", "--topic", name), "PartitionCount: 5")
    text = tool(TOPICS, *at(bootstrap), "--create", "--topic", name, fails=True)
    has(text, "already exists")
    tool(TOPICS, *at(bootstrap), "--delete", "--topic", name)
    until(lambda: name not in tool(TOPICS, *at(bootstrap), "--list").split(), 20, "the deletion")


@check()
def a_replication_factor_of_three_is_refused(bootstrap):
    make = ["--create", "--topic", unique("rf"), "--replication-factor", 3]
    has(
        tool(TOPICS, *at(bootstrap), *make, fails=True),
        "InvalidReplicationFactor|replication factor",
    )


@check(limit=120)
def configs_of_a_topic(bootstrap):
    name = topic(bootstrap, "configs")
    of = ["--entity-type", "topics", "--entity-name", name]
    tool(
        CONFIGS,
        *at(bootstrap),
        "--alter",
        *of,
        "--add-config",
        "retention.ms=60000,segment.bytes=2000000",
    )
    text = tool(CONFIGS, *at(bootstrap), "--describe", *of)
    has(text, r"retention\.ms=60000")
    has(text, r"segment\.bytes=2000000")
    tool(CONFIGS, *at(bootstrap), "--alter", *of, "--delete-config", "retention.ms")
    text = tool(CONFIGS, *at(bootstrap), "--describe", *of)
    equal("retention.ms=60000" in text, False, "retention.ms is still set")
    text = tool(CONFIGS, *at(bootstrap), "--describe", "--all", *of)
    has(text, r"cleanup\.policy=delete")
    bad = ["--alter", *of, "--add-config", "retention.ms=soon"]
    has(tool(CONFIGS, *at(bootstrap), *bad, fails=True), "Invalid")


@check()
def configs_of_the_broker(bootstrap):
    of = ["--entity-type", "brokers", "--entity-name", node(bootstrap), "--all"]
    text = tool(CONFIGS, *at(bootstrap), "--describe", *of)
    has(text, r"num\.partitions=4")
    has(text, r"advertised\.listeners=\S*" + re.escape(bootstrap))


def node(bootstrap):
    text = tool(TOOLS + "BrokerApiVersionsCommand", *at(bootstrap))
    return has(text, r"\(id: (\d+) rack", "a broker id").group(1)


@check()
def broker_api_versions(bootstrap):
    text = tool(TOOLS + "BrokerApiVersionsCommand", *at(bootstrap))
    has(text, re.escape(bootstrap))
    for name, usable in (("Produce", 13), ("Fetch", 17), ("Metadata", 13), ("ApiVersions", 4)):
        found = has(text, rf"{name}\(\d+\): \d+ to (\d+) \[usable: (\d+)\]")
        equal(
            int(found.group(2)) >= usable,
            True,
            f"{name} is usable from {usable} on: {found.group(0)}",
        )
    unusable = re.findall(r"(\w+)\(\d+\): \d+ to \d+ \[unusable", text)
    equal(unusable, [], "APIs that are offered and that the client cannot use")


@check()
def cluster_id(bootstrap):
    has(tool(TOOLS + "ClusterTool", "cluster-id", *at(bootstrap)), r"Cluster ID: \S+")


@check(limit=90)
def console_producer_and_consumer(bootstrap):
    name = topic(bootstrap, "console")
    produce(bootstrap, name, numbers(500))
    equal(consume(bootstrap, name, 500), numbers(500), "records")


@check(limit=90)
def keys_headers_timestamps_and_offsets(bootstrap):
    name = topic(bootstrap, "properties")
    reading = ["--reader-property", "parse.key=true", "--reader-property", "parse.headers=true"]
    produce(bootstrap, name, ["h1:a,h2:b\tkey\tvalue"], *reading)
    form = ["key", "headers", "offset", "partition", "timestamp"]
    flags = [part for word in form for part in ("--formatter-property", f"print.{word}=true")]
    (line,) = consume(bootstrap, name, 1, *flags)
    has(line, r"^CreateTime:\d{13}\tPartition:0\tOffset:0\th1:a,h2:b\tkey\tvalue$")


def declare_codecs():
    for codec in ("gzip", "snappy", "lz4", "zstd"):

        def run(bootstrap, codec=codec):
            name = topic(bootstrap, "codec")
            lines = [f"{codec} {n} " + "x" * 200 for n in range(500)]
            produce(bootstrap, name, lines, "--compression-codec", codec)
            equal(consume(bootstrap, name, 500), lines, "records")

        run.__name__ = f"codec_{codec}"
        check(limit=90)(run)


declare_codecs()


@check(limit=60)
def a_topic_made_by_its_first_record(bootstrap):
    name = unique("auto")
    produce(bootstrap, name, ["x"])
    equal(consume(bootstrap, name, 1), ["x"], "records")


@check(limit=60)
def consuming_one_partition_from_an_offset(bootstrap):
    name = topic(bootstrap, "partition")
    produce(bootstrap, name, numbers(20))
    flags = ["--partition", 0, "--offset", 15, "--max-messages", 5, "--timeout-ms", 20000]
    text = tool(CONSOLE_CONSUMER, *at(bootstrap), "--topic", name, *flags, advice=False)
    equal(text.split(), numbers(20)[15:], "records")


def declare_protocols():
    for protocol in ("classic", "consumer"):

        def run(bootstrap, protocol=protocol):
            name, group = topic(bootstrap, "group"), unique("java")
            flags = ["--group", group, "--command-property", f"group.protocol={protocol}"]
            produce(bootstrap, name, numbers(10))
            equal(consume(bootstrap, name, 10, *flags), numbers(10), "first run")
            produce(bootstrap, name, ["a", "b"])
            equal(consume(bootstrap, name, 2, *flags), ["a", "b"], "second run")
            text = tool(GROUPS, *at(bootstrap), "--describe", "--group", group)
            has(text, rf"{group}\s+{name}\s+0\s+12\s+12\s+0\s", "offset 12, end 12, lag 0")

        run.__name__ = f"a_group_goes_on_where_it_was_{protocol}_protocol"
        check(limit=150)(run)


declare_protocols()


@check(limit=240)
def consumer_groups(bootstrap):
    name, group = topic(bootstrap, "groups"), unique("java")
    produce(bootstrap, name, numbers(20))
    consume(bootstrap, name, 20, "--group", group)
    of = [*at(bootstrap), "--group", group]
    equal(group in tool(GROUPS, *at(bootstrap), "--list").split(), True, "it is listed")
    has(tool(GROUPS, *of, "--describe", "--state"), rf"{group}\s.*Empty\s+0")
    has(tool(GROUPS, *of, "--describe"), rf"{name}\s+0\s+20\s+20\s+0")
    reset = ["--reset-offsets", "--topic", name, "--execute"]
    has(tool(GROUPS, *of, *reset, "--to-offset", 5), rf"{group}\s+{name}\s+0\s+5\b")
    equal(consume(bootstrap, name, 15, "--group", group), numbers(20)[5:], "after the reset")
    has(tool(GROUPS, *of, *reset, "--to-earliest"), rf"{name}\s+0\s+0\b")
    has(tool(GROUPS, *of, *reset, "--shift-by", 7), rf"{name}\s+0\s+7\b")
    has(tool(GROUPS, *of, *reset, "--to-latest"), rf"{name}\s+0\s+20\b")
    has(tool(GROUPS, *of, *reset, "--to-datetime", "2020-01-01T00:00:00.000"), rf"{name}\s+0\s+0\b")
    tool(GROUPS, *of, "--delete-offsets", "--topic", name)
    equal(name in tool(GROUPS, *of, "--describe"), False, "offsets are left after their deletion")
    has(tool(GROUPS, *of, *reset, "--to-offset", 5), rf"{name}\s+0\s+5\b")
    has(tool(GROUPS, *of, "--delete"), "was successful")
    equal(
        group in tool(GROUPS, *at(bootstrap), "--list").split(),
        False,
        "it is listed after its deletion",
    )


@check(limit=120)
def members_of_a_group(bootstrap):
    name, group = topic(bootstrap, "members", partitions=2), unique("java")
    command = [KAFKA, "tool", CONSOLE_CONSUMER, *at(bootstrap), "--topic", name, "--group", group]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    member = subprocess.Popen(command, **quiet)
    try:
        pattern = rf"{group}\s+console-consumer-\S+\s+/127\.0\.0\.1\s+console-consumer\s+2\s"

        def seen():
            describe = ["--describe", "--members", "--verbose", "--group", group]
            try:
                return re.search(pattern, tool(GROUPS, *at(bootstrap), *describe))
            except AssertionError:
                # There is no such group yet.
                return None

        until(seen, 60, "the member with two partitions")
    finally:
        member.terminate()
        member.wait(20)


@check(limit=90)
def get_offsets(bootstrap):
    name = topic(bootstrap, "offsets", partitions=2)
    lines = numbers(30)
    produce(bootstrap, name, lines)

    def total(time):
        text = tool(TOOLS + "GetOffsetShell", *at(bootstrap), "--topic", name, "--time", time)
        found = re.findall(rf"^{name}:(\d):(\d+)$", text, re.M)
        return sum(int(offset) for _, offset in found)

    equal(total(-1), 30, "latest")
    equal(total(-2), 0, "earliest")
    equal(0 < total(-3) < 30, True, "of the highest timestamp")
    equal(total(1), 0, "by timestamp")


@check(limit=90)
def delete_records(bootstrap):
    name = topic(bootstrap, "trimmed")
    produce(bootstrap, name, numbers(30))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        places = [{"topic": name, "partition": 0, "offset": 12}]
        json.dump({"partitions": places, "version": 1}, file)
        file.flush()
        text = tool(TOOLS + "DeleteRecordsCommand", *at(bootstrap), "--offset-json-file", file.name)
    has(text, rf"partition: {name}-0\s+low_watermark: 12")
    equal(consume(bootstrap, name, 18), numbers(30)[12:], "records that are left")


@check(limit=60)
def log_dirs(bootstrap):
    name = topic(bootstrap, "dirs")
    produce(bootstrap, name, ["x" * 1000])
    text = tool(TOOLS + "LogDirsCommand", *at(bootstrap), "--describe", "--topic-list", name)
    found = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
    (place,) = [part for part in found["brokers"][0]["logDirs"] if part["partitions"]]
    equal(place["error"], None, "error")
    (part,) = place["partitions"]
    equal(part["partition"], f"{name}-0", "partition")
    equal(part["size"] >= 1000, True, f"size {part['size']}")


PERFORMANCE = TOOLS + "ProducerPerformance"


@check(limit=120)
def producer_performance(bootstrap):
    name = topic(bootstrap, "perf", partitions=4)
    flags = ["--num-records", 100000, "--record-size", 200, "--throughput", -1]
    more = ["--bootstrap-server", bootstrap]
    text = tool(PERFORMANCE, "--topic", name, *flags, *more, limit=100)
    has(text, r"^100000 records sent", "100000 records sent")
    flags = ["--topic", name, "--num-records", 100000, "--timeout", 30000]
    text = tool(TOOLS + "ConsumerPerformance", *at(bootstrap), *flags, limit=90)
    fields = text.strip().splitlines()[-1].split(",")
    equal(int(fields[4]) >= 100000, True, f"records read: {fields}")


@check(limit=120)
def end_to_end_latency(bootstrap):
    name = topic(bootstrap, "latency")
    flags = ["--topic", name, "--num-records", 500, "--producer-acks", "all", "--record-size", 100]
    text = tool(TOOLS + "EndToEndLatency", *at(bootstrap), *flags, limit=90)
    has(text, r"Avg latency: [\d.,]+ ms")


@check(limit=120)
def verifiable_producer_and_consumer(bootstrap):
    name = topic(bootstrap, "verifiable", partitions=2)
    flags = ["--topic", name, "--max-messages", 1000, "--acks", -1]
    text = tool(TOOLS + "VerifiableProducer", *at(bootstrap), *flags)
    has(text, r'"name":"tool_data".*"sent":1000,"acked":1000|"acked":1000')
    flags = ["--topic", name, "--group-id", unique("verifiable"), "--max-messages", 1000]
    more = ["--reset-policy", "earliest"]
    text = tool(TOOLS + "VerifiableConsumer", *at(bootstrap), *flags, *more, limit=90)
    counts = [int(found) for found in re.findall(r'"name":"records_consumed","count":(\d+)', text)]
    counts = counts or [
        int(found) for found in re.findall(r'"records_consumed"[^\n]*?"count":(\d+)', text)
    ]
    equal(sum(counts), 1000, "records consumed")


@check(limit=60)
def an_idempotent_producer_keeps_the_order(bootstrap):
    name = topic(bootstrap, "idempotent")
    settings = ["enable.idempotence=true", "acks=all", "max.in.flight.requests.per.connection=5"]
    settings += ["batch.size=1000"]
    flags = [part for setting in settings for part in ("--command-property", setting)]
    produce(bootstrap, name, numbers(3000), *flags)
    equal(consume(bootstrap, name, 3000), numbers(3000), "records")


@check(limit=90)
def transactions(bootstrap):
    name = topic(bootstrap, "txn", partitions=2)
    flags = ["--num-records", 5000, "--record-size", 100, "--throughput", -1]
    flags += ["--transactional-id", unique("txn"), "--transaction-duration-ms", 200]
    more = ["--bootstrap-server", bootstrap]
    text = tool(PERFORMANCE, "--topic", name, *flags, *more)
    has(text, r"^5000 records sent")
    lines = consume(bootstrap, name, 5000, "--isolation-level", "read_committed")
    equal(len(lines), 5000, "committed records")


@check(limit=60)
def features(bootstrap):
    text = tool("org.apache.kafka.tools.FeatureCommand", *at(bootstrap), "describe")
    has(text, r"Feature: metadata\.version|Feature: \S+")


if __name__ == "__main__":
    main()
