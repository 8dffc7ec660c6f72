"""The lists of what is known to fail, and why.

expected/<suite>.txt holds for a node of ours, expected/kafka/<suite>.txt for a real Kafka: a line
is `name<TAB>reason`, `#` starts a comment. The lists may only shrink: a failure that is not listed
fails the run, and so does an entry that passes, or that names no test. Only where a test itself is
at odds with time, its reason starts with "sometimes:", and it may pass.
"""

from dataclasses import dataclass, field

from .check import FAILED, PASSED, Broken
from .place import HERE

SOMETIMES = "sometimes:"


@dataclass
class Verdict:
    """A suite's checks held against its list."""

    expected: dict = field(default_factory=dict)
    unknown: list = field(default_factory=list)
    now_passing: list = field(default_factory=list)
    without_test: list = field(default_factory=list)

    def good(self):
        return not (self.unknown or self.now_passing or self.without_test)


def load(suite, kind):
    """The list of a suite: reason by name."""
    folder = HERE / "expected" / "kafka" if kind == "kafka" else HERE / "expected"
    path = folder / f"{suite}.txt"
    entries = {}
    if not path.exists():
        return entries
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, tab, reason = line.partition("\t")
        if not tab or not reason.strip() or name in entries:
            raise Broken(f"{path.name}:{number}: want a name once, a tab, a reason")
        entries[name] = reason.strip()
    return entries


def judge(checks, entries, whole):
    """Holds checks against the list. `whole` tells that all tests of the suite were to run."""
    verdict = Verdict()
    names = set()
    for check in checks:
        names.add(check.name)
        if check.outcome == FAILED and check.name in entries:
            verdict.expected[check.name] = entries[check.name]
        elif check.outcome == FAILED:
            verdict.unknown.append(check)
        elif check.outcome == PASSED and not entries.get(check.name, SOMETIMES).startswith(
            SOMETIMES
        ):
            verdict.now_passing.append(check.name)
    if whole:
        verdict.without_test = sorted(set(entries) - names)
    return verdict
