"""kcat as it is used by hand and in scripts: it is an old librdkafka (2.0.2 in Debian 12)."""

import json
import re
import subprocess
import time

from harness import check, equal, main, unique

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def kcat(bootstrap, *arguments, stdin="", limit=30):
    """Runs kcat quietly; returns what it printed."""
    command = ["kcat", "-b", bootstrap, "-q", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=limit)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def produce(bootstrap, topic, lines, *arguments):
    kcat(bootstrap, "-P", "-t", topic, *arguments, stdin="".join(line + "\n" for line in lines))


def consume(bootstrap, topic, *arguments, form="%s\n"):
    """All that is in the topic, or as the arguments say, line by line."""
    return kcat(bootstrap, "-C", "-t", topic, "-e", "-f", form, *arguments).splitlines()


def numbers(count):
    return [str(number) for number in range(count)]


@check()
def lists_brokers_and_topics(bootstrap):
    topic = unique("list")
    produce(bootstrap, topic, ["x"])
    seen = json.loads(kcat(bootstrap, "-L", "-J", "-t", topic))
    equal([broker["name"] for broker in seen["brokers"]], [bootstrap], "brokers")
    (found,) = [entry for entry in seen["topics"] if entry["topic"] == topic]
    equal(len(found["partitions"]), 4, "partitions of a topic made by a first use")
    leader = seen["brokers"][0]["id"]
    for partition in found["partitions"]:
        equal(partition["leader"], leader, "leader")
        equal([replica["id"] for replica in partition["replicas"]], [leader], "replicas")
        equal([replica["id"] for replica in partition["isrs"]], [leader], "in-sync replicas")


@check()
def lists_all_topics(bootstrap):
    topics = [unique("all") for _ in range(3)]
    for topic in topics:
        produce(bootstrap, topic, ["x"])
    seen = {entry["topic"] for entry in json.loads(kcat(bootstrap, "-L", "-J"))["topics"]}
    equal(set(topics) - seen, set(), "topics not listed")


@check()
def exact_counts(bootstrap):
    topic = unique("counts")
    produce(bootstrap, topic, numbers(20000))
    got = consume(bootstrap, topic, "-o", "beginning")
    equal(len(got), 20000, "records")
    equal(sorted(map(int, got)), list(range(20000)), "each once")


@check()
def order_and_offsets_within_a_partition(bootstrap):
    topic = unique("order")
    produce(bootstrap, topic, numbers(5000), "-p", "2")
    got = consume(bootstrap, topic, "-o", "beginning", form="%p %o %s\n")
    equal(got, [f"2 {n} {n}" for n in range(5000)], "records")


@check()
def keys(bootstrap):
    topic = unique("keys")
    produce(bootstrap, topic, [f"k{n % 7}:v{n}" for n in range(700)], "-K", ":")
    got = [line.split() for line in consume(bootstrap, topic, "-o", "beginning", form="%p %k %s\n")]
    equal(len(got), 700, "records")
    places = {}
    for partition, key, value in got:
        equal(key, f"k{int(value[1:]) % 7}", "key of " + value)
        places.setdefault(key, set()).add(partition)
    equal([len(where) for where in places.values()], [1] * 7, "partitions of each key")


@check()
def headers_keep_order_and_duplicates(bootstrap):
    topic = unique("headers")
    wanted = ["b=1", "a=2", "b=3", "empty=", "null"]
    flags = [part for header in wanted for part in ("-H", header)]
    produce(bootstrap, topic, ["x"], "-p", "0", *flags)
    got = consume(bootstrap, topic, "-p", "0", "-o", "beginning", form="%h\n")
    equal(got, ["b=1,a=2,b=3,empty=,null=NULL"], "headers")


@check()
def null_keys_and_values(bootstrap):
    topic = unique("nulls")
    produce(bootstrap, topic, ["key|", "|value"], "-p", "0", "-K", "|", "-Z")
    got = consume(bootstrap, topic, "-p", "0", "-o", "beginning", form="%K %S\n")
    equal(got, ["3 -1", "-1 5"], "lengths of keys and values, -1 for null")


def _declare_codecs():
    # One named check per codec.
    for codec in CODECS:

        def run(bootstrap, codec=codec):
            topic = unique("codec")
            lines = [f"{codec} {n} " + "x" * 200 for n in range(1000)]
            produce(bootstrap, topic, lines, "-p", "1", "-z", codec)
            equal(consume(bootstrap, topic, "-o", "beginning"), lines, "records")

        run.__name__ = f"codec_{codec}"
        check()(run)


_declare_codecs()


def _declare_acks():
    for acks in ("0", "1", "all"):

        def run(bootstrap, acks=acks):
            topic = unique("acks")
            produce(bootstrap, topic, ["first"], "-p", "0")
            produce(bootstrap, topic, numbers(500), "-p", "0", "-X", f"acks={acks}")
            deadline = time.monotonic() + 10
            while True:
                got = consume(bootstrap, topic, "-p", "0", "-o", "beginning")
                if len(got) == 501 or time.monotonic() > deadline:
                    break
            equal(got, ["first", *numbers(500)], "records")

        run.__name__ = f"acks_{acks}"
        check()(run)


_declare_acks()


@check()
def a_large_record(bootstrap):
    topic = unique("large")
    line = "0123456789" * 90_000
    produce(bootstrap, topic, [line], "-p", "0")
    equal(len(consume(bootstrap, topic, "-p", "0", "-o", "beginning")[0]), 900_000, "bytes")


@check()
def from_an_offset_and_from_the_tail(bootstrap):
    topic = unique("offsets")
    produce(bootstrap, topic, numbers(100), "-p", "3")
    equal(consume(bootstrap, topic, "-p", "3", "-o", "90"), numbers(100)[90:], "from 90")
    equal(consume(bootstrap, topic, "-p", "3", "-o", "-5"), numbers(100)[95:], "the last 5")
    equal(
        consume(bootstrap, topic, "-p", "3", "-o", "beginning", "-c", "7"), numbers(7), "7 of them"
    )
    equal(consume(bootstrap, topic, "-p", "3", "-o", "end"), [], "from the end")


@check()
def offsets_by_timestamp(bootstrap):
    topic = unique("times")
    produce(bootstrap, topic, numbers(10), "-p", "0")
    time.sleep(1.1)
    middle = int(time.time() * 1000)
    time.sleep(0.1)
    produce(bootstrap, topic, numbers(10), "-p", "0")
    future = middle + 3_600_000
    for stamp, want in (
        (middle, "offset 10"),
        (0, "offset 0"),
        (-1, "offset 20"),
        (-2, "offset 0"),
    ):
        got = kcat(bootstrap, "-Q", "-t", f"{topic}:0:{stamp}").strip()
        equal(got, f"{topic} [0] {want}", f"offset for {stamp}")
    got = kcat(bootstrap, "-Q", "-t", f"{topic}:0:{future}").strip()
    equal(re.sub(r"-1$|20$", "end", got), f"{topic} [0] offset end", "offset for a time to come")
    equal(consume(bootstrap, topic, "-p", "0", "-o", f"s@{middle}"), numbers(10), "from that time")
    till = consume(bootstrap, topic, "-p", "0", "-o", "s@0", "-o", f"e@{middle}")
    equal(till, numbers(10), "till that time")


@check()
def timestamps_of_records(bootstrap):
    topic = unique("stamps")
    before = int(time.time() * 1000)
    produce(bootstrap, topic, numbers(3), "-p", "0")
    after = int(time.time() * 1000)
    for stamp in consume(bootstrap, topic, "-p", "0", "-o", "beginning", form="%T\n"):
        if not before <= int(stamp) <= after:
            raise AssertionError(f"{stamp} does not lie in {before}..{after}")


def group(bootstrap, name, topic, *arguments, limit=40):
    """A group member that reads to the ends and commits what it read."""
    flags = ["-X", "auto.offset.reset=earliest", "-e", "-f", "%s\n", *arguments]
    return kcat(bootstrap, "-G", name, *flags, topic, limit=limit).splitlines()


@check(limit=120)
def a_group_goes_on_where_it_was(bootstrap):
    topic, name = unique("group"), unique("kcat-group")
    produce(bootstrap, topic, numbers(1000))
    equal(sorted(map(int, group(bootstrap, name, topic))), list(range(1000)), "first run")
    produce(bootstrap, topic, ["a", "b", "c"])
    equal(sorted(group(bootstrap, name, topic)), ["a", "b", "c"], "second run")
    other = group(bootstrap, unique("kcat-group"), topic)
    equal(len(other), 1003, "records of another group")


@check(limit=120)
def two_members_share_a_group(bootstrap):
    topic, name = unique("shared"), unique("kcat-group")
    produce(bootstrap, topic, ["seed"] * 8, "-p", "0")
    command = ["kcat", "-b", bootstrap, "-q", "-u", "-G", name, "-f", "%s\n"]
    command += ["-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=10000", topic]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    members = [subprocess.Popen(command, **pipes) for _ in range(2)]
    try:
        time.sleep(10)
        for partition in range(4):
            produce(bootstrap, topic, [f"{partition}-{n}" for n in range(50)], "-p", str(partition))
        time.sleep(3)
    finally:
        for member in members:
            member.terminate()
        got = [member.communicate(timeout=20)[0].splitlines() for member in members]
    both = [[line for line in lines if line != "seed"] for lines in got]
    equal(
        sorted(both[0] + both[1]),
        sorted(f"{p}-{n}" for p in range(4) for n in range(50)),
        "all once",
    )
    equal(
        [len({line.split("-")[0] for line in lines}) for lines in both],
        [2, 2],
        "partitions of each",
    )


@check()
def a_transaction_is_seen_whole(bootstrap):
    topic = unique("txn")
    produce(bootstrap, topic, ["before"], "-p", "0")
    produce(bootstrap, topic, numbers(20), "-p", "0", "-X", f"transactional.id={unique('id')}")
    equal(
        consume(bootstrap, topic, "-p", "0", "-o", "beginning"), ["before", *numbers(20)], "records"
    )


@check()
def an_invalid_topic_name(bootstrap):
    command = ["kcat", "-b", bootstrap, "-P", "-t", "not a name", "-X", "message.timeout.ms=5000"]
    done = subprocess.run(command, input="x\n", capture_output=True, text=True, timeout=20)
    if done.returncode == 0:
        raise AssertionError("a record was taken for a topic whose name is not valid")
    if "Invalid topic" not in done.stderr and "invalid topic" not in done.stderr.lower():
        raise AssertionError("does not say that the topic is invalid: " + done.stderr)


if __name__ == "__main__":
    main()
