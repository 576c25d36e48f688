# SPDX-License-Identifier: MIT
"""What is run: which workload, on which programs, how large."""
import dataclasses

FAAS = "faas"
SCALE = "faas_scale"
PEERS = ("libuv", "glib", "tbb_enqueue", "tbb_task_group", "pool")
POOLS = (FAAS,) + PEERS

TITLES = {
    FAAS: "libfaas",
    "libuv": "libuv",
    "glib": "GLib",
    "tbb_enqueue": "oneTBB enqueue",
    "tbb_task_group": "oneTBB task_group",
    "pool": "mutex + cond",
    SCALE: "libfaas",
}

THREADS = (1, 2, 4, 8, 16)
HANDLERS_US = (0, 1, 10, 100, 1000)
FUNCTIONS = (10, 100, 1000, 10000, 100000)
BINDINGS = (1, 10, 100, 1000, 10000)
QUEUED = (1000, 10000, 100000, 1000000, 10000000)
PAYLOADS = (0, 64, 1024, 16384, 262144, 1048576)

GROWTH_ROUNDS = 3
QUEUED_MOST_BYTES = 4 << 30  # what 10 M queued events may need


@dataclasses.dataclass(frozen=True)
class Item:
    """One workload, run on each of these programs in every round. `key` is what its figures are stored under."""
    key: str
    programs: tuple
    arguments: tuple
    rounds: int
    is_pinned: bool = False

    def belongs_to(self, names):
        return not names or self.key in names or self.key.split(" ")[0] in names


class Sizes:
    """How large the workloads are: `full`, `quick` (a tenth) or `smoke` (as little as still runs everything)."""

    def __init__(self, size):
        self.divisor = {"full": 1, "quick": 10, "smoke": 1000}[size]
        self.size = size

    def of(self, number, least):
        return str(max(number // self.divisor, least))


def growth(sizes, rounds, free_bytes):
    rounds = min(rounds, GROWTH_ROUNDS)
    for threads in THREADS:
        yield Item(f"threads {threads}", POOLS, ("throughput", sizes.of(500000, 1000), "-t", str(threads)), rounds)
    for work in HANDLERS_US:
        # Handlers that do nothing leave nothing to share out: that is the plain throughput.
        what = ("throughput", sizes.of(200000, 1000))
        if work:
            what = ("load", sizes.of(2000000 // max(work, 10), 10), "-w", str(work))
        yield Item(f"handlers {work}", POOLS, what, rounds)
    for title, values, most in (("functions", FUNCTIONS, 1000), ("bindings", BINDINGS, 1000),
                                ("queued", QUEUED, 10000), ("payload", PAYLOADS, 1 << 20)):
        for value in values:
            if sizes.size == "smoke" and value > most:
                continue
            if title == "queued" and value > 1000000 and free_bytes < QUEUED_MOST_BYTES:
                continue
            yield Item(f"{title} {value}", (SCALE,), (title, str(value)), rounds)


def items(size, rounds, free_bytes, may_pin):
    """All of them, in the order in which a round runs them."""
    sizes = Sizes(size)
    million = sizes.of(1000000, 1000)
    result = [
        Item("throughput", POOLS, ("throughput", sizes.of(2000000, 1000)), rounds),
        Item("burst", POOLS, ("burst", million), rounds),
        Item("nested", POOLS, ("nested", million), rounds),
        Item("producers", POOLS, ("producers", sizes.of(2000000, 1000)), rounds),
        Item("wake", POOLS, ("wake", sizes.of(1000, 100)), rounds),
        Item("wake_bare", ("pool",), ("wake_bare", sizes.of(1000, 100)), rounds),
        Item("roundtrip", POOLS, ("roundtrip", sizes.of(20000, 100)), rounds),
        Item("load", POOLS, ("load", sizes.of(10000, 100)), rounds),
        Item("half", POOLS, ("half", sizes.of(10000, 100)), rounds),
        Item("full", POOLS, ("full", sizes.of(10000, 100)), rounds),
        Item("memory", POOLS, ("memory", million), rounds),
        Item("idle", POOLS, ("idle", sizes.of(2000, 10)), rounds),
        Item("inline", (SCALE,), ("inline", sizes.of(200000, 1000)), rounds),
        Item("neighbour", (SCALE,), ("neighbour", sizes.of(1000000, 10000)), rounds),
    ]
    if may_pin:
        result += [
            Item("pinned burst", POOLS, ("burst", million), rounds, True),
            Item("pinned roundtrip", POOLS, ("roundtrip", sizes.of(20000, 100)), rounds, True),
        ]
    for item in growth(sizes, rounds, free_bytes):
        # These two are judged, so they are run as often as the rest.
        if item.key in ("functions 100000", "bindings 1000"):
            item = dataclasses.replace(item, rounds=rounds)
        result.append(item)
    return result
