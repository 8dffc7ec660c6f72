"""franz-go's own tests of its client kgo, from its Go module.

The tests are compiled once. One that hangs ends the process at its time limit: it has failed, and
the ones that had not begun get a process of their own.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

from driver import process
from driver.check import FAILED, PASSED, SKIPPED, Broken, Check, Missing
from driver.place import installed

NAME = "franz-go"
VERSION = "1.21.7"
SUMMARY = "kgo's own tests with the newest requests: groups old and new, transactions, ETL"
IN_CI = True

GO = (1, 25)
MODULE = "github.com/twmb/franz-go"
LIMIT = 420
# One that hangs where there are no transactions, and holds up TestGroupETL for as long: the two
# share what lets so many of their consumers run at once. It gets a process of its own.
ALONE, ALONE_LIMIT = "TestTxnEtl", 240
RECORDS, CI_RECORDS = 50_000, 10_000
# Of those that want a broker, with --ci.
CI_TESTS = re.compile(
    r"Test(Client|Ping|Produce|Consume|Direct|Group|Pause|Poll|Issue|Add|Remove|Txn|Null|Fetch|Metadata)"
)

MAIN = "module interop\n\ngo 1.25.0\n"


def go(*arguments, log, cwd):
    environment = {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    return process.must(["go", *arguments], log, cwd=cwd, env=environment)


def tests(log):
    """The folder of the compiled tests and of the files that they read."""
    process.need("go")
    text = subprocess.run(
        ["go", "env", "GOVERSION"], capture_output=True, text=True, check=False
    ).stdout
    found = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    if found < GO:
        raise Missing(f"needs Go {GO[0]}.{GO[1]} or newer, found {text.strip()}")

    def make(folder):
        project = folder / "fetch"
        project.mkdir()
        (project / "go.mod").write_text(MAIN)
        text = go("mod", "download", "-json", f"{MODULE}@v{VERSION}", log=log, cwd=project)
        source = json.loads(text[text.index("{") :])["Dir"]
        tree = folder / "src"
        # The module cache is read-only.
        shutil.copytree(source, tree, copy_function=shutil.copyfile)
        for directory in [tree, *(path for path in tree.rglob("*") if path.is_dir())]:
            directory.chmod(0o755)
        go("test", "-c", "-o", "kgo.test", "./pkg/kgo", log=log, cwd=tree)

    return installed(f"{NAME}-{VERSION}", make) / "src"


def install(log):
    tests(log)


def run(context):
    tree = tests(context.logs / "install.log")
    binary = tree / "kgo.test"
    listed = subprocess.run(
        [binary, "-test.list", "."], cwd=tree, capture_output=True, text=True, check=True
    )
    waiting = [name for name in listed.stdout.split() if name.startswith("Test")]
    if context.ci:
        waiting = [name for name in waiting if CI_TESTS.match(name)]
    records = CI_RECORDS if context.ci else RECORDS
    environment = {
        "KGO_SEEDS": context.bootstrap,
        "KGO_TEST_RF": "1",
        "KGO_TEST_RECORDS": str(records),
        "KGO_LOG_LEVEL": "none",
    }
    checks = {}
    for waiting, limit in (
        ([name for name in waiting if name != ALONE], LIMIT),
        ([name for name in waiting if name == ALONE], ALONE_LIMIT),
    ):
        while waiting:
            before = len(waiting)
            checks.update(_batch(binary, waiting, environment, context.logs, limit))
            waiting = [name for name in waiting if name not in checks]
            if len(waiting) == before:
                raise Broken(f"the tests end before {waiting[0]} begins (see {context.logs})")
    return list(checks.values())


def _batch(binary: Path, names, environment, logs, limit):
    """Runs tests in one process; the checks of all that began."""
    pattern = "^(" + "|".join(names) + ")$"
    # Four at a time: they compete with the broker for the machine.
    command = [
        binary,
        "-test.v",
        "-test.parallel=4",
        f"-test.timeout={limit}s",
        f"-test.run={pattern}",
    ]
    _, text = process.output(
        command, logs / "kgo.log", binary.parent / "pkg" / "kgo", environment, limit + 60
    )
    begun = re.findall(r"^=== RUN\s+(Test\w+)$", text, re.M)
    checks = {name: Check(name, FAILED, detail=f"not done in {limit} s") for name in begun}
    states = {"PASS": PASSED, "FAIL": FAILED, "SKIP": SKIPPED}
    for found in re.finditer(
        r"^--- (PASS|FAIL|SKIP): (Test\w+) \(([\d.]+)s\)\n((?:    .*\n)*)", text, re.M
    ):
        state, name, seconds, body = found.groups()
        detail = "" if state == "PASS" else " ".join(body.split())[:300]
        checks[name] = Check(name, states[state], float(seconds), detail)
    return checks
