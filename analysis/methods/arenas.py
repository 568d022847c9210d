"""What a person draws on a picture: the arenas that animals are in, and the scale that makes px to cm.

A picture taken straight from above has one scale, told by two points and their distance. Where the camera looks at an
angle, four corners of a rectangle on the floor and its sides give the homography from the picture to the floor. Source:
Hartley and Zisserman 2004, Multiple View Geometry, 2nd ed., section 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

Array = NDArray[np.floating]
Points = Sequence[tuple[float, float]]

# px^2; what is smaller was drawn by mistake.
LEAST_AREA = 100.0


def check_outline(shape: Literal["polygon", "circle"], points: Points) -> None:
    """Check an arena's outline; ``InvalidDataError`` when it encloses nothing or crosses itself.

    A polygon has its corners in order (px), a circle its centre and one point of its edge.
    """
    if shape == "circle":
        if len(points) != 2:
            raise InvalidDataError(f"A circle is its centre and one point of its edge, not {len(points)} points.")
        if np.pi * _distance(*points) ** 2 < LEAST_AREA:
            raise InvalidDataError("The circle is too small.")
        return
    if len(points) < 3:
        raise InvalidDataError(f"A polygon has three corners or more, not {len(points)}.")
    sides = list(zip(points, [*points[1:], points[0]], strict=True))
    for (first, one), (second, other) in combinations(enumerate(sides), 2):
        neighbours = second - first in (1, len(sides) - 1)
        if not neighbours and _cross(*one, *other):
            raise InvalidDataError("The sides of the polygon cross each other; draw its corners in order.")
    x, y = np.asarray(points, float).T
    if abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2 < LEAST_AREA:
        raise InvalidDataError("The polygon is too small.")


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


def _side(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Return on which side of the line from a to b the point c is: above 0 on one, below 0 on the other."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _cross(
    a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], d: tuple[float, float]
) -> bool:  # fmt: skip
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def mask_of(
    shape: Literal["polygon", "circle"], points: Points, *, height: int, width: int
) -> NDArray[np.uint8]:  # fmt: skip
    """Return the inside of an outline (px) as a picture ``(height, width)`` of 0 and 255.

    Errors: ``InvalidDataError`` when no part of it is inside the picture.
    """
    import cv2

    mask = np.zeros((height, width), np.uint8)
    # Four binary digits of a fraction of a px.
    corners = np.rint(np.asarray(points, float) * 16).astype(np.int32)
    if shape == "circle":
        centre = (int(corners[0, 0]), int(corners[0, 1]))
        cv2.circle(mask, centre, round(16 * _distance(points[0], points[1])), 255, -1, cv2.LINE_8, 4)
    else:
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_8, 4)
    if not mask.any():
        raise InvalidDataError(f"An arena lies outside the picture of {width} x {height} px.")
    return mask


@dataclass(frozen=True)
class Scale:
    """From px of a picture to lengths in ``unit``: ``matrix`` ``(3, 3)`` is the homography."""

    matrix: Array
    unit: str

    def __call__(self, xy: Array) -> Array:
        """Return places ``(n, 2)`` (px) in the scale's unit."""
        full = np.column_stack([xy, np.ones(len(xy))]) @ self.matrix.T
        return full[:, :2] / full[:, 2:]

    def heading(self, xy: Array, heading: Array) -> Array:
        """Return directions (rad) ``(n,)`` in the picture at places ``(n, 2)`` (px) as directions on the floor."""
        ahead = self(xy + 0.5 * np.stack([np.cos(heading), np.sin(heading)], axis=1)) - self(xy)
        return np.arctan2(ahead[:, 1], ahead[:, 0])

    def length(self, at: Array, pixels: float) -> float:
        """Return a short length (px) at a place ``(2,)`` (px) in the unit, as the mean over directions."""
        corners = self(np.asarray(at, float) + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        across, down = corners[1] - corners[0], corners[2] - corners[0]
        return pixels * float(np.sqrt(abs(across[0] * down[1] - across[1] * down[0])))


def uniform(per_unit: float, unit: str) -> Scale:
    """Return the scale of a picture with ``per_unit`` px in one ``unit``."""
    return Scale(np.diag([1 / per_unit, 1 / per_unit, 1.0]), unit)


def from_distance(points: Points, distance_cm: float) -> Scale:
    """Return the scale that two points (px) and their distance (cm) tell; ``InvalidDataError`` when they are one."""
    if len(points) != 2:
        raise InvalidDataError(f"A distance is between two points, not {len(points)}.")
    apart = _distance(points[0], points[1])
    if apart < 5:
        raise InvalidDataError("The two points of the distance are closer than 5 px.")
    return uniform(apart / distance_cm, "cm")


def from_corners(points: Points, width_cm: float, height_cm: float) -> Scale:
    """Return the scale that the corners (px) of a rectangle on the floor tell; the first is at 0, 0.

    From the first corner to the second it is ``width_cm``, from the second to the third ``height_cm``. Errors:
    ``InvalidDataError`` when they are not four corners of a convex quadrangle, as any view of a rectangle has.
    """
    if len(points) != 4:
        raise InvalidDataError(f"A rectangle has four corners, not {len(points)}.")
    check_outline("polygon", points)
    turns = [_side(points[k], points[(k + 1) % 4], points[(k + 2) % 4]) for k in range(4)]
    if not (min(turns) > 0 or max(turns) < 0):
        raise InvalidDataError("The four corners are no view of a rectangle: one of them lies within the others.")
    floor = np.array([[0, 0], [width_cm, 0], [width_cm, height_cm], [0, height_cm]], float)
    # Eight equations for the eight unknowns of a homography whose last element is 1.
    rows, wanted = [], []
    for (x, y), (u, v) in zip(points, floor, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    matrix = np.append(np.linalg.solve(np.array(rows, float), np.array(wanted, float)), 1.0).reshape(3, 3)
    return Scale(matrix, "cm")
