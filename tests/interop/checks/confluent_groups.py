"""Groups and transactions with confluent-kafka."""

import queue
import threading
import time

from confluent_common import admin, consumer, done, drain, ok, produce, read, topic, values
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Producer, TopicPartition
from harness import check, equal, raises, unique, until


class Member:
    """A group member that polls in a thread of its own, the only one that touches its client."""

    def __init__(self, bootstrap, group, topics, **config):
        self.client = consumer(bootstrap, group, **config)
        self.values = []
        self._partitions = []
        self._calls = queue.Queue()
        self._done = threading.Event()
        self.client.subscribe(topics)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._done.is_set():
            message = self.client.poll(0.05)
            if message is not None and not message.error():
                self.values.append(message.value().decode())
            self._partitions = sorted(part.partition for part in self.client.assignment())
            while not self._calls.empty():
                call, answer = self._calls.get()
                answer.put(call(self.client))
        self.client.close()

    def partitions(self):
        return self._partitions

    def call(self, function, seconds=20):
        """Calls the function with the client, in its thread."""
        answer = queue.Queue()
        self._calls.put((function, answer))
        return answer.get(timeout=seconds)

    def stop(self):
        self._done.set()
        self._thread.join(20)


def split(members, count):
    """Whether the members share all partitions, each some, none twice."""
    parts = [member.partitions() for member in members]
    return all(parts) and sorted(sum(parts, [])) == list(range(count))


@check(limit=90)
def a_group_goes_on_where_it_was(bootstrap):
    name, group = topic(bootstrap, "resume"), unique("group")
    ok(produce(bootstrap, name, [str(n) for n in range(20)]))
    first = consumer(bootstrap, group)
    first.subscribe([name])
    read(first, 8)
    first.commit(offsets=[TopicPartition(name, 0, 8)], asynchronous=False)
    first.close()
    second = consumer(bootstrap, group)
    second.subscribe([name])
    equal(read(second, 12)[0].offset(), 8, "first offset")
    second.close()


@check()
def metadata_of_a_commit_comes_back(bootstrap):
    name = topic(bootstrap, "metadata")
    member = consumer(bootstrap)
    place = TopicPartition(name, 0, 5, metadata="written by hand \u00e4")
    member.commit(offsets=[place], asynchronous=False)
    (part,) = member.committed([TopicPartition(name, 0)], timeout=10)
    equal((part.offset, part.metadata), (5, "written by hand \u00e4"), "commit")
    member.close()


def declare_assignors():
    for assignor in ("range", "roundrobin", "cooperative-sticky"):

        def run(bootstrap, assignor=assignor):
            name, group = topic(bootstrap, "shared", partitions=6), unique("group")
            config = {"partition_assignment_strategy": assignor, "session_timeout_ms": 10000}
            members = [Member(bootstrap, group, [name], **config) for _ in range(3)]
            until(lambda: split(members, 6), 40, "three members with all partitions")
            for part in range(6):
                ok(produce(bootstrap, name, [f"{part}.{n}" for n in range(20)], partition=part))
            until(lambda: sum(len(member.values) for member in members) >= 120, 20, "120 records")
            got = sorted(sum((member.values for member in members), []))
            equal(got, sorted(f"{p}.{n}" for p in range(6) for n in range(20)), "each once")
            members[0].stop()
            until(lambda: split(members[1:], 6), 40, "two members with all partitions")
            for member in members[1:]:
                member.stop()

        run.__name__ = f"three_members_then_two_{assignor.replace('-', '_')}"
        check(limit=150)(run)


declare_assignors()


@check(limit=120)
def a_static_member_comes_back_without_a_rebalance(bootstrap):
    name, group = topic(bootstrap, "static", partitions=4), unique("group")

    def member(instance):
        config = {"group_instance_id": instance, "session_timeout_ms": 30000}
        return Member(bootstrap, group, [name], **config)

    one, two = member("one"), member("two")
    until(lambda: split([one, two], 4), 60, "two members with all partitions")
    before, other = one.partitions(), two.partitions()
    one.stop()
    time.sleep(2)
    equal(two.partitions(), other, "the other's partitions while one is away")
    one = member("one")
    until(lambda: one.partitions() == before, 30, "the same partitions again")
    equal(two.partitions(), other, "the other's partitions")
    one.stop()
    two.stop()


@check(limit=90)
def a_second_one_of_a_static_member_fences_the_first(bootstrap):
    name, group = topic(bootstrap, "fenced"), unique("group")
    config = {"group_instance_id": "same", "session_timeout_ms": 30000}
    first = consumer(bootstrap, group, **config)
    first.subscribe([name])
    until(lambda: first.poll(0.1) is None and first.assignment(), 30, "an assignment")
    second = Member(bootstrap, group, [name], **config)
    until(second.partitions, 40, "the second's assignment")

    def fenced():
        try:
            first.commit(offsets=[TopicPartition(name, 0, 1)], asynchronous=False)
        except KafkaException as error:
            codes = (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL, KafkaError.UNKNOWN_MEMBER_ID)
            return error.args[0].code() in codes
        return False

    until(fenced, 20, "a refused commit of the first")
    second.stop()


@check(limit=90)
def a_member_that_does_not_poll_loses_its_partitions(bootstrap):
    name, group = topic(bootstrap, "lazy", partitions=2), unique("group")
    config = {"session_timeout_ms": 6000, "max_poll_interval_ms": 6000}
    lazy = consumer(bootstrap, group, **config)
    lazy.subscribe([name])
    until(lambda: lazy.poll(0.1) is None and len(lazy.assignment()) == 2, 30, "an assignment")
    eager = Member(bootstrap, group, [name], **config)
    until(lambda: eager.partitions() == [0, 1], 40, "all partitions at the one that polls")
    error = raises(
        KafkaException,
        lambda: lazy.commit(offsets=[TopicPartition(name, 0, 1)], asynchronous=False),
    )
    wanted = (
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
    )
    equal(error.args[0].code() in wanted, True, f"{error} refuses a stale member")
    eager.stop()


@check(limit=120)
def many_members_at_once_all_stay(bootstrap):
    name, group = topic(bootstrap, "crowd", partitions=10), unique("group")
    members = [Member(bootstrap, group, [name], session_timeout_ms=20000) for _ in range(10)]
    until(lambda: [len(member.partitions()) for member in members] == [1] * 10, 80, "one each")
    (described,) = done(admin(bootstrap).describe_consumer_groups([group])).values()
    equal(len(described.members), 10, "members")
    for member in members:
        member.stop()


@check(limit=120)
def the_new_group_protocol(bootstrap):
    name, group = topic(bootstrap, "kip848", partitions=4), unique("group")
    ok(produce(bootstrap, name, ["x"] * 10))
    members = [Member(bootstrap, group, [name], group_protocol="consumer") for _ in range(2)]
    until(lambda: split(members, 4), 60, "two members with all partitions")
    until(lambda: sum(len(member.values) for member in members) == 10, 20, "10 records")
    members[0].stop()
    until(lambda: members[1].partitions() == [0, 1, 2, 3], 60, "all partitions at the other")
    place = TopicPartition(name, 0, 10)
    members[1].call(lambda client: client.commit(offsets=[place], asynchronous=False))
    (part,) = members[1].call(lambda client: client.committed([place], timeout=10))
    equal(part.offset, 10, "committed")
    members[1].stop()


def transactional(bootstrap, identity=None):
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": identity or unique("txn")}
    )
    producer.init_transactions(20)
    return producer


def seen(bootstrap, name, isolation):
    reader = consumer(bootstrap, isolation_level=isolation)
    reader.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
    got = values(drain(reader, 2))
    reader.close()
    return got


@check()
def transactions_commit_and_abort(bootstrap):
    name = topic(bootstrap, "txn")
    producer = transactional(bootstrap)
    for word, end in (
        ("kept", producer.commit_transaction),
        ("dropped", producer.abort_transaction),
        ("kept too", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce(name, word, partition=0)
        producer.flush(10)
        end(20)
    equal(seen(bootstrap, name, "read_committed"), ["kept", "kept too"], "committed")
    equal(seen(bootstrap, name, "read_uncommitted"), ["kept", "dropped", "kept too"], "all")


@check()
def an_open_transaction_holds_back_committed_readers(bootstrap):
    name = topic(bootstrap, "txn-open")
    producer = transactional(bootstrap)
    producer.begin_transaction()
    producer.produce(name, "open", partition=0)
    producer.flush(10)
    ok(produce(bootstrap, name, ["after"]))
    equal(seen(bootstrap, name, "read_committed"), [], "while it is open")
    equal(seen(bootstrap, name, "read_uncommitted"), ["open", "after"], "uncommitted")
    producer.commit_transaction(20)
    equal(seen(bootstrap, name, "read_committed"), ["open", "after"], "once it is committed")


@check()
def offsets_in_a_transaction(bootstrap):
    name, out, group = topic(bootstrap, "txn-in"), topic(bootstrap, "txn-out"), unique("group")
    ok(produce(bootstrap, name, ["a", "b"]))
    member = consumer(bootstrap, group)
    member.subscribe([name])
    read(member, 2)
    producer = transactional(bootstrap)
    for end, want in ((producer.abort_transaction, -1001), (producer.commit_transaction, 2)):
        producer.begin_transaction()
        producer.produce(out, "result", partition=0)
        place = [TopicPartition(name, 0, 2)]
        producer.send_offsets_to_transaction(place, member.consumer_group_metadata(), 20)
        end(20)
        (part,) = member.committed([TopicPartition(name, 0)], timeout=10)
        equal(part.offset, want, "committed offset")
    member.close()


@check()
def a_second_producer_fences_the_first(bootstrap):
    name, identity = topic(bootstrap, "txn-fence"), unique("txn")
    first = transactional(bootstrap, identity)
    first.begin_transaction()
    first.produce(name, "zombie", partition=0)
    first.flush(10)
    transactional(bootstrap, identity)
    error = raises(KafkaException, lambda: first.commit_transaction(20))
    codes = (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
    equal(error.args[0].code() in codes, True, f"{error} fences")
    equal(seen(bootstrap, name, "read_committed"), [], "committed")
