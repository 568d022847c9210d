"""What an administrator says of a command: its arguments, what it reads, its parameters, and what it leaves.

A declaration is data, checked here and kept in the database; ``commands`` runs it. An argument is literal text with
named places in it: ``{input.units}`` (path of the file, or of each of them), ``{output.result.csv}`` (where to write),
``{param.threshold}``, ``{seed}``, ``{folder}``; a brace itself is written twice. There is no shell: what is put in is
one argument, whatever it holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from analysis.pipelines.base import KINDS, Input, Parameters

NUMBERS = "numbers"
# Letters, digits and these: what no program takes for something else. An administrator may allow more by a pattern.
USUAL_TEXT = r"^[\w .,:+=-]*$"
_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
# What follows one of the options of one of these is a program's text, in which a value would be read as code.
_INTERPRETER = re.compile(r"(|ba|da|z|k|fi)sh|python[\d.]*|perl|ruby|node|php|julia|R|Rscript|matlab|octave(-cli)?")
_CODE = re.compile(r"-[a-z]{0,2}[cer]|-E|--eval|--execute|--command|--print|-batch|-p")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOST = 50
_LONGEST = 4000
_WEEK = 7 * 24 * 3600


class _Stated(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DeclaredInput(_Stated):
    """Recordings that the command reads."""

    name: str
    kinds: tuple[str, ...] = Field(min_length=1, max_length=len(KINDS))
    summary: str = Field("", max_length=300)
    minimum: int = Field(1, ge=0, le=100)
    maximum: int = Field(1, ge=1, le=100)

    @model_validator(mode="after")
    def _sound(self) -> DeclaredInput:
        _word(self.name)
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise ValueError(f"There is no kind {', '.join(unknown)}; the kinds are {', '.join(KINDS)}")
        if self.minimum > self.maximum:
            raise ValueError(f"{self.name} takes {self.minimum} to {self.maximum} recordings")
        return self


class DeclaredParameter(_Stated):
    """A number with its unit and range, a choice, or a text that fits a pattern."""

    name: str
    kind: Literal["number", "integer", "choice", "text"]
    summary: str = Field(min_length=1, max_length=300)
    unit: str = Field("", max_length=40)
    default: float | int | str | None = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = Field((), max_length=100)
    pattern: str = Field("", max_length=200)
    longest: int = Field(200, ge=1, le=_LONGEST)

    @property
    def is_number(self) -> bool:
        """Whether it is a number."""
        return self.kind in ("number", "integer")

    @model_validator(mode="after")
    def _sound(self) -> DeclaredParameter:
        _word(self.name)
        if self.is_number and not self.unit:
            raise ValueError(f'{self.name} is a number without a unit; write "1" where it has none')
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError(f"{self.name} must {'name its' if self.kind == 'choice' else 'not have'} choices")
        if any(_unsafe(choice) or choice.startswith("-") for choice in self.choices):
            raise ValueError(f"A choice of {self.name} begins with a hyphen or has a line break")
        try:
            model = create_model("one", __base__=Parameters, **{self.name: self.field()})
            if self.default is not None:
                model.model_validate({self.name: self.default})
        except ValidationError as error:
            raise ValueError(f"The default of {self.name} does not fit: {error.errors()[0]['msg']}") from error
        except Exception as error:
            # The engine of patterns has its own errors for one that it cannot read.
            raise ValueError(f"The pattern of {self.name} cannot be read: {error}") from error
        return self

    def field(self) -> Any:
        """Return type and field, as ``pydantic.create_model`` takes them."""
        more: dict[str, Any] = {"description": self.summary}
        default: Any = ... if self.default is None else self.default
        if self.is_number:
            more |= {"json_schema_extra": {"unit": self.unit}}
            more |= {name: limit for name, limit in (("ge", self.least), ("le", self.most)) if limit is not None}
            return (float if self.kind == "number" else int), Field(default, **more)
        if self.kind == "choice":
            return Literal[self.choices], Field(default, **more)
        more |= {"max_length": self.longest, "pattern": self.pattern or USUAL_TEXT}
        return Annotated[str, _HARMLESS], Field(default, **more)


class DeclaredOutput(_Stated):
    """A file that the command leaves.

    With a ``kind`` it becomes a recording of the session in ``format``; ``numbers`` is a JSON of numbers for the page;
    without one it is a file of the result.
    """

    name: str
    kind: str = ""
    format: str = Field("", max_length=40)
    summary: str = Field("", max_length=300)
    required: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)
    rate: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _sound(self) -> DeclaredOutput:
        if not _FILE.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is no name of a file: letters, digits, dots, hyphens and underscores, no folder, and a"
                " letter or digit first"
            )
        if self.kind not in ("", NUMBERS, *KINDS):
            raise ValueError(
                f"{self.name}: there is no kind {self.kind}; leave it out, or {NUMBERS}, {', '.join(KINDS)}"
            )
        if (self.kind in KINDS) != bool(self.format):
            raise ValueError(f"{self.name}: a recording needs its format, and only a recording has one")
        return self


class Declaration(_Stated):
    """All of a command. ``timeout`` in seconds, ``largest`` in bytes for each file that it leaves."""

    argv: tuple[str, ...] = Field(min_length=1, max_length=200)
    inputs: tuple[DeclaredInput, ...] = Field(min_length=1, max_length=_MOST)
    parameters: tuple[DeclaredParameter, ...] = Field((), max_length=_MOST)
    outputs: tuple[DeclaredOutput, ...] = Field(min_length=1, max_length=_MOST)
    timeout: float = Field(3600.0, gt=0, le=_WEEK)
    largest: int = Field(10_000_000_000, gt=0)
    environment: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sound(self) -> Declaration:
        for named in (self.inputs, self.parameters, self.outputs):
            names = [one.name for one in named]
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"{', '.join(sorted(twice))} is named twice")
        if not any(one.minimum for one in self.inputs):
            raise ValueError("The command must read at least one recording")
        for name, value in self.environment.items():
            if not _VARIABLE.fullmatch(name) or name.startswith("LAB_") or "\0" in value:
                raise ValueError(f"{name!r} is no variable that a command may be given")
        self._check_arguments()
        return self

    def _check_arguments(self) -> None:
        if any(places_of(self.argv[0])) or not self.argv[0]:
            raise ValueError("The program, the first argument, must stand for itself, with nothing put in")
        if "/" in self.argv[0] and not self.argv[0].startswith("/"):
            raise ValueError("Name the program by its whole path, or by its name alone")
        known = {f"input.{one.name}" for one in self.inputs} | {f"output.{one.name}" for one in self.outputs}
        known |= {f"param.{one.name}" for one in self.parameters} | {"seed", "folder"}
        harmless = {f"param.{one.name}" for one in self.parameters if one.is_number or one.kind == "choice"} | {"seed"}
        several = {f"input.{one.name}" for one in self.inputs if one.maximum > 1}
        runs_code = any(_INTERPRETER.fullmatch(argument.rpartition("/")[2]) for argument in self.argv)
        for before, argument in zip(("", *self.argv), self.argv, strict=False):
            if "\0" in argument or len(argument) > _LONGEST:
                raise ValueError(f"An argument has at most {_LONGEST} characters")
            named = places_of(argument)
            if unknown := [name for name in named if name not in known]:
                raise ValueError(f"{{{unknown[0]}}} is nothing that was declared; there are {', '.join(sorted(known))}")
            if runs_code and _CODE.fullmatch(before) and (bad := [name for name in named if name not in harmless]):
                raise ValueError(
                    f"{{{bad[0]}}} stands in code (after {before}), where a program would run what it holds; put the"
                    " code into a file and give this as an argument of its own"
                )
            if argument != f"{{{named[0] if named else ''}}}" and (many := [name for name in named if name in several]):
                raise ValueError(f"{{{many[0]}}} may be several files and must be an argument by itself")

    def pipeline_inputs(self) -> tuple[Input, ...]:
        """Return the inputs as a pipeline has them."""
        return tuple(Input(one.kinds, one.summary or one.name, one.minimum, one.maximum) for one in self.inputs)

    def parameter_model(self, name: str) -> type[Parameters]:
        """Return the class of the parameters."""
        fields: dict[str, Any] = {one.name: one.field() for one in self.parameters}
        return create_model(f"{name}_parameters", __base__=Parameters, **fields)


def declared(value: Any) -> Declaration:
    """Return a declaration from JSON; ``ValueError`` with one sentence that says where it is wrong."""
    if not isinstance(value, Mapping):
        raise ValueError("A declaration is an object with argv, inputs, parameters and outputs.")  # noqa: TRY004
    try:
        return Declaration.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        text = problem["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}: {text}." if place else f"{text}.") from error


def places_of(argument: str) -> list[str]:
    """Return the names in braces of an argument; ``ValueError`` when they are not written as they must be."""
    found = []
    for _, name, conversion, shape in _parsed(argument):
        if name is None:
            continue
        if conversion or shape:
            raise ValueError(f"{{{name}}} may have nothing beside its name")
        found.append(name)
    return found


def filled(argument: str, values: Mapping[str, str]) -> str:
    """Return an argument with the values put in, each as it is."""
    return "".join(text + ("" if name is None else values[name]) for text, name, _, _ in _parsed(argument))


def _parsed(argument: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        parsed = [(text, name, conversion, shape) for text, name, shape, conversion in Formatter().parse(argument)]
    except ValueError as error:
        raise ValueError(f"{argument!r}: a brace that is meant as such is written twice") from error
    return parsed


def number_text(value: float) -> str:
    """Return a number as any program reads it: all its digits, a dot, no thousands."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")
    return repr(float(value))


def _word(name: str) -> None:
    if not _WORD.fullmatch(name) or name.startswith("model_") or hasattr(BaseModel, name):
        raise ValueError(f"{name!r} is no name here: a small letter, then small letters, digits and underscores")


def _unsafe(text: str) -> bool:
    """Whether a text has what no argument should: control characters, and so line breaks."""
    return _CONTROL.search(text) is not None


def _harmless(text: str) -> str:
    if _unsafe(text):
        raise ValueError("A text is one line, without control characters")
    if text.startswith("-"):
        raise ValueError("A text that begins with a hyphen would be taken for an option; begin with something else")
    return text


_HARMLESS = AfterValidator(_harmless)
