"""Runs the scripts of checks that are ours, and reads what they print.

The first line of JSON is the plan, {"plan": [names]}; each check follows as {"test", "outcome",
"seconds", "detail"}. Other lines are left aside. Names as arguments choose among the checks.

A check that is planned and never reported took its process with it: it is tried once more in
another one, and those behind it are run there.
"""

import json

from . import process
from .check import FAILED, PASSED, Broken, Check


def run(command, bootstrap, log, only=(), cwd=None, limit=1200):
    """All checks of a script, or those that are named."""
    checks, crashed, names = {}, None, list(only)
    while True:
        status, text = process.output([*command, bootstrap, *names], log, cwd=cwd, limit=limit)
        plan, seen = read(text)
        if not plan:
            raise Broken(f"the script ended with {status} before its checks: {text[-300:].strip()}")
        checks = checks or dict.fromkeys(plan)
        for name, check in seen.items():
            again = name == crashed and check.outcome == PASSED
            checks[name] = check.after_retry() if again else check
        names = [name for name in plan if name not in seen]
        if not names:
            return list(checks.values())
        if names[0] == crashed:
            detail = f"its process ended with {status}, twice"
            checks[crashed] = Check(names.pop(0), FAILED, detail=detail)
            if not names:
                return list(checks.values())
        crashed = names[0]


def read(text):
    """The plan, and the checks that were reported, by name."""
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
            name = entry["test"]
            seen[name] = Check(name, entry["outcome"], entry["seconds"], entry["detail"])
    return plan, seen
