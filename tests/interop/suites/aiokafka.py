"""aiokafka, the Python client without C: checks of ours that use it as its users do."""

from driver import process, python
from driver.check import read_script
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
    command = [interpreter, HERE / "checks" / "aiokafka_checks.py", context.bootstrap]
    _, text = process.output(command, context.logs / "checks.log", limit=1200)
    return read_script(text)
