"""What all readers share: which file to open, what the recording says about it, and how a damaged file is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError

if TYPE_CHECKING:
    import h5py

# Columns of text tables that hold a time in seconds; the first is the name that ours have.
TIMES = ("time", "t", "time_s", "timestamp", "seconds")
# Further columns of such tables that are times, too.
TIME_COLUMNS = (*TIMES, "odour_on", "poke_out", "end")

# What h5py raises on files that are damaged inside.
HDF5_PROBLEMS = (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError)


def data_file(recording: InputRecording) -> Path:
    """Return the one data file of a recording; it exists and is not empty."""
    files = [file for file in recording.files if file.role == "data"] or list(recording.files)
    if len(files) != 1:
        raise PipelineError(
            f"The {recording.kind} recording {_name(recording)} should have one data file, not {len(files)}."
        )
    return sound_file(files[0].path)


def sound_file(path: Path) -> Path:
    """Return the path when there is a file with something in it; say in one sentence when not."""
    try:
        size = path.stat().st_size
    except OSError:
        raise PipelineError(f"The file {path.name} is not where the catalog says it is.") from None
    if not path.is_file():
        raise PipelineError(f"{path.name} is not a file.")
    if size == 0:
        raise PipelineError(f"The file {path.name} is empty.")
    return path


def wrong_format(recording: InputRecording, wanted: str, known: tuple[str, ...]) -> PipelineError:
    """Return the error for a format that has no reader for what is wanted."""
    return PipelineError(
        f"The recording {_name(recording)} has the format {recording.format!r}, which holds no {wanted} "
        "that can be read "
        f"here; known are {', '.join(known)}."
    )


def ask(recording: InputRecording, name: str, meaning: str) -> Any:
    """Return a parameter of the recording, or raise the sentence that asks for it."""
    value = recording.parameters.get(name)
    if value is None:
        raise PipelineError(
            f"The file of the recording {_name(recording)} does not say its {meaning}: set the parameter "
            f"{name!r} of the recording."
        )
    return value


def positive(recording: InputRecording, name: str, meaning: str) -> float:
    """Return a parameter that has to be a number above zero."""
    value = recording.rate if name == "rate" and recording.rate is not None else ask(recording, name, meaning)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not (number > 0 and np.isfinite(number)):
        raise PipelineError(
            f"The parameter {name!r} of the recording {_name(recording)} must be a number above zero, not {value!r}."
        )
    return number


def time_offset(recording: InputRecording) -> float:
    """Return what is added to the recording's times (s): parameter ``time_offset``, 0 unless given."""
    value = recording.parameters.get("time_offset", 0.0)
    if not isinstance(value, int | float) or not np.isfinite(value):
        raise PipelineError(f"The parameter 'time_offset' must be a number of seconds, not {value!r}.")
    return float(value)


@contextmanager
def damage(path: Path, what: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn the errors that a parsing library raises on a bad file into one sentence."""
    try:
        yield
    except PipelineError:
        raise
    except MemoryError:
        raise PipelineError(
            f"The file {path.name} asks for more memory than there is: it is damaged, or too large to be read at once."
        ) from None
    except errors as error:
        reason = first_line(error, longest=160)
        raise PipelineError(f"The file {path.name} is not a sound {what}: {reason.rstrip('.')}.") from error


def first_line(error: Exception, *, longest: int) -> str:
    """Return the first line that an error of a library says, cut to ``longest`` letters; its kind where it says none.

    Some raise without a word, or with an empty first line.
    """
    said = str(error).strip()
    return said.splitlines()[0][:longest] if said else type(error).__name__


@contextmanager
def hdf5(path: Path, what: str, *errors: type[Exception]) -> Iterator[h5py.File]:
    """Open an HDF5 file that keeps to itself: one with parts that lie in other files of this machine is refused."""
    import h5py

    with damage(path, what, *(errors or HDF5_PROBLEMS)), h5py.File(path, "r") as file:
        # Looked at after the visit: h5py lets no error out of it.
        links: list[tuple[str, Any]] = []
        file.visititems_links(lambda name, link: links.append((name, link)))
        for name, link in links:
            if isinstance(link, h5py.ExternalLink):
                raise PipelineError(f"{path.name} has a part ({name}) that is a link to another file.")
            item = file[name] if isinstance(link, h5py.HardLink) else None
            if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                raise PipelineError(f"{path.name} has samples ({name}) that lie in another file.")
        yield file


def check_hdf5(path: Path, what: str) -> None:
    """Refuse an HDF5 file that cannot be opened or has parts in other files, before a library opens it."""
    with hdf5(path, what):
        pass


def load_npy(path: Path) -> NDArray:
    """Return the array of a ``.npy`` file, mapped and not read; one that holds objects is refused."""
    sound_file(path)
    with damage(path, ".npy file", OSError, ValueError, EOFError, TypeError, OverflowError):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise PipelineError(f"The file {path.name} is an .npz archive, not one .npy array.")
    return array


def load_npz(path: Path, wanted: tuple[str, ...], optional: tuple[str, ...] = ()) -> Mapping[str, NDArray]:
    """Return the named arrays of an ``.npz`` file."""
    import zipfile
    import zlib

    problems = (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError)
    with damage(path, ".npz file", *problems), path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise PipelineError(f"The file {path.name} holds one array; an .npz with {', '.join(wanted)} was expected.")
        with archive:
            missing = [name for name in wanted if name not in archive.files]
            if missing:
                raise PipelineError(
                    f"The file {path.name} has no array {missing[0]!r}; it has {', '.join(archive.files) or 'none'}."
                )
            return {name: archive[name] for name in (*wanted, *optional) if name in archive.files}


def numbers(path: Path, name: str, values: NDArray) -> NDArray[np.floating]:
    """Return values as float64, or say that they are no numbers."""
    if values.dtype.kind not in "iufb":
        raise PipelineError(f"{name!r} in {path.name} should be numbers, not {values.dtype}.")
    return np.asarray(values, np.float64)


def one_text(values: NDArray) -> str:
    """Return a string that was stored as an array of one string."""
    return str(values.ravel()[0]) if values.size else ""


def read_table(path: Path) -> dict[str, list[str]]:
    """Return a text table as columns by lower-case name.

    The first line names them, separators are found by themselves.
    """
    import csv

    problems = (OSError, UnicodeDecodeError, csv.Error)
    with damage(path, "text table", *problems), path.open(newline="", encoding="utf-8-sig") as lines:
        head = lines.readline()
        separator = max(",;\t", key=head.count)
        names = [name.strip().strip('"').lower() for name in head.rstrip("\r\n").split(separator)]
        rows = [row for row in csv.reader(lines, delimiter=separator) if row]
    if not rows:
        raise PipelineError(f"The table {path.name} has no row below its first line.")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise PipelineError(
                f"Row {number} of {path.name} has {len(row)} columns; the first line names {len(names)}."
            )
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def table_numbers(path: Path, name: str, column: list[str]) -> NDArray[np.floating]:
    """Return a column as float64; empty cells are NaN."""
    values = np.full(len(column), np.nan)
    for row, cell in enumerate(column):
        try:
            values[row] = float(cell) if cell.strip() else np.nan
        except ValueError:
            raise PipelineError(
                f"Column {name!r} of {path.name} has {cell!r} in row {row + 2}, which is no number."
            ) from None
    return values


def _name(recording: InputRecording) -> str:
    return recording.label or recording.id
