"""Those of librdkafka's tests that subscribe, once more with the group protocol of KIP-848."""

from . import librdkafka

NAME = "librdkafka-groups"
VERSION = librdkafka.VERSION
SUMMARY = "librdkafka's tests of groups with group.protocol=consumer"
IN_CI = False


def install(log):
    librdkafka.install(log)


def run(context):
    runner = librdkafka.Runner(context, TEST_CONSUMER_GROUP_PROTOCOL="consumer")
    wanted = [entry for entry in runner.broker_tests() if subscribes(runner.tests, entry.number)]
    return librdkafka.run_all(runner, wanted)


def subscribes(tests, number):
    """Whether a test's source joins a group."""
    sources = [path.read_text("utf-8") for path in tests.glob(f"{number}-*.c*")]
    return any("subscribe(" in source for source in sources)
