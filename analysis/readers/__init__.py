"""Files of recordings as plain arrays: ``read_spikes``, ``read_position``, ``open_signal`` and ``open_video``.

``open_recording`` says what a recording of any known format holds, and reads pieces of it. Each takes an
``InputRecording`` and goes by its ``format``. What a file does not say and the recording's parameters do not say either
is asked for, never guessed. Wrong, damaged, cut-off and empty files raise ``PipelineError`` with one sentence. Nothing
is unpickled.
"""

from analysis.readers.contents import Contents, Events, Probe, Stream, Tracks, Units
from analysis.readers.opening import open_recording
from analysis.readers.position import Position, read_position
from analysis.readers.signal import Signal, open_signal
from analysis.readers.spikes import Spikes, read_spikes
from analysis.readers.video import Video, open_video

__all__ = [
    "Contents", "Events", "Position", "Probe", "Signal", "Spikes", "Stream", "Tracks", "Units", "Video",
    "open_recording", "open_signal", "open_video", "read_position", "read_spikes",
]  # fmt: skip
