"""A laboratory's own step: a typed Python function that ``@step`` makes into a pipeline.

The function's arguments say all: an ``InputRecording`` is a recording, a ``Run`` is the run itself (folder, seed,
progress, log), and every other one is a parameter with its unit and a sentence. What it returns is a mapping with what
``outputs`` names::

    @step(
        name="spikes.rate",
        version="1.0.0",
        inputs={"units": Input(("units",), "Sorted units.")},
        outputs={"rate": Number("Hz", "Spikes per second of all units together.")},
    )
    def rate(units: InputRecording, stop: Annotated[float, quantity("s", "Until when spikes count.", gt=0)] = 60.0):
        '''Counts the spikes of all units.'''
        return {"rate": (read_spikes(units).times < stop).sum() / stop}

It stays a function that a notebook can call. ``docs/own_steps.md`` has a whole package.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from analysis.pipelines.base import (
    DerivedRecording,
    Input,
    InputRecording,
    Metric,
    Output,
    Parameters,
    Pipeline,
    Run,
    places,
)

P = ParamSpec("P")
R = TypeVar("R")
_RECORDING = "recording"
_RUN = "run"


class StepError(TypeError):
    """A step is declared wrongly; its text says what to write instead."""


def quantity(unit: str, sentence: str, **limits: Any) -> Any:
    """Return the annotation of a number: its unit (``"1"`` where it has none), a sentence, and ``gt, ge, lt, le``."""
    return Field(description=sentence, json_schema_extra={"unit": unit}, **limits)


def setting(sentence: str, **limits: Any) -> Any:
    """Return the annotation of a parameter that is no number: a sentence, and limits such as ``max_length``."""
    return Field(description=sentence, **limits)


@dataclass(frozen=True)
class Number:
    """A metric: the function returns a number (or ``None``, where there is none to tell)."""

    unit: str
    definition: str
    label: str = ""
    headline: bool = False


@dataclass(frozen=True)
class Plot:
    """A figure: the function returns an ``analysis.figures.spec.Figure``."""


@dataclass(frozen=True)
class File:
    """A file of the result: the function returns its path below ``run.folder``."""


@dataclass(frozen=True)
class NewRecording:
    """A recording of the catalog: the function returns the path of its file below ``run.folder``, or several.

    ``parameters`` are what a reader needs to open it. A function that knows rate, channels or duration only when it has
    run returns a ``DerivedRecording`` of this kind and format instead.
    """

    kind: str
    format: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


Declared = Number | Plot | File | NewRecording


class Step(Generic[P, R]):
    """A function with the pipeline that was made of it: call it in a notebook; ``pipeline`` is what is queued."""

    def __init__(self, function: Callable[P, R], pipeline: type[Pipeline]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self.pipeline = pipeline

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self._function(*args, **kwargs)


def step(
    *,
    name: str,
    version: str,
    inputs: Mapping[str, Input],
    outputs: Mapping[str, Declared],
    summary: str = "",
    queue: str = "cpu",
) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Make a pipeline of a function.

    ``inputs`` names the arguments that are recordings; one that takes several is a ``tuple[InputRecording, ...]``, one
    that may be missing an ``InputRecording | None``. ``outputs`` names what the returned mapping holds. ``summary`` is
    the first sentence of the docstring where it is not given. Raise ``version`` with every change of what comes out:
    what was computed is not computed again for the same version. Errors: ``StepError`` for a wrong declaration.
    """

    def made(function: Callable[P, R]) -> Step[P, R]:
        arguments = _arguments(function)
        told = summary or _first_sentence(function)
        if not told:
            raise StepError(f"The step {name} says nothing of itself; begin its docstring with one sentence.")
        if not outputs:
            raise StepError(f"The step {name} declares no outputs.")
        _check_inputs(name, inputs, arguments)
        attributes = {
            "__doc__": inspect.getdoc(function),
            "__module__": function.__module__,
            "name": name,
            "version": version,
            "summary": told,
            "inputs": tuple(inputs.values()),
            "parameters": _parameters(name, function, arguments),
            "queue": queue,
            "function": staticmethod(function),
            "arguments": arguments,
            "input_names": tuple(inputs),
            "outputs": dict(outputs),
        }
        return Step(function, type(function.__name__, (_StepPipeline,), attributes))

    return made


class _StepPipeline(Pipeline):
    """Calls the function of a step with what a run has for it."""

    function: ClassVar[Callable[..., Any]]
    arguments: ClassVar[Mapping[str, _Argument]]
    input_names: ClassVar[tuple[str, ...]]
    outputs: ClassVar[Mapping[str, Declared]]

    def run(self, run: Run) -> Output:
        values: dict[str, Any] = self._recordings(run)
        for name, argument in self.arguments.items():
            if argument.is_a == _RUN:
                values[name] = run
            elif argument.is_a != _RECORDING:
                values[name] = getattr(run.parameters, name)
        return self._output(run.folder, type(self).function(**values))

    def _recordings(self, run: Run) -> dict[str, Any]:
        given: list[list[InputRecording]] = [[] for _ in self.inputs]
        taken = places(self.inputs, [recording.kind for recording in run.recordings])
        for recording, place in zip(run.recordings, taken, strict=True):
            if place is not None:
                given[place].append(recording)
        return {
            name: tuple(found) if wanted.maximum > 1 else (found[0] if found else None)
            for name, wanted, found in zip(self.input_names, self.inputs, given, strict=True)
        }

    def _output(self, folder: Path, returned: Any) -> Output:
        if not isinstance(returned, Mapping) or set(returned) != set(self.outputs):
            got = ", ".join(map(str, returned)) if isinstance(returned, Mapping) else type(returned).__name__
            raise TypeError(f"The step {self.name} returned {got or 'nothing'}; it declares {', '.join(self.outputs)}.")
        output = Output()
        for name, declared in self.outputs.items():
            self._add(output, folder, name, declared, returned[name])
        return output

    def _add(self, output: Output, folder: Path, name: str, declared: Declared, value: Any) -> None:
        from analysis.figures.spec import Figure

        match declared:
            case Number():
                if not (value is None or _is_number(value)):
                    raise TypeError(f"The step {self.name} returned {value!r} as {name}, which is no number.")
                output.metrics[name] = Metric(
                    value, declared.unit, declared.label or name, declared.definition, declared.headline
                )
            case Plot():
                if not isinstance(value, Figure):
                    raise TypeError(f"The step {self.name} returned {value!r} as {name}, which is no Figure.")
                output.figures.append(value)
            case File():
                output.artifacts.append(_below(folder, value))
            case NewRecording() if isinstance(value, DerivedRecording):
                if (value.kind, value.format) != (declared.kind, declared.format):
                    raise TypeError(
                        f"The step {self.name} returned {value.kind} as {value.format} for {name}; it declares"
                        f" {declared.kind} as {declared.format}."
                    )
                output.recordings.append(value)
            case NewRecording():
                files = [value] if isinstance(value, str | Path) else value
                made = tuple(_below(folder, file) for file in files)
                output.recordings.append(DerivedRecording(declared.kind, declared.format, made, declared.parameters))


def _is_number(value: Any) -> bool:
    value = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
    return isinstance(value, int | float)


def _below(folder: Path, file: str | Path) -> str:
    """Return the name of a file below the run's folder; whoever stores the result checks that it is there."""
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_absolute() and path.is_relative_to(folder) else str(path)


@dataclass(frozen=True)
class _Argument:
    """An argument of a step's function: a recording, the run, or a parameter of some type."""

    is_a: str
    annotation: Any
    default: Any
    several: bool = False
    optional: bool = False


def _arguments(function: Callable[..., Any]) -> dict[str, _Argument]:
    hints = typing.get_type_hints(function, include_extras=True)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise StepError(f"{function.__name__}: the argument {name} must be one that can be given by its name.")
        if name not in hints:
            raise StepError(f"{function.__name__}: say of the argument {name} what it is, as in `{name}: float`.")
        found[name] = _argument(hints[name], parameter.default)
    return found


def _argument(annotation: Any, default: Any) -> _Argument:
    if annotation is Run:
        return _Argument(_RUN, annotation, default)
    if annotation is InputRecording:
        return _Argument(_RECORDING, annotation, default)
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple and parts == (InputRecording, ...):
        return _Argument(_RECORDING, annotation, default, several=True)
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    if union and set(parts) == {InputRecording, type(None)}:
        return _Argument(_RECORDING, annotation, default, optional=True)
    return _Argument("parameter", annotation, default)


def _check_inputs(name: str, inputs: Mapping[str, Input], arguments: Mapping[str, _Argument]) -> None:
    recordings = {key: argument for key, argument in arguments.items() if argument.is_a == _RECORDING}
    if set(recordings) != set(inputs):
        raise StepError(
            f"The step {name} declares the inputs {', '.join(inputs) or 'none'}, and its function takes the recordings"
            f" {', '.join(recordings) or 'none'}."
        )
    for key, wanted in inputs.items():
        argument = recordings[key]
        if argument.several != (wanted.maximum > 1):
            raise StepError(
                f"The step {name} takes up to {wanted.maximum} as {key}; write"
                f" `{key}: {'tuple[InputRecording, ...]' if wanted.maximum > 1 else 'InputRecording'}`."
            )
        if wanted.maximum == 1 and argument.optional != (wanted.minimum == 0):
            raise StepError(
                f"The step {name} {'need not' if wanted.minimum == 0 else 'must'} have {key}; write"
                f" `{key}: InputRecording{' | None' if wanted.minimum == 0 else ''}`."
            )


def _parameters(name: str, function: Callable[..., Any], arguments: Mapping[str, _Argument]) -> type[Parameters]:
    fields: dict[str, Any] = {}
    for key, argument in arguments.items():
        if argument.is_a != "parameter":
            continue
        stated = [part for part in typing.get_args(argument.annotation) if isinstance(part, FieldInfo)]
        if not stated or not stated[0].description:
            raise StepError(
                f"The step {name} says nothing of its parameter {key}; write"
                f' `{key}: Annotated[float, quantity("s", "What it is.")]`, or setting("...") for what is no number.'
            )
        fields[key] = (argument.annotation, ... if argument.default is inspect.Parameter.empty else argument.default)
    model = create_model(
        f"{function.__name__}_parameters", __base__=Parameters, __module__=function.__module__, **fields
    )
    for key, described in model.model_json_schema().get("properties", {}).items():
        if _holds_number(described) and "unit" not in described:
            raise StepError(f'The step {name} says no unit of its parameter {key}; write quantity("s", "...").')
    return model


def _holds_number(described: Mapping[str, Any]) -> bool:
    inside: Sequence[Any] = [*described.get("anyOf", ()), described.get("items", {})]
    return described.get("type") in ("number", "integer") or any(_holds_number(part) for part in inside if part)


def _first_sentence(function: Callable[..., Any]) -> str:
    first = " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) ", first, maxsplit=1)[0]
