"""librdkafka's own test-runner. The crate rdkafka-sys has all of librdkafka inside, its tests too.

Each test runs in a process of its own, so that one that hangs or crashes costs only itself. One
that fails is run once more alone: many of them have time limits that a busy machine breaks.
"""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from driver import crates, process
from driver.check import FAILED, PASSED, SKIPPED, Broken, Check
from driver.place import HERE, installed

NAME = "librdkafka"
CRATE = "4.10.0+2.12.1"
VERSION = "2.12.1"
SUMMARY = "librdkafka's own tests against a broker, from the crate rdkafka-sys"
IN_CI = True

LIMIT = 240
# At once: they mostly wait.
WORKERS = 3
# Two minutes' worth that touches each part: with --ci.
CI_TESTS = """
0001 0002 0005 0007 0008 0011 0012 0013 0014 0015 0017 0018 0019 0021 0022 0026 0029 0030 0031 0033
0034 0036 0039 0041 0042 0044 0048 0050 0051 0052 0054 0055 0057 0060 0061 0063 0067 0070 0073 0074
0081 0085 0086 0089 0093 0099 0102 0109 0112 0118 0122 0127 0130 0132 0137 0140
""".split()

# Tests of many parts that end at the first that fails: each part is run by itself.
IN_PARTS = {"0081": "0081-admin.c"}

# What the tests call of Kafka's own, if $KAFKA_PATH has it.
SCRIPTS = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
}


def tree(log):
    """librdkafka, built, with its test-runner and rdkafka_performance."""
    process.need("gcc", "g++", "make", "java", "mvn")
    process.debian("zlib1g-dev", "libssl-dev", "libzstd-dev")
    source = crates.source("rdkafka-sys", CRATE.partition("+")[0], log) / "librdkafka"

    def make(folder):
        jobs = f"-j{min(os.cpu_count() or 1, 4)}"
        for step in (
            ["cp", "-r", source, folder / "src"],
            ["./configure", "--disable-gssapi"],
            ["make", jobs, "libs"],
            ["make", jobs, "-C", "tests", "build"],
            ["make", "-C", "examples", "rdkafka_performance"],
        ):
            process.must(step, log, cwd=folder / "src" if step[0] != "cp" else folder)

    return installed(f"librdkafka-{VERSION}", make) / "src"


def install(log):
    tree(log)
    # A few tests make topics with Kafka's own tool.
    process.must([HERE / "kafka.sh", "get"], log)


def run(context):
    runner = Runner(context)
    wanted = runner.broker_tests()
    if context.ci:
        wanted = [entry for entry in wanted if entry.number in CI_TESTS]
    return run_all(runner, wanted)


def run_all(runner, wanted):
    """Runs tests side by side, and once more alone what failed."""
    with ThreadPoolExecutor(WORKERS) as pool:
        checks = list(pool.map(runner.run, wanted))
    for place, check in enumerate(checks):
        if check.outcome == FAILED:
            again = runner.run(wanted[place])
            if again.outcome == PASSED:
                checks[place] = again.after_retry()
    return checks


class Entry(NamedTuple):
    """One test, or one part of it."""

    number: str
    test: str
    part: str = ""

    def name(self):
        return f"{self.test}/{self.part.removeprefix('do_test_')}" if self.part else self.test


class Runner:
    """test-runner, with its settings for one broker."""

    def __init__(self, context, **environment):
        self.logs = context.logs
        self.tests = tree(context.logs / "install.log") / "tests"
        config = self.logs / "test.conf"
        config.write_text(f"bootstrap.servers={context.bootstrap}\ntest.topic.random=true\n")
        scripts = self.logs / "kafka" / "bin"
        scripts.mkdir(parents=True)
        for name, tool in SCRIPTS.items():
            script = scripts / name
            script.write_text(f'#!/bin/sh\nexec {HERE / "kafka.sh"} tool {tool} "$@"\n')
            script.chmod(0o755)
        libraries = self.tests.parent
        self.environment = {
            "RDKAFKA_TEST_CONF": str(config),
            "LD_LIBRARY_PATH": f"{libraries / 'src'}:{libraries / 'src-cpp'}",
            "TEST_KAFKA_VERSION": "4.3.1",
            "KAFKA_PATH": str(scripts.parent),
            "BROKERS": context.bootstrap,
            **environment,
        }

    def broker_tests(self):
        """Each test that wants a broker and is not run by hand only."""
        source = (self.tests / "test.c").read_text("utf-8")
        table = source[source.index("struct test tests[]") :]
        table = re.sub(r"/\*.*?\*/", "", table[: table.index("};")], flags=re.S)
        found = []
        for match in re.finditer(r"_TEST\(\s*(\d{4})(\w*)\s*,\s*([^,]*)[,)]", table):
            number, rest, flags = match.groups()
            if "TEST_F_LOCAL" in flags or "TEST_F_MANUAL" in flags:
                continue
            parts = self._parts(IN_PARTS[number]) if number in IN_PARTS else [""]
            found += [Entry(number, number + rest, part) for part in parts]
        if len(found) < 80:
            raise Broken(f"found only {len(found)} tests in librdkafka's table of them")
        return found

    def _parts(self, file):
        """The names of the parts of a test: its functions that announce themselves as such."""
        source = (self.tests / file).read_text("utf-8")
        bodies = re.finditer(r"^(?:static )?void\s+(do_test_\w+)\((.*?)^}", source, re.M | re.S)
        return [body.group(1) for body in bodies if "SUB_TEST" in body.group(2)]

    def run(self, entry):
        """Runs one test in a process of its own, and reads the report that the runner writes."""
        file = entry.name().replace("/", "-")
        log, report = self.logs / f"{file}.log", self.logs / f"{file}.json"
        report.unlink(missing_ok=True)
        environment = {**self.environment, "TESTS": entry.number, "TEST_REPORT": str(report)}
        if entry.part:
            # With what follows the name in the runner's own.
            environment["SUBTESTS"] = entry.part + ":"
        command = ["./test-runner", "-p1", "-Q", "-E", "-L"]
        status, text = process.output(command, log, self.tests, environment, LIMIT)
        name = entry.name()
        try:
            seen = json.loads(report.read_text("utf-8", "replace"))["tests"][entry.test]
        except (OSError, ValueError, KeyError):
            return Check(name, FAILED, detail=why(text) or f"ended with {status} and no report")
        seconds, state = seen.get("duration", 0.0), seen["state"].lower()
        if state == "passed" and entry.part and f"[ {entry.part}:" not in text:
            return Check(name, SKIPPED, seconds, "is not run in quick mode")
        if state == "passed":
            return Check(name, PASSED, seconds)
        if state == "skipped":
            return Check(name, SKIPPED, seconds, why(text, "SKIPPING"))
        return Check(name, FAILED, seconds, why(text) or f"state {state}")


def why(text, word="TEST FAILURE"):
    """What a test's output says of why, without its colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = plain.splitlines()
    for place, line in enumerate(lines):
        if word in line:
            # The failure itself follows: where, and what.
            return " ".join(" ".join(lines[place : place + 3]).split())[:400]
    return next((line.strip() for line in lines if line.startswith("killed:")), "")
