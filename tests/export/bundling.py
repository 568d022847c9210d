"""Results of a few figures, and what is in the bundle of one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from analysis.export.bundle import BundledFigure, BundledResult
from analysis.figures import paper
from analysis.figures.spec import Axis, Figure, Image, Line, Panel, Points, Spans

PROVENANCE = {
    "pipeline": "decode.position",
    "version": "3",
    "seed": 7,
    "inputs": [{"label": "units CA1", "kind": "units", "files": [{"name": "units.nwb", "sha256": "ab" * 32}]}],
    "environment": {"python": "3.12.1", "platform": "Linux", "packages": {"scipy": "1.17.0", "numpy": "2.4.6"}},
}


def two_figures() -> list[Figure]:
    """A picture with a line over it, and three panels of one time axis (whose layout differs in its last bits)."""
    rng = np.random.default_rng(0)
    time = np.arange(0.0, 40.0, 0.25)
    speed = np.abs(np.sin(time / 3)) * 20
    speed[20:30] = np.nan
    seconds = Axis("time", "s")
    return [
        Figure(
            "posterior",
            "Posterior and true path",
            "The posterior of 160 bins of 250 ms, 20 places of 5 cm; the line is where the rat was.",
            (
                Panel(
                    seconds,
                    Axis("position", "cm"),
                    (
                        Image(rng.random((20, time.size)), 0, 40, 0, 100, label="probability"),
                        Line(time, 50 + 40 * np.sin(time / 3), "truth", "rat"),
                    ),
                ),
            ),
            span="full",
            aspect=0.4,
        ),
        Figure(
            "speed",
            "Speed and lost frames",
            "Running speed of 160 samples at 4 Hz, its square, and when the rat was lost.",
            (
                Panel(seconds, Axis("speed", "cm/s"), (Line(time, speed),), weight=5),
                Panel(seconds, Axis("squared", "cm²/s²"), (Points(time, speed**2),), weight=3),
                Panel(seconds, Axis("lost"), (Spans(np.array([5.0]), np.array([7.5])),), weight=0.6),
            ),
            shared=True,
        ),
    ]


def bundled(folder: Path, name: str = "decode.position-1a2b3c4d") -> BundledResult:
    """Write the files of a result into a folder; return what its bundle is made of."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = []
    for number, figure in enumerate(two_figures(), start=1):
        data, drawn = folder / f"{figure.name}.json", folder / f"{figure.name}.svg"
        data.write_text(json.dumps(figure.to_json()))
        # As the site does: what is drawn is what was kept.
        drawn.write_bytes(paper.render(Figure.from_json(json.loads(data.read_text())), "svg"))
        figures.append(BundledFigure(number, figure.name, figure.title, figure.caption, data, drawn))
    table = folder / "permutations.csv"
    table.write_text("shift,error\n1,30.5\n")
    return BundledResult(
        folder=name,
        pipeline="decode.position",
        version="3",
        title="decode.position 3: units CA1",
        summary="Position was decoded with a median error of 4.2 cm.",
        methods="The units recording “units CA1” was analysed with decode.position 3.",
        numbers={"median_error": {"value": 4.2, "unit": "cm", "label": "median error", "definition": "of all | bins"}},
        figures=tuple(figures),
        artifacts={"permutations.csv": table},
        recordings=(),
        provenance=PROVENANCE,
    )
