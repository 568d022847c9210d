"""Pipelines whose work is many independent items, such as permutations: any worker may compute any of them.

An item's row of numbers depends on the inputs, the parameters, the seed and the item's number, and on nothing else. So
it does not matter who computes which items: rows put together in order are the same, and so is what is made of them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.pipelines.base import Output, Pipeline, PipelineError, Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The file in which a part leaves its rows.
ROWS = "rows.npy"
# Share of the work, as progress tells it, that the items are.
_ITEMS_SHARE = 0.9


@dataclass(frozen=True)
class Shard:
    """The rows of some items: where the file lies, and its SHA-256."""

    items: range
    path: Path
    sha256: str


class ShardedPipeline(Pipeline):
    """Base of pipelines that can be computed in parts; subclasses write the four functions below, and not ``run``."""

    def items(self, parameters: Any) -> int:  # noqa: ARG002 - the signature is what subclasses fill
        """Return how many items there are."""
        raise TypeError(f"{type(self).__name__} does not say how many items it has")

    def least_items(self, parameters: Any) -> int:  # noqa: ARG002
        """Return how many items are worth a job of their own: some seconds of work."""
        return 1

    def rows(self, run: Run, items: range) -> NDArray[Any]:  # noqa: ARG002
        """Compute items: one row of numbers each, ``(len(items), ...)``."""
        raise TypeError(f"{type(self).__name__} does not say how its items are computed")

    def gather(self, run: Run, rows: NDArray[Any]) -> Output:  # noqa: ARG002
        """Return the output made of the rows of all items, in their order."""
        raise TypeError(f"{type(self).__name__} does not say what is made of its items")

    def run(self, run: Run) -> Output:
        """Compute all items here."""
        items = range(self.items(run.parameters))
        rows = self.rows(_part(run, 0.0, _ITEMS_SHARE), items)
        return self.gather(_part(run, _ITEMS_SHARE, 1.0), rows)

    def run_shard(self, run: Run, items: range) -> Output:
        """Compute some items and leave their rows in a file."""
        import numpy as np

        rows = np.ascontiguousarray(self.rows(run, items))
        if len(rows) != len(items):
            raise ValueError(f"{self.name} made {len(rows)} rows of {len(items)} items.")
        np.save(run.folder / ROWS, rows, allow_pickle=False)
        return Output(artifacts=[ROWS], summary=f"Items {items.start} to {items.stop - 1}.")

    def run_gathered(self, run: Run, shards: Sequence[Shard]) -> Output:
        """Put the rows of all items together and return what is made of them.

        Errors: ``PipelineError`` when a part's file is gone or has changed, or an item is in no part.
        """
        import numpy as np

        told, rows = 0, []
        for shard in sorted(shards, key=lambda shard: shard.items.start):
            if shard.items.start != told:
                raise PipelineError(f"The items {told} to {shard.items.start - 1} are in no part; run it again.")
            rows.append(np.load(io.BytesIO(_read(shard)), allow_pickle=False))
            told = shard.items.stop
        if told != self.items(run.parameters):
            raise PipelineError(f"The items from {told} on are in no part; run it again.")
        return self.gather(run, np.concatenate(rows))


def _read(shard: Shard) -> bytes:
    try:
        content = shard.path.read_bytes()
    except OSError as error:
        raise PipelineError(
            f"What a part computed cannot be read ({error.strerror}: {shard.path}). Every worker needs the same folder"
            " of results."
        ) from error
    if hashlib.sha256(content).hexdigest() != shard.sha256:
        raise PipelineError(f"What a part computed has changed on the disk since ({shard.path}); run it again.")
    return content


def _part(run: Run, start: float, stop: float) -> Run:
    """Return a run whose progress from 0 to 1 is told as one from ``start`` to ``stop``."""

    def tell(share: float, message: str = "") -> None:
        run.progress(start + (stop - start) * share, message)

    return replace(run, progress=tell)
