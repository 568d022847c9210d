"""The form of a pipeline's parameters, made from their JSON Schema: labels, units, defaults and limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.http import QueryDict

    from analysis.pipelines.base import Pipeline

PREFIX = "p."
NUMBERS = {"number": "any", "integer": "1"}


@dataclass
class ParameterField:
    """One parameter as an input of a page. ``kind`` is number, integer, boolean, choice, list, text or json."""

    name: str
    label: str
    kind: str
    value: Any = ""
    unit: str = ""
    help: str = ""
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: list[tuple[str, str]] = field(default_factory=list)
    default: str = ""
    errors: list[str] = field(default_factory=list)
    prefix: str = PREFIX
    # Whether it says what the catalog knows of people, animals and sessions, which is for the laboratory alone.
    private: bool = False

    @property
    def html_name(self) -> str:
        """Name of the input."""
        return f"{self.prefix}{self.name}"

    @property
    def step(self) -> str:
        """Step of a number's input."""
        return NUMBERS.get(self.kind, "")

    @property
    def limits(self) -> str:
        """The range of a number in words."""
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{self.minimum:g} or more"
        return f"{self.maximum:g} or less" if self.maximum is not None else ""


def parameter_fields(
    pipeline: Pipeline, values: Mapping[str, Any] | None = None, prefix: str = PREFIX
) -> list[ParameterField]:
    """Return the inputs of a pipeline's parameters, in their order, filled with ``values`` or the defaults.

    ``prefix`` begins their names, so that a form may have several pipelines.
    """
    schema = pipeline.parameters.model_json_schema()
    properties = schema.get("properties", {})
    fields = []
    for name, stated in properties.items():
        described = _resolved(stated, schema.get("$defs", {}))
        unit = described.get("unit", "")
        if unit in properties and unit != name:
            # The unit is chosen by another parameter.
            unit = f"in {_label(unit, properties[unit])}".lower()
        default = described.get("default")
        value = values[name] if values is not None and name in values else default
        kind, choices = _kind(described)
        fields.append(
            ParameterField(
                name=name,
                label=_label(name, described),
                kind=kind,
                value=_shown(value, kind),
                unit=unit,
                help=described.get("description", ""),
                nullable=described.get("nullable", False),
                minimum=described.get("minimum", described.get("exclusiveMinimum")),
                maximum=described.get("maximum", described.get("exclusiveMaximum")),
                choices=choices,
                default=_shown(default, kind) if default is not None and kind != "boolean" else "",
                prefix=prefix,
                private=described.get("private") is True,
            )
        )
    return fields


def parameter_table(pipeline: str, version: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return label, value, unit, description and ``private`` of a job's parameters in order.

    Also for a pipeline that is gone: then of what is there.
    """
    from analysis import offered

    known = offered.known(pipeline, version)
    fields = parameter_fields(known) if known else []
    rows = [
        {
            "label": described.label,
            "value": parameters[described.name],
            "unit": _chosen(described.unit, parameters),
            "help": described.help,
            "private": described.private,
        }
        for described in fields
        if described.name in parameters
    ]
    named = {described.name for described in fields}
    rest = [
        {"label": name.replace("_", " "), "value": value, "unit": "", "help": "", "private": False}
        for name, value in parameters.items()
        if name not in named
    ]
    return [*rows, *rest]


def _chosen(unit: str, parameters: Mapping[str, Any]) -> str:
    """Return a unit, or the value of the parameter that chooses it."""
    return str(parameters.get(unit.removeprefix("in ").replace(" ", "_"), "")) if unit.startswith("in ") else unit


def posted_parameters(pipeline: Pipeline, posted: QueryDict, prefix: str = PREFIX) -> dict[str, Any]:
    """Return the parameters of a posted form; what cannot be read is passed on as text, for the validation to name."""
    values: dict[str, Any] = {}
    for described in parameter_fields(pipeline, prefix=prefix):
        if described.kind == "boolean":
            values[described.name] = described.html_name in posted
            continue
        text = posted.get(described.html_name, "").strip()
        if not text:
            if described.nullable:
                values[described.name] = None
            continue
        values[described.name] = _read(text, described)
    return values


def _read(text: str, described: ParameterField) -> Any:
    try:
        match described.kind:
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "list":
                return [_item(part.strip()) for part in text.split(",") if part.strip()]
            case "json":
                return json.loads(text)
            case "choice":
                return next((json.loads(value) for value, _ in described.choices if value == text), text)
    except ValueError:
        return text
    return text


def _item(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _resolved(stated: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a property's schema with references followed and ``null`` taken out of its alternatives."""
    described = dict(stated)
    if "$ref" in described:
        group = definitions[described["$ref"].rpartition("/")[2]]
        # The title of a group is the name of its class, which is nothing for people.
        described = {**{name: value for name, value in group.items() if name != "title"}, **described}
    alternatives = described.get("anyOf", [])
    kept = [option for option in alternatives if option.get("type") != "null"]
    if alternatives and len(kept) == 1:
        described = {**_resolved(kept[0], definitions), **described, "nullable": len(kept) < len(alternatives)}
        described.pop("anyOf")
    return described


def _kind(described: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    if "enum" in described:
        return "choice", [(json.dumps(value), str(value)) for value in described["enum"]]
    kind = described.get("type")
    if kind in ("number", "integer", "boolean"):
        return kind, []
    if kind == "string":
        return "text", []
    if kind == "array" and described.get("items", {}).get("type") in ("number", "integer", "string"):
        return "list", []
    return "json", []


def _shown(value: Any, kind: str) -> Any:
    if kind == "boolean":
        return bool(value)
    if value is None:
        return ""
    if kind == "list" and isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    if kind in ("choice", "json") and not (kind == "json" and isinstance(value, str)):
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value)


def _label(name: str, described: Mapping[str, Any]) -> str:
    title = described.get("title", "")
    # Pydantic's own title is every word of the name with a capital; people write a label like a sentence.
    own = name.replace("_", " ").title()
    return name.replace("_", " ").capitalize() if not title or title == own else title
