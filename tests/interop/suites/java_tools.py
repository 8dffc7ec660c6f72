"""The Java client and Kafka's command line tools, from Maven: checks of ours around them."""

import sys

from driver import process, script
from driver.place import HERE

NAME = "java"
VERSION = "4.3.1"
SUMMARY = "the Java client and Kafka's command line tools, from Maven"
IN_CI = True

# With --ci: each starts a few Java processes, so they are counted.
CI_CHECKS = (
    "topics",
    "configs_of_a_topic",
    "broker_api_versions",
    "keys_headers_timestamps_and_offsets",
    "codec_zstd",
    "a_group_goes_on_where_it_was_classic_protocol",
    "a_group_goes_on_where_it_was_consumer_protocol",
    "consumer_groups",
    "get_offsets",
    "producer_performance",
    "verifiable_producer_and_consumer",
    "an_idempotent_producer_keeps_the_order",
)


def install(log):
    process.need("java", "mvn", "python3")
    process.must([HERE / "kafka.sh", "get"], log)


def run(context):
    command = [sys.executable, HERE / "checks" / "java_checks.py"]
    only = CI_CHECKS if context.ci else ()
    return script.run(command, context.bootstrap, context.logs / "checks.log", only, limit=2400)
