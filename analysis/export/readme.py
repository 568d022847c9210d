"""What somebody reads first who has been sent a bundle: what it is, how to draw its figures, what lies where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.export.bundle import BundledResult

_RUN = """\
    python3 -m venv env                                # Python 3.11 or newer
    env/bin/pip install -r requirements.txt            # the versions that drew the figures, with hashes
    env/bin/jupyter execute --inplace figures.ipynb    # or open it in Jupyter, VS Code, Colab"""

_FILES = """\
| file | what it is |
|---|---|
| `figures.ipynb` | draws every figure from `data/` by the code in `figures/`, as SVG and PDF in `drawn-here/` |
| `data/` | the numbers of each figure: panels, axes with units, layers |
| `drawn/` | the figures as the site drew them |
| `artifacts/` | files of the result, where it has some |
| `numbers.json` | every number with its unit and definition |
| `methods.txt` | the paragraph on methods |
| `provenance.json` | input files with their SHA-256, parameters, seed, code, machine |
| `requirements.txt` | what draws the figures; `environment.txt`: all that was there when the result was computed |
| `SHA256SUMS` | `sha256sum -c SHA256SUMS` tells whether a file has changed |"""


def readme(result: BundledResult) -> str:
    """Return the README of one result as Markdown."""
    parts = [f"# {result.title}", result.summary, _numbers(result.numbers)]
    if result.figures:
        parts += ["## Draw the figures", _RUN, "\n".join(f"{f.number}. {f.title}: {f.caption}" for f in result.figures)]
    parts += ["## Files", _FILES]
    if result.recordings:
        made = "\n".join(f"- {recording}" for recording in result.recordings)
        parts.append(
            f"The result also made recordings, which are too large for a bundle and stay in the catalog:\n\n{made}"
        )
    parts += ["## Methods", result.methods]
    return "\n\n".join(part for part in parts if part) + "\n"


def readme_of_several(results: Sequence[BundledResult]) -> str:
    """Return the README of a bundle of several results."""
    rows = [
        f"| [{each.folder}]({each.folder}/README.md) | {_cell(each.title)} | {_cell(each.summary)} |"
        for each in results
    ]
    table = "\n".join(["| folder | result | what was found |", "|---|---|---|", *rows])
    each = "Each folder stands by itself; its README says how to draw its figures."
    return f"# {len(results)} results\n\n{each}\n\n{table}\n"


def _numbers(numbers: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        f"| {_cell(each.get('label') or name)} | {_value(each.get('value'))} {each.get('unit', '')} |"
        f" {_cell(each.get('definition', ''))} |"
        for name, each in numbers.items()
    ]
    return "\n".join(["| quantity | value | definition |", "|---|---|---|", *rows]) if rows else ""


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else _cell(str(value))


def _cell(text: str) -> str:
    """Return a text that stays in its cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
