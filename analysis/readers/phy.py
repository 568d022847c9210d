"""Phy and Kilosort: sorted units in ``.npy`` files beside ``params.py``, which is read and never run."""

from __future__ import annotations

import ast
import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.contents import Contents, Probe, Units

_TABLES = ("cluster_group.tsv", "cluster_KSLabel.tsv", "cluster_groups.csv", "cluster_info.tsv")
_ARRAYS = ("spike_times.npy", "spike_clusters.npy", "spike_templates.npy", "amplitudes.npy", "channel_positions.npy",
           "channel_map.npy")  # fmt: skip
_LONGEST = 1 << 20


def open_phy(recording: InputRecording, path: Path) -> Contents:
    """Return the units of a folder; those labelled noise are left out. The clock rate is that of ``params.py``."""
    folder = path.parent
    if path.name not in _ARRAYS and path.name != "params.py":
        raise PipelineError(f"{path.name} is no file of Phy; register params.py or spike_times.npy.")
    settings = read_settings(folder / "params.py") if (folder / "params.py").is_file() else {}
    rate = settings.get("sample_rate")
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not rate > 0:
        rate = sources.positive(recording, "clockrate", "sampling rate in Hz (params.py is not there or does not say)")
    times = sources.load_npy(folder / "spike_times.npy")
    name = "spike_clusters.npy" if (folder / "spike_clusters.npy").is_file() else "spike_templates.npy"
    clusters = sources.load_npy(folder / name)
    times, clusters = times.reshape(-1), clusters.reshape(-1)
    if times.dtype.kind not in "iuf" or clusters.dtype.kind not in "iu" or times.shape != clusters.shape:
        raise PipelineError(f"spike_times.npy and {name} should be numbers, one for every spike.")
    if times.dtype.kind == "f" and not np.isfinite(times).all():
        raise PipelineError("spike_times.npy has times that are not finite.")
    ids, counts = np.unique(clusters, return_counts=True)
    labels = _labels(folder)
    kept = np.array([labels.get(int(number)) != "noise" for number in ids], bool)

    def read() -> list[NDArray[np.floating]]:
        return [np.sort(times[clusters == number] / float(rate)) for number in ids[kept]]

    told = [int(number) for number in ids[kept]]
    more: dict[str, Any] = {"clock_rate": float(rate)}
    if labels:
        words = sorted(set(labels.values()))
        more["labels"] = {word: sum(labels.get(int(n)) == word for n in ids) for word in words}
    if times.size:
        more["duration"] = float(times.max()) / float(rate)
    beside = ("params.py", *_ARRAYS, *_TABLES)
    files = (path, *(folder / one for one in beside if one != path.name and (folder / one).is_file()))
    return Contents(
        "phy", files, units=Units(tuple(map(str, told)), read, tuple(int(n) for n in counts[kept])),
        probe=_probe(folder), more=more,
    )  # fmt: skip


def read_settings(path: Path) -> dict[str, Any]:
    """Return the plain values that a ``params.py`` assigns to names; whatever else it says is not run and left out."""
    with sources.damage(path, "params.py", OSError, SyntaxError, ValueError, RecursionError):
        if path.stat().st_size > _LONGEST:
            raise PipelineError(f"{path.name} has {path.stat().st_size:,} bytes, too many for settings.")
        tree = ast.parse(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except (ValueError, TypeError, MemoryError, RecursionError):
                # An expression, which only Python could work out.
                continue
    return found


def _labels(folder: Path) -> dict[int, str]:
    """Return the label of each cluster, by hand where there is one, else Kilosort's."""
    for name in _TABLES:
        path = folder / name
        if not path.is_file() or not path.stat().st_size:
            continue
        with (
            sources.damage(path, "table of labels", OSError, UnicodeDecodeError, csv.Error),
            path.open(newline="", encoding="utf-8") as lines,
        ):
            rows = list(csv.reader(lines, delimiter="\t"))
        head = [cell.strip().lower() for cell in rows[0]]
        wanted = next((n for n in ("group", "kslabel") if n in head), None)
        if "cluster_id" not in head or wanted is None:
            continue
        number, word = head.index("cluster_id"), head.index(wanted)
        for line, row in enumerate(rows[1:], start=2):
            if len(row) != len(head) or not row[number].strip().isdigit():
                raise PipelineError(f"Row {line} of {name} has no cluster and label: {row!r:.80}.")
        return {int(row[number]): row[word].strip() for row in rows[1:] if row[word].strip()}
    return {}


def _probe(folder: Path) -> Probe | None:
    path = folder / "channel_positions.npy"
    if not path.is_file():
        return None
    positions = np.asarray(sources.load_npy(path))
    if positions.ndim != 2 or positions.shape[1] != 2 or positions.dtype.kind not in "iuf":
        raise PipelineError(f"{path.name} should be one pair for each channel, not of the shape {positions.shape}.")
    return Probe("as sorted", positions.astype(float))
