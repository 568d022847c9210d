"""The paragraph on methods that goes with a result: what was computed, with which settings, from what, by what.

It is made of the result's provenance and of what the pipeline says of itself, so that it cannot tell anything else than
what was run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# So many characters of a hash tell files apart for a reader; the provenance has all of them.
_HASH = 12


@dataclass(frozen=True)
class Setting:
    """A parameter as a reader should meet it: what it is, in words, its value and its unit."""

    text: str
    value: Any
    unit: str = ""


def methods_paragraph(provenance: Mapping[str, Any], *, method: str, settings: Iterable[Setting]) -> str:
    """Return the paragraph: plain text, a few sentences.

    ``provenance`` is that of a result; ``method`` is one sentence on how the pipeline computes; ``settings`` come in
    the order in which they shall be read. What an older provenance does not know is left out, never guessed.
    """
    sentences = [
        _analysed(provenance),
        _sentence(method),
        _settings(settings, provenance.get("seed")),
        _software(provenance),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _analysed(provenance: Mapping[str, Any]) -> str:
    inputs = provenance.get("inputs", [])
    named = [f"the {_kind(each)} recording “{each['label']}” ({_files(each.get('files', []))})" for each in inputs]
    if not named or not provenance.get("pipeline"):
        return ""
    with_what = f"{provenance['pipeline']} {provenance.get('version', '')}".rstrip()
    code = _code(provenance.get("code", {}))
    if own := provenance.get("environment", {}).get("own_code"):
        code = _own_code(own) + (f", run by{code.removeprefix(' of')}" if code else "")
    listed = _listed(named)
    return f"{listed[:1].upper()}{listed[1:]} {'was' if len(named) == 1 else 'were'} analysed with {with_what}{code}."


def _kind(recording: Mapping[str, Any]) -> str:
    return "LFP" if recording["kind"] == "lfp" else str(recording["kind"])


def _files(files: list[Mapping[str, Any]]) -> str:
    if not files:
        return "no file"
    first = files[0]
    known = f", SHA-256 {first['sha256'][:_HASH]}" if first.get("sha256") else ""
    more = f", and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{first['name']}{known}{more}"


def _code(code: Mapping[str, Any]) -> str:
    if not code.get("labsite") and not code.get("commit"):
        return ""
    of = f" of Labsite {code['labsite']}".rstrip() if code.get("labsite") else " of Labsite"
    if code.get("commit"):
        changed = " with local changes" if code.get("changed_since_commit") else ""
        of += f" (commit {code['commit'][:_HASH]}{changed})"
    return of


def _own_code(own: Mapping[str, Any]) -> str:
    known = f" (SHA-256 {own['sha256'][:_HASH]})" if own.get("sha256") else ""
    return f" of {own['package']} {own['version']}".rstrip() + known


def _settings(settings: Iterable[Setting], seed: int | None) -> str:
    parts = [f"{_clause(setting.text)}: {_value(setting.value, setting.unit)}" for setting in settings]
    if seed is not None:
        parts.append(f"seed of random numbers: {seed}")
    return f"Settings were {'; '.join(parts)}." if parts else ""


def _clause(text: str) -> str:
    """Return the first statement of a sentence, fit to stand in a list."""
    first = re.split(r"[.;] |[.;]$", text.strip(), maxsplit=1)[0]
    # An abbreviation or a name keeps its capital.
    return first[:1].lower() + first[1:] if first[1:2].islower() or first[1:2] == " " else first


def _value(value: Any, unit: str) -> str:
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
        return f"{len(value)} given"
    if isinstance(value, list | tuple):
        return (", ".join(_value(each, "") for each in value) + f" {unit}").rstrip() if value else "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_value(each, '')}" for name, each in value.items()) or "none"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".rstrip()


def _software(provenance: Mapping[str, Any]) -> str:
    environment = provenance.get("environment", {})
    versions = environment.get("packages", {})
    used = [f"{name} {versions[name]}" for name in environment.get("used", []) if name in versions]
    python = f"Python {environment['python']}" if environment.get("python") else ""
    return f"Computed with {_listed([part for part in (python, *used) if part])}." if python or used else ""


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" and {parts[-1]}" if parts else ""


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith(".") else f"{text}."
