"""Builds the site of the documents, and checks every link of the pages that come out: site.py MDBOOK BUILD

The pages are those of docs/SUMMARY.md. They keep their places relative to the tree's root, and files that they link to are put
beside them, so that one link serves the site as it serves who reads the tree. The site is BUILD/site.
"""

import html.parser
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")


def stage(source: pathlib.Path) -> None:
    """Puts the summary, its pages and the files that these link to into the book's source folder."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    docs = ROOT / "docs"
    pages = []

    def from_root(match: re.Match[str]) -> str:
        path = (docs / match.group(0)).resolve().relative_to(ROOT)
        pages.append(path)
        return str(path)

    (source / "SUMMARY.md").write_text(LINK.sub(from_root, (docs / "SUMMARY.md").read_text()))
    wanted = set(pages)
    for page in pages:
        for link in LINK.findall((ROOT / page).read_text()):
            if link.startswith("#") or "://" in link:
                continue
            path = (ROOT / page).parent / link.split("#")[0]
            if not path.is_file():
                sys.exit(f"{page} links to {link}, which is no file; the site needs files")
            wanted.add(path.resolve().relative_to(ROOT))
    unlisted = {p.relative_to(ROOT) for p in docs.glob("*.md")} - set(pages) - {pathlib.Path("docs/SUMMARY.md")}
    if unlisted:
        sys.exit(f"docs/SUMMARY.md does not list {', '.join(map(str, sorted(unlisted)))}")
    for path in wanted:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, source / path)


class Page(html.parser.HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.update(value for key in ("id", "name") if (value := given.get(key)))
        wanted = {"a": "href", "img": "src", "script": "src", "link": "href"}.get(tag)
        if wanted and (link := given.get(wanted)):
            self.links.append(link)


def broken(site: pathlib.Path) -> list[str]:
    """The links of a site that lead nowhere."""
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name not in ("404.html", "toc.html")}
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.is_file():
                found.append(f"{path.relative_to(site)}: {link}")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{path.relative_to(site)}: {link} (no such anchor)")
    return found


def main() -> None:
    mdbook, build = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    book = build / "book"
    stage(book / "src")
    shutil.copyfile(ROOT / "docs/book/book.toml", book / "book.toml")
    site = build / "site"
    shutil.rmtree(site, ignore_errors=True)
    subprocess.run([mdbook, "build", "--dest-dir", str(site), str(book)], check=True)
    if links := broken(site):
        sys.exit("links that lead nowhere:\n" + "\n".join(links))
    print(f"the site is {site / 'index.html'}")


if __name__ == "__main__":
    main()
