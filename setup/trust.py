"""Adds up what tests say that they tried: trust.py LOG...

A test prints lines such as `trust: kills_survived 50` (tests/trust.rs), libFuzzer one such as
`Done 123456 runs in 61 second(s)`. Prints the table of docs/trust.md; exits with 1 where nothing was
tried of some row, where a line is not known, or where a value missed its bound.
"""

import re
import sys

ROWS = {
    "values_checked": "values compared with their originals",
    "bound_violations": "of them beyond their bound",
    "inputs_tried": "inputs tried: arrays, files, steps, arguments",
    "kills_survived": "runs killed at a random time, each with all its steps",
    "kills_replayed": "kills replayed at a write of a recorded run",
    "power_losses_replayed": "losses of power replayed",
    "faults_injected": "faults injected: failing writes, full and read-only disks, files that change",
    "fuzz_executions": "executions of fuzz targets",
}
LINE = re.compile(r"trust: (\w+) (\d+)$", re.MULTILINE)
FUZZED = re.compile(r"^Done (\d+) runs in \d+ second", re.MULTILINE)


def main(paths):
    sums = dict.fromkeys(ROWS, 0)
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as log:
            text = log.read()
        for what, times in LINE.findall(text):
            if what not in sums:
                sys.exit(f"{path}: '{what}' is none of {', '.join(ROWS)}")
            sums[what] += int(times)
        sums["fuzz_executions"] += sum(map(int, FUZZED.findall(text)))
    print("| tried | times |\n|---|---|")
    for what, meaning in ROWS.items():
        print(f"| {meaning} | {sums[what]:,} |")
    missing = [what for what, times in sums.items() if times == 0 and what != "bound_violations"]
    if missing:
        sys.exit(f"nothing was tried of: {', '.join(missing)}")
    if sums["bound_violations"]:
        sys.exit("a value missed its bound")


main(sys.argv[1:])
