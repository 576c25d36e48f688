#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The README says what is so.

Its first C block is examples/hello.c, character for character. `## Quick start` has two sh blocks of one line each,
which CI runs as they stand. The limits in its table are those of common.h, all of them. What it calls faas_... or
FAAS_... exists, and so do the files it links to.

usage: readme.py [TOP_DIR]                  the check
       readme.py --print LANGUAGE NUMBER    prints a block: `--print sh 2` is the second sh block
       readme.py --self-test
"""
import pathlib
import re
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]


def blocks(text, language):
    """The contents of the fenced blocks of one language."""
    return re.findall(r"^```%s\n(.*?)^```$" % re.escape(language), text, re.S | re.M)


def section(text, title):
    """What stands below one second-level heading."""
    match = re.search(r"^## %s\n(.*?)(?=^## |\Z)" % re.escape(title), text, re.S | re.M)
    return match.group(1) if match else ""


def check(top):
    """Yields what is wrong."""
    text = (top / "README.md").read_text(encoding="utf-8")
    headers = "".join(path.read_text(encoding="utf-8") for path in sorted(top.glob("include/faas/*.h")))
    prose = re.sub(r"^```(?!c$|text$).*?^```$", "", text, flags=re.S | re.M)

    hello = blocks(text, "c")[:1]
    if hello != [(top / "examples/hello.c").read_text(encoding="utf-8")]:
        yield "the first C block is not examples/hello.c"

    quick = blocks(section(text, "Quick start"), "sh")
    if len(quick) != 2:
        yield "Quick start has %d sh blocks, not 2" % len(quick)
    for block in quick:
        if block.count("\n") != 1 or not block.strip() or block.rstrip().endswith("\\"):
            yield "a command of Quick start is not one line: %s" % block.strip()

    common = (top / "include/faas/common.h").read_text(encoding="utf-8")
    defines = dict(re.findall(r"^#define (FAAS_MAX_\w+) (\(.*?\)|\S+)", common, re.M))
    rows = dict(re.findall(r"^\| `(FAAS_MAX_\w+)` \| ([\d,]+) \|", text, re.M))
    for name in sorted(set(defines) | set(rows)):
        if name not in rows:
            yield "%s is missing from the limits" % name
        elif name not in defines:
            yield "%s is no limit" % name
        elif int(rows[name].replace(",", "")) != number(defines[name]):
            yield "%s is %s, not %s" % (name, defines[name], rows[name])

    known = set(re.findall(r"\b(?:faas|FAAS)_\w+", headers))
    for name in sorted(set(re.findall(r"\b(?:faas|FAAS)_\w*\w\b", prose))):
        if name not in known and not name.endswith("_"):
            yield "there is no %s" % name

    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if "://" not in target and not (top / target).exists():
            yield "there is no file %s" % target


def number(expression):
    """The value of `5`, `(1 << 30)` and the like."""
    match = re.fullmatch(r"\(?(\d+)(?: << (\d+))?\)?", expression)
    return int(match.group(1)) << int(match.group(2) or 0)


# ---- Self-test ------------------------------------------------------------------------------------------------------

HELLO = '#include <faas.h>\nint main(void)\n{\n\treturn faas_open(0, 0);\n}\n'
HEADER = """#define FAAS_MAX_NAME 64 /* bytes */
#define FAAS_MAX_DATA (1 << 20)
FAAS_API int faas_open(int a, int b);
"""
GOOD = """# x
```c
%s```
`faas_open` and FAAS_MAX_... in [a file](examples/hello.c), see [there](https://example.org/none)
## Quick start
```sh
echo faas_nothing
```
```sh
true
```
## Limits
| `FAAS_MAX_NAME` | 64 | bytes |
| `FAAS_MAX_DATA` | 1,048,576 | bytes |
""" % HELLO
BAD = [  # what is wrong, the README, a part of the complaint
    ("another program", GOOD.replace("\treturn", "    return"), "not examples/hello.c"),
    ("no program", GOOD.replace("```c\n", "```\n"), "not examples/hello.c"),
    ("a third command", GOOD.replace("## Limits", "```sh\ntrue\n```\n## Limits"), "3 sh blocks"),
    ("no commands", GOOD.replace("Quick start", "Slow start"), "0 sh blocks"),
    ("a command of two lines", GOOD.replace("\ntrue\n", "\ntrue\nfalse\n"), "not one line"),
    ("an empty command", GOOD.replace("\ntrue\n", "\n\n"), "not one line"),
    ("a limit left out", GOOD.replace("| `FAAS_MAX_DATA`", "| FAAS_MAX_DATA"), "FAAS_MAX_DATA is missing"),
    ("a limit that is wrong", GOOD.replace("| 64 |", "| 65 |"), "FAAS_MAX_NAME is 64"),
    ("a limit of old", GOOD + "| `FAAS_MAX_OLD` | 1 | x |\n", "FAAS_MAX_OLD is no limit"),
    ("a call that does not exist", GOOD + "`faas_fly`\n", "there is no faas_fly"),
    ("a file that does not exist", GOOD + "[x](include/none.h)\n", "no file include/none.h"),
]


def self_test():
    with tempfile.TemporaryDirectory() as directory:
        top = pathlib.Path(directory)
        (top / "examples").mkdir()
        (top / "include/faas").mkdir(parents=True)
        (top / "examples/hello.c").write_text(HELLO, encoding="utf-8")
        (top / "include/faas/common.h").write_text(HEADER, encoding="utf-8")
        readme = top / "README.md"
        readme.write_text(GOOD, encoding="utf-8")
        assert list(check(top)) == [], list(check(top))
        for what, text, complaint in BAD:
            assert text != GOOD, what
            readme.write_text(text, encoding="utf-8")
            problems = list(check(top))
            assert any(complaint in problem for problem in problems), "not noticed: %s: %s" % (what, problems)
    print("readme: self-test passed")


def main(arguments):
    if arguments == ["--self-test"]:
        self_test()
        return 0
    if len(arguments) == 3 and arguments[0] == "--print":
        text = (TOP / "README.md").read_text(encoding="utf-8")
        sys.stdout.write(blocks(text, arguments[1])[int(arguments[2]) - 1])
        return 0
    problems = list(check(pathlib.Path(arguments[0]) if arguments else TOP))
    for problem in problems:
        print("readme:", problem)
    print("readme: %d problems" % len(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
