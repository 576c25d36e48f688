#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The public header is the manual: every exported prototype says what a caller must know.

Each FAAS_API prototype stands right below a comment of its own, which begins with a sentence and ends with the rows
Threads, Blocks, Owns, Units, Returns: all of them, in this order, none empty. Structs with members are ..._config or
..._stats, begin with `uint32_t struct_size` unless they are only part of another one, and hold fixed-width integers and
pointers only. Constants that comments name exist. faas.h includes every header.

usage: docs.py [INCLUDE_DIR]     docs.py --self-test
"""
import pathlib
import re
import sys
import tempfile

ROWS = ["Threads", "Blocks", "Owns", "Units", "Returns"]
FIXED_WIDTH = {"int32_t", "uint32_t", "int64_t", "uint64_t"}
PLACES = re.compile(r"/\*.*?\*/", re.S)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def comment_before(text, offset):
    """The comment that ends right above `offset`, or None; with nothing but one line break between them."""
    before = text[:offset]
    if not before.endswith("*/\n"):
        return None
    comments = list(PLACES.finditer(before))
    return comments[-1].group(0) if comments and comments[-1].end() == len(before) - 1 else None


def check_comment(comment):
    """What is wrong with the comment of a prototype."""
    if comment is None:
        return ["no comment right above it"]
    if not comment.startswith("/**"):
        return ["its comment does not begin with /**"]
    lines = [re.sub(r"^\s*\*?/?\*{0,2} ?", "", line) for line in comment[:-2].splitlines()]
    rows = [(re.match(r"([A-Z][a-z]+):(\s+(.*))?$", line), number) for number, line in enumerate(lines)]
    rows = [(match.group(1), (match.group(3) or "").strip(), number) for match, number in rows
            if match and match.group(1) in ROWS]
    names = [name for name, _, _ in rows]
    problems = []
    if names != ROWS:
        problems.append("the rows are %s, not %s" % (", ".join(names) or "missing", ", ".join(ROWS)))
    problems += ["the row %s is empty" % name for name, value, _ in rows if not value]
    first = rows[0][2] if rows else len(lines)
    if not re.search(r"[A-Za-z].*\.", " ".join(lines[:first])):
        problems.append("no sentence above the rows")
    return problems


def check_prototypes(text):
    """Yields (line, problem), and counts the prototypes."""
    count = 0
    problems = []
    for match in re.finditer(r"^FAAS_API\b([^;{}]*);", text, re.M):
        count += 1
        name = re.search(r"\b(faas_\w+)\s*\(", match.group(1))
        line = line_of(text, match.start())
        if name is None:
            problems.append((line, "not a prototype of faas_..."))
            continue
        problems += [(line, "%s: %s" % (name.group(1), problem))
                     for problem in check_comment(comment_before(text, match.start()))]
    # a prototype that is not marked is either forgotten or not meant to be here
    for match in re.finditer(r"^(?!FAAS_API|typedef|#|\s|\*|/)[^;{}#/]*\b(faas_\w+)\s*\([^;{}]*\)\s*;", text, re.M):
        problems.append((line_of(text, match.start()), "%s: no FAAS_API" % match.group(1)))
    return count, problems


def check_structs(texts):
    """`texts`: {path: text}. Yields (path, line, problem)."""
    found = {}
    for path, text in texts.items():
        bare = PLACES.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)
        for match in re.finditer(r"^(?:typedef\s+)?(struct|union|enum)\s+(\w*)\s*\{(.*?)^\}", bare, re.S | re.M):
            found[match.group(2)] = (path, line_of(bare, match.start()), match.group(1), match.group(3))
        for match in re.finditer(r"\b(enum|union)\b", bare):
            yield path, line_of(bare, match.start()), "%s in a public header" % match.group(1)
    parts = {name for _, _, _, body in found.values() for name in re.findall(r"^\s*struct\s+(\w+)\s+\w+;", body, re.M)}
    for name, (path, line, kind, body) in found.items():
        if kind != "struct":
            continue
        if not re.fullmatch(r"faas_\w+_(config|stats)", name):
            yield path, line, "%s is neither ..._config nor ..._stats" % name
        if name not in parts and not re.match(r"\s*uint32_t struct_size;", body):
            yield path, line, "%s does not begin with uint32_t struct_size" % name
        for member in filter(None, (" ".join(part.split()) for part in body.split(";"))):
            kind = member.split()[0]
            is_pointer = "*" in member
            is_part = re.fullmatch(r"struct (\w+) \w+", member) and member.split()[1] in found
            is_text = re.fullmatch(r"char \w+\[\d+\]", member)
            if ":" in member or not (kind in FIXED_WIDTH or is_pointer or is_part or is_text):
                yield path, line, "%s: `%s` is neither a fixed-width integer nor a pointer" % (name, member)


def check_constants(texts):
    """Constants that the headers name exist. Yields (path, line, problem)."""
    defined = {name for text in texts.values() for name in re.findall(r"^#define (FAAS_\w+)", text, re.M)}
    for path, text in texts.items():
        for match in re.finditer(r'(?<!")\bFAAS_[A-Z0-9_]*[A-Z0-9]\b(?!_)', text):
            if match.group(0) not in defined:
                yield path, line_of(text, match.start()), "%s is defined nowhere" % match.group(0)


def check(include):
    """Returns (number of prototypes, problems as texts)."""
    include = pathlib.Path(include)
    paths = sorted(include.glob("faas/*.h"))
    problems = []
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    count = 0
    for path, text in texts.items():
        number, wrong = check_prototypes(text)
        count += number
        problems += [(path, line, problem) for line, problem in wrong]
        if not text.startswith("/* SPDX-License-Identifier: MIT */\n/*\n"):
            problems.append((path, 1, "does not begin with the SPDX line and a comment"))
    problems += check_structs(texts)
    problems += check_constants(texts)
    umbrella = include / "faas.h"
    included = set(re.findall(r"#include <(faas/\w+\.h)>", umbrella.read_text(encoding="utf-8")))
    problems += [(umbrella, 1, "does not include <faas/%s>" % path.name) for path in paths
                 if "faas/" + path.name not in included]
    if count == 0:
        problems.append((include, 0, "no prototype found"))
    return count, ["%s:%d: %s" % problem for problem in problems]


# ---- Self-test ------------------------------------------------------------------------------------------------------

HEAD = """/* SPDX-License-Identifier: MIT */
/*
 * A header.
 */
#define FAAS_API
#define FAAS_OK 0
#define FAAS_EINVAL (-1)
"""
COMMENT = """/**
 * Does something.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  FAAS_OK;
 *           FAAS_EINVAL: never
 */
"""
PROTOTYPE = "FAAS_API int faas_do(int how,\n                     int much);\n"
STRUCT = """typedef struct faas_x_config {
	uint32_t struct_size;
	int32_t y; /* a: b */
	int64_t (*f)(void *u);
} x;
"""
GOOD = HEAD + STRUCT + COMMENT + PROTOTYPE
BAD = [  # what is wrong, the header, a part of the complaint
    ("no comment", HEAD + PROTOTYPE, "no comment"),
    ("a comment further up", HEAD + COMMENT + "\n" + PROTOTYPE, "no comment"),
    ("one comment for two", GOOD + "FAAS_API int faas_other(void);\n", "faas_other: no comment"),
    ("a plain comment", GOOD.replace("/**", "/*"), "does not begin with /**"),
    ("two rows swapped", HEAD + COMMENT.replace("Blocks", "X").replace("Owns", "Blocks").replace("X", "Owns")
     + PROTOTYPE, "the rows are"),
    ("a row twice", GOOD.replace(" * Owns: ", " * Blocks:   no\n * Owns: "), "the rows are"),
    ("an empty row", GOOD.replace("Units:    none", "Units:"), "Units is empty"),
    ("no sentence", GOOD.replace(" * Does something.\n", ""), "no sentence"),
    ("a prototype without FAAS_API", GOOD + "int faas_other(void);\n", "no FAAS_API"),
    ("no prototype", HEAD + STRUCT, "no prototype found"),
    ("a code that does not exist", GOOD.replace("FAAS_EINVAL: never", "FAAS_ENEVER"), "FAAS_ENEVER is defined nowhere"),
    ("no struct_size", GOOD.replace("\tuint32_t struct_size;\n", ""), "struct_size"),
    ("a long in a struct", GOOD.replace("int32_t y", "long y"), "`long y`"),
    ("a bool in a struct", GOOD.replace("int32_t y", "bool y"), "`bool y`"),
    ("a bit-field", GOOD.replace("int32_t y", "uint32_t y : 3"), "`uint32_t y : 3`"),
    ("an enum", GOOD + "enum faas_color { RED };\n", "enum in a public header"),
    ("a struct by another name", GOOD.replace("faas_x_config", "faas_x"), "neither ..._config"),
    ("no SPDX line", GOOD.replace("SPDX", "spdx"), "SPDX"),
] + [("no row " + row, re.sub(r" \* %s:.*\n" % row, "", GOOD), "the rows are") for row in ROWS]


def self_test():
    with tempfile.TemporaryDirectory() as directory:
        include = pathlib.Path(directory)
        (include / "faas").mkdir()
        header = include / "faas" / "x.h"

        def run(text, umbrella="#include <faas/x.h>\n"):
            header.write_text(text, encoding="utf-8")
            (include / "faas.h").write_text(umbrella, encoding="utf-8")
            return check(include)[1]

        assert run(GOOD) == [], run(GOOD)
        for what, text, complaint in BAD:
            problems = run(text)
            assert any(complaint in problem for problem in problems), "not noticed: %s: %s" % (what, problems)
        assert any("does not include" in problem for problem in run(GOOD, "")), "not noticed: a header left out"
    print("docs: self-test passed")


def main(arguments):
    if arguments == ["--self-test"]:
        self_test()
        return 0
    include = arguments[0] if arguments else pathlib.Path(__file__).resolve().parents[2] / "include"
    count, problems = check(include)
    for problem in problems:
        print("docs:", problem)
    print("docs: %d prototypes, %d problems" % (count, len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
