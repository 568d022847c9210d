"""Which units of a recording a pipeline reads; what asks for good ones is answered where the job is queued."""

from __future__ import annotations

from typing import Literal

WhichUnits = Literal["all", "good"]
WHICH_UNITS = (
    "'all' units of the recording, or only those that are labelled 'good': by hand on their page, as it is when the "
    "job is queued, or by their sorter where nobody said anything."
)
