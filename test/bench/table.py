# SPDX-License-Identifier: MIT
"""The figures of all rounds, and the tables made of them, in Markdown that also reads well on a terminal."""
import statistics

import bars
import plan
from plan import POOLS, SCALE, TITLES


class Results:
    """What was measured: under each item's key, for each program, the rounds' figures of each metric."""

    def __init__(self):
        self.all = {}

    def add(self, key, program, metrics):
        of_program = self.all.setdefault(key, {}).setdefault(program, {})
        for metric, value in metrics.items():
            of_program.setdefault(metric, []).append(value)

    def figures(self, key, program, metric):
        return self.all.get(key, {}).get(program, {}).get(metric, [])

    def median(self, key, program, metric):
        figures = self.figures(key, program, metric)
        return statistics.median(figures) if figures else None

    def has(self, key):
        return key in self.all


def number(value):
    """Three digits that count."""
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    digits = 2
    while digits > 0 and abs(value) >= 10 ** (3 - digits):
        digits -= 1
    if abs(value) < 1:
        return f"{value:.3g}"
    return f"{value:.{digits}f}"


def cell(figures, scale=1):
    """Median (minimum-maximum)."""
    if not figures:
        return "-"
    scaled = [figure * scale for figure in figures]
    median, low, high = number(statistics.median(scaled)), number(min(scaled)), number(max(scaled))
    return median if low == high else f"{median} ({low}-{high})"


def markdown(rows):
    """Rows of cells, the first of them the heading, with columns that line up."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


# ---- The tables ------------------------------------------------------------------------------------------------------

# what, key, metric, scale
FIGURES = (
    ("throughput, M/s", "throughput", "rate", 1e-6),
    ("- CPU per event, ns", "throughput", "cpu_ns", 1),
    ("- context switches per 1,000", "throughput", "switches", 1),
    ("burst, M/s", "burst", "rate", 1e-6),
    ("- CPU per event, ns", "burst", "cpu_ns", 1),
    ("- context switches per 1,000", "burst", "switches", 1),
    ("nested, M/s", "nested", "rate", 1e-6),
    ("- CPU per event, ns", "nested", "cpu_ns", 1),
    ("- context switches per 1,000", "nested", "switches", 1),
    ("many producers, M/s", "producers", "rate", 1e-6),
    ("- CPU per event, ns", "producers", "cpu_ns", 1),
    ("- context switches per 1,000", "producers", "switches", 1),
    ("wake p50, us", "wake", "p50_ns", 1e-3),
    ("- p99", "wake", "p99_ns", 1e-3),
    ("round trip mean, us", "roundtrip", "mean_ns", 1e-3),
    ("- p99", "roundtrip", "p99_ns", 1e-3),
    ("- CPU per trip, us", "roundtrip", "cpu_ns", 1e-3),
    ("load: share of the threads' time", "load", "share", 1),
    ("start delay at half load p50, us", "half", "p50_ns", 1e-3),
    ("- p99", "half", "p99_ns", 1e-3),
    ("- p99.9", "half", "p999_ns", 1e-3),
    ("start delay at saturation p50, us", "full", "p50_ns", 1e-3),
    ("- p99", "full", "p99_ns", 1e-3),
    ("- p99.9", "full", "p999_ns", 1e-3),
    ("bytes per queued event", "memory", "bytes", 1),
    ("- kept 1 s after they have run, %", "memory", "kept_percent", 1),
    ("one core: burst, M/s", "pinned burst", "rate", 1e-6),
    ("one core: round trip mean, us", "pinned roundtrip", "mean_ns", 1e-3),
    ("idle: CPU, us per s", "idle", "cpu_ns_per_s", 1e-3),
    ("most threads at throughput", "throughput", "pool threads_peak", 1),
)


def verdict_cells(verdict, bar):
    goal = f"{bar.better[2]} {number(verdict.goal.limit)}" + (f" ({verdict.goal.note})" if verdict.goal.note else "")
    if not verdict.ratios:
        return ["-", goal, "-"]
    if verdict.reference:
        reached = f"{cell(verdict.ratios)} x {verdict.reference}"
    else:
        reached = f"{cell(verdict.ratios)} {bar.unit}".strip()
    return [reached, goal, "met" if verdict.is_met else "MISSED"]


def bars_table(results):
    rows = [["what", "libfaas", "reached", "bar", "", "reached", "moonshot", ""]]
    for bar in bars.BARS:
        ours = results.figures(bar.key, bar.program, bar.metric)
        if not ours:
            continue
        rows.append([bar.what, f"{cell(ours, bar.scale)} {bar.unit}".strip(),
                     *verdict_cells(bars.judge(results, bar, bar.bar), bar),
                     *verdict_cells(bars.judge(results, bar, bar.moonshot), bar)])
    return rows


def figures_table(results, programs):
    rows = [["what"] + [TITLES[program] for program in programs]]
    for what, key, metric, scale in FIGURES:
        cells = [cell(results.figures(key, program, metric), scale) for program in programs]
        if any(text != "-" for text in cells):
            rows.append([what] + cells)
    return rows


def threads_table(results, programs):
    rows = [["threads: M/s"] + [TITLES[program] for program in programs]]
    for threads in plan.THREADS:
        rows.append([str(threads)] + [cell(results.figures(f"threads {threads}", program, "rate"), 1e-6)
                                      for program in programs])
    return rows


def handlers_table(results, programs):
    rows = [["handler: us per event, share"] + [TITLES[program] for program in programs]]
    for work in plan.HANDLERS_US:
        row = [f"{work} us"]
        for program in programs:
            text = cell(results.figures(f"handlers {work}", program, "wall_ns"), 1e-3)
            share = results.median(f"handlers {work}", program, "share")
            row.append(text + (f", {share:.3f}" if work and share is not None else ""))
        rows.append(row)
    return rows


# title, values, columns of (heading, metric, scale)
GROWTH = (
    ("functions", plan.FUNCTIONS, (
        ("register and bind each, ns", "register_ns", 1), ("bytes each, idle", "bytes", 1),
        ("- after its first event", "bytes_used", 1), ("first event of each, ns", "first_ns", 1),
        ("events over all, ns", "spread_ns", 1), ("emit to 10 of them, CPU, ns", "emit_ns", 1),
        ("emit and run, ns", "event_ns", 1), ("against 10 registered", "event_ratio", 1))),
    ("bindings", plan.BINDINGS, (
        ("emit, per function, CPU, ns", "emit_ns", 1), ("emit and run, ns", "event_ns", 1),
        ("emit against plain", "emit_ratio", 1), ("emit and run against plain", "event_ratio", 1))),
    ("queued", plan.QUEUED, (
        ("emit, ns", "emit_ns", 1), ("run, ns", "run_ns", 1), ("bytes per event", "bytes", 1),
        ("kept after 1 s, %", "kept_percent", 1))),
    ("payload", plan.PAYLOADS, (
        ("emit, ns", "emit_ns", 1), ("emit and run, ns", "wall_ns", 1), ("CPU, ns", "cpu_ns", 1),
        ("context switches per 1,000", "switches", 1))),
)

GROWTH_TITLES = {
    "functions": "functions registered",
    "bindings": "bindings an event matches",
    "queued": "events queued",
    "payload": "bytes of data",
}


def growth_table(results, title, values, columns):
    rows = [[GROWTH_TITLES[title]] + [heading for heading, _, _ in columns]]
    for value in values:
        key = f"{title} {value}"
        if results.has(key):
            rows.append([f"{value:,}"] + [cell(results.figures(key, SCALE, metric), scale)
                                          for _, metric, scale in columns])
    return rows


def also_rows(results):
    """What has no bar and no peer, but belongs to those that have."""
    rows = [["libfaas alone", ""]]
    for what, key, program, metric, scale in (
            ("inline call above the handler without an event, ns", "inline", SCALE, "above_empty_ns", 1),
            ("calling the handler through a pointer, ns", "inline", SCALE, "plain_ns", 1),
            ("start delay alone p50, us", "neighbour", SCALE, "alone p50_ns", 1e-3),
            ("start delay beside the noisy neighbour p50, us", "neighbour", SCALE, "flooded p50_ns", 1e-3),
            ("- p99.9", "neighbour", SCALE, "flooded p999_ns", 1e-3),
            ("events the neighbour had queued, least", "neighbour", SCALE, "flooded least_queued", 1),
            ("bare futex wake p50, us", "wake_bare", "pool", "p50_ns", 1e-3),
            ("- p99", "wake_bare", "pool", "p99_ns", 1e-3)):
        if results.figures(key, program, metric):
            rows.append([what, cell(results.figures(key, program, metric), scale)])
    return rows


def render(results, header):
    """The whole page."""
    programs = [program for program in POOLS if any(program in of for of in results.all.values())]
    parts = ["# Benchmark\n", header]
    for title, rows in (("The bars", bars_table(results)), ("The figures", figures_table(results, programs)),
                        ("", also_rows(results))):
        if len(rows) > 1:
            parts += [f"## {title}\n"] if title else []
            parts.append(markdown(rows))
    growth = []
    if any(key.startswith("threads ") for key in results.all):
        growth.append(markdown(threads_table(results, programs)))
    if any(key.startswith("handlers ") for key in results.all):
        growth.append(markdown(handlers_table(results, programs)))
    for title, values, columns in GROWTH:
        rows = growth_table(results, title, values, columns)
        if len(rows) > 1:
            growth.append(markdown(rows))
    if growth:
        parts += ["## How cost grows\n"] + growth
    return "\n".join(parts)
