#!/usr/bin/env python3
"""Says how far two initial tables of the entropy coder are apart: compare_tables.py TREE FITTED.

An entry is a probability (u16, of 2^15, little-endian) and the count that it stands for (u8).
"""
import math
import struct
import sys


def read(path):
    with open(path, "rb") as file:
        return [(p / 2**15, count) for p, count in struct.iter_unpack("<HB", file.read())]


def excess(true, taken):
    """Bits a decision that is coded with the wrong probability takes more."""
    part = lambda p, q: p * math.log2(p / q)
    return part(true, taken) + part(1 - true, 1 - taken)


tree, fitted = read(sys.argv[1]), read(sys.argv[2])
if len(tree) != len(fitted):
    sys.exit(f"{len(tree)} entries and {len(fitted)}: the context model has changed")
met = [(f[0], t[0]) for t, f in zip(tree, fitted) if f[1]]
costs = sorted(excess(*pair) for pair in met)
same = sum(t == f for t, f in zip(tree, fitted))
print(f"{len(tree)} entries, {len(met)} met in the data, {same} equal")
print(f"probabilities differ by {sum(abs(a - b) for a, b in met) / len(met):.4f} in the mean")
print(f"a first decision would take {sum(costs) / len(costs):.5f} bits more with the tree's (median {costs[len(costs) // 2]:.5f})")
