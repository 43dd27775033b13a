#!/usr/bin/env python3
"""Says how far two initial tables of the entropy coder are apart: compare_tables.py TREE FITTED.

A row is the number of symbols that it stands for and 16 frequencies, u16 little-endian.
"""
import math
import struct
import sys


def read(path):
    with open(path, "rb") as file:
        return [(row[0], row[1:]) for row in struct.iter_unpack("<17H", file.read())]


def excess(true, taken):
    """Bits a symbol takes more that is coded with other frequencies than its own."""
    return sum(t * math.log2(t / f) for t, f in zip(true, taken)) / sum(true)


tree, fitted = read(sys.argv[1]), read(sys.argv[2])
if len(tree) != len(fitted):
    sys.exit(f"{len(tree)} rows and {len(fitted)}: the context model has changed")
met = [(f[1], t[1]) for t, f in zip(tree, fitted) if f[0] > 1]
costs = sorted(excess(*pair) for pair in met)
same = sum(t == f for t, f in zip(tree, fitted))
print(f"{len(tree)} rows, {len(met)} met in the data, {same} equal")
print(f"a symbol would take {sum(costs) / len(costs):.5f} bits more with the tree's (median {costs[len(costs) // 2]:.5f})")
