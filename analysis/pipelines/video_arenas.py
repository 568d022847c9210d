"""Arenas and calibration as parameters: what is drawn on a frame in the browser, or written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from analysis.methods.errors import InvalidDataError
from analysis.pipelines.base import Parameters

if TYPE_CHECKING:
    from analysis.methods.arenas import Scale

Coordinate = Annotated[float, Field(ge=-100_000, le=100_000)]
Point = tuple[Coordinate, Coordinate]
Length = Annotated[float, Field(gt=0, le=100_000)]

MOST_ARENAS = 32
MOST_CORNERS = 64


class DrawnArena(Parameters):
    """One arena with one animal; points in px from the top left corner of the picture."""

    name: str = Field(min_length=1, max_length=40, pattern=r"^\S(.*\S)?$")
    shape: Literal["polygon", "circle"] = "polygon"
    points: list[Point] = Field(min_length=2, max_length=MOST_CORNERS)

    @model_validator(mode="after")
    def _encloses(self) -> Self:
        from analysis.methods import arenas

        try:
            arenas.check_outline(self.shape, self.points)
        except InvalidDataError as error:
            raise ValueError(f"arena {self.name}: {error}") from error
        return self


class Calibration(Parameters):
    """Two points (px) and their ``distance_cm``; or four corners of a rectangle and its ``width_cm``, ``height_cm``."""

    points: list[Point] = Field(min_length=2, max_length=4)
    distance_cm: Length | None = None
    width_cm: Length | None = None
    height_cm: Length | None = None

    @model_validator(mode="after")
    def _makes_a_scale(self) -> Self:
        try:
            self.scale()
        except InvalidDataError as error:
            raise ValueError(f"calibration: {error}") from error
        return self

    def scale(self) -> Scale:
        """Return the scale that was drawn."""
        from analysis.methods import arenas

        if self.distance_cm is not None and self.width_cm is None and self.height_cm is None:
            return arenas.from_distance(self.points, self.distance_cm)
        if self.distance_cm is None and self.width_cm is not None and self.height_cm is not None:
            return arenas.from_corners(self.points, self.width_cm, self.height_cm)
        raise InvalidDataError("write either the distance of two points, or the width and the height of a rectangle")


def check_names(drawn: list[DrawnArena]) -> None:
    """Raise ``ValueError`` unless every arena has a name of its own: its recording is called by it."""
    names = [arena.name for arena in drawn]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two arenas have the name {twice[0]}")


class Drawing(Parameters):
    """All that is drawn on a frame of ``width`` x ``height`` px."""

    width: int = Field(ge=8, le=20_000)
    height: int = Field(ge=8, le=20_000)
    arenas: list[DrawnArena] = Field(default=[], max_length=MOST_ARENAS)
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        from analysis.methods import arenas

        check_names(self.arenas)
        for arena in self.arenas:
            try:
                arenas.mask_of(arena.shape, arena.points, height=self.height, width=self.width)
            except InvalidDataError as error:
                raise ValueError(f"arena {arena.name} lies outside the picture") from error
        return self
