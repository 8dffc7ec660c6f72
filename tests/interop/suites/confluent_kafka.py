"""confluent-kafka, the Python client on librdkafka: checks of ours that use it as its users do."""

from driver import python, script
from driver.place import HERE

NAME = "confluent-kafka"
VERSION = "2.16.1"
SUMMARY = "Python on librdkafka 2.16: admin, groups, idempotence, codecs, seeking"
IN_CI = True


def install(log):
    return python.environment(f"{NAME}-{VERSION}", [f"confluent-kafka=={VERSION}"], log)


def run(context):
    interpreter = install(context.logs / "install.log")
    command = [interpreter, HERE / "checks" / "confluent_checks.py"]
    return script.run(command, context.bootstrap, context.logs / "checks.log")
