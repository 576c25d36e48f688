#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the example program `thumbnails` from outside, as its user sees it.

    python3 test/thumbnails_check.py PATH_TO_THUMBNAILS_BINARY

What the program writes is compared with thumbnails computed here in another way: pictures are taken apart by regular
expressions, areas are averaged in floating point, and PNG files are read with a decoder of their own on top of zlib.
Nothing but the standard library is needed. Random pictures come from a seed, printed when something fails.
"""

import contextlib
import os
import pathlib
import pty
import random
import re
import resource
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib

SAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples" / "thumbnails" / "samples"
SEED = 20240607
RUN_SECONDS = 60  # a run that takes longer hangs

PICTURE_LINE = re.compile(r"^(\S.*?) +(\d+)x(\d+) -> (\d+)x(\d+) +(cold|warm) +([0-9]+\.[0-9]) ms"
                          r"(?: \+ ([0-9]+\.[0-9]) ms init)?$")
BILL = {
    "requests": r"^requests +(\d+)$",
    "cold": r"^cold starts +(\d+)$",
    "warm": r"^warm starts +(\d+)$",
    "billed_ms": r"^billed +(\d+) ms$",
    "workers": r"^workers +(\d+) at most$",
    "wall_s": r"^wall time +(\d+\.\d+) s$",
}


# ---- Counting ------------------------------------------------------------------------------------------------------

class Tally:
    passed = 0
    failed = 0


def check(what, is_right, detail=""):
    """Counts one check and tells about it if it failed."""
    if is_right:
        Tally.passed += 1
        return
    Tally.failed += 1
    print(f"FAILED: {what}" + (f": {detail}" if detail != "" else ""))


# ---- Running the program -------------------------------------------------------------------------------------------

class Run:
    """One run of the program, with what it said taken apart."""

    def __init__(self, arguments, **options):
        began = time.monotonic()
        done = subprocess.run([Run.binary, *map(os.fspath, arguments)], stdin=subprocess.DEVNULL, timeout=RUN_SECONDS,
                              stdout=options.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, **options)
        self.seconds = time.monotonic() - began
        self.code = done.returncode
        self.out = (done.stdout or b"").decode()
        self.err = done.stderr.decode()
        self.pictures = [PICTURE_LINE.match(line) for line in self.out.split("\n\n")[0].splitlines()]
        self.names = [match.group(1) if match else None for match in self.pictures]
        self.bill = {key: float(found.group(1)) for key, pattern in BILL.items()
                     if (found := re.search(pattern, self.out, re.M))}

    def complaint(self, name):
        """What stderr says of a name, or None."""
        found = re.search(r"^thumbnails: " + re.escape(name) + r": (.+)$", self.err, re.M)
        return found and found.group(1)

    def totals(self):
        found = re.search(r"^(\d+) thumbnails made, (\d+) failed, (\d+) skipped$", self.out, re.M)
        return found and tuple(map(int, found.groups()))


class Folders:
    """A fresh pair of folders; OUT_DIR does not exist yet."""

    def __init__(self, root):
        self.root = pathlib.Path(tempfile.mkdtemp(dir=root))
        self.source = self.root / "in"
        self.target = self.root / "out"
        self.source.mkdir()

    def add(self, name, content):
        path = os.path.join(os.fsencode(self.source), os.fsencode(name))
        with open(path, "wb") as file:
            file.write(content)

    def run(self, *options, **settings):
        return Run([*options, self.source, self.target], **settings)

    def made(self):
        return sorted(os.listdir(os.fsencode(self.target))) if self.target.is_dir() else None


# ---- Netpbm, PNG and averages, independent of the program ----------------------------------------------------------

def netpbm(kind, width, height, maxval, samples, head=None):
    """The bytes of a picture."""
    header = (head or f"P{kind}\n{width} {height}\n{maxval}\n").encode()
    if kind in (2, 3):
        return header + b"\n".join(b"%d" % sample for sample in samples) + b"\n"
    return header + (struct.pack(f">{len(samples)}H", *samples) if maxval > 255 else bytes(samples))


def read_netpbm(content):
    """(width, height, channels, maxval, samples) of a well-formed picture."""
    token = rb"(?:\s|#[^\n]*\n)+(\d+)"
    header = re.match(rb"P([2356])" + 3 * token + rb"(?:\s|#[^\n]*\n)", content)
    kind, width, height, maxval = map(int, header.groups())
    channels = 3 if kind in (3, 6) else 1
    count = width * height * channels
    body = content[header.end():]
    if kind < 4:
        samples = [int(number) for number in re.sub(rb"#[^\n]*", b"", body).split()[:count]]
    else:
        samples = list(struct.unpack_from(f">{count}{'H' if maxval > 255 else 'B'}", body))
    return width, height, channels, maxval, samples


def unfilter(kind, row, above, step):
    """Undoes a PNG row filter in place."""
    for i in range(len(row) if kind else 0):
        left = row[i - step] if i >= step else 0
        up = above[i]
        corner = above[i - step] if i >= step else 0
        estimate = left + up - corner
        nearest = min((left, up, corner), key=lambda value: abs(estimate - value))
        row[i] = (row[i] + (0, left, up, (left + up) // 2, nearest)[kind]) & 255


def read_png(content):
    """(width, height, channels, samples) of an 8-bit grey or RGB picture; raises ValueError if anything is wrong."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("no PNG signature")
    at, chunks = 8, []
    while at < len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        data = content[at + 8:at + 8 + length]
        if struct.unpack_from(">I", content, at + 8 + length)[0] != zlib.crc32(name + data):
            raise ValueError(f"wrong checksum in {name}")
        chunks.append((name, data))
        at += length + 12
    if chunks[0][0] != b"IHDR" or chunks[-1] != (b"IEND", b"") or at != len(content):
        raise ValueError("wrong first or last chunk")
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth != 8 or colour not in (0, 2) or rest != [0, 0, 0]:
        raise ValueError("wrong header")
    channels = 3 if colour == 2 else 1
    inflater = zlib.decompressobj()
    data = inflater.decompress(b"".join(data for name, data in chunks if name == b"IDAT"))
    if not inflater.eof or inflater.unused_data or len(data) != height * (width * channels + 1):
        raise ValueError("wrong amount of data")
    samples, row = bytearray(), bytes(width * channels)
    for y in range(height):
        start = y * (width * channels + 1)
        above, row = row, bytearray(data[start + 1:start + 1 + width * channels])
        unfilter(data[start], row, above, channels)
        samples += row
    return width, height, channels, bytes(samples)


def to_light(value):
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def from_light(light):
    return light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def shares(length, parts):
    """For each part of a line cut into equal parts: the cells it touches, with the length it covers of each."""
    result = []
    for part in range(parts):
        begin, end = part * length / parts, (part + 1) * length / parts
        cells = range(int(begin), min(length, int(end) + 1))
        result.append([(cell, min(end, cell + 1) - max(begin, cell)) for cell in cells
                       if min(end, cell + 1) - max(begin, cell) > 1e-9])
    return result


def small_size(width, height, longest):
    most = max(width, height)
    if most <= longest:
        return width, height
    return tuple(max(1, (2 * side * longest + most) // (2 * most)) for side in (width, height))


def expected_thumbnail(content, longest):
    """(width, height, channels, samples as floats from 0 to 255) of what the program should write."""
    width, height, channels, maxval, samples = read_netpbm(content)
    out_width, out_height = small_size(width, height, longest)
    curve = {value: to_light(value / maxval) for value in set(samples)}
    across = shares(width, out_width)
    rows = []
    for y in range(height):
        light = [curve[value] for value in samples[y * width * channels:(y + 1) * width * channels]]
        rows.append([sum(light[x * channels + channel] * part for x, part in cells) * out_width / width
                     for cells in across for channel in range(channels)])
    result = []
    for cells in shares(height, out_height):
        for i in range(out_width * channels):
            mean = sum(rows[y][i] * part for y, part in cells) * out_height / height
            result.append(255 * from_light(mean))
    return out_width, out_height, channels, result


def check_thumbnail(what, content, path, longest):
    """Compares a written thumbnail with the expected one. Rounding may differ by a hair, so 0.51 is the tolerance."""
    try:
        width, height, channels, samples = read_png(pathlib.Path(os.fsdecode(path)).read_bytes())
    except (OSError, ValueError, IndexError, struct.error, zlib.error) as error:
        check(f"{what}: is a PNG", False, error)
        return
    expected = expected_thumbnail(content, longest)
    check(f"{what}: shape", (width, height, channels) == expected[:3], f"{width}x{height}x{channels}, {expected[:3]}")
    worst = max(map(lambda is_, should: abs(is_ - should), samples, expected[3]))
    check(f"{what}: pixels", len(samples) == len(expected[3]) and worst <= 0.51, f"off by {worst:.2f}")


# ---- Scenarios -----------------------------------------------------------------------------------------------------

def small_picture(value=1):
    return netpbm(5, 2, 2, 255, [value, 255, 0, value])


def samples_become_thumbnails(folders):
    run = Run([SAMPLES, folders.target])
    names = sorted(os.listdir(SAMPLES))
    check("samples: exit code", run.code == 0, run.code)
    check("samples: nothing on stderr", run.err == "", run.err)
    check("samples: one line each, in order", run.names == names, run.names)
    check("samples: one file each", folders.made() == sorted(os.fsencode(name + ".png") for name in names))
    kinds = set()
    for name, line in zip(names, run.pictures):
        content = (SAMPLES / name).read_bytes()
        picture = read_netpbm(content)
        kinds.add((content[:2], picture[3] > 255))
        sizes = tuple(map(int, line.group(2, 3, 4, 5))) if line else None
        check(f"{name}: sizes in its line", sizes == (*picture[:2], *small_size(*picture[:2], 128)), sizes)
        check_thumbnail(name, content, folders.target / (name + ".png"), 128)
    check("samples: all kinds and depths are there", len(kinds) == 8, kinds)
    check_bill(run, len(names))


def check_bill(run, count):
    bill = run.bill
    check("bill: complete", bill.keys() == BILL.keys(), bill)
    if bill.keys() != BILL.keys():
        return
    cold_lines = sum(line is not None and line.group(6) == "cold" for line in run.pictures)
    init_lines = sum(line is not None and line.group(8) is not None for line in run.pictures)
    run_ms = sum(float(line.group(7)) for line in run.pictures if line)
    check("bill: requests", bill["requests"] == count, bill)
    check("bill: starts", bill["cold"] + bill["warm"] == count and bill["cold"] >= 1, bill)
    check("bill: cold starts are those of the lines", bill["cold"] == cold_lines == init_lines, (bill, cold_lines))
    check("bill: workers", 1 <= bill["workers"] <= bill["cold"], bill)
    check("bill: every attempt costs a started millisecond", bill["billed_ms"] >= count, bill)
    check("bill: billed at least what the lines say", bill["billed_ms"] >= run_ms - 0.1 * count, (bill, run_ms))
    check("bill: wall time", 0 <= bill["wall_s"] <= run.seconds + 0.01, bill)
    check("bill: totals", run.totals() == (count, 0, 0), run.totals())


def shapes_and_scales_come_out_right(folders):
    rng = random.Random(SEED)
    shapes = [(1, 1), (1, 37), (41, 1), (2, 300), (300, 2), (17, 13), (64, 48), (33, 65), (50, 50), (31, 97)]
    pictures = {}
    for number, (width, height) in enumerate(shapes):
        kind = (2, 3, 5, 6)[number % 4]
        maxval = (255, 1, 65535, 100, 256, 1000, 254)[number % 7]
        count = width * height * (3 if kind in (3, 6) else 1)
        content = netpbm(kind, width, height, maxval, [rng.choice((0, maxval, rng.randint(0, maxval)))
                                                       for _ in range(count)])
        pictures[f"{number}-{width}x{height}-{maxval}.P{kind}"] = content
        folders.add(f"{number}-{width}x{height}-{maxval}.P{kind}", content)
    for longest in (1, 7, 16, 49, 4096):
        shutil.rmtree(folders.target, ignore_errors=True)
        run = folders.run(f"--size={longest}")
        check(f"shapes at {longest}: exit code", run.code == 0, (SEED, run.err))
        for name, content in pictures.items():
            check_thumbnail(f"{name} at {longest} (seed {SEED})", content, folders.target / (name + ".png"), longest)


def small_pictures_stay_as_they_are(folders):
    grey = bytes(range(256))
    folders.add("all.pgm", netpbm(5, 16, 16, 255, list(grey)))
    far = random.Random(SEED).randbytes(40000) * 2  # repeats itself from further back than PNG can refer to
    near = (bytes(300) + bytes(range(250)) + b"abcabcabc" * 50) * 72
    folders.add("far.pgm", netpbm(5, 200, 400, 255, far))
    folders.add("near.ppm", netpbm(6, 80, len(near) // 240, 255, list(near)))
    run = folders.run("--size", "1000")
    check("kept: exit code", run.code == 0, run.err)
    for name, picture in {"all.pgm": (16, 16, 1, grey), "far.pgm": (200, 400, 1, far),
                          "near.ppm": (80, len(near) // 240, 3, near)}.items():
        png = read_png((folders.target / (name + ".png")).read_bytes())
        check(f"kept: not a sample of {name} changed", png == picture, png[:3])
    check("kept: repetitions are compressed", (folders.target / "near.ppm.png").stat().st_size < len(near) / 10)


def headers_may_be_written_in_many_ways(folders):
    samples = [10, 200, 35, 35, 255, 0]
    plain = b"10 200\t35\r\n35 # a comment among the samples\n 255\x0b0"
    raw = bytes(samples)
    pictures = {
        "comments": b"P5#first\n# second\n 3 #third\n# fourth\n2\n#\n255\n" + raw,
        "comment-ends-header": b"P5 3 2 255# the end of this line ends the header\n" + raw,
        "one-line": b"P5 3 2 255 " + raw,
        "crlf": b"P5\r\n3 2\r\n255\t" + raw,
        "tabs": b"P5\t3\x0b2\x0c255\n" + raw,
        "leading-zeros": b"P5 0003 000002 0000000255\n" + raw,
        "space-like-sample": b"P5 3 2 255\n" + b"\n \t#\r\n",
        "two-pictures": b"P5 3 2 255\n" + raw + b"P5 1 1 255\n\x00",
        "plain": b"P2 3 2 255\n" + plain,
        "plain-no-newline": b"P2 3 2 255 10 200 35 35 255 0",
        "plain-two-pictures": b"P2 3 2 255 10 200 35 35 255 0\nP2 1 1 255 7\n",
        "plain-colour": b"P3 1 2 255\n" + plain,
    }
    for name, content in pictures.items():
        folders.add(name, content)
    run = folders.run("--size", "2")
    check("headers: exit code", run.code == 0, run.err)
    for name, content in pictures.items():
        check_thumbnail(f"header {name}", content, folders.target / (name + ".png"), 2)


BROKEN = {
    "empty": b"",
    "one-byte": b"P",
    "magic-only": b"P5",
    "no-height": b"P6\n12 ",
    "no-pixels": b"P6\n12 12\n255\n",
    "cut-raw": b"P6\n4 4\n255\n" + bytes(47),
    "cut-raw16": b"P5\n4 4\n65535\n" + bytes(31),
    "cut-plain": b"P2\n4 4\n9\n" + b"1 " * 15,
    "cut-plain-padded": b"P3\n2 2\n9\n" + b"1 " * 11 + b" " * 100,
    "cut-in-comment": b"P2\n2 2\n9\n1 2 3 #" + b"4" * 50,
    "garbage": bytes(random.Random(SEED).randbytes(5000)),
    "text": b"Perhaps this is a picture after all.\n",
    "bitmap": b"P4\n8 1\n\xff",
    "pam": b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0",
    "magic-glued": b"P52 2 255\n" + bytes(4),
    "huge": b"P6\n1000000 1000000\n65535\n" + bytes(100),
    "huge-plain": b"P3\n999999 999999\n255\n1 2 3\n",
    "over-32-bits": b"P5\n4294967297 1\n255\n" + bytes(100),
    "over-64-bits": b"P5\n18446744073709551617 1\n255\n" + bytes(100),
    "wraps": b"P5\n65536 65536\n255\n" + bytes(100),
    "zero-width": b"P5\n0 5\n255\n",
    "zero-height": b"P5\n5 0\n255\n",
    "zero-maxval": b"P5\n2 2\n0\n" + bytes(4),
    "maxval-65536": b"P5\n1 1\n65536\n" + bytes(4),
    "negative": b"P5\n-2 2\n255\n" + bytes(4),
    "fraction": b"P5\n2.0 2\n255\n" + bytes(4),
    "sample-over-maxval": b"P2\n2 2\n10\n1 2 11 4\n",
    "sample-over-all": b"P2\n2 2\n10\n1 2 99999999999999999999 4\n",
    "raw-over-maxval": b"P5\n2 2\n10\n\x01\x02\x0b\x04",
    "raw16-over-maxval": b"P5\n1 1\n1000\n\x03\xe9",
    "sample-not-a-number": b"P2\n2 2\n10\n1 2 x 4\n",
    "sample-negative": b"P3\n1 1\n10\n1 -2 3\n",
}


def broken_files_are_named_and_stop_nothing(folders):
    for name, content in BROKEN.items():
        folders.add(name, content)
    os.symlink("nowhere", folders.source / "dangling")
    os.symlink("loop", folders.source / "loop")
    os.symlink("/dev/zero", folders.source / "device")
    os.mkfifo(folders.source / "pipe")
    (folders.source / "folder").mkdir()
    os.symlink("folder", folders.source / "link-to-folder")
    folders.add("good-1.pgm", small_picture(1))
    folders.add("good-2.pgm", small_picture(2))
    os.symlink("good-1.pgm", folders.source / "link.pgm")
    broken = sorted([*BROKEN, "dangling", "loop", "device", "pipe"])
    with socket.socket(socket.AF_UNIX) as server:
        with contextlib.suppress(OSError):  # the path may be too long for a socket
            server.bind(os.fspath(folders.source / "socket"))
            broken = sorted([*broken, "socket"])
        if os.geteuid() != 0:
            folders.add("forbidden.pgm", small_picture())
            (folders.source / "forbidden.pgm").chmod(0)
            broken = sorted([*broken, "forbidden.pgm"])
        run = folders.run()
    check("broken: exit code", run.code == 1, run.code)
    for name in broken:
        check(f"broken: {name} is named, with a reason", run.complaint(name), run.err)
    reasons = {"empty": "empty", "pipe": "regular", "device": "regular", "huge": "cut off", "huge-plain": "cut off",
               "cut-raw": "cut off", "over-32-bits": "over 1000000", "sample-over-maxval": "over 10",
               "cut-plain-padded": "ends", "bitmap": "P2, P3, P5 or P6", "dangling": "No such file"}
    for name, reason in reasons.items():
        check(f"broken: {name} for the right reason", reason in (run.complaint(name) or ""), run.complaint(name))
    for name in ("folder", "link-to-folder"):
        check(f"broken: {name} is skipped", "skipped" in (run.complaint(name) or ""), run.err)
    told = re.findall(r"^thumbnails: (.+?): ", run.err, re.M)
    check("broken: in order, each once", told == sorted([*broken, "folder", "link-to-folder"]), told)
    good = ["good-1.pgm", "good-2.pgm", "link.pgm"]
    check("broken: the rest is made", run.names == good, run.names)
    check("broken: nothing else is in OUT_DIR", folders.made() == [b"%s.png" % os.fsencode(name) for name in good],
          folders.made())
    check("broken: totals", run.totals() == (3, len(broken), 2), run.totals())
    check("broken: the bill counts attempts", run.bill.get("requests") == 3 + len(broken), run.bill)


def names_that_look_alike_do_not_meet(folders):
    names = ["a", "a.pgm", "a.ppm", "a.png", "a.pgm.png", "a.PGM", "a.pgm.png.png"]
    for value, name in enumerate(names):
        folders.add(name, netpbm(5, 1, 1, 255, [value * 20]))
    run = folders.run()
    check("alike: exit code", run.code == 0, run.err)
    for value, name in enumerate(names):
        png = read_png((folders.target / (name + ".png")).read_bytes())
        check(f"alike: {name} has its own", png[3] == bytes([value * 20]), png)


def odd_names_are_printed_safely(folders):
    names = {
        b" leading and trailing ": None,
        b"-dash": "-dash",
        b"--size": "--size",
        b"new\nline": "new\\x0aline",
        b"escape\x1b[31m": "escape\\x1b[31m",
        b"latin1-\xe9.pgm": "latin1-\\xe9.pgm",
        b"over\xc0\xaflong": "over\\xc0\\xaflong",
        b"surrogate\xed\xa0\x80": "surrogate\\xed\\xa0\\x80",
        b"c1\xc2\x9b": "c1\\xc2\\x9b",
        b"back\\slash": "back\\x5cslash",
        b"cut\xe2\x82": "cut\\xe2\\x82",
        b"percent%s%n": "percent%s%n",
        b"utf8-\xe2\x82\xac-\xf0\x9f\x93\xb7.ppm": "utf8-\u20ac-\U0001f4f7.ppm",
        b"n" * 251: "n" * 251,
    }
    for name in names:
        folders.add(name, small_picture())
    folders.add(b"m" * 252, small_picture())
    run = folders.run()
    check("odd names: each is made", folders.made() == sorted(name + b".png" for name in names), folders.made())
    for name, text in names.items():
        check(f"odd names: {name!r} is printed safely", text is None or text in run.names, run.out)
    check("odd names: no control characters", not re.search(r"[^\n -~\u00a0-\U0010ffff]", run.out + run.err), run.out)
    check("odd names: one that leaves no room for .png fails", run.code == 1 and run.complaint("m" * 252), run.err)


def outputs_appear_whole_or_not_at_all(folders):
    for name in ("fresh", "linked", "older", "taken"):
        folders.add(name, small_picture(9))
    folders.target.mkdir()
    victim = folders.root / "victim"
    victim.write_bytes(b"precious")
    (folders.target / "linked.png").symlink_to(victim)
    (folders.target / "older.png").write_bytes(b"older" * 1000)
    (folders.target / "taken.png").mkdir()
    run = folders.run()
    check("outputs: exit code", run.code == 1, run.err)
    check("outputs: a folder in the way is told", run.complaint("taken"), run.err)
    check("outputs: links are not followed", victim.read_bytes() == b"precious")
    check("outputs: nothing is left over", folders.made() == [b"fresh.png", b"linked.png", b"older.png", b"taken.png"])
    for name in ("fresh", "linked", "older"):
        check_thumbnail(f"outputs: {name}", small_picture(9), folders.target / (name + ".png"), 128)


def a_full_disk_leaves_no_pieces(folders):
    def limit_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    rng = random.Random(SEED)
    folders.add("large.pgm", netpbm(5, 100, 100, 255, [rng.randint(0, 255) for _ in range(10000)]))
    folders.add("small.pgm", small_picture())
    run = folders.run(preexec_fn=limit_files, restore_signals=False)  # Python's ignored SIGXFSZ stays ignored
    check("full disk: exit code", run.code == 1, run.code)
    check("full disk: named", "written" in (run.complaint("large.pgm") or ""), run.err)
    check("full disk: only whole files", folders.made() == [b"small.pgm.png"], folders.made())
    with open("/dev/full", "wb") as full:
        run = folders.run(stdout=full)
    check("full stdout: exit code", run.code == 1 and run.err != "", (run.code, run.err))


def folders_are_checked_first(folders):
    folders.add("a.pgm", small_picture())
    file = folders.root / "file"
    file.write_bytes(b"")
    alias = folders.root / "alias"
    alias.symlink_to(folders.source)
    cases = {
        "IN_DIR missing": [folders.root / "missing", folders.target],
        "IN_DIR a file": [file, folders.target],
        "OUT_DIR a file": [folders.source, file],
        "OUT_DIR too deep": [folders.source, folders.root / "x" / "y"],
        "OUT_DIR is IN_DIR": [folders.source, folders.source],
        "OUT_DIR is IN_DIR by a link": [folders.source, alias],
    }
    for what, arguments in cases.items():
        run = Run(arguments)
        check(f"{what}: exit code", run.code == 1, run.code)
        check(f"{what}: reason", run.err.startswith("thumbnails: "), run.err)
        check(f"{what}: no bill", run.out == "", run.out)
    check("folders: nothing was made", folders.made() is None and os.listdir(folders.source) == ["a.pgm"])
    run = Run([folders.source, folders.source / "thumbs"])
    again = Run([folders.source, folders.source / "thumbs"])
    check("OUT_DIR inside IN_DIR: works, twice", run.code == again.code == 0, run.err + again.err)
    check("OUT_DIR inside IN_DIR: is skipped then", "skipped" in (again.complaint("thumbs") or ""), again.err)


def an_empty_folder_is_no_failure(folders):
    run = folders.run()
    check("empty folder: exit code", run.code == 0, run.err)
    check("empty folder: OUT_DIR is made", folders.made() == [], folders.made())
    check("empty folder: bill of nothing", run.bill.get("requests") == 0 and run.totals() == (0, 0, 0), run.out)


def usage_errors_are_told(folders):
    two = [folders.source, folders.target]
    wrong = [[], ["x"], [*two, "third"], ["--size"], ["--size", "0", *two], ["--size", "4097", *two],
             ["--size", "-5", *two], ["--size", "12x", *two], ["--size=", *two], ["--size", "", *two],
             ["--size", "99999999999999999999", *two], ["--deadline", "0", *two], ["--deadline=soon", *two],
             ["--sizes", "5", *two], ["-s", "5", *two], ["", folders.target], [folders.source, ""]]
    for arguments in wrong:
        run = Run(arguments)
        check(f"usage {arguments}", run.code == 2 and "usage:" in run.err and run.out == "", (run.code, run.err))
    check("usage: nothing was made", folders.made() is None)
    for option in ("--help", "-h", "--version"):
        run = Run([option])
        check(f"{option}", run.code == 0 and run.err == "" and "thumbnails" in run.out, (run.code, run.err))
    folders.add("a.pgm", netpbm(5, 4, 1, 255, [1, 2, 3, 4]))
    run = Run([folders.source, "--size", "3", "--", folders.target])
    check("usage: options may stand anywhere", run.code == 0 and " 4x1 -> 3x1 " in run.out, run.out + run.err)


def a_terminal_sees_progress(folders):
    folders.add("a.pgm", small_picture())
    folders.add("b.pgm", b"")
    master, terminal = pty.openpty()
    with subprocess.Popen([Run.binary, folders.source, folders.target], stdin=subprocess.DEVNULL, stdout=terminal,
                          stderr=terminal) as process:
        os.close(terminal)
        seen = b""
        with contextlib.suppress(OSError):  # a terminal that everybody has left ends so
            while select.select([master], [], [], RUN_SECONDS)[0] and (piece := os.read(master, 4096)):
                seen += piece
    os.close(master)
    progress = re.compile(rb"\d+ of 2 done, \d+ failed so far, \d+\.\d s")
    check("terminal: progress", progress.search(seen), seen)
    shown = [line.split(b"\r")[-1] for line in seen.replace(b"\r\n", b"\n").split(b"\n")]
    check("terminal: the last word on each line is no progress", not any(map(progress.search, shown)), shown)
    check("terminal: lines and complaints in order", -1 < seen.find(b"a.pgm  ") < seen.find(b"b.pgm: is empty"), seen)
    run = folders.run()
    check("no terminal: no progress", "\r" not in run.out + run.err and "done" not in run.out + run.err, run.err)


def a_picture_that_takes_too_long_is_given_up(folders):
    with open(folders.source / "endless.pgm", "wb") as file:
        file.write(b"P5\n200000 200000\n255\n")
        file.truncate(200000 * 200000 + 100)  # all but the header is a hole, which takes no room on the disk
    with open(folders.source / "talkative.pgm", "wb") as file:
        file.write(b"P2\n1 1\n255\n# a comment without an end")
        file.truncate(20000000000)
    folders.add("small.pgm", small_picture())
    run = folders.run("--deadline", "1000")
    check("deadline: exit code", run.code == 1, run.code)
    for name in ("endless.pgm", "talkative.pgm"):
        check(f"deadline: {name} is told", "deadline" in (run.complaint(name) or ""), run.err)
    check("deadline: the rest is made", run.names == ["small.pgm"], run.names)
    check("deadline: nothing is left over", folders.made() == [b"small.pgm.png"], folders.made())
    check("deadline: counted", run.bill.get("requests") == 3 and run.totals() == (1, 2, 0), run.out)
    check("deadline: did not wait for the end", run.seconds < 20, run.seconds)


def a_large_folder_goes_through(folders):
    names = [f"{number:04}.pgm" for number in range(1500)]
    for number, name in enumerate(names):
        folders.add(name, b"" if number % 500 == 499 else netpbm(5, 1, 1, 255, [number % 256]))
    run = folders.run()
    good = [name for number, name in enumerate(names) if number % 500 != 499]
    check("large folder: exit code", run.code == 1, run.code)
    check("large folder: all lines in order", run.names == good, len(run.names))
    check("large folder: totals", run.totals() == (1497, 3, 0), run.totals())
    check("large folder: starts", run.bill.get("cold", 0) + run.bill.get("warm", 0) == 1500, run.bill)
    check("large folder: workers were used again", run.bill.get("cold", 1500) < 100, run.bill)
    wrong = [name for number, name in enumerate(names) if name in good and
             read_png((folders.target / (name + ".png")).read_bytes())[3] != bytes([number % 256])]
    check("large folder: each its own", wrong == [], wrong[:5])


def two_runs_write_the_same_bytes(folders):
    other = folders.root / "other"
    Run(["--size", "100", SAMPLES, folders.target])
    Run([SAMPLES, other, "--size=100"])
    same = [(folders.target / name).read_bytes() == (other / name).read_bytes() for name in os.listdir(other)]
    check("two runs: same bytes", same and all(same), same)


SCENARIOS = (
    samples_become_thumbnails,
    shapes_and_scales_come_out_right,
    small_pictures_stay_as_they_are,
    headers_may_be_written_in_many_ways,
    broken_files_are_named_and_stop_nothing,
    names_that_look_alike_do_not_meet,
    odd_names_are_printed_safely,
    outputs_appear_whole_or_not_at_all,
    a_full_disk_leaves_no_pieces,
    folders_are_checked_first,
    an_empty_folder_is_no_failure,
    usage_errors_are_told,
    a_terminal_sees_progress,
    a_picture_that_takes_too_long_is_given_up,
    a_large_folder_goes_through,
    two_runs_write_the_same_bytes,
)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: thumbnails_check.py PATH_TO_THUMBNAILS_BINARY")
    Run.binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as root:
        for scenario in SCENARIOS:
            try:
                scenario(Folders(root))
            except Exception:  # a scenario that breaks is a failure, and the others still run
                check(scenario.__name__, False, "\n" + traceback.format_exc())
    print(f"{Tally.passed} passed, {Tally.failed} failed")
    sys.exit(1 if Tally.failed or not Tally.passed else 0)


if __name__ == "__main__":
    main()
