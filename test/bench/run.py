#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Runs the benchmark programs round robin and says how libfaas stands beside its peers.

usage: run.py [OPTIONS] PROGRAM...       PROGRAM: a bench_... program, or a folder that holds some (a build folder)

In every round each workload is run on one program after the other, each in a process of its own; from round to round
another program begins. Medians over the rounds are shown with minimum and maximum. If libfaas fails, hangs, or its counts
do not come out, that ends the whole run; another library gets a second chance, then the round goes on without it, and the
page says so.

    --rounds N       how many (7; with --quick 3)
    --quick          a tenth of the work
    --smoke          next to no work, one round: only that everything runs and every count comes out; writes nothing
    --only A,B       only these workloads: throughput, burst, ... (plan.py), or growth: threads, handlers, functions,
                     bindings, queued, payload
    --programs A,B   only these programs: faas, faas_scale, libuv, glib, tbb_enqueue, tbb_task_group, pool
    --pin            everything on one core, through taskset
    --out FOLDER     where table.md, chart.svg and figures.json go (bench-results)
    --note TEXT      how the programs were built, for the page

The figures mean something only on a machine that does nothing else.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True

import chart
import plan
import table

TIMEOUT_S = 600
PEER_TRIES = 2  # oneTBB's task_group now and then loses its last task


def fail(message):
    sys.exit(f"run.py: {message}")


def parse_options():
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__, add_help=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--programs", default="")
    parser.add_argument("--pin", action="store_true")
    parser.add_argument("--out", default="bench-results")
    parser.add_argument("--note", default="")
    parser.add_argument("program", nargs="*")
    options = parser.parse_args()
    if options.help:
        print(__doc__.strip())
        sys.exit(0)
    if not options.program:
        fail("which programs? See --help")
    options.size = "smoke" if options.smoke else "quick" if options.quick else "full"
    options.rounds = options.rounds or {"smoke": 1, "quick": 3, "full": 7}[options.size]
    return options


def find_programs(places, wanted):
    """{name without bench_: path}, in the order of plan.POOLS."""
    found = {}
    for place in map(pathlib.Path, places):
        candidates = [place]
        if place.is_dir():
            candidates = sorted(place.glob("bench_*")) + sorted(place.glob("test/bench/bench_*"))
        for path in candidates:
            name = path.stem.removeprefix("bench_")
            if name in plan.TITLES and path.is_file() and os.access(path, os.X_OK):
                found[name] = str(path.resolve())
    if not found:
        fail("no benchmark programs in " + " ".join(map(str, places)) + ": are they built?")
    unknown = [name for name in wanted if name not in found]
    if unknown:
        fail(f"no such program: {', '.join(unknown)}")
    return {name: found[name] for name in (*plan.POOLS, plan.SCALE) if name in found and (not wanted or name in wanted)}


class Failure(Exception):
    """A program failed."""


def run_one(path, item, prefix):
    """One program, once: its metrics, and how it calls itself."""
    command = [*prefix, path, *item.arguments]
    said = " ".join([pathlib.Path(path).name, *item.arguments])
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S,
                              check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"{said}: hangs (more than {TIMEOUT_S} s)") from None
    if done.returncode != 0:
        raise Failure(f"{said}: exit code {done.returncode}; {done.stderr.strip()}")
    metrics, title = {}, ""
    for line in done.stdout.splitlines():
        if line.startswith("# "):
            title = line[2:]
            continue
        workload, metric, value = line.split()
        metrics[metric if workload == item.arguments[0] else f"{workload} {metric}"] = float(value)
    if not metrics:
        raise Failure(f"{said}: said nothing")
    return metrics, title


def run_peer(name, path, item, prefix, incidents):
    """The same, with more chances for what is not ours. None: it has had them all."""
    for _ in range(PEER_TRIES):
        try:
            return run_one(path, item, prefix)
        except Failure as failure:
            if name not in plan.PEERS:
                raise
            print(f"once more: {failure}", file=sys.stderr, flush=True)
            incidents.append(str(failure))
    return None


def run_all(items, programs, rounds, pin, pin_all):
    results, titles, incidents = table.Results(), {}, []
    for number in range(rounds):
        for item in items:
            names = [name for name in programs if name in item.programs]
            if number >= item.rounds or not names:
                continue
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                prefix = pin if item.is_pinned or pin_all else []
                ran = run_peer(name, programs[name], item, prefix, incidents)
                if ran is None:
                    continue
                metrics, title = ran
                results.add(item.key, name, metrics)
                if not item.is_pinned:
                    titles.setdefault(name, title)
            print(f"round {number + 1} of {rounds}: {item.key}", file=sys.stderr, flush=True)
    return results, titles, incidents


def free_bytes():
    try:
        for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def processor():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def describe(options, busy, cores, titles, incidents):
    """What the figures were measured on, and with."""
    beside = [title for name, title in titles.items() if name not in (plan.FAAS, plan.SCALE)]
    lines = [
        f"{datetime.date.today()}, {processor()}, {cores} cores, {platform.system()} {platform.release()}, "
        f"{platform.libc_ver()[0] or 'libc'} {platform.libc_ver()[1]}.",
        f"Rounds: {options.rounds}, workloads: {options.size}{', all on one core' if options.pin else ''}. "
        + (f"Built with {options.note}. " if options.note else ""),
        f"Beside libfaas: {'; '.join(beside) or 'nothing'}.",
        "",
        "Each figure is the median of the rounds (minimum-maximum). Every task owns 64 bytes, copied when it is",
        "submitted; one thread submits unless it says otherwise; libfaas runs with its defaults, through its public",
        "API. Who has submitted many waits as the pool has it: libuv's runs its loop, task_group's helps; libfaas's, in",
        "throughput and burst, calls the last task rather than emit it, and a caller spins for up to 60 us before it",
        "sleeps; the others have nothing to wait by: theirs, and libfaas's elsewhere, sleeps on a semaphore at once.",
        "Where work is shared out (load, start delays, handlers) only the pool's threads run tasks: there task_group's",
        "waiter does not help.",
    ]
    for incident in incidents:
        lines += ["", f"Failed, and was run once more, or left out of the round: {incident}."]
    if busy > 0.5:
        lines += ["", f"**The machine was busy** (load {busy:.1f} before the start): the figures mean little."]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def main():
    options = parse_options()
    only = [name for name in options.only.split(",") if name]
    programs = find_programs(options.program, [name for name in options.programs.split(",") if name])
    cores = sorted(os.sched_getaffinity(0))
    taskset = shutil.which("taskset")
    if options.pin and not taskset:
        fail("--pin needs taskset")
    pin = [taskset, "-c", str(cores[0])] if taskset else []
    may_pin = bool(pin) and not options.pin and len(cores) > 1
    items = [item for item in plan.items(options.size, options.rounds, free_bytes(), may_pin) if item.belongs_to(only)]
    if not items:
        fail(f"no such workload: {options.only}")

    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"the machine is busy (load {busy:.1f}): the figures will mean little", file=sys.stderr)
    try:
        results, titles, incidents = run_all(items, programs, options.rounds, pin, options.pin)
    except Failure as failure:
        fail(str(failure))
    if options.smoke:
        print("every count came out")
        return
    page = table.render(results, describe(options, busy, len(cores), titles, incidents))
    print(page)
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(page, encoding="utf-8")
    (out / "chart.svg").write_text(chart.render(results), encoding="utf-8")
    (out / "figures.json").write_text(json.dumps(results.all, indent="\t") + "\n", encoding="utf-8")
    print(f"written: {out}/table.md, {out}/chart.svg, {out}/figures.json")


main()
