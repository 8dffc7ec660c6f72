"""aiokafka, the Python client without C: checks of ours that use it as its users do."""

from driver import python, script
from driver.place import HERE

NAME = "aiokafka"
VERSION = "0.14.0"
SUMMARY = "asyncio Python with old request versions: admin, groups, idempotence, codecs, seeking"
IN_CI = True


def install(log):
    packages = [f"aiokafka=={VERSION}", "cramjam==2.11.0"]
    return python.environment(f"{NAME}-{VERSION}", packages, log)


def run(context):
    interpreter = install(context.logs / "install.log")
    command = [interpreter, HERE / "checks" / "aiokafka_checks.py"]
    return script.run(command, context.bootstrap, context.logs / "checks.log")
