"""What MkDocs is told besides mkdocs.yml: links of the pages that lead out of docs/ lead to copies within the site.

Pages link to files of the repository as they lie (`../config.yaml`), so that the links hold wherever the repository is
browsed. The README is the site's first page; a folder has no page, so a link to one becomes its text.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
COPIES = "repository"
"""Folder of the site for files from outside docs/."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\]\([^)]*\))*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
"""A link to a file: whether it is a picture, its text, the file and the place within it."""

FIRST = "index.md"


def place(uri: str) -> Path:
    """Where a page of the site lies in the repository, from the root."""
    if uri == FIRST:
        return Path("README.md")
    copy = uri.removeprefix(f"{COPIES}/")
    return Path(copy) if copy != uri else Path("docs", uri)


def target(page: Path, link: str) -> Path:
    """The file or folder that a link of a page of the repository names, from the root."""
    return Path(posixpath.normpath(posixpath.join(page.parent.as_posix(), link)))


def uri(path: Path) -> str:
    """A file's address in the site."""
    if path == Path("README.md"):
        return FIRST
    inside = path.parts[0] == "docs"
    return path.relative_to("docs").as_posix() if inside else f"{COPIES}/{path.as_posix()}"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the README, and every file outside docs/ to which a page links."""
    files.append(File.generated(config, FIRST, abs_src_path=str(ROOT / "README.md")))
    waiting = [file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = place(waiting.pop())
        for _, _, link, _ in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
            path = target(page, link)
            if (ROOT / path).is_file() and files.get_file_from_path(uri(path)) is None:
                files.append(File.generated(config, uri(path), abs_src_path=str(ROOT / path)))
                if path.suffix == ".md":
                    waiting.append(uri(path))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page's text with its links as they are in the site; what leads nowhere stays, and the strict build names it."""

    def within(found: re.Match[str]) -> str:
        mark, text, link, anchor = found.groups()
        path = target(place(page.file.src_uri), link)
        if (ROOT / path).is_dir():
            return str(text)
        if not (ROOT / path).is_file():
            return found[0]
        there = posixpath.relpath(uri(path), posixpath.dirname(page.file.src_uri) or ".")
        return f"{mark}[{text}]({there}{anchor or ''})"

    return LINK.sub(within, markdown)
