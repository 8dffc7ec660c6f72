"""kcat, Debian's: checks of ours around it."""

import re
import subprocess
import sys

from driver import process, script
from driver.check import Missing
from driver.place import HERE

NAME = "kcat"
VERSION = "1.7"
SUMMARY = "the command line client on Debian's librdkafka, as users run it"
IN_CI = True


def install(log):
    process.debian("kcat")
    text = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Version (\S+).*?librdkafka (\S+)", text, re.S)
    if not found or not found.group(1).startswith(VERSION):
        raise Missing(f"needs kcat {VERSION}, found: {text.strip()[:80]}")


def run(context):
    command = [sys.executable, HERE / "checks" / "kcat_checks.py"]
    return script.run(command, context.bootstrap, context.logs / "checks.log")
