"""The notebook of a bundle: Figure 1, 2, 3, drawn from the bundle's own data by the bundle's own code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.export.bundle import BundledResult

_BEGIN = '''\
import json
from pathlib import Path

from IPython.display import SVG, display

from figures.paper import render
from figures.spec import Figure

HERE = Path("drawn-here")


def draw(name):
    """Draw a figure of data/, keep it in drawn-here/, show it, and return its panels with their numbers."""
    figure = Figure.from_json(json.loads(Path("data", f"{name}.json").read_text(encoding="utf-8")))
    HERE.mkdir(exist_ok=True)
    for kind in ("svg", "pdf"):
        (HERE / f"{name}.{kind}").write_bytes(render(figure, kind))
    display(SVG((HERE / f"{name}.svg").read_text(encoding="utf-8")))
    return figure'''

_NUMBERS = """\
numbers = json.loads(Path("numbers.json").read_text(encoding="utf-8"))
for name, number in numbers.items():
    print(f"{number.get('label') or name}: {number['value']} {number['unit']}")"""

_COMPARE = """\
for then in sorted(Path("drawn").glob("*.svg")):
    same = then.read_bytes() == (HERE / then.name).read_bytes()
    print(then.name, "- the same to the byte" if same else "- other bytes: other fonts or versions than the site's")"""


def drawing_notebook(result: BundledResult) -> bytes:
    """Return the notebook as a file of nbformat 4; the same result gives the same bytes."""
    import nbformat

    cells = [
        _text(f"# {result.title}\n\n{result.summary}".strip()),
        _text(result.methods),
        _text("What draws: `figures/` holds the site's own code, `data/` the numbers of each figure."),
        _code(_BEGIN),
    ]
    for figure in result.figures:
        cells.append(_text(f"## Figure {figure.number}. {figure.title}\n\n{figure.caption}"))
        cells.append(_code(f'figure_{figure.number} = draw("{figure.stem}")'))
    if result.figures:
        cells += [
            _text(
                "## The numbers behind a figure\n\nEach layer of a panel is a line, points, a picture: plain arrays of"
                " NumPy, ready for another plot."
            ),
            _code("for panel in figure_1.panels:\n    for layer in panel.layers:\n        print(panel.title, layer)"),
        ]
    cells += [
        _text("## All numbers of the result"),
        _code(_NUMBERS),
        _text("## Is it what the site drew?"),
        _code(_COMPARE),
    ]
    for number, cell in enumerate(cells, start=1):
        # A name of its own would be drawn by lot, and the bytes would differ each time.
        cell["id"] = f"cell-{number}"
    notebook = nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )
    nbformat.validate(notebook)
    return f"{nbformat.writes(notebook)}\n".encode()


def _text(source: str) -> Any:
    from nbformat.v4 import new_markdown_cell

    return new_markdown_cell(source)


def _code(source: str) -> Any:
    from nbformat.v4 import new_code_cell

    return new_code_cell(source)
