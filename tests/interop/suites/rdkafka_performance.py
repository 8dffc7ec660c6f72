"""rdkafka_performance, librdkafka's load generator, as a smoke test: nothing is lost under load."""

import re

from driver import process
from driver.check import FAILED, PASSED, Check

from . import librdkafka

NAME = "rdkafka_performance"
VERSION = librdkafka.VERSION
SUMMARY = "librdkafka's load generator: all that was produced is consumed"
IN_CI = True

RECORDS, CI_RECORDS = 2_000_000, 300_000
SIZE = 200
CODECS = ("none", "lz4", "zstd")


def install(log):
    librdkafka.tree(log)


def run(context):
    tool = librdkafka.tree(context.logs / "install.log") / "examples" / "rdkafka_performance"
    count = CI_RECORDS if context.ci else RECORDS
    checks = []
    for codec in CODECS:
        topic = f"performance-{codec}-{context.token}"
        base = [tool, "-b", context.bootstrap, "-t", topic]
        log = context.logs / f"{codec}.log"
        produce = ["-P", "-p", "0", "-s", SIZE, "-c", count, "-a", "-1", "-z", codec, "-q"]
        status, text = process.output([*base, *produce], log, limit=300)
        sent = re.findall(r"(\d+) messages produced.*?(\d+) delivered.*?(\d+) failed", text)
        checks.append(
            _check(f"produce_{codec}", status, text, sent and sent[-1][1:] == (str(count), "0"))
        )
        consume = ["-C", "-p", "0", "-o", "beginning", "-c", count, "-q", "-e"]
        status, text = process.output([*base, *consume], log, limit=300)
        read = re.findall(r"(\d+) messages \(\d+ bytes\)", text)
        checks.append(_check(f"consume_{codec}", status, text, read and read[-1] == str(count)))
    return checks


def _check(name, status, text, good):
    if status == 0 and good:
        return Check(name, PASSED)
    return Check(name, FAILED, detail=f"ended with {status}: " + " ".join(text.split())[-300:])
