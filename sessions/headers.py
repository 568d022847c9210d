"""Readers of headers: a few kilobytes of a file, or one cheap call of its library; never the whole content."""

from __future__ import annotations

import ast
import csv
import io
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEXT_LIMIT = 64 * 1024
# Which arrays tell a .npz apart; analysis.readers reads the same names.
NPZ_FORMATS = {
    "units-npz": {"spike_times", "spike_units"},
    "position-npz": {"time", "x", "y"},
    "lfp-npz": {"lfp"},
}
# What a description beside raw samples may say.
DESCRIBED = {
    "channels", "rate", "dtype", "gain_to_uV", "offset_to_uV", "header_bytes", "positions", "time_offset",
}  # fmt: skip


class HeaderError(ValueError):
    """A header that is damaged or says what cannot be."""


def first_bytes(path: Path, count: int) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(count)


def is_text(start: bytes) -> bool:
    """Return whether bytes look like text."""
    if b"\0" in start:
        return False
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(start) - 3  # cut in the middle of a character
    return True


def is_video(start: bytes) -> bool:
    """Return whether a file starts like MP4/MOV, AVI, Matroska/WebM or MPEG."""
    return (
        start[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free"}
        or (start.startswith(b"RIFF") and start[8:12] == b"AVI ")
        or start.startswith((b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"))
    )


def npy(path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Shape and type of a NumPy array; one that holds Python objects is refused, for reading it would run code."""
    with path.open("rb") as stream:
        shape, dtype, data_start = _npy_header(stream, path.name)
    expected = math.prod(shape) * dtype.itemsize
    actual = path.stat().st_size - data_start
    if actual != expected:
        raise HeaderError(f"the header says {expected} bytes of data, the file has {actual}")
    facts: dict[str, Any] = {"shape": list(shape), "dtype": str(dtype)}
    rate = parameters.get("rate")
    if shape and isinstance(rate, int | float) and not isinstance(rate, bool) and rate > 0:
        facts["duration"] = max(shape) / rate
    if len(shape) == 1:
        facts["channels"] = 1
    elif len(shape) == 2:  # noqa: PLR2004 - samples by channels
        facts["channels"] = min(shape)
    return facts


def _npy_header(stream: Any, name: str) -> tuple[tuple[int, ...], Any, int]:
    import numpy as np

    try:
        version = np.lib.format.read_magic(stream)
        length = int.from_bytes(stream.read(2 if version == (1, 0) else 4), "little")
        header = ast.literal_eval(stream.read(min(length, TEXT_LIMIT)).decode("latin-1"))
        dtype, shape = np.dtype(header["descr"]), tuple(int(n) for n in header["shape"])
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise HeaderError(f"the NumPy header of {name} is damaged ({error})") from error
    if dtype.hasobject:
        raise HeaderError("it holds Python objects; save plain numbers")
    if any(n < 0 for n in shape):
        raise HeaderError("the NumPy header says a negative length")
    return shape, dtype, stream.tell()


def _npz_members(path: Path) -> dict[str, tuple[tuple[int, ...], Any]]:
    members = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".npy"):
                    with archive.open(name) as stream:
                        shape, dtype, _ = _npy_header(stream, name)
                    members[name.removesuffix(".npy")] = (shape, dtype)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise HeaderError(f"the archive is damaged ({error})") from error
    return members


def npz_format(path: Path) -> str | None:
    """Return which of the laboratory's .npz formats an archive is, from the names of its arrays, or ``None``."""
    try:
        names = set(_npz_members(path))
    except HeaderError:
        # Which format it is cannot be told; who states one is told what is damaged.
        return None
    return next((name for name, needed in NPZ_FORMATS.items() if needed <= names), None)


def npz(name: str, path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - called like all
    """Names, shapes and types of the arrays of a .npz; counts of spikes and units, samples and channels, where told."""
    members = _npz_members(path)
    if missing := sorted(NPZ_FORMATS[name] - set(members)):
        raise HeaderError(f"it has no array {', '.join(missing)}; it has {', '.join(sorted(members)) or 'none'}")
    facts: dict[str, Any] = {
        "arrays": {name: {"shape": list(shape), "dtype": str(dtype)} for name, (shape, dtype) in members.items()}
    }
    if "spike_times" in members:
        facts["spikes"] = math.prod(members["spike_times"][0])
    if "unit_labels" in members:
        facts["units"] = math.prod(members["unit_labels"][0])
    if "time" in members:
        facts["samples"] = math.prod(members["time"][0])
    if "lfp" in members:
        shape = members["lfp"][0]
        facts["channels"] = min(shape) if len(shape) > 1 else 1
    return facts


def trodes_position(path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Clock rate, camera resolution and number of samples of a Trodes position file."""
    start = first_bytes(path, TEXT_LIMIT)
    head, end, _ = start.partition(b"<End settings>\n")
    if not end:
        raise HeaderError("its settings do not end")
    settings = dict(
        line.split(":", 1) for line in head.decode("latin-1").splitlines() if ":" in line and not line.startswith("<")
    )
    sizes = {"8": 1, "16": 2, "32": 4, "64": 8}
    fields = re.findall(r"<(\w+) u?(?:int|float)(8|16|32|64)>", settings.get("Fields", ""))
    if not fields or fields[0][0] != "time":
        raise HeaderError("its settings name no fields starting with time")
    record = sum(sizes[bits] for _, bits in fields)
    samples, rest = divmod(path.stat().st_size - len(head) - len(end), record)
    facts: dict[str, Any] = {"fields": [name for name, _ in fields], "samples": samples}
    if rest:
        facts["cut_bytes"] = rest
    try:
        facts["clock_rate"] = float(settings["clockrate"])
    except (KeyError, ValueError) as error:
        raise HeaderError("its settings do not say the clock rate") from error
    if (resolution := settings.get("camera resolution", "").strip()) and re.fullmatch(r"\d+x\d+", resolution):
        facts["width"], facts["height"] = (int(n) for n in resolution.split("x"))
    return facts


def description(path: Path) -> dict[str, Any]:
    """Return what a JSON or TOML file of the same name says of raw samples; nothing when there is none."""
    import json
    import tomllib

    for ending, read in ((".json", json.loads), (".toml", tomllib.loads)):
        beside = path.with_suffix(ending)
        if not beside.is_file():
            continue
        try:
            if beside.stat().st_size > TEXT_LIMIT:
                raise HeaderError(f"{beside.name} beside it is too long for a description")
            told = read(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            if isinstance(error, HeaderError):
                raise
            raise HeaderError(f"the description {beside.name} beside it cannot be read ({error})") from error
        if not isinstance(told, dict) or "channels" not in told:
            # A file of that name that speaks of something else.
            continue
        if unknown := set(told) - DESCRIBED:
            known = ", ".join(sorted(DESCRIBED))
            raise HeaderError(f"{beside.name} beside it says {', '.join(sorted(unknown))}; known are {known}")
        return told
    return {}


def raw_binary(path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Number of samples of raw voltage; how it is written (``channels``, ``dtype``, ``rate``) must be stated."""
    import numpy as np

    missing = [name for name in ("channels", "rate", "dtype") if parameters.get(name) in (None, "")]
    if missing:
        raise HeaderError(
            f"raw binary has no header: state {', '.join(missing)} in parameters, such as"
            ' {"channels": 64, "rate": 30000, "dtype": "int16"}'
        )
    channels, rate = parameters["channels"], parameters["rate"]
    if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
        raise HeaderError(f"channels is {channels!r}; it is a whole number from 1 on")
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < math.inf:
        raise HeaderError(f"rate is {rate!r}; it is a number of Hz above 0")
    offset = parameters.get("header_bytes", 0)
    if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        raise HeaderError(f"header_bytes is {offset!r}; it is a number of bytes from 0 on")
    try:
        dtype = np.dtype(str(parameters["dtype"]))
    except TypeError as error:
        raise HeaderError(f"dtype is {parameters['dtype']!r}; it is a type such as int16 or float32") from error
    if dtype.kind not in "iuf":
        raise HeaderError(f"dtype is {parameters['dtype']!r}; it is a type of numbers such as int16")
    samples, rest = divmod(path.stat().st_size - offset, channels * dtype.itemsize)
    if rest or samples < 1:
        raise HeaderError(
            f"its {path.stat().st_size} bytes do not divide into {channels} channels of {dtype} after {offset} bytes"
        )
    facts = {
        "channels": channels,
        "rate": float(rate),
        "dtype": str(dtype),
        "samples": samples,
        "duration": samples / rate,
    }
    return facts if parameters.get("gain_to_uV") else {**facts, "asked": ["gain_to_uV"]}


def csv_table(path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Column names of a table."""
    start = first_bytes(path, TEXT_LIMIT)
    if not is_text(start):
        raise HeaderError("it is not text in UTF-8")
    text = start.decode(errors="ignore").removeprefix("\ufeff")
    try:
        dialect: Any = csv.Sniffer().sniff(text[:4096], delimiters=",;\t")
        rows = csv.reader(io.StringIO(text), dialect)
        header = next(rows)
    except (csv.Error, StopIteration):
        header = text.splitlines()[0].split(",") if text.splitlines() else []
    if not any(cell.strip() for cell in header):
        raise HeaderError("its first line is empty")
    return {"columns": [cell.strip()[:100] for cell in header[:200]]}


def video_at(path: str) -> dict[str, Any]:
    """Return what ``video`` does, by a path as text."""
    return video(Path(path), {})


def video(path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Codec, size, rate and duration of the first video stream."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise HeaderError("there is no video stream in it")
            stream = container.streams.video[0]
            facts: dict[str, Any] = {
                "codec": stream.codec_context.name,
                "width": stream.codec_context.width,
                "height": stream.codec_context.height,
            }
            if stream.frames:
                facts["frames"] = stream.frames
            if stream.average_rate:
                facts["rate"] = float(stream.average_rate)
            if stream.duration is not None and stream.time_base:
                facts["duration"] = float(stream.duration * stream.time_base)
            elif container.duration:
                facts["duration"] = container.duration / 1e6
            # The index at the front of a file tells of pictures that the end of a cut one no longer has.
            if "mp4" in container.format.name:
                end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
                size = path.stat().st_size
                if end > size:
                    raise HeaderError(f"the video is cut: it has {size} bytes, its index speaks of {end}")
    except av.FFmpegError as error:
        raise HeaderError(f"the video is damaged ({error.strerror})") from error
    if not facts["width"] or not facts["height"]:
        raise HeaderError("the video has no picture size")
    return facts


def mjpeg_segment(path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """A segment starts with a picture (JPEG, H.264), a frame table with its mark; the recorder knows the rest."""
    start = first_bytes(path, 4)
    if not start.startswith((b"\xff\xd8\xff", b"\0\0\1", b"\0\0\0\1", b"LABT")):
        raise HeaderError(f"it starts with {start!r}, neither a picture nor a frame table")
    return {}
