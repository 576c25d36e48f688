#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tree explains the design: what lib/ may include, call and name.

- Includes point one way only: base < observe < executor < dispatch; filter uses base alone. Every layer may use the
  public headers. Files are named from lib/ ("base/sync.h"), never relative to the one that includes them, and no .c is
  included.
- The library does not print, end the process, read the environment, change the locale, handle signals or sleep.
- Time, memory, threads and atomics are reached only through lib/base.
- No file has more than 600 lines, and each begins with the SPDX line and a comment.
- lib/meson.build names every .c file, and test/meson.build every test.

usage: layers.py [TOP_DIR]     layers.py --self-test
"""
import pathlib
import re
import sys
import tempfile

# What each layer may include, beside itself, the public headers and the system's.
LAYERS = {
    "base": set(),
    "observe": {"base"},
    "filter": {"base"},
    "executor": {"base", "observe"},
    "dispatch": {"base", "observe", "executor", "filter"},
}
MAX_LINES = 600
TESTS = ["test", "unit", "stress"]

# No file in lib/ calls these: {name: why}.
FORBIDDEN = {}
for names, why in (
    ("printf vprintf fprintf vfprintf dprintf vdprintf puts fputs putchar putc fputc putchar_unlocked putc_unlocked "
     "fwrite perror psignal psiginfo syslog vsyslog openlog", "the library does not print"),
    ("abort exit _exit _Exit quick_exit atexit at_quick_exit on_exit", "the host decides when its process ends"),
    ("getenv secure_getenv setenv unsetenv putenv clearenv", "the environment is the host's"),
    ("setlocale uselocale newlocale", "the locale is the host's"),
    ("signal sigaction sigset sigaltstack sigprocmask raise kill pthread_kill killpg alarm setitimer",
     "signals are the host's"),
    ("sleep usleep nanosleep clock_nanosleep thrd_sleep", "a wait is for a condition, never for time to pass"),
    ("system popen fork vfork execv execve execvp longjmp siglongjmp setjmp sigsetjmp pthread_exit pthread_cancel",
     "the host's process is left as it is"),
    ("strerror strtok rand srand random srandom localtime gmtime ctime asctime", "not safe with threads"),
    ("sprintf vsprintf gets alloca", "no bound"),
):
    FORBIDDEN.update(dict.fromkeys(names.split(), why))

# Only lib/base calls or names these.
BASE_ONLY = re.compile(
    r"(?<![\w.>])(?:(?:malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|strdup|strndup|mmap|munmap"
    r"|madvise|clock_gettime|gettimeofday|time|timespec_get|sched_yield|syscall|getrandom|getpid)(?=\s*\()"
    r"|pthread_\w+(?=\s*\()|(?:__)?atomic_(?:load|store|exchange|compare|fetch|thread|signal|init|flag)\w*"
    r"|__atomic_\w+|__sync_\w+|memory_order_\w+)")
BASE_HEADERS = {"pthread.h", "threads.h", "stdatomic.h", "sys/mman.h", "semaphore.h", "sched.h"}
NEVER_HEADERS = {"signal.h": {"base"}, "setjmp.h": set(), "locale.h": set(), "syslog.h": set()}


def blank(text):
    """The text with comments and literals blanked out; line breaks and #include lines stay as they are."""
    pattern = (r'^[ \t]*#[ \t]*include[^\n]*'
               r'|/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"' + r"|'(?:\\.|[^'\\\n])*'")
    return re.sub(pattern,
                  lambda match: match.group(0) if match.group(0).lstrip().startswith("#")
                  else re.sub(r"[^\n]", " ", match.group(0)),
                  text, flags=re.S | re.M)


def check_include(layer, name, lib):
    """What is wrong with one included name, or None."""
    if name == "faas.h" or name.startswith("faas/"):
        return None
    top = name.split("/")[0]
    if name.endswith(".c"):
        return "includes a .c file"
    if top in LAYERS and "/" in name:
        if top != layer and top not in LAYERS[layer]:
            return "%s may not include %s" % (layer, top)
        return None if (lib / name).is_file() else "no such file: %s" % name
    return "named from the wrong place: %s" % name


def check_file(path, lib):
    """Yields (line, problem)."""
    text = path.read_text(encoding="utf-8")
    layer = path.relative_to(lib).parts[0]
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield lines, "%d lines, more than %d" % (lines, MAX_LINES)
    if not re.match(r"/\* SPDX-License-Identifier: MIT \*/\n/\*", text):
        yield 1, "does not begin with the SPDX line and a comment"
    if layer not in LAYERS:
        yield 1, "%s is no layer" % layer
        return
    for number, line in enumerate(blank(text).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if match:
            name = match.group(2)
            if match.group(1) == '"' or name.split("/")[0] in LAYERS or name.startswith("faas"):
                problem = check_include(layer, name, lib)
                if problem:
                    yield number, problem
            elif name in BASE_HEADERS and layer != "base":
                yield number, "<%s> is for base only" % name
            elif name in NEVER_HEADERS and layer not in NEVER_HEADERS[name]:
                yield number, "<%s> has no place here" % name
            continue
        for word in re.finditer(r"(?<![\w.>])(\w+)\s*\(", line):
            if word.group(1) in FORBIDDEN:
                yield number, "calls %s: %s" % (word.group(1), FORBIDDEN[word.group(1)])
        for word in re.finditer(r"(?<!\w)(stdin|stdout|stderr|environ)(?!\w)", line):
            yield number, "names %s: it is the host's" % word.group(1)
        if layer != "base":
            for word in BASE_ONLY.finditer(line):
                yield number, "%s is for base only" % word.group(0).strip()


def check_built(top):
    """Sources that no build file names: yields (path, line, problem)."""
    for build, prefix, paths in (
        (top / "lib/meson.build", top / "lib", top.glob("lib/**/*.c")),
        (top / "test/meson.build", None, [path for kind in TESTS for path in top.glob("test/%s_*.c" % kind)]),
    ):
        named = set(re.findall(r"'([^']*)'", build.read_text(encoding="utf-8")))
        for path in sorted(paths):
            if (path.relative_to(prefix).as_posix() if prefix else path.stem) not in named:
                yield path, 1, "not named in %s" % build.relative_to(top)


def check(top):
    """Returns (number of files, problems as texts)."""
    top = pathlib.Path(top)
    lib = top / "lib"
    paths = sorted(path for path in lib.rglob("*") if path.suffix in (".c", ".h"))
    problems = [(path, line, problem) for path in paths for line, problem in check_file(path, lib)]
    problems += check_built(top)
    if not paths:
        problems.append((lib, 0, "no files"))
    return len(paths), ["%s:%d: %s" % (path.relative_to(top), line, problem) for path, line, problem in problems]


# ---- Self-test ------------------------------------------------------------------------------------------------------

HEAD = "/* SPDX-License-Identifier: MIT */\n/* What it is. */\n"
GOOD = HEAD + """#include "base/a.h"
#include <string.h>
#include <faas/common.h>
/* printf(exit) "x" and malloc(3) in a comment, 'n' */
// abort()
static const char *text = "getenv(\\"abort()\\") malloc(1)"; static const char quote = '"';
static void f(struct allocator *a) { a->free(a, 0); x.signal(1); my_exit(3); snprintf(b, 4, "x"); assert(1); }
"""
BAD = [  # what is wrong, the file, its text, a part of the complaint
    ("base includes a higher layer", "base/b.h", HEAD + '#include "executor/e.h"\n', "base may not include executor"),
    ("observe includes executor", "observe/b.h", HEAD + '#include "executor/e.h"\n',
     "observe may not include executor"),
    ("executor includes dispatch", "executor/b.c", HEAD + '#include "dispatch/d.h"\n',
     "executor may not include dispatch"),
    ("the same with angle brackets", "executor/b.c", HEAD + "#include <dispatch/d.h>\n",
     "executor may not include dispatch"),
    ("the same with blanks", "executor/b.c", HEAD + '  #  include   "dispatch/d.h"\n',
     "executor may not include dispatch"),
    ("filter includes observe", "filter/b.c", HEAD + '#include "observe/o.h"\n', "filter may not include observe"),
    ("a .c included", "dispatch/b.c", HEAD + '#include "base/a.c"\n', "includes a .c"),
    ("a relative include", "dispatch/b.c", HEAD + '#include "d.h"\n', "wrong place"),
    ("an include from above", "dispatch/b.c", HEAD + '#include "../base/a.h"\n', "wrong place"),
    ("a file that is not there", "dispatch/b.c", HEAD + '#include "base/none.h"\n', "no such file"),
    ("a folder that is no layer", "misc/b.c", HEAD, "misc is no layer"),
    ("a file in no folder", "b.c", HEAD, "is no layer"),
    ("too many lines", "base/b.c", HEAD + "\n" * MAX_LINES, "lines, more than"),
    ("no SPDX line", "base/b.c", "/* What it is. */\n", "SPDX"),
    ("no comment", "base/b.c", HEAD.splitlines()[0] + "\nint x;\n", "SPDX"),
    ("threads outside base", "executor/b.c", HEAD + "void f(void) { pthread_join(t, 0); }\n", "base only"),
    ("memory outside base", "dispatch/b.c", HEAD + "void f(void) { free(x); }\n", "base only"),
    ("time outside base", "dispatch/b.c", HEAD + "void f(void) { clock_gettime(0, &t); }\n", "base only"),
    ("atomics outside base", "dispatch/b.c", HEAD + "void f(void) { atomic_load_explicit(&t, 0); }\n", "base only"),
    ("a header outside base", "observe/b.c", HEAD + "#include <pthread.h>\n", "base only"),
    ("locale.h", "base/b.c", HEAD + "#include <locale.h>\n", "no place"),
    ("stderr", "base/b.c", HEAD + "FILE *f(void) { return stderr; }\n", "names stderr"),
] + [("a call of " + name, "base/b.c", HEAD + 'int g(void)\n{\n\treturn "x" && %s (1);\n}\n' % name, "calls " + name)
     for name in FORBIDDEN]


def self_test():
    with tempfile.TemporaryDirectory() as directory:
        top = pathlib.Path(directory)
        lib = top / "lib"
        (top / "test").mkdir()
        for layer in list(LAYERS) + ["misc"]:
            (lib / layer).mkdir(parents=True)
        (lib / "meson.build").write_text("", encoding="utf-8")
        (top / "test/meson.build").write_text("'test_a', 'unit_a'", encoding="utf-8")
        assert len(check(top)[1]) == 1, "not noticed: nothing to look at"

        for name in ("base/a.h", "executor/e.h", "dispatch/d.h", "observe/o.h", "base/a.c"):
            (lib / name).write_text(HEAD, encoding="utf-8")
        for layer in LAYERS:
            (lib / layer / "good.c").write_text(GOOD, encoding="utf-8")
        (lib / "dispatch/also.c").write_text(HEAD + '#include "executor/e.h"\n#include "observe/o.h"\n',
                                             encoding="utf-8")
        for name in ("test/test_a.c", "test/unit_a.c", "test/helper.c"):
            (top / name).write_text("", encoding="utf-8")
        named = ["base/a.c", "dispatch/also.c", "b.c"] + [layer + "/" + name for layer in list(LAYERS) + ["misc"]
                                                          for name in ("good.c", "b.c")]
        (lib / "meson.build").write_text("".join("'%s',\n" % name for name in named), encoding="utf-8")
        assert check(top)[1] == [], check(top)[1]

        for what, name, text, complaint in BAD:
            (lib / name).write_text(text, encoding="utf-8")
            _, problems = check(top)
            assert len(problems) == 1 and complaint in problems[0], "not noticed: %s: %s" % (what, problems)
            (lib / name).unlink()
        for name in ("test/test_b.c", "test/unit_b.c", "test/stress_b.c", "lib/base/c.c"):
            (top / name).write_text(HEAD, encoding="utf-8")
            _, problems = check(top)
            assert len(problems) == 1 and "not named in" in problems[0], "not noticed: %s: %s" % (name, problems)
            (top / name).unlink()
    print("layers: self-test passed")


def main(arguments):
    if arguments == ["--self-test"]:
        self_test()
        return 0
    count, problems = check(arguments[0] if arguments else pathlib.Path(__file__).resolve().parents[2])
    for problem in problems:
        print("layers:", problem)
    print("layers: %d files, %d problems" % (count, len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
