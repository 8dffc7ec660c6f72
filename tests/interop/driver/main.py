"""The command line: which suites, against which broker, and what to make of their outcomes."""

import argparse
import json
import signal
import sys
import time
import uuid

from suites import SUITES

from . import broker as brokers
from . import expected, place, process, report
from .check import Broken, Missing


class Context:
    """What a suite gets: where the broker is, where to log, how much to run."""

    def __init__(self, broker, logs, ci):
        self.bootstrap = broker.bootstrap
        self.broker = broker
        self.logs = logs
        self.ci = ci
        # Names made with it are new even where the broker is not.
        self.token = uuid.uuid4().hex[:8]


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="tests/interop/run",
        description="Installs test suites of Kafka's clients from their registries, and runs each "
        "against a fresh node with its default settings.",
    )
    parser.add_argument(
        "--suite", action="append", metavar="NAME", help="only this one; repeatable"
    )
    parser.add_argument("--ci", action="store_true", help="a part that fits into 20 minutes")
    parser.add_argument("--list", action="store_true", help="name the suites and end")
    parser.add_argument("--output", choices=("table", "json"), default="table")
    parser.add_argument(
        "--require", action="store_true", help="a suite that cannot run is a failure"
    )
    parser.add_argument("--install", action="store_true", help="install the suites, run none")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--kafka", action="store_true", help="against a real Kafka instead of a node"
    )
    which.add_argument(
        "--bootstrap", metavar="HOST:PORT", help="against a broker that runs already"
    )
    parsed = parser.parse_args(argv)
    known = [suite.NAME for suite in SUITES]
    for name in parsed.suite or []:
        if name not in known:
            parser.error(f"no suite {name}; there are {', '.join(known)}")
    return parsed


def selected(parsed):
    if parsed.suite:
        return [suite for suite in SUITES if suite.NAME in parsed.suite]
    return [suite for suite in SUITES if suite.IN_CI or not parsed.ci]


def say(text):
    print(text, file=sys.stderr, flush=True)


def make_broker(parsed):
    if parsed.bootstrap:
        return lambda: brokers.Given(parsed.bootstrap), "the broker at " + parsed.bootstrap
    if parsed.kafka:
        process.need("java", "mvn")
        return brokers.Kafka, brokers.version("kafka")
    binary = brokers.binary()
    return lambda: brokers.Node(binary), brokers.version("tidegate", binary)


def run_suite(suite, make, parsed):
    """Installs a suite, runs it against a fresh broker, and holds it against its list."""
    row = report.Row(suite.NAME, suite.VERSION)
    logs = place.fresh_logs(suite.NAME)
    began = time.monotonic()
    try:
        suite.install(logs / "install.log")
        say(f"{suite.NAME} {suite.VERSION}: installed in {time.monotonic() - began:.0f} s")
        if parsed.install:
            return row
        broker = make()
        partitions = getattr(suite, "PARTITIONS", brokers.PARTITIONS)
        broker.start(logs, partitions, getattr(suite, "PORT", None))
        entries = expected.load(suite.NAME, broker.kind)
        began = time.monotonic()
        try:
            row.checks = suite.run(Context(broker, logs, parsed.ci))
        finally:
            row.seconds = time.monotonic() - began
            trouble = broker.stop()
            if trouble:
                row.trouble.append(trouble)
        if not row.checks:
            row.trouble.append("ran no test")
        row.verdict = expected.judge(row.checks, entries, whole=not parsed.ci)
    except Missing as missing:
        row.skipped_why = str(missing)
    except Broken as broken:
        row.trouble.append(str(broken))
    with open(logs / "checks.json", "w", encoding="utf-8") as file:
        json.dump([vars(check) for check in row.checks], file, indent=1)
    say(f"{suite.NAME}: {' '.join(row.cells()[2:])}")
    return row


def main(argv):
    parsed = arguments(argv)
    # So that the broker is ended with the driver.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if parsed.list:
        for suite in SUITES:
            print(f"{suite.NAME:<20} {suite.VERSION:<12} {suite.SUMMARY}")
        return 0
    try:
        make, name = make_broker(parsed)
    except (Broken, Missing) as error:
        say(str(error))
        return 1
    rows = []
    for suite in selected(parsed):
        # Its logs and what it installs are in one place: runs beside each other take turns.
        with place.locked("suite-" + suite.NAME):
            rows.append(run_suite(suite, make, parsed))
    shown = report.as_json(name, rows) if parsed.output == "json" else report.table(name, rows)
    print(shown, flush=True)
    left_out = any(row.skipped_why for row in rows)
    return 0 if all(row.good() for row in rows) and not (parsed.require and left_out) else 1
