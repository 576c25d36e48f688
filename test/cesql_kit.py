#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs CESQL's conformance kit (https://github.com/cloudevents/spec, cesql/cesql_tck) through the example cesql.

The kit is read as one JSON object a line: `name`, `expression`, optionally `event` or `eventOverrides` (laid over a
default event), `result`, `error`. Types, values and errors must all be as expected. An event of ours keeps the moment
of its `time`, not its spelling: a result that is a time is compared as a moment.

usage: cesql_kit.py CESQL [KIT.jsonl]     without a kit: left out, which is exit code 77
"""
import datetime
import json
import subprocess
import sys

SKIPPED = 77
DEFAULT = {"specversion": "1.0", "id": "myId", "source": "localhost.localdomain", "type": "myType"}
ERRORS = {-40: "parse", -47: "math", -48: "cast", -49: "missingAttribute", -50: "missingFunction",
          -51: "functionEvaluation"}


def spelled(value):
    """A value that was `TRUE` or `-10` in the kit and lost its spelling on the way."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def arguments(event):
    for name, value in event.items():
        kind = ":boolean" if isinstance(value, bool) else ":integer" if isinstance(value, int) else ""
        yield "%s%s=%s" % (name, kind, spelled(value))


def evaluate(program, expression, event):
    """(value or None, name of the error or None)"""
    done = subprocess.run([program, expression, *arguments(event)], capture_output=True, text=True, check=False)
    error = None
    for line in done.stderr.splitlines():
        if line.startswith("error "):
            code = int(line.split()[1])
            error = ERRORS.get(code, "code %d" % code)
    if not done.stdout:
        return None, error or "no output"
    kind, text = done.stdout[:-1].split(" ", 1)
    return {"Boolean": lambda: text == "true", "Integer": lambda: int(text), "String": lambda: text}[kind](), error


def moment(text):
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def is_same(got, wanted, event):
    if type(got) is type(wanted) and got == wanted:
        return True
    return isinstance(got, str) and wanted == event.get("time") and moment(got) == moment(wanted) is not None


def run(program, kit):
    count = failures = 0
    for line in open(kit, encoding="utf-8"):
        case = json.loads(line)
        event = case.get("event", {**DEFAULT, **case.get("eventOverrides", {})})
        got, error = evaluate(program, spelled(case["expression"]), event)
        # what does not parse has no value, though the kit may give one
        is_right = error == case.get("error") and (error == "parse" or is_same(got, case["result"], event))
        count += 1
        if not is_right:
            failures += 1
            print("%s: %s: %s is %r (%s), not %r (%s)" % (case["file"], case["name"], case["expression"], got, error,
                                                          case.get("result"), case.get("error")))
    print("cesql_kit: %d of %d" % (count - failures, count))
    return 0 if failures == 0 and count > 0 else 1


if len(sys.argv) == 2:
    print("cesql_kit: left out, no kit given")
    sys.exit(SKIPPED)
if len(sys.argv) != 3:
    sys.exit(__doc__)
sys.exit(run(sys.argv[1], sys.argv[2]))
