"""Tables of idTracker and idtracker.ai: each animal's track, its certainty and the times that are told."""

import numpy as np
import pytest

from analysis.pipelines.base import PipelineError
from analysis.readers import open_recording, read_position
from analysis.readers.describing import describe
from tests.methods.running import recording


def written(tmp_path, name: str, text: str):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_idtracker_ai_gives_each_animal_with_its_times(tmp_path):
    path = written(tmp_path, "trajectories.csv", "time,x1,y1,x2,y2\n0.0,1,2,30,40\n0.04,1.5,2.5,,\n0.08,2,3,32,42\n")
    told = describe(str(path), None, "position", {})
    assert told["format"] == "idtracker"
    assert told["facts"]["tracks"] == {"animals": ["1", "2"], "points": ["centroid"], "frames": 3, "unit": "px"}
    assert told["facts"]["rate"] == pytest.approx(25)
    second = read_position(recording("position", "idtracker", path, animal="2"))
    assert second.time == pytest.approx([0, 0.04, 0.08])
    assert np.array_equal(second.xy, [[30, 40], [np.nan, np.nan], [32, 42]], equal_nan=True)
    with pytest.raises(PipelineError, match="'animal' of the recording to one of 1, 2"):
        read_position(recording("position", "idtracker", path))


def test_a_table_of_idtracker_tells_how_certain_each_identity_is(tmp_path):
    text = "X1\tY1\tProbId1\tX2\tY2\tProbId2\t\n1\t2\t1\t5\t6\t0.4\t\n1.5\t2.5\t0.9\tNaN\tNaN\tNaN\t\n"
    path = written(tmp_path, "trajectories.txt", text)
    assert describe(str(path), None, "position", {})["format"] == "idtracker"
    xy, score = open_recording(recording("position", "idtracker", path)).tracks.read(0, 2)
    assert np.array_equal(xy[:, 1, 0], [[5, 6], [np.nan, np.nan]], equal_nan=True)
    assert np.array_equal(score[:, :, 0], [[1, 0.4], [0.9, np.nan]], equal_nan=True)
    # It does not say how long a frame is; an identity that is less certain than asked for is lost.
    certain = read_position(recording("position", "idtracker", path, rate=10.0, animal="2", likelihood=0.5))
    assert certain.time == pytest.approx([0, 0.1])
    assert np.isnan(certain.xy).all()
    with pytest.raises(PipelineError, match="frame rate"):
        read_position(recording("position", "idtracker", path, animal="1"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("time,x1,y1\n", "no row"),
        ("time,x1,y1\n0,1\n", "Row 2 .* has 2 columns; the first has 3"),
        ("time,x1,y1\n0,1,2\n1,a,2\n", "Row 3 .* no number"),
        ("time,x1,y1,x2\n0,1,2,3\n", "lacks the column y2"),
        ("time,x1,y1\n1,1,2\n0,1,2\n", "do not go on"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, text, sentence):
    path = written(tmp_path, "trajectories.csv", text)
    with pytest.raises(PipelineError, match=sentence):
        open_recording(recording("position", "idtracker", path))


def test_settings_of_open_ephys_lead_to_the_recording_below_or_say_that_there_are_several(tmp_path):
    from tests.methods.acquired import openephys

    one = openephys(tmp_path / "Record Node 101" / "experiment1")
    settings = written(tmp_path / "Record Node 101", "settings.xml", "<SETTINGS></SETTINGS>")
    told = describe(str(settings), None, "ephys", {})
    assert told.get("error") is None, told
    assert told["format"] == "openephys"
    assert str(one) in told["files"]
    openephys(tmp_path / "Record Node 101" / "experiment2")
    assert "one of 2 recordings" in describe(str(settings), None, "ephys", {})["error"]
