#!/usr/bin/env python3
"""Writes what `make bench` measures beside the simulation: waves.npy, gaussian.npy, noise.npy, float64 [z, y, x]."""
import array
import math
import random
import struct
import sys


def write(path, n, value):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({n}, {n}, {n}), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        for z in range(n):
            array.array("d", (value(x, y, z) for y in range(n) for x in range(n))).tofile(file)


folder, n = sys.argv[1], 96
wave = [math.sin(2 * math.pi * 3 * i / n) for i in range(n)]
steep = [math.sin(2 * math.pi * 5 * i / n) for i in range(n)]
bell = [math.exp(-((i - n / 2) ** 2) / 200) for i in range(n)]
write(f"{folder}/waves.npy", n, lambda x, y, z: wave[x] * steep[y] * wave[z])
write(f"{folder}/gaussian.npy", n, lambda x, y, z: bell[x] * bell[y] * bell[z])
random.seed(1)
write(f"{folder}/noise.npy", n, lambda x, y, z: random.random())
