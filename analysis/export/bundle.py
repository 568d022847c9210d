"""A result as one ZIP: its data, the code and the notebook that draw its figures, versions, and where it comes from.

The same result gives the same bytes: entries come in one order, and all are of the first day that a ZIP knows.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.export.notebook import drawing_notebook
from analysis.export.readme import readme, readme_of_several

NOTEBOOK = "figures.ipynb"
# What the notebook imports: these modules of the site's own, word for word, under a name that stands by itself.
DRAWING_MODULES = ("__init__", "colours", "paper", "spec")
# Compressed already, or big and quick to read: packing it again would only take time.
_STORED = (".npz", ".png", ".h5", ".nwb", ".npy", ".bin", ".safetensors", ".mp4")
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o644 << 16
_UNIX = 3


@dataclass(frozen=True)
class BundledFigure:
    """A figure: its number in the bundle (1, 2, ...), its data as JSON, and the SVG that the site drew of it."""

    number: int
    name: str
    title: str
    caption: str
    data: Path
    drawn: Path

    @property
    def stem(self) -> str:
        """Return what its files are called, such as ``figure-1-posterior``."""
        return f"figure-{self.number}-{self.name}"


@dataclass(frozen=True)
class BundledResult:
    """What a bundle is made of: plain values and paths. ``folder`` is the name of its folder in the ZIP.

    ``numbers`` are the result's metrics by name, in order; ``artifacts`` files by the name they have in the result;
    ``recordings`` what it made for the catalog, which is not in the bundle, in words.
    """

    folder: str
    pipeline: str
    version: str
    title: str
    summary: str
    methods: str
    numbers: Mapping[str, Mapping[str, Any]]
    figures: tuple[BundledFigure, ...]
    artifacts: Mapping[str, Path]
    recordings: tuple[str, ...]
    provenance: Mapping[str, Any]


def write_bundle(path: Path, results: Sequence[BundledResult]) -> None:
    """Write the ZIP of one result, or of several, each of which stands by itself in its folder.

    Raises ``OSError`` when a file cannot be read or the disk is full, ``ValueError`` when two have the same folder.
    """
    folders = [result.folder for result in results]
    if len(set(folders)) < len(folders):
        raise ValueError("Two results of a bundle have the same folder.")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        if len(results) > 1:
            _add(archive, "README.md", readme_of_several(results).encode())
        for result in results:
            sums = []
            for name, content in _entries(result):
                digest = _add(archive, f"{result.folder}/{name}", content)
                sums.append(f"{digest}  {name}\n")
            _add(archive, f"{result.folder}/SHA256SUMS", "".join(sums).encode())


def drawing_code() -> dict[str, bytes]:
    """Return the modules that draw a figure by their path in the bundle: ``figures/paper.py`` and what it imports."""
    from analysis import figures

    folder = Path(figures.__file__).parent
    return {
        f"figures/{name}.py": (folder / f"{name}.py").read_bytes().replace(b"analysis.figures", b"figures")
        for name in DRAWING_MODULES
    }


def requirements() -> bytes:
    """Return the versions, with hashes, of what draws figures and runs a notebook; they are the site's own."""
    return Path(__file__).with_name("requirements.lock").read_bytes()


def environment(provenance: Mapping[str, Any]) -> bytes:
    """Return every package of the environment that computed a result, one ``name==version`` a line."""
    known = provenance.get("environment", {})
    lines = (
        [f"# Python {known['python']} on {known.get('platform', 'an unknown platform')}"] if "python" in known else []
    )
    lines += [f"{name}=={version}" for name, version in sorted(known.get("packages", {}).items())]
    return "".join(f"{line}\n" for line in lines).encode()


def _entries(result: BundledResult) -> Iterator[tuple[str, bytes | Path]]:
    """Yield the files of a result's folder in their order."""
    yield "README.md", readme(result).encode()
    yield "methods.txt", f"{result.methods}\n".encode()
    yield NOTEBOOK, drawing_notebook(result)
    yield "requirements.txt", requirements()
    yield "environment.txt", environment(result.provenance)
    yield "numbers.json", _json(result.numbers)
    yield "provenance.json", _json(result.provenance)
    yield from drawing_code().items()
    for figure in result.figures:
        yield f"data/{figure.stem}.json", figure.data
    for figure in result.figures:
        yield f"drawn/{figure.stem}.svg", figure.drawn
    for name, path in sorted(result.artifacts.items()):
        yield f"artifacts/{name}", path


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> str:
    """Add a file and return its SHA-256; one on the disk is read piece by piece, however long it is."""
    info = zipfile.ZipInfo(name, _FIRST_DAY)
    info.external_attr, info.create_system = _READABLE, _UNIX
    info.compress_type = zipfile.ZIP_STORED if name.endswith(_STORED) else zipfile.ZIP_DEFLATED
    if isinstance(content, bytes):
        archive.writestr(info, content)
        return hashlib.sha256(content).hexdigest()
    info.file_size = content.stat().st_size
    with content.open("rb") as source, archive.open(info, "w") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    with content.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
