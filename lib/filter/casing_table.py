#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes casing_table.h: which characters beyond ASCII have a counterpart in the other case.

usage: casing_table.py > casing_table.h
"""
import unicodedata

HEAD = """/* SPDX-License-Identifier: MIT */
/*
 * Case mappings of one character to one, from Unicode %s, written by casing_table.py. A range holds every `step`-th
 * character from `first` to `first + span`; `delta` is added modulo 65,536, because no mapping leaves its plane. Ranges
 * of plane 1 follow those of plane 0.
 *
 * Nearly all mappings to lower case hold backwards, too; `one_way` are those that do not, and those to upper case that
 * are none of these backwards.
 */
#ifndef FAAS_FILTER_CASING_TABLE_H
#define FAAS_FILTER_CASING_TABLE_H

#include <stdint.h>

struct case_range {
	uint16_t first;
	uint16_t delta;
	uint8_t span;
	uint8_t step : 7;
	uint8_t one_way : 1;
};
"""


def simple(code, upper):
    """The simple mapping: where the full one has several characters, the title case may still be one."""
    full = chr(code).upper() if upper else chr(code).lower()
    if len(full) == 1:
        return ord(full)
    if not upper:
        return ord(full[0])
    title = chr(code).title()
    return ord(title) if len(title) == 1 else code


def digest():
    """Of what every character beyond ASCII is in lower, then upper case, in turn: FNV-1a, a character for a byte."""
    hashed = 0
    for code in range(0x80, 0x110000):
        for upper in (False, True):
            other = code if 0xd800 <= code < 0xe000 else simple(code, upper)
            hashed = (hashed ^ other) * 0x100000001b3 & 0xffffffffffffffff
    return hashed


def pairs_of(upper):
    pairs = [(code, simple(code, upper)) for code in range(0x80, 0x110000) if not 0xd800 <= code < 0xe000]
    pairs = [(code, other) for code, other in pairs if code != other]
    assert all(code >> 16 == other >> 16 <= 1 for code, other in pairs)
    return pairs


def run_length(pairs, step, is_one_way):
    count = 1
    while (count < len(pairs) and pairs[count][0] - pairs[count - 1][0] == step and
           pairs[count][0] >> 16 == pairs[0][0] >> 16 and is_one_way(pairs[count]) == is_one_way(pairs[0]) and
           pairs[count][1] - pairs[count][0] == pairs[0][1] - pairs[0][0]):
        count += 1
    return count


def ranges(pairs, is_one_way):
    while pairs:
        count, step = max((run_length(pairs, step, is_one_way), -step) for step in (1, 2))
        yield pairs[0][0], pairs[count - 1][0], pairs[0][1] - pairs[0][0], -step, is_one_way(pairs[0])
        pairs = pairs[count:]


to_lower, to_upper = pairs_of(False), pairs_of(True)
both_ways = set(to_lower) & set((other, code) for code, other in to_upper)
tables = (("to_lower", to_lower), ("to_upper", [pair for pair in to_upper if pair[::-1] not in both_ways]))

print(HEAD % unicodedata.unidata_version)
print("#define CASING_DIGEST UINT64_C(0x%016x) /* of all mappings themselves: see digest() in casing_table.py */\n" % digest())
for name, pairs in tables:
    found = list(ranges(pairs, lambda pair: pair not in both_ways))
    assert all(last - first < 256 for first, last, _, _, _ in found)
    print("#define %s_PLANE_0 %du /* ranges before those of plane 1%s */" %
          (name.upper(), sum(first < 0x10000 for first, _, _, _, _ in found), "" if name == "to_lower" else ": all"))
    if name == "to_lower":
        print("#define TO_LOWER_END %du" % len(found))
    else:
        assert all(first < 0x10000 for first, _, _, _, _ in found)
    print("static const struct case_range %s[] = {" % name)
    cells = ["{0x%04x, 0x%04x, %d, %d, %d}," % (first & 0xffff, delta & 0xffff, last - first, step, one_way)
             for first, last, delta, step, one_way in found]
    for at in range(0, len(cells), 4):
        print("\t" + " ".join(cells[at:at + 4]))
    print("};\n")
print("#endif")
