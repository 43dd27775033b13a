"""Puts what `make bench` measured into README.md and docs/performance.md: figures.py FOLDER

FOLDER has what `swae bench --json` wrote. Each table of TABLES, and the picture, replaces what stands below its comment
`<!-- figures: NAME -->`, and the versions of the reference compressors those of the sentence that names them.
`figures.py --check` measures nothing: it says whether the tables in the documents have the form that it gives them.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "docs/performance.md"]
# The setting of swae where a table has no room for all.
DEFAULT = "normal"
BOUND = "bound ÷ range"
REFERENCES = ["SZ3", "ZFP", "SPERR"]


class Bench:
    """The rows of a file of `swae bench --json`, and means over their fields."""

    def __init__(self, folder, name):
        with open(folder / f"{name}.json", encoding="utf-8") as file:
            self.rows = json.load(file)
        missed = [row for row in self.rows if row["codec"] == "swae" and row["error"] > 1]
        if missed:
            sys.exit(f"{name}.json: {len(missed)} fields of swae missed their bound, the first {missed[0]}")

    def bounds(self):
        return sorted({row["bound"] for row in self.rows}, reverse=True)

    def settings(self, codec, layout):
        """Its settings, in the order in which they were measured."""
        of = (row["setting"] for row in self.rows if row["codec"] == codec and row["layout"] == layout)
        return list(dict.fromkeys(of))

    def title(self, codec):
        version = next(row["version"] for row in self.rows if row["codec"] == codec)
        return f"{codec} {version}"

    def mean(self, layout, bound, codec, setting, threads=1):
        """Bits, MB/s of compressing, MB/s of decompressing."""
        wanted = {"layout": layout, "bound": bound, "codec": codec, "setting": setting, "threads": threads}
        rows = [row for row in self.rows if all(row[key] == value for key, value in wanted.items())]
        if not rows:
            sys.exit(f"nothing was measured of {wanted}")
        speed = lambda key: len(rows) / sum(1 / row[key] for row in rows)
        return sum(row["bits"] for row in rows) / len(rows), speed("compress_mb_s"), speed("decompress_mb_s")

    def own(self, layout, bound, threads=1):
        return self.mean(layout, bound, "swae", DEFAULT, threads)

    def best(self, codec, layout, bound, threads=1):
        """The mean of a reference compressor in the setting that takes the fewest bits."""
        settings = self.settings(codec, layout)
        return min(self.mean(layout, bound, codec, setting, threads) for setting in settings)


def digits(bits):
    return f"{bits:#.3g}"


def saved(less, more):
    return f"{100 * (1 - less / more):.1f} %"


def cell(mean):
    bits, compress, decompress = mean
    return f"{digits(bits)}: {compress:.0f} / {decompress:.0f}"


def change(before, after):
    return f"{before:.0f} → {after:.0f}"


def exponent(bound):
    return f"{bound:.0e}".replace("e-0", "e-")


def bits(benches):
    """swae beside the best reference compressor, in three layouts."""
    series = benches["series"]
    cases = [("one step", benches["grid"], "grid"), ("8 steps", series, "series"), ("8³ boxes", series, "boxes")]
    yield [BOUND] + [name for title, _, _ in cases for name in (title, "best reference")]
    for bound in series.bounds():
        row = [exponent(bound)]
        for _, bench, layout in cases:
            best, codec = min((bench.best(codec, layout, bound)[0], codec) for codec in REFERENCES)
            row += [digits(bench.own(layout, bound)[0]), f"{digits(best)} {codec}"]
        yield row


def speeds(name, layout, threads):
    """Every compressor: bits, and MB/s of compressing and decompressing."""

    def table(benches):
        bench = benches[name]
        settings = bench.settings("swae", layout)
        yield [BOUND] + [f"swae `{s}`" for s in settings] + [bench.title(codec) for codec in REFERENCES]
        for bound in bench.bounds():
            own = [bench.mean(layout, bound, "swae", setting, threads) for setting in settings]
            best = [bench.best(codec, layout, bound, threads) for codec in REFERENCES]
            yield [exponent(bound)] + [cell(mean) for mean in own + best]

    return table


def algorithms(benches):
    """The algorithms of SZ3 on single steps."""
    bench = benches["grid"]
    settings = bench.settings("SZ3", "grid")
    yield [BOUND] + settings
    for bound in bench.bounds():
        yield [exponent(bound)] + [cell(bench.mean("grid", bound, "SZ3", setting)) for setting in settings]


def parts(benches):
    """What temporal prediction, prediction mixing and inter-field prediction bring, beside SZ3 in the same run."""
    series, mixture = benches["series"], benches["mixture"]
    cases = [
        ("temporal prediction", series, "series"),
        ("and prediction mixing (`gr-mixture`)", mixture, "series"),
        ("and inter-field prediction", series, "run"),
        ("and both", mixture, "run"),
    ]
    bounds = mixture.bounds()
    yield [""] + [name for b in bounds for name in (f"{exponent(b)}: bits", "compress", "decompress")]
    yield [series.title("SZ3")] + [x for b in bounds for x in (f"{series.best('SZ3', 'series', b)[0]:.4f}", "1", "1")]
    for title, bench, layout in cases:
        row = [title]
        for bound in bounds:
            size, *speed = bench.own(layout, bound)
            _, *reference = bench.best("SZ3", "series", bound)
            row += [f"{size:.4f}"] + [f"{a / b:.2f}" for a, b in zip(speed, reference)]
        yield row


def interfield(benches):
    """Intra only, with temporal and with inter-field prediction."""
    intra, series = benches["intra"], benches["series"]
    yield ["bound", "intra only", "temporal prediction", "with inter-field prediction", "saved"] + [
        f"{verb} MB/s" for verb in ("compress", "decompress")
    ]
    for bound in series.bounds():
        alone, temporal, run = intra.own("series", bound), series.own("series", bound), series.own("run", bound)
        sizes = [f"{mean[0]:.4f}" for mean in (alone, temporal, run)]
        speed = [change(temporal[i], run[i]) for i in (1, 2)]
        yield [exponent(bound)] + sizes + [saved(run[0], temporal[0])] + speed


TABLES = {
    "bits": bits,
    "one step, one thread": speeds("grid", "grid", 1),
    "one step, all threads": speeds("grid", "grid", 0),
    "8 steps, one thread": speeds("series", "series", 1),
    "8³ boxes, one thread": speeds("series", "boxes", 1),
    "algorithms of SZ3": algorithms,
    "parts": parts,
    "inter-field": interfield,
}
PENDING = "`make bench` writes this.\n"
PICTURE = "![Speed against compression ratio, one thread and all](speed.png)\n"
NAMED = re.compile(r"SZ3 [\d.]+\d, ZFP [\d.]+\d and SPERR [\d.]+\d")
MARKED = re.compile(r"<!-- figures: (.+) -->\n((?:.+\n)*)")


def markdown(rows):
    header, *rows = ("| " + " | ".join(row) + " |\n" for row in rows)
    return header + "|---" * (header.count("|") - 1) + "|\n" + "".join(rows)


def content(name, benches):
    return PICTURE if name == "speed against ratio" else markdown(TABLES[name](benches))


def write(folder):
    names = ("grid", "series", "intra", "mixture")
    benches = {name: Bench(folder, name) for name in names}
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        if not NAMED.search(text):
            sys.exit(f"{document} does not name the versions of the reference compressors")
        text = NAMED.sub("{}, {} and {}".format(*map(benches["grid"].title, REFERENCES)), text)
        marked = lambda m: f"<!-- figures: {m[1]} -->\n" + content(m[1], benches)
        document.write_text(MARKED.sub(marked, text), encoding="utf-8")


# What a cell is: a bound, figures of one of the tables, – for none, or what a row is of.
CELL = re.compile(
    r"1e-\d+|[\d.]+( [A-Z]+\d?)?|[\d.]+: \d+ / \d+|[\d.]+ %|\d+ → \d+|SZ3 [\d.]+|–|temporal prediction|and .+"
)


def check():
    found = []
    for document in DOCUMENTS:
        for name, table in MARKED.findall(document.read_text(encoding="utf-8")):
            at = f"{document}: the table of '{name}'"
            if table in (PENDING, PICTURE):
                found.append(name)
                continue
            rows = [[cell.strip() for cell in row[1:-1].split("|")] for row in table.splitlines()]
            if name not in TABLES or len(rows) < 3:
                sys.exit(f"{at} is none of {', '.join(TABLES)}, or is no table")
            for row in rows[2:]:
                bad = [cell for cell in row if not CELL.fullmatch(cell)]
                if bad or len(row) != len(rows[0]):
                    sys.exit(f"{at}: {row}: {bad or 'more or fewer cells than the header'}")
            found.append(name)
    if missing := TABLES.keys() - set(found):
        sys.exit(f"no document has the table of {', '.join(sorted(missing))}")


if sys.argv[1:] == ["--check"]:
    check()
elif len(sys.argv) == 2:
    write(pathlib.Path(sys.argv[1]))
else:
    sys.exit(__doc__)
