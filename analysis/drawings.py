"""The figures of a result as files: drawn when somebody asks, then kept beside the result's data."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from analysis.jobs.models import Result
from sessions.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from analysis.figures.spec import Figure

PAPER_FORMATS = ("png", "svg", "pdf")
CONTENT_TYPES = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "json": "application/json",
}
THEMES = ("light", "dark")
# What draws figures and packs bundles: what they made is made anew after a change of theirs.
_DRAWING_CODE = tuple(Path(__file__).parent / name for name in ("figures", "export"))
_DRAWING_LIBRARIES = ("bokeh", "matplotlib")

# Matplotlib's settings are global, and one drawing at a time leaves the cores to live pictures.
_drawing = threading.Lock()


@cache
def drawn_as() -> str:
    """Return a name of the way in which figures are drawn by this version of the code and of its libraries."""
    return fingerprint(_DRAWING_CODE, [f"{name} {version(name)}" for name in _DRAWING_LIBRARIES])


def fingerprint(folders: Iterable[Path], more: Iterable[str] = ()) -> str:
    """Return twelve digits of a SHA-256 over the modules in ``folders``, by name and content, and over ``more``."""
    digest = hashlib.sha256("\n".join(more).encode())
    for folder in folders:
        for module in sorted(folder.glob("*.py")):
            digest.update(module.name.encode() + b"\0" + module.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def folder_of(result: Result) -> Path:
    """Return the folder of a result's files."""
    return settings.LAB_RESULTS / result.folder


def known(result: Result, name: str) -> dict[str, Any]:
    """Return what the result says of one of its figures; ``NotFound`` when it has none of that name."""
    for figure in result.figures:
        if figure["name"] == name:
            return figure
    raise NotFound(f"This result has no figure {name!r}; it has {', '.join(f['name'] for f in result.figures)}.")


def data_path(result: Result, name: str) -> Path:
    """Return the file with a figure's own data (JSON: panels, axes, layers of numbers)."""
    path = folder_of(result) / known(result, name)["file"]
    if not path.is_file():
        raise NotFound("The files of this result are gone from the disk; compute it again with Reproduce.")
    return path


def load(result: Result, name: str) -> Figure:
    """Return a figure."""
    from analysis.figures.spec import Figure

    return Figure.from_json(json.loads(data_path(result, name).read_text()))


def paper(result: Result, name: str, file_format: str) -> Path:
    """Return a figure's file for a paper, as PNG, SVG or PDF."""
    if file_format not in PAPER_FORMATS:
        raise NotFound(f"Figures come as {', '.join(PAPER_FORMATS)}, not as {file_format}.")

    def draw() -> bytes:
        from analysis.figures.paper import render

        return render(load(result, name), file_format)  # type: ignore[arg-type]

    return _kept(result, name, f"{name}.{file_format}", draw)


def page_item(result: Result, name: str, theme: str) -> Path:
    """Return a figure's file for the page: what ``Bokeh.embed.embed_item`` takes."""
    if theme not in THEMES:
        raise NotFound(f"Figures are drawn {' or '.join(THEMES)}, not {theme}.")

    def draw() -> bytes:
        from analysis.figures.page import json_item

        return json.dumps(json_item(load(result, name), theme=theme)).encode()  # type: ignore[arg-type]

    return _kept(result, name, f"{name}.{theme}.json", draw)


def _kept(result: Result, name: str, file_name: str, draw: Callable[[], bytes]) -> Path:
    data_path(result, name)
    return keep(kept_folder(result) / file_name, lambda path: path.write_bytes(draw()), alone=_drawing)


def kept_folder(result: Result) -> Path:
    """Return the folder of what is made of a result on demand; it may be deleted at any time.

    What an earlier version of the code had made is deleted here.
    """
    folder: Path = folder_of(result) / "drawn" / drawn_as()
    if not folder.is_dir() and folder.parent.is_dir():
        for outdated in folder.parent.iterdir():
            # Another request may have made the new one since.
            if outdated != folder:
                shutil.rmtree(outdated, ignore_errors=True)
    return folder


def keep(path: Path, write: Callable[[Path], object], *, alone: threading.Lock) -> Path:
    """Return a file that is written when it is asked for first; it is under its name only when it is whole.

    ``write`` writes it to the path that it is given; one at a time does so with ``alone``. Raises ``Unavailable`` when
    the disk refuses.
    """
    if path.is_file():
        return path
    with alone:
        if path.is_file():
            return path
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(part)
            part.replace(path)
        except OSError as error:
            raise Unavailable(f"{path.name} could not be kept: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)
    return path
