"""Positions out of pose tracks: one body part, and only where the network was sure of it."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.pipelines.base import PipelineError
from analysis.readers import read_position
from tests.methods.running import recording

TABLE = """scorer,net,net,net,net,net,net
bodyparts,nose,nose,nose,tail,tail,tail
coords,x,y,likelihood,x,y,likelihood
0,10,20,0.99,50,60,0.2
1,11,21,0.40,51,61,0.9
2,12,22,0.95,52,62,0.9
"""


def test_a_body_part_becomes_positions_where_its_likelihood_is_enough(tmp_path):
    path = tmp_path / "tracks.csv"
    path.write_text(TABLE)
    stated = {"rate": 25.0, "point": "nose", "likelihood": 0.9, "pixels_per_cm": 10.0}
    position = read_position(recording("position", "deeplabcut-csv", path, **stated))
    assert position.unit == "cm"
    assert position.time == pytest.approx([0, 0.04, 0.08])
    np.testing.assert_allclose(position.xy, [[1.0, 2.0], [np.nan, np.nan], [1.2, 2.2]])
    unsifted = read_position(recording("position", "deeplabcut-csv", path, rate=25.0, point="nose"))
    assert np.isfinite(unsifted.xy).all()


def test_a_likelihood_that_no_file_tells_is_refused(tmp_path):
    path = tmp_path / "tracks.csv"
    path.write_text(TABLE.replace("0.99", "").replace("0.40", "").replace("0.95", ""))
    with pytest.raises(PipelineError, match="tells no likelihood"):
        read_position(recording("position", "deeplabcut-csv", path, rate=25.0, point="nose", likelihood=0.9))
