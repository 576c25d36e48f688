# SPDX-License-Identifier: MIT
"""The chart: a panel of bars for each figure that the peers share, and lines for how cost grows."""
import html
import math

import bars
import plan
from plan import FAAS, POOLS, SCALE, TITLES
from table import number

COLUMNS = 3
WIDTH, GAP, MARGIN = 370, 24, 24
TITLE_Y, FIRST_Y, STEP = 18, 34, 22   # of a panel of bars
LABEL, VALUE = 122, 78                # left and right of the bars
LINES_HEIGHT, LEFT, BOTTOM = 230, 52, 34  # of a panel of lines

INK, MUTED, FAINT = "#22262b", "#5f6b76", "#dfe4e9"
OURS, THEIRS, GOAL = "#d9480f", "#8fa3b5", "#1c7ed6"
COLOURS = {FAAS: OURS, "libuv": "#1971c2", "glib": "#2f9e44", "tbb_enqueue": "#9c36b5", "tbb_task_group": "#e599f7",
           "pool": "#868e96"}
SERIES = (OURS, "#1971c2", "#2f9e44", "#9c36b5")

# title, key, metric, scale; the dashed line is the bar, where there is one for this figure
BARS = (
    ("throughput, M/s", "throughput", "rate", 1e-6),
    ("CPU per event at throughput, ns", "throughput", "cpu_ns", 1),
    ("context switches per 1,000 events at throughput", "throughput", "switches", 1),
    ("burst, M/s", "burst", "rate", 1e-6),
    ("nested, M/s", "nested", "rate", 1e-6),
    ("many producers, M/s", "producers", "rate", 1e-6),
    ("wake p50, us", "wake", "p50_ns", 1e-3),
    ("round trip mean, us", "roundtrip", "mean_ns", 1e-3),
    ("load: share of the threads' time", "load", "share", 1),
    ("start delay at half load, p99, us", "half", "p99_ns", 1e-3),
    ("start delay at saturation, p99, us", "full", "p99_ns", 1e-3),
    ("bytes per queued event", "memory", "bytes", 1),
    ("memory kept after 1 s, % of the peak", "memory", "kept_percent", 1),
    ("one core: burst, M/s", "pinned burst", "rate", 1e-6),
    ("one core: round trip mean, us", "pinned roundtrip", "mean_ns", 1e-3),
)

# title, values, [(label, key's first word, program, metric, scale)]
POOL_LINES = tuple((TITLES[program], program) for program in POOLS)
LINES = (
    ("throughput by threads, M/s", plan.THREADS,
     [(label, "threads", program, "rate", 1e-6) for label, program in POOL_LINES]),
    ("us per event by the handler's us", plan.HANDLERS_US,
     [(label, "handlers", program, "wall_ns", 1e-3) for label, program in POOL_LINES]),
    ("ns per event by functions registered", plan.FUNCTIONS,
     [("to 10 of them", "functions", SCALE, "event_ns", 1), ("over all", "functions", SCALE, "spread_ns", 1),
      ("(register and bind)", "functions", SCALE, "register_ns", 1)]),
    ("ns per function by bindings an event matches", plan.BINDINGS,
     [("emit (CPU)", "bindings", SCALE, "emit_ns", 1), ("emit and run", "bindings", SCALE, "event_ns", 1)]),
    ("ns per event by events queued", plan.QUEUED,
     [("emit", "queued", SCALE, "emit_ns", 1), ("run", "queued", SCALE, "run_ns", 1)]),
    ("ns per event by bytes of data", plan.PAYLOADS,
     [("emit", "payload", SCALE, "emit_ns", 1), ("emit and run", "payload", SCALE, "wall_ns", 1)]),
)


def text(x, y, said, size=12, anchor="start", colour=INK, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
            f'font-weight="{weight}">{html.escape(said)}</text>')


def line(x1, y1, x2, y2, colour, width=1.0, dash=""):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{dashes}/>')


# ---- Bars ------------------------------------------------------------------------------------------------------------

def bars_panel(results, title, key, metric, scale):
    """Its drawing and its height; None where nothing was measured."""
    rows = [(program, [figure * scale for figure in results.figures(key, program, metric)]) for program in POOLS]
    rows = [(program, figures, results.median(key, program, metric) * scale) for program, figures in rows if figures]
    if not rows:
        return None
    goal = bars.shared(results, key, metric)
    goal = goal * scale if goal is not None else None
    # A minimum or maximum far out may leave the panel: it must not flatten the bars.
    most = max([median for _, _, median in rows] + ([goal] if goal is not None else [])) * 1.15 or 1
    room = WIDTH - LABEL - VALUE

    def at(value):
        return LABEL + room * min(value / most, 1)

    drawn = [text(0, TITLE_Y, title, 13, weight="bold")]
    for i, (program, figures, median) in enumerate(rows):
        y = FIRST_Y + i * STEP
        colour = OURS if program == FAAS else THEIRS
        drawn.append(text(LABEL - 8, y + 11, TITLES[program], 11, "end", INK if program == FAAS else MUTED))
        length = max(at(median) - LABEL, 1)
        drawn.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="14" rx="2" fill="{colour}"/>')
        drawn.append(line(at(min(figures)), y + 7, at(max(figures)), y + 7, INK))
        drawn.append(text(WIDTH, y + 11, number(median), 11, "end"))
    bottom = FIRST_Y + len(rows) * STEP
    if goal is not None:
        drawn.append(line(at(goal), FIRST_Y - 6, at(goal), bottom - 2, GOAL, 1.5, "4 3"))
        drawn.append(text(at(goal), bottom + 9, f"bar {number(goal)}", 10, "middle", GOAL))
    return "".join(drawn), FIRST_Y + (len(POOLS) + 1) * STEP


# ---- Lines -----------------------------------------------------------------------------------------------------------

def short(value):
    if value >= 1024 and value % 1024 == 0:
        return f"{value >> 20} MiB" if value >= 1 << 20 else f"{value >> 10} KiB"
    for unit, size in (("M", 10 ** 6), ("k", 10 ** 3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


class Axes:
    """Positions for values of 1, 10, 100, ... on both axes; the first x may be 0, and then stands left of the rest."""

    def __init__(self, xs, ys):
        self.places = {x: i for i, x in enumerate(xs)}
        self.low = math.floor(math.log10(min(ys)))
        self.high = max(math.ceil(math.log10(max(ys))), self.low + 1)

    def x(self, value):
        return LEFT + (WIDTH - LEFT - 12) * self.places[value] / max(len(self.places) - 1, 1)

    def y(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return LINES_HEIGHT - BOTTOM - share * (LINES_HEIGHT - BOTTOM - FIRST_Y)

    def draw(self):
        for power in range(self.low, self.high + 1):
            y = self.y(10 ** power)
            yield line(LEFT, y, WIDTH, y, FAINT)
            yield text(LEFT - 6, y + 4, short(10 ** power), 10, "end", MUTED)
        for value in self.places:
            yield text(self.x(value), LINES_HEIGHT - BOTTOM + 16, short(value), 10, "middle", MUTED)


def lines_panel(results, title, values, series):
    curves = []
    for i, (label, word, program, metric, scale) in enumerate(series):
        colour = COLOURS[program] if program in COLOURS else SERIES[i]
        points = [(value, results.median(f"{word} {value}", program, metric)) for value in values]
        points = [(value, figure * scale) for value, figure in points if figure]
        if points:
            curves.append((label, colour, points))
    if not curves:
        return None
    axes = Axes([value for value in values if any(value == x for _, _, points in curves for x, _ in points)],
                [y for _, _, points in curves for _, y in points])
    drawn = [text(0, TITLE_Y, title, 13, weight="bold"), *axes.draw()]
    for label, colour, points in curves:
        path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in points)
        width = 2.5 if colour == OURS else 1.5
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        drawn += [f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
    for i, (label, colour, _) in enumerate(curves):
        x, y = LEFT + i % 2 * 160, LINES_HEIGHT + 4 + i // 2 * 15
        drawn.append(line(x, y - 4, x + 16, y - 4, colour, 2.5))
        drawn.append(text(x + 21, y, label, 11))
    return "".join(drawn), LINES_HEIGHT + 4 + 15 * ((len(curves) + 1) // 2)


# ---- The page --------------------------------------------------------------------------------------------------------

def render(results):
    panels = [bars_panel(results, *of) for of in BARS]
    panels = [panel for panel in panels if panel]
    panels += [None] * (-len(panels) % COLUMNS)  # lines begin in a row of their own
    panels += [panel for panel in (lines_panel(results, *of) for of in LINES) if panel]
    drawn, y = [], MARGIN + 44
    for first in range(0, len(panels), COLUMNS):
        row = panels[first:first + COLUMNS]
        for i, panel in enumerate(row):
            if panel:
                drawn.append(f'<g transform="translate({MARGIN + i * (WIDTH + GAP)} {y})">{panel[0]}</g>')
        y += max((panel[1] for panel in row if panel), default=0) + GAP
    width = 2 * MARGIN + COLUMNS * WIDTH + (COLUMNS - 1) * GAP
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" '
            f'font-family="system-ui, sans-serif"><rect width="100%" height="100%" fill="#ffffff"/>')
    title = text(MARGIN, MARGIN + 14, "libfaas and other thread pools", 18, weight="bold")
    legend = text(MARGIN, MARGIN + 34, "medians; thin lines: minimum to maximum; dashed: what libfaas is held to", 12,
                  colour=MUTED)
    return "\n".join([head, title, legend, *drawn, "</svg>"]) + "\n"
