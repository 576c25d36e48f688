# SPDX-License-Identifier: MIT
"""
The ratios to reach, and whether they were.

A ratio is taken inside each round, where both sides ran minutes apart on the same machine, and the median of these is
judged. "The best of" several peers is the one with the best median; the ratio is to that one in every round.

Beyond each bar lies a moonshot. Go's channel, which is some of these, is not run here: such a moonshot is expressed
through what Go reached when it was measured beside oneTBB's enqueue, which had 4.8 times less throughput, 8 times the
processor time and 57 times the round trip.
"""
import dataclasses
import operator
import statistics

from plan import FAAS, SCALE, TITLES

BEST = ("libuv", "glib", "tbb_enqueue")
ENQUEUE = ("tbb_enqueue",)
GROUP = ("tbb_task_group",)
HIGHER = (max, operator.ge, "at least")
LOWER = (min, operator.le, "at most")


@dataclasses.dataclass(frozen=True)
class Goal:
    limit: float
    peers: tuple = ()    # the best of these is 1; none: the figure itself is judged
    key: str = ""        # of the peers' figure; "": the same as ours
    metric: str = ""
    against: str = ""    # what to call that figure; "": the peer's name
    note: str = ""       # whose figure the goal comes from


@dataclasses.dataclass(frozen=True)
class Bar:
    what: str
    program: str
    key: str
    metric: str
    scale: float  # what the figure is multiplied with to be shown
    unit: str
    better: tuple
    bar: Goal
    moonshot: Goal


def go(limit):
    return Goal(limit, ENQUEUE, note="Go's channel")


BARS = (
    Bar("throughput", FAAS, "throughput", "rate", 1e-6, "M/s", HIGHER, Goal(2, BEST), go(24.8 / 5.2)),
    Bar("CPU per event at throughput", FAAS, "throughput", "cpu_ns", 1, "ns", LOWER, Goal(0.5, ENQUEUE), go(47 / 384)),
    Bar("burst", FAAS, "burst", "rate", 1e-6, "M/s", HIGHER, Goal(2, ENQUEUE), Goal(1, GROUP)),
    Bar("nested", FAAS, "nested", "rate", 1e-6, "M/s", HIGHER, Goal(2, BEST), Goal(1, GROUP)),
    Bar("many producers", FAAS, "producers", "rate", 1e-6, "M/s", HIGHER, Goal(2, BEST), Goal(2, GROUP)),
    Bar("wake, p50", FAAS, "wake", "p50_ns", 1e-3, "us", LOWER, Goal(1, BEST),
        Goal(1.2, ("pool",), "wake_bare", against="a bare futex wake")),
    Bar("round trip, mean", FAAS, "roundtrip", "mean_ns", 1e-3, "us", LOWER, Goal(1 / 20, BEST), go(0.27 / 15.5)),
    Bar("inline call above the handler, 64-byte event", SCALE, "inline", "above_ns", 1, "ns", LOWER, Goal(150),
        Goal(100)),
    Bar("memory per queued event", FAAS, "memory", "bytes", 1, "B", LOWER, Goal(256), Goal(160)),
    Bar("load: share of the threads' time", FAAS, "load", "share", 1, "", HIGHER, Goal(1, BEST),
        Goal(0.99)),
    Bar("emit (CPU) with 100,000 functions against 10", SCALE, "functions 100000", "emit_ratio", 1, "x", LOWER,
        Goal(1.2), Goal(1.05)),
    Bar("emit and run (clock), likewise", SCALE, "functions 100000", "event_ratio", 1, "x", LOWER, Goal(1.2), Goal(1.05)),
    Bar("register and bind 100,000 functions", SCALE, "functions 100000", "register_s", 1, "s", LOWER, Goal(1),
        Goal(0.3)),
    Bar("memory per idle function", SCALE, "functions 100000", "bytes", 1, "B", LOWER, Goal(1024), Goal(512)),
    Bar("emit (CPU) to 1,000 bindings, per function, against a plain emit", SCALE, "bindings 1000", "emit_ratio", 1, "x",
        LOWER, Goal(1), Goal(0.5)),
    Bar("emit and run (clock), likewise", SCALE, "bindings 1000", "event_ratio", 1, "x", LOWER, Goal(1), Goal(0.5)),
    Bar("noisy neighbour: p99 start delay against alone", SCALE, "neighbour", "flooded p99_ns", 1e-3, "us", LOWER,
        Goal(3, (SCALE,), metric="alone p99_ns", against="alone"),
        Goal(1.5, (SCALE,), metric="alone p99_ns", against="alone")),
    Bar("burst against the same on one core", FAAS, "burst", "rate", 1e-6, "M/s", HIGHER,
        Goal(1, (FAAS,), "pinned burst", against="one core"), Goal(1.5, (FAAS,), "pinned burst", against="one core")),
    Bar("round trip on one core, mean", FAAS, "pinned roundtrip", "mean_ns", 1e-3, "us", LOWER, Goal(1.1, BEST),
        Goal(0.5, BEST)),
    Bar("context switches per 1,000 events at throughput", FAAS, "throughput", "switches", 1, "", LOWER,
        Goal(0.5), Goal(0.1)),
    Bar("memory kept 1 s after 1 M queued events have run", FAAS, "memory", "kept_percent", 1, "%", LOWER,
        Goal(10), Goal(1)),
    Bar("idle: CPU used", FAAS, "idle", "cpu_ns_per_s", 1e-3, "us/s", LOWER, Goal(0), Goal(0)),
)


def best_peer(results, bar, goal):
    """The peer with the best median, and its figures; None where none of them was run."""
    pick = bar.better[0]
    key, metric = goal.key or bar.key, goal.metric or bar.metric
    there = {peer: results.figures(key, peer, metric) for peer in goal.peers}
    there = {peer: figures for peer, figures in there.items() if figures}
    if not there:
        return None, []
    peer = pick(there, key=lambda name: statistics.median(there[name]))
    return peer, there[peer]


@dataclasses.dataclass(frozen=True)
class Verdict:
    ratios: tuple   # of each round; empty: it cannot be told
    reference: str  # what the ratios are to; "": they are the figures themselves
    goal: Goal
    is_met: bool


def judge(results, bar, goal):
    ours = results.figures(bar.key, bar.program, bar.metric)
    reference, theirs = "", []
    ratios = [figure * bar.scale for figure in ours]
    if goal.peers:
        peer, theirs = best_peer(results, bar, goal)
        reference = goal.against or TITLES.get(peer, "")
        ratios = [a / b for a, b in zip(ours, theirs) if b]
    is_met = bool(ratios) and bar.better[1](statistics.median(ratios), goal.limit)
    return Verdict(tuple(ratios), reference, goal, is_met)


def shared(results, key, metric):
    """The bar a chart can draw for this figure, as a value: None where there is none."""
    for bar in BARS:
        if (bar.key, bar.metric, bar.program) != (key, metric, FAAS) or bar.bar.key:
            continue
        if not bar.bar.peers:
            return bar.bar.limit / bar.scale
        theirs = best_peer(results, bar, bar.bar)[1]
        return bar.bar.limit * statistics.median(theirs) if theirs else None
    return None
