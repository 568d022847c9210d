"""What a data file is, told from its first bytes and its header; no Django, and nothing is ever unpickled.

A name's extension alone decides nothing except for raw binary, which has no header to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sessions import headers
from sessions.headers import HeaderError
from sessions.isolation import IsolationError, isolated

ALL_KINDS = frozenset({"ephys", "lfp", "spikes", "units", "position", "video", "events", "other"})


class FormatError(ValueError):
    """A file that is not what it should be; the text names the file and says what is wrong with it."""


@dataclass(frozen=True)
class Format:
    """A format: what people call it, which kinds of recordings it can hold, how its header is read.

    A format without ``read`` is one of a family, which has one function for all of its formats.
    """

    name: str
    label: str
    kinds: frozenset[str]
    read: Callable[[Path, Mapping[str, Any]], dict[str, Any]] | None


@dataclass(frozen=True)
class Recognised:
    """A file's format and what its header says: ``channels``, ``rate`` (Hz), ``duration`` (s), ``units`` ...

    ``files`` are all that belong to the recording, found beside the file; ``parameters`` say how it is to be read,
    where a description beside it does.
    """

    format: str
    facts: dict[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """Formats that an app brings along: which files may be one (looked at, not parsed), and who says which and what.

    ``describe`` is ``module:function``, called in isolation with path, stated format, kind and parameters; it returns
    ``format``, ``facts`` and ``files``, or ``error``.
    """

    names: frozenset[str]
    may_be: Callable[[Path, bytes], bool]
    describe: str


def _format(
    name: str, label: str, kinds: str, read: Callable[[Path, Mapping[str, Any]], dict[str, Any]] | None
) -> Format:
    return Format(name, label, frozenset(kinds.split()) | {"other"}, read)


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        _format("trodes-position", "Trodes position tracking", "position", headers.trodes_position),
        _format("npy", "NumPy array (.npy)", "ephys lfp spikes position events", headers.npy),
        _format("units-npz", "spike times of units (.npz)", "units spikes", partial(headers.npz, "units-npz")),
        _format("position-npz", "position (.npz)", "position", partial(headers.npz, "position-npz")),
        _format("lfp-npz", "LFP (.npz)", "lfp", partial(headers.npz, "lfp-npz")),
        _format("raw-binary", "raw binary samples", "ephys lfp", headers.raw_binary),
        _format("csv", "comma-separated table", "spikes units position events lfp", headers.csv_table),
        _format("video", "video file", "video", lambda path, parameters: _apart("sessions.headers:video_at", path)),  # noqa: ARG005
        _format("mjpeg-segments", "recorded camera frames", "video", headers.mjpeg_segment),
        _format("other", "another file, kept as it is", "", lambda path, parameters: {}),  # noqa: ARG005
    )
}

FAMILIES: list[Family] = []

RAW_EXTENSIONS = {".bin", ".dat", ".raw"}
TEXT_EXTENSIONS = {".csv", ".tsv"}


def add_family(names: Mapping[str, tuple[str, str]], may_be: Callable[[Path, bytes], bool], describe: str) -> None:
    """Make formats known, given as ``{name: (label, kinds)}``; called once, when Django starts."""
    FORMATS.update({name: _format(name, label, kinds, None) for name, (label, kinds) in names.items()})
    FAMILIES.append(Family(frozenset(names), may_be, describe))


def recognise(path: Path, parameters: Mapping[str, Any] | None = None, kind: str | None = None) -> Recognised:
    """Return the format of a file and the facts of its header; ``FormatError`` when it cannot be told.

    With a ``kind``, a file that holds nothing of it is refused.
    """
    family = _family_of(path)
    if family is not None:
        return _described(family, path, None, parameters or {}, kind)
    name = _told_by_content(path)
    if name is None:
        known = ", ".join(sorted(f for f in FORMATS if f != "other"))
        raise FormatError(
            f"{path.name} is in no format that is known here (its first bytes are {headers.first_bytes(path, 8)!r});"
            f" state its format, one of {known}."
        )
    return _read(name, path, parameters or {})


def check(path: Path, stated: str, parameters: Mapping[str, Any] | None = None, kind: str | None = None) -> Recognised:
    """Return the facts of a file that is said to be of a format; ``FormatError`` when its content contradicts that."""
    if stated not in FORMATS:
        raise FormatError(f"{stated!r} is no format that is known here; there is {', '.join(sorted(FORMATS))}.")
    family = _family_of(path)
    if family is not None and stated not in {"other", "raw-binary"}:
        return _described(family, path, stated, parameters or {}, kind)
    told = _told_by_content(path)
    if told is not None and stated not in {"other", told} and not _may_be(told, stated):
        raise FormatError(f"{path.name} is said to be {stated}, but its content is {FORMATS[told].label} ({told}).")
    archive = stated.endswith("-npz") and headers.first_bytes(path, 4) == b"PK\x03\x04"
    if told is None and not archive and stated not in {"raw-binary", "csv", "other"}:
        raise FormatError(
            f"{path.name} is said to be {stated}, but its first bytes {headers.first_bytes(path, 8)!r} say otherwise."
        )
    return _read(stated, path, parameters or {})


def suits(name: str, kind: str) -> bool:
    """Return whether a recording of this kind can be in this format."""
    return kind in FORMATS[name].kinds


def kinds_of(name: str) -> list[str]:
    """Return the kinds of recordings that a format can hold, for messages."""
    return sorted(FORMATS[name].kinds)


def _may_be(told: str, stated: str) -> bool:
    """Which arrays a .npz must hold is checked when its header is read."""
    return told.endswith("-npz") and stated.endswith("-npz")


def _family_of(path: Path) -> Family | None:
    start = headers.first_bytes(path, 4096)
    return next((family for family in FAMILIES if family.may_be(path, start)), None)


def _described(
    family: Family, path: Path, stated: str | None, parameters: Mapping[str, Any], kind: str | None
) -> Recognised:
    try:
        told = isolated(family.describe, str(path), stated, kind, dict(parameters))
    except IsolationError as error:
        raise FormatError(f"{path.name}: {error}.") from error
    if "error" in told:
        reason = str(told["error"]).rstrip(".")
        raise FormatError(f"{reason}." if path.name in reason else f"{path.name}: {reason}.")
    return Recognised(told["format"], told["facts"], tuple(map(Path, told["files"])))


def _apart(function: str, path: Path) -> dict[str, Any]:
    try:
        return dict(isolated(function, str(path)))
    except IsolationError as error:
        raise HeaderError(str(error)) from error


def _read(name: str, path: Path, parameters: Mapping[str, Any]) -> Recognised:
    read = FORMATS[name].read
    if read is None:
        raise FormatError(f"{path.name} is said to be {name}, but its content says otherwise.")
    try:
        described = headers.description(path) if name == "raw-binary" else {}
        return Recognised(name, read(path, {**described, **parameters}), parameters=described)
    except HeaderError as error:
        raise FormatError(f"{path.name}: {str(error).rstrip('.')}.") from error


def _told_by_content(path: Path) -> str | None:
    start = headers.first_bytes(path, 512)
    suffix = path.suffix.lower()
    for name, matches in (
        ("npy", start.startswith(b"\x93NUMPY")),
        ("trodes-position", start.startswith(b"<Start settings>") and b"xloc" in start),
        ("mjpeg-segments", suffix == ".mjpeg" and start.startswith(b"\xff\xd8\xff")),
        ("mjpeg-segments", suffix == ".h264" and start.startswith((b"\0\0\1", b"\0\0\0\1"))),
        ("mjpeg-segments", start.startswith(b"LABT")),
        ("video", headers.is_video(start)),
    ):
        if matches:
            return name
    if start.startswith(b"PK\x03\x04"):
        return headers.npz_format(path)
    if suffix in RAW_EXTENSIONS:
        return "raw-binary"
    if suffix in TEXT_EXTENSIONS and headers.is_text(start):
        return "csv"
    return None
