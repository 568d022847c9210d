"""No frame is lost: the fault run of the benchmarks in its short form, on a Postgres and a Redis of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.stack.laboratory import ROOT, environment


@pytest.mark.long
@pytest.mark.timeout(280)
def test_no_frame_is_lost_whatever_is_killed_cut_off_or_filled() -> None:
    """Each part is killed once while four cameras record; the network is cut, the disk stalls and fills."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "faults", "--kills", "6", "--cut", "3"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=270, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("box-0", "box-1", "web", "ingest", "redis", "postgres", "network cut", "frames lost that nobody may"):
        assert what in done.stdout
    assert "disk full" in done.stdout or "left out: full disk: " in done.stdout
