"""The table at the end, for people and as JSON."""

import json

from .check import FAILED, PASSED, SKIPPED

HEAD = ("suite", "version", "passed", "failed (expected)", "skipped", "seconds")


class Row:
    """One suite's outcome. `skipped_why` is set where the whole suite was left out."""

    def __init__(self, suite, version="", skipped_why=""):
        self.suite = suite
        self.version = version
        self.skipped_why = skipped_why
        self.trouble = []
        self.checks = []
        self.verdict = None
        self.seconds = 0.0

    def count(self, outcome):
        return sum(check.outcome == outcome for check in self.checks)

    def good(self):
        return not self.trouble and (self.verdict is None or self.verdict.good())

    def cells(self):
        if self.skipped_why:
            return (self.suite, self.version, "-", "-", "-", "-")
        expected = len(self.verdict.expected) if self.verdict else 0
        return (
            self.suite,
            self.version,
            str(self.count(PASSED)),
            f"{self.count(FAILED)} ({expected})",
            str(self.count(SKIPPED)),
            f"{self.seconds:.0f}",
        )

    def notes(self):
        """What has to be said about the suite below the table."""
        if self.skipped_why:
            yield f"skipped: {self.skipped_why}"
        yield from self.trouble
        if self.verdict:
            for check in self.verdict.unknown:
                yield f"failed: {check.name}: {check.detail}".rstrip(": ")
            for name in self.verdict.now_passing:
                yield f"passes, and is listed as failing: {name}"
            for name in self.verdict.without_test:
                yield f"is listed as failing, and there is no such test: {name}"
        again = [check.name for check in self.checks if check.retried]
        if again:
            yield "passed at the second try only: " + ", ".join(again)

    def as_json(self):
        if self.skipped_why:
            return {"suite": self.suite, "version": self.version, "skipped_why": self.skipped_why}
        expected = self.verdict.expected if self.verdict else {}
        return {
            "suite": self.suite,
            "version": self.version,
            "passed": self.count(PASSED),
            "failed": self.count(FAILED),
            "expected": len(expected),
            "skipped": self.count(SKIPPED),
            "seconds": round(self.seconds),
            "failures": {
                check.name: expected.get(check.name, check.detail)
                for check in self.checks
                if check.outcome == FAILED
            },
            "notes": list(self.notes()),
        }


def table(broker, rows):
    """The rows as aligned text."""
    lines = [HEAD] + [row.cells() for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    out = [f"against {broker}"]
    for line in lines:
        # Words to the left, numbers to the right.
        cells = [cell.ljust if column < 2 else cell.rjust for column, cell in enumerate(line)]
        out.append("  ".join(pad(width) for pad, width in zip(cells, widths)))
    for row in rows:
        out += [f"{row.suite}: {note}" for note in row.notes()]
    passed = sum(row.count(PASSED) for row in rows)
    unexpected = sum(len(row.verdict.unknown) for row in rows if row.verdict)
    expected = sum(len(row.verdict.expected) for row in rows if row.verdict)
    skipped = sum(row.count(SKIPPED) for row in rows)
    out.append(f"{expected} failed as expected")
    # The closing line that runners of tests are read by.
    out.append(f"{passed} passed, {unexpected} failed, {skipped} skipped")
    return "\n".join(out)


def as_json(broker, rows):
    """The same as JSON."""
    return json.dumps({"broker": broker, "suites": [row.as_json() for row in rows]}, indent=2)
