"""The tests of the Rust crate rdkafka, which are inside the crate."""

import re

from driver import crates, process
from driver.check import FAILED, PASSED, SKIPPED, Broken, Check
from driver.place import cache, installed

NAME = "rdkafka"
VERSION = "0.39.0"
SUMMARY = "the Rust crate's own tests, from the crate"
# Most of it is librdkafka again, and it takes minutes to build.
IN_CI = False
# Of a topic made by its first use: what these tests count on.
PARTITIONS = 3
# Some of them ask for no other address.
PORT = 9092

# The name of what stands for tests that were never finished.
HUNG = "(hung)"

SUITES = (
    "test_admin",
    "test_high_consumers",
    "test_high_producers",
    "test_low_consumers",
    "test_low_producers",
    "test_metadata",
    "test_topic_partition_list",
    "test_transactions",
)


def tree(log):
    process.need("cargo", "gcc", "g++", "make")
    process.debian("zlib1g-dev")
    source = crates.source(NAME, VERSION, log)

    def make(folder):
        process.must(["cp", "-r", source, folder / "src"], log)
        # The cache may lie within another workspace.
        with open(folder / "src" / "Cargo.toml", "a", encoding="utf-8") as manifest:
            manifest.write("\n[workspace]\n")
        command = ["cargo", "test", "--locked", "--quiet", "--no-run", "--tests"]
        process.must(command, log, cwd=folder / "src", env=environment(), limit=2400)

    return installed(f"{NAME}-{VERSION}", make) / "src"


def environment():
    return {"CARGO_TARGET_DIR": str(cache() / "rdkafka-target"), "CARGO_TERM_COLOR": "never"}


def install(log):
    tree(log)


def run(context):
    checks = []
    for suite in SUITES:
        for check in run_tests(context, suite):
            name = check.name.partition("::")[2]
            if check.outcome == FAILED and name != HUNG:
                # Once more, alone: some count on a broker that has long been up.
                again = run_tests(context, suite, name, "--exact")
                if [one.outcome for one in again] == [PASSED]:
                    check = again[0].after_retry()
            checks.append(check)
    return checks


def run_tests(context, suite, *only):
    """Runs the tests of one file, or some of them."""
    source = tree(context.logs / "install.log")
    named = {**environment(), "KAFKA_HOST": context.bootstrap, "RUST_BACKTRACE": "0"}
    command = ["cargo", "test", "--locked", "--offline", "--test", suite, "--", "--test-threads=2"]
    log = context.logs / f"{suite}.log"
    status, text = process.output([*command, *only], log, source, named, 600)
    return read(suite, status, text)


def read(suite, status, text):
    """The checks in what cargo's runner printed. One that hung has no outcome."""
    states = {"ok": PASSED, "FAILED": FAILED, "ignored": SKIPPED}
    running = re.search(r"^running (\d+) tests?$", text, re.M)
    if not running:
        raise Broken(f"{suite} ended with {status} before its tests: {text[-300:]}")
    checks = []
    for name, state in re.findall(r"^test (\S+) \.\.\. .*?(ok|FAILED|ignored)\b", text, re.M):
        detail = why(name, text) if state == "FAILED" else ""
        checks.append(Check(f"{suite}::{name}", states[state], detail=detail))
    missing = int(running.group(1)) - len(checks)
    if missing > 0:
        checks.append(
            Check(f"{suite}::{HUNG}", FAILED, detail=f"{missing} tests were never finished")
        )
    return checks


def why(name, text):
    found = re.search(rf"^thread '{re.escape(name)}'.* panicked at .*\n(.*)$", text, re.M)
    return found.group(1)[:300] if found else ""
