"""What a suite reports: one outcome per named check."""

import json
from dataclasses import dataclass, replace

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Check:
    """One test of a suite. `retried` tells that it passed at the second try only."""

    name: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""
    retried: bool = False

    def after_retry(self):
        return replace(self, retried=True)


class Missing(Exception):
    """A tool that a suite needs is not here: the suite is skipped, with this as the message."""


class Broken(Exception):
    """A suite could not be installed or started: it counts as failed, with this as the message."""


def read_script(text):
    """The checks of a script of ours, from what it printed.

    Its first line of JSON is the plan, {"plan": [names]}; each check follows as {"test", "outcome",
    "seconds", "detail"}. Other lines are left aside. A check that is planned and never reported has
    failed: the script hung or died there.
    """
    plan, seen = [], {}
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "plan" in entry:
            plan = entry["plan"]
        elif "test" in entry:
            seen[entry["test"]] = Check(
                entry["test"], entry["outcome"], entry.get("seconds", 0.0), entry.get("detail", "")
            )
    if not plan:
        raise Broken("the script ended without a plan: " + text[-300:].strip())
    return [seen.get(name, Check(name, FAILED, detail="was never finished")) for name in plan]
