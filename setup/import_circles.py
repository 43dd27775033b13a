#!/usr/bin/env python3
"""Finds import circles among the files of each Rust crate: import_circles.py [--edges] [ROOT]

Every `use` and every path (`crate::a::b`, `super::x`, `module::x`, also in macros) is followed through
modules and re-exports to the file that defines the item; that file is what is imported. A `mod`
declaration is no import, nor is a `pub use` of names that its own file does not use. Code under
`#[cfg(test)]` is not read, nor are tests and examples. Prints each circle of more than two files with
the imports that tie it, and exits with 1 if there is one; two files may import each other.
"""
import re
import sys
import tempfile
import unittest
from collections import defaultdict
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<comment>/\*)
    |(?P<raw>(?:br|cr|r)(?P<fence>\#*)"(?s:.*?)"(?P=fence))
    |(?P<string>[bc]?"(?:\\(?s:.)|[^"\\])*")
    |(?P<char>b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\])')
    |(?P<life>'\w+)
    |(?P<word>(?:r\#)?[^\W\d]\w*)
    |(?P<number>\d\w*(?:\.\d\w*)?)
    |(?P<mark>::|->|=>|.)""",
    re.VERBOSE,
)
OPEN = {"{": "}", "(": ")", "[": "]"}
QUALIFIERS = {"unsafe", "async", "const", "extern", "default", "auto", "safe"}
DEFINING = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}
WORD = re.compile(r"[^\W\d]\w*$")


def tokens_of(text):
    """The words and marks of a source text; string literals stay, comments go."""
    out, at = [], 0
    while at < len(text):
        found = TOKEN.match(text, at)
        at = found.end()
        if found.lastgroup == "comment":
            depth = 1
            while depth and at < len(text):
                mark = re.compile(r"/\*|\*/").search(text, at)
                depth, at = (depth + (1 if mark[0] == "/*" else -1), mark.end()) if mark else (0, len(text))
        elif found["word"]:
            out.append(found[0].removeprefix("r#"))
        elif not found["space"]:
            out.append(found[0])
    return out


def partners(tokens):
    """For each opening bracket, the place of the closing one."""
    stack, out = [], {}
    for i, token in enumerate(tokens):
        if token in OPEN:
            stack.append(i)
        elif token in OPEN.values() and stack:
            out[stack.pop()] = i
    return out


class Module:
    def __init__(self, path, file, parent=None):
        self.path, self.file, self.parent = path, file, parent
        self.children = {}
        self.items = set()
        self.uses = defaultdict(list)  # name -> paths of declarations anybody may follow
        self.local = defaultdict(list)  # name -> paths that are used inside functions
        self.globs = []  # (path, exported)
        self.imports = []  # (name, path, exported) of every `use`
        self.paths = []  # inline paths
        self.words = set()  # names that stand in the code, each alone
        self.first = set()  # first words of inline paths
        self.bound = set()  # names of variables

    def root(self):
        return self.parent.root() if self.parent else self

    def within(self):
        yield self
        for child in self.children.values():
            yield from child.within()


class Crate:
    """The modules below one crate root, and what their files import."""

    def __init__(self, root_file):
        self.macros = {}  # name -> file of macro_rules
        self.exported = set()  # names of macros at the crate's root
        self.root = self.read(root_file, (), None, root_file.parent)
        for module in self.root.within():
            module.words -= {word for word in module.bound if word[0].islower()}

    def read(self, file, path, parent, folder):
        module = Module(path, file, parent)
        tokens = tokens_of(file.read_text())
        Parser(self, tokens, folder).items(0, len(tokens), module)
        return module

    def declared(self, module, name, folder, given):
        """The module behind `mod name;`."""
        candidates = [folder / f"{name}.rs", folder / name / "mod.rs"]
        if given:
            candidates = [module.file.parent / given]
        for file in candidates:
            if file.exists():
                inner = file.parent if file.name == "mod.rs" else folder / name
                return self.read(file, (*module.path, name), module, inner)
        return None

    def named(self, module, name, seen=frozenset(), inside=False):
        """What a name means in a module: modules, and (file, name) of items."""
        if (module, name) in seen:
            return []
        seen = seen | {(module, name)}
        found = []
        if name in module.children:
            found.append(module.children[name])
        if name in module.items:
            found.append((module.file, name))
        if not module.parent and name in self.exported:
            found.append((self.macros[name], name))
        for path in module.uses[name] + (module.local[name] if inside else []):
            found += self.meant(module, path, seen)
        if not found:
            for path, _ in module.globs:
                for target in self.meant(module, path, seen):
                    if isinstance(target, Module):
                        found += self.named(target, name, seen)
        return list(dict.fromkeys(found))

    def meant(self, module, path, seen=frozenset(), inside=False):
        """What a path means; an item's associated names are the item's."""
        at, rest = None, list(path)
        while rest and rest[0] in ("crate", "self", "super"):
            word = rest.pop(0)
            at = module.root() if word == "crate" else at or module
            at = at.parent if word == "super" else at
            if at is None:
                return []
        targets = [at] if at else self.named(module, rest.pop(0), seen, inside)
        for name in rest:
            onward = []
            for target in targets:
                if not isinstance(target, Module):
                    onward.append(target)
                    continue
                # What a macro makes, no name tells: it is taken to be the module's own.
                own = [(target.file, name)] if self.holds_macro_calls(target) else []
                onward += self.named(target, name, seen) or own
            targets = onward
        return targets

    @staticmethod
    def holds_macro_calls(module):
        return "!" in module.words

    def edges(self):
        """{(file, file): names}"""
        out = defaultdict(set)
        for module in self.root.within():
            for file, name in self.imported(module):
                if file != module.file:
                    out[module.file, file].add(name)
        return out

    def imported(self, module):
        used = module.words | module.first
        for name, path, exported in module.imports:
            if exported and name not in used:
                continue
            for target in self.meant(module, path, inside=True):
                if not isinstance(target, Module):
                    yield target
                elif name not in module.first:
                    yield target.file, path[-1]
        for path in module.paths:
            for target in self.meant(module, path, inside=True):
                if not isinstance(target, Module):
                    yield target
        for path, _ in module.globs:
            for target in self.meant(module, path, inside=True):
                if not isinstance(target, Module):
                    yield target
                    continue
                for name in used - module.items - module.uses.keys() - module.children.keys():
                    for found in self.named(target, name):
                        if not isinstance(found, Module):
                            yield found
        for name in module.words & self.macros.keys():
            if name in module.bound:
                continue
            if not self.named(module, name):
                yield self.macros[name], name


class Parser:
    """Reads the tokens of one file into its modules."""

    def __init__(self, crate, tokens, folder):
        self.crate, self.tokens, self.folder = crate, tokens, folder
        self.partner = partners(tokens)

    def at(self, i):
        return self.tokens[i] if 0 <= i < len(self.tokens) else ""

    def close(self, i):
        return self.partner.get(i, len(self.tokens) - 1)

    def attributes(self, i):
        """Steps over attributes: (where they end, whether they say test only, a path, whether a macro is exported)."""
        test, given, export = False, None, False
        while self.at(i) == "#":
            start = i + 2 if self.at(i + 1) == "!" else i + 1
            if self.at(start) != "[":
                break
            inside = self.tokens[start + 1 : self.close(start)]
            text = "".join(inside)
            test |= text == "cfg(test)" or text.startswith("cfg(all(test,")
            export |= text == "macro_export"
            if inside[:2] == ["path", "="]:
                given = inside[2].strip('"')
            i = self.close(start) + 1
        return i, test, given, export

    def visibility(self, i):
        """Steps over `pub`, `pub(crate)`, `pub(in a::b)`."""
        if self.at(i) != "pub":
            return i, False
        if self.at(i + 1) == "(" and (self.at(i + 3) == ")" or self.at(i + 2) == "in"):
            return self.close(i + 1) + 1, True
        return i + 1, True

    def items(self, i, end, module):
        while i < end:
            i, test, given, export = self.attributes(i)
            i, public = self.visibility(i)
            if i >= end:
                break
            after = self.item_end(i, end)
            if not test:
                self.item(i, after, module, public, given, export)
            i = max(after, i + 1)

    def item_end(self, i, end):
        """The place behind the item that starts at i."""
        head = self.head(i)
        kind = self.at(head)
        semicolon_only = kind in ("const", "static", "type", "use") and self.at(i) != "impl"
        while i < end:
            token = self.at(i)
            if token == ";":
                return i + 1
            if token in OPEN:
                whole = token == "{" and not semicolon_only
                i = self.close(i) + 1
                if whole:
                    return i
                continue
            i += 1
        return end

    def head(self, i):
        """The keyword of an item, behind its qualifiers."""
        while self.at(i) in QUALIFIERS:
            if self.at(i) == "const" and self.at(i + 1) not in QUALIFIERS | {"fn"}:
                break
            i += 1
            if self.at(i).startswith('"'):
                i += 1
        return i

    def item(self, i, end, module, public, given, export):
        head = self.head(i)
        kind, name = self.at(head), self.at(head + 1)
        if kind == "use":
            self.use(head + 1, end, module, public, module.uses)
        elif kind == "mod" and self.at(head + 2) == ";":
            child = self.crate.declared(module, name, self.folder, given)
            if child:
                module.children[name] = child
        elif kind == "mod":
            child = module.children[name] = Module((*module.path, name), module.file, module)
            Parser.items(self.below(name), head + 3, end - 1, child)
        elif kind == "macro_rules":
            name = self.at(head + 2)
            self.crate.macros[name] = module.file
            module.items.add(name)
            if export:
                self.crate.exported.add(name)
            self.code(head + 3, end, module)
        elif kind in DEFINING:
            name = self.at(head + 2) if name == "mut" else name
            module.items.add(name)
            self.code(head + 2, end, module)
        elif "!" in self.tokens[i:end] and self.is_call(i):
            mark = self.tokens.index("!", i)
            module.words.add("!")
            self.code(i, mark + 1, module)
            start = mark + 1
            if self.at(start) == "{":
                self.items(start + 1, self.close(start), module)
            self.code(start, end, module)
        else:
            self.code(i, end, module)

    def below(self, name):
        """This parser for an inline module: its files lie one folder deeper."""
        inner = Parser.__new__(Parser)
        inner.crate, inner.tokens, inner.partner = self.crate, self.tokens, self.partner
        inner.folder = self.folder / name
        return inner

    def is_call(self, i):
        while WORD.match(self.at(i)) or self.at(i) == "::":
            i += 1
        return self.at(i) == "!" and self.at(i + 1) in OPEN

    def use(self, i, end, module, public, names):
        for name, path in self.tree(i, end - 1, []):
            if name == "*":
                module.globs.append((path, public))
                continue
            module.imports.append((name, path, public))
            if name != "_":
                names[name].append(path)

    def tree(self, i, end, before):
        """The leaves of a use tree: (name, path)."""
        path = list(before)
        while i < end:
            token = self.at(i)
            if token == "{":
                close, start = self.close(i), i + 1
                for j in self.commas(start, close):
                    yield from self.tree(start, j, path)
                    start = j + 1
                return
            if token == "*":
                yield "*", path
                return
            if token == "as":
                yield self.at(i + 1), path
                return
            if token not in ("::", "$") and not (token == "self" and path):
                path.append(token)
            i += 1
        if path and path != before or self.at(end - 1) == "self":
            yield path[-1], path

    def commas(self, i, end):
        while i < end:
            if self.at(i) == ",":
                yield i
            i = self.close(i) + 1 if self.at(i) in OPEN else i + 1
        yield end

    def code(self, i, end, module):
        """Notes the names that code uses."""
        while i < end:
            token = self.at(i)
            if token == "#":
                after, test, _, _ = self.attributes(i)
                if after > i:
                    i = self.item_end(after, end) if test else after
                    continue
            if token == "pub":
                i, _ = self.visibility(i)
                continue
            if token == "use" and self.at(i + 1) != "<":
                stop = self.tokens.index(";", i) + 1
                self.use(i + 1, stop, module, False, module.local)
                i = stop
                continue
            if WORD.match(token) and self.at(i - 1) not in (".", "::"):
                i = self.path(i, end, module)
                continue
            i += 1

    def path(self, i, end, module):
        path, j = [self.at(i)], i + 1
        while j + 1 < end and self.at(j) == "::" and WORD.match(self.at(j + 1)):
            path.append(self.at(j + 1))
            j += 2
        if len(path) > 1:
            module.paths.append(path)
            module.first.add(path[0])
        elif self.at(j) == "::" or self.at(j) in ("!", "(", "<"):
            module.words.add(path[0])
        elif self.at(j) == ":" or self.at(i - 1) in ("let", "mut", "ref", "for", "|"):
            module.bound.add(path[0])
        else:
            module.words.add(path[0])
        return j


def circles(edges):
    """Strongly connected components (Tarjan), without recursion."""
    graph = defaultdict(list)
    for a, b in edges:
        graph[a].append(b)
    order, low, stack, on, out = {}, {}, [], set(), []
    for root in sorted(graph):
        work = [(root, iter(graph[root]))] if root not in order else []
        while work:
            node, onward = work[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                stack.append(node)
                on.add(node)
            step = next((n for n in onward if n not in order or n in on), None)
            if step is not None and step not in order:
                work.append((step, iter(graph[step])))
                continue
            if step is not None:
                low[node] = min(low[node], order[step])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == order[node]:
                cut = stack.index(node)
                out.append(sorted(stack[cut:]))
                on -= set(stack[cut:])
                del stack[cut:]
    return [c for c in out if len(c) > 1]


def crate_roots(folder):
    """The files that a package's library and programs start from."""
    manifest = (folder / "Cargo.toml").read_text()
    targets = re.findall(r"^\[+(lib|bin)\]+\n((?:[^\[\n].*\n?|\n)*)", manifest, re.MULTILINE)
    paths = [m[1] for _, text in targets if (m := re.search(r'^path *= *"(.*)"', text, re.MULTILINE))]
    paths += ["src/lib.rs", "src/main.rs"]
    return [folder / path for path in dict.fromkeys(paths) if (folder / path).exists()]


def report(root, show_edges=False):
    """Prints the circles of every crate below src; how many there are."""
    manifests = sorted([*root.glob("src/*/Cargo.toml"), *root.glob("src/plugins/*/Cargo.toml")])
    bad, files = 0, set()
    for manifest in manifests:
        edges = defaultdict(set)
        for start in crate_roots(manifest.parent):
            crate = Crate(start)
            files |= {module.file for module in crate.root.within()}
            for edge, names in crate.edges().items():
                edges[edge] |= names
        name = {f: f.relative_to(root) for edge in edges for f in edge}
        tell = lambda e: print(f"  {name[e[0]]} -> {name[e[1]]}: {', '.join(sorted(edges[e]))}")
        if show_edges:
            print(manifest.parent.relative_to(root))
            for edge in sorted(edges):
                tell(edge)
        for circle in circles(edges):
            if len(circle) > 2:
                bad += 1
                print(f"a circle of {len(circle)} files in {manifest.parent.relative_to(root)}:")
                for edge in sorted(e for e in edges if e[0] in circle and e[1] in circle):
                    tell(edge)
    print(f"{len(files)} files of {len(manifests)} packages: {bad or 'no'} import circle{'s' * (bad > 1)} of more than two")
    return bad


class SelfTest(unittest.TestCase):
    def circles(self, **files):
        with tempfile.TemporaryDirectory() as at:
            folder = Path(at)
            (folder / "Cargo.toml").write_text('[package]\nname = "made-up"\n\n[lib]\npath = "lib.rs"\n')
            for name, text in files.items():
                path = folder / f"{name.replace('__', '/')}.rs"
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
            (start,) = crate_roots(folder)
            found = circles(Crate(start).edges())
            return [[f.relative_to(folder).with_suffix("").as_posix() for f in circle] for circle in found]

    def test_a_circle_of_three_is_found(self):
        found = self.circles(
            lib="mod a; mod b; mod c;",
            a="use crate::b::B; pub struct A;",
            b="pub struct B; fn f() { crate::c::g() }",
            c="pub fn g() { let _ = super::a::A; }",
        )
        self.assertEqual(found, [["a", "b", "c"]])

    def test_a_circle_of_two_is_one_of_two(self):
        found = self.circles(
            lib="mod a; mod b; mod c;",
            a="use crate::b::B; use crate::c; pub struct A; fn f() { c::g() }",
            b="use crate::a::A; pub struct B;",
            c="pub fn g() {}",
        )
        self.assertEqual(found, [["a", "b"]])

    def test_re_exports_lead_to_the_file_that_defines(self):
        found = self.circles(
            lib="pub mod inner; mod user; pub use inner::*; pub use user::{Other as Renamed, User};",
            inner__mod="mod leaf; pub(crate) use leaf::Leaf;",
            inner__leaf="pub struct Leaf;",
            user="use crate::Leaf; pub struct User(Leaf); pub struct Other;",
        )
        self.assertEqual(found, [])

    def test_a_re_export_that_its_file_uses_is_an_import(self):
        found = self.circles(
            lib="mod a; mod b; pub use a::A; pub fn f() -> A { A }",
            a="use crate::b::B; pub struct A;",
            b="pub struct B; fn g() { crate::f(); }",
        )
        self.assertEqual(found, [["a", "b", "lib"]])

    def test_macros_globs_and_aliases_are_followed(self):
        found = self.circles(
            lib="mod a; mod b; mod c;",
            a="macro_rules! made { () => { $crate::b::f() } } pub(crate) use made; pub fn g() {}",
            b="use crate::c as other; pub fn f() { other::h(); }",
            c="use super::a::*; pub fn h() { g() }",
        )
        self.assertEqual(found, [["a", "b", "c"]])

    def test_comments_texts_and_tests_do_not_count(self):
        found = self.circles(
            lib="mod a; mod b; mod c;",
            a="use crate::b::B; pub struct A;",
            b="use crate::c::C; pub struct B;",
            c="""// crate::a::A
                /* crate::a::A /* nested */ use crate::a::A; */
                pub struct C;
                const TEXT: &str = "crate::a::A \\" crate::a::A";
                const RAW: &str = r#"use " crate::a::A"#;
                const QUOTE: char = '"';
                fn f<'a>(x: &'a str) -> &'a str { x }
                pub(in crate::a) fn g() {}
                #[cfg(test)] mod tests { use crate::a::A; }
                #[cfg(test)] use crate::a::A;""",
        )
        self.assertEqual(found, [])


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--self-test"]:
        unittest.main(argv=sys.argv[:1])
    show = "--edges" in arguments
    place = [a for a in arguments if a != "--edges"]
    sys.exit(report(Path(place[0] if place else Path(__file__).parent.parent).resolve(), show) > 0)
