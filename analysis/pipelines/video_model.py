"""``video.model``: points of a body, or of an eye, by a registered ONNX model; a point that is unlikely is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from analysis.pipelines.base import DerivedRecording, Input, Metric, Output, Parameters, Pipeline, PipelineError, Run
from analysis.pipelines.video_arenas import Calibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.methods.network import Network
    from analysis.readers.video import Video


class VideoModelParameters(Parameters):
    """Which model, and which of its points becomes the position."""

    model: str = Field(
        "", description="Name of the model, as it was registered.", pattern=r"^([a-z0-9][a-z0-9_-]{0,39})?$"
    )
    sha256: str = Field(
        "",
        description="SHA-256 of the model's file, as its registration printed it: no other file is used.",
        pattern=r"^([0-9a-f]{64})?$",
    )
    point: str | None = Field(None, description="Name of the point that becomes the position; the first when empty.")
    likelihood: float = Field(
        0.6, description="A point whose likelihood is below this is lost.", json_schema_extra={"unit": ""}
    )
    calibration: Calibration | None = Field(
        None,
        description="Two points and their distance, or the corners of a rectangle and its sides; positions are in cm.",
    )


class FoundPoints(NamedTuple):
    """``time`` (s) ``(n,)``, ``xy`` (px) ``(n, names, 2)`` and ``likelihood`` ``(n, names)``, NaN in damaged frames."""

    time: NDArray[Any]
    xy: NDArray[Any]
    likelihood: NDArray[Any]


class VideoModel(Pipeline):
    """Every frame through the network by itself; nothing is smoothed or filled in."""

    name = "video.model"
    version = "1.0.0"
    summary = "Finds points of a body or an eye in a video by a registered ONNX model."
    inputs = (Input(("video",), "The video; the model sees it grey and scaled to its own size."),)
    parameters = VideoModelParameters

    def run(self, run: Run) -> Output:
        """Find; ``PipelineError`` when the model is not the registered one, or finds the point in no frame."""
        from analysis.readers import open_video
        from analysis.readers.models import load_model

        settings: VideoModelParameters = run.parameters
        if not settings.model or not settings.sha256:
            raise PipelineError("Name the model, and the SHA-256 that its registration printed.")
        network = load_model(settings.model, settings.sha256)
        names = network.described.output.names
        point = settings.point or names[0]
        if point not in names:
            raise PipelineError(f"The model {settings.model} has no point {point!r}; it has {', '.join(names)}.")
        video = open_video(run.of_kind("video")[0])
        return _output(run, video, names, names.index(point), _found(run, network, video))


def _found(run: Run, network: Network, video: Video) -> FoundPoints:
    import numpy as np

    count = len(network.described.output.names)
    times, places, scores = [], [], []
    for time, frame in video.frames():
        xy, score = np.full((count, 2), np.nan), np.full(count, np.nan)
        if frame is not None:
            xy, score = network.find(frame)
        times.append(time)
        places.append(xy)
        scores.append(score)
        if len(times) % 50 == 0:
            share = min(1.0, len(times) / video.count) if video.count else 0.5
            run.progress(0.9 * share, f"{len(times):,} frames, {time:.0f} s of video")
    if not times:
        raise PipelineError("The video has no frame.")
    return FoundPoints(np.array(times), np.array(places), np.array(scores))


def _output(run: Run, video: Video, names: list[str], point: int, points: FoundPoints) -> Output:
    import numpy as np

    from analysis.figures import tracking as draw
    from analysis.methods.arenas import uniform
    from analysis.methods.tracking import background_of

    settings: VideoModelParameters = run.parameters
    time, xy, likelihood = points
    scale = settings.calibration.scale() if settings.calibration else uniform(1.0, "px")
    # NaN is not likely enough either.
    xy[~(likelihood >= settings.likelihood)] = np.nan
    found = np.isfinite(xy[:, :, 0])
    if not found[:, point].any():
        raise PipelineError(
            f"{names[point]} is lost in all {time.size:,} frames: its likelihood is nowhere {settings.likelihood:g}."
        )
    placed = scale(xy[:, point])
    np.savez_compressed(
        run.folder / "position.npz",
        time=time, x=placed[:, 0], y=placed[:, 1], unit=scale.unit, x_px=xy[:, point, 0], y_px=xy[:, point, 1],
    )  # fmt: skip
    np.savez_compressed(run.folder / "points.npz", time=time, names=names, xy_px=xy, likelihood=likelihood)
    run.progress(0.95, "drawing")
    lost = int((~found[:, point]).sum())
    summary = f"{names[point]} found in {time.size - lost:,} of {time.size:,} frames; the rest is lost."
    metrics = {
        f"found_{number + 1}": Metric(
            float(found[:, number].mean()) * 100, "%", f"frames with {name}", "at least as likely as asked for",
            headline=number == point,
        )
        for number, name in enumerate(names)
    }  # fmt: skip
    metrics["lost"] = Metric(lost, "frames", "lost", summary, headline=True)
    metrics["model"] = Metric(settings.sha256, "", "model's SHA-256", f"of the registered file {settings.model}.onnx")
    steps = np.diff(time)
    rate = float(1 / np.median(steps)) if steps.size and np.median(steps) > 0 else None
    made = DerivedRecording(
        kind="position",
        format="position-npz",
        files=("position.npz",),
        parameters={"unit": scale.unit, "clock": "recording", "body_point": names[point]},
        rate=rate,
        channels=2,
        duration=float(time[-1] - time[0]),
    )
    figure = draw.track_on_background(background_of(video.sample(20)), [xy[:, point]], scale=1.0, unit="px")
    return Output(metrics, [figure], ["points.npz"], [made], summary)
