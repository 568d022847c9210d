"""Sets of sequence numbers, kept as ranges: hours of frames are a handful of pairs."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class SequenceSet:
    """A set of non-negative integers as sorted, disjoint, inclusive ranges."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in ranges:
            self.add_range(first, last)

    def add(self, number: int) -> None:
        self.add_range(number, number)

    def add_range(self, first: int, last: int) -> None:
        """Add ``first`` to ``last``, both inclusive; ValueError when they are the wrong way round."""
        if last < first or first < 0:
            raise ValueError(f"{first}..{last} is no range of sequence numbers")
        # The common case by far: the next frame.
        if self._last and first == self._last[-1] + 1:
            self._last[-1] = last
            return
        low = bisect_left(self._last, first - 1)
        high = bisect_right(self._first, last + 1)
        if low < high:
            first = min(first, self._first[low])
            last = max(last, self._last[high - 1])
        self._first[low:high] = [first]
        self._last[low:high] = [last]

    def discard(self, number: int) -> None:
        """Take one number out, if it is there."""
        self.discard_range(number, number)

    def discard_range(self, first: int, last: int) -> None:
        """Take ``first`` to ``last`` (both inclusive) out, those that are there."""
        low = bisect_left(self._last, first)
        high = bisect_right(self._first, last)
        if low >= high:
            return
        kept = [(self._first[low], first - 1), (last + 1, self._last[high - 1])]
        kept = [pair for pair in kept if pair[0] <= pair[1]]
        self._first[low:high] = [pair[0] for pair in kept]
        self._last[low:high] = [pair[1] for pair in kept]

    def __contains__(self, number: int) -> bool:
        index = bisect_left(self._last, number)
        return index < len(self._last) and self._first[index] <= number

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._first, self._last, strict=True))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self)

    def __bool__(self) -> bool:
        return bool(self._first)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SequenceSet) and (self._first, self._last) == (other._first, other._last)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SequenceSet({list(self)})"

    @property
    def lowest(self) -> int:
        return self._first[0]

    @property
    def highest(self) -> int:
        return self._last[-1]
