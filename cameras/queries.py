"""Numbers in the query of an address; ``Invalid`` names the parameter that is none."""

from __future__ import annotations

import math

from sessions.errors import Invalid


def whole_number(name: str, text: str | None, *, default: int, most: int, least: int = 1) -> int:
    """Return a whole number from ``least`` to ``most``, ``default`` where none was given."""
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        sentence = f"{name} is {text[:40]!r}, must be a whole number from {least} to {most}."
        raise Invalid(sentence, {name: [sentence]})
    return int(text)


def seconds(name: str, text: str | None, default: float) -> float:
    """Return a time in s since a recording's first frame, ``default`` where none was given."""
    if text is None or text.strip() == "":
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        sentence = f"{name} is {text[:40]!r}, must be a number of seconds since the first frame."
        raise Invalid(sentence, {name: [sentence]})
    return value
