"""``video.track``: where one animal is in every frame of a video and where it faces, or that it is lost, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from analysis.pipelines.base import DerivedRecording, Input, Metric, Output, Parameters, Pipeline, PipelineError, Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.methods.tracking import Track
    from analysis.readers.video import Video


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class VideoTrackParameters(Parameters):
    """The defaults suit one dark animal on a lighter floor, 640 x 480 px."""

    animal: Literal["dark", "light"] = Field(
        "dark", description="Whether the animal is darker or lighter than the floor."
    )
    threshold: int | None = _quantity(
        None,
        "grey levels",
        "Least difference from the background; Otsu's threshold for every frame when empty.",
        ge=1,
        le=254,
    )
    minimum_contrast: int = _quantity(20, "grey levels", "Otsu's threshold is never taken below this.", ge=1, le=254)
    opening: int = _quantity(
        9, "px", "Diameter of the opening that removes tail and cable; 1 leaves them.", ge=1, le=101
    )
    minimum_area: float = _quantity(60.0, "px²", "Smaller things are not the animal.", ge=1)
    largest_share: float = _quantity(20.0, "% of picture", "Larger things are not the animal.", gt=0, le=100)
    size_tolerance: float = _quantity(
        4.0, "times", "Things so many times larger or smaller than the animal's median area are not the animal.", gt=1
    )
    maximum_speed: float | None = _quantity(
        None,
        "px/s",
        "Short visits to places that need more speed are lost; one diagonal of the picture a second when empty.",
        gt=0,
    )
    background_frames: int = _quantity(
        60, "frames", "Frames spread over the video that the background is made of.", ge=3, le=500
    )
    background_quantile: float = _quantity(
        0.5,
        "",
        "Quantile of a pixel's values taken as background; above 0.5 sees through a dark animal that rests long.",
        ge=0.05,
        le=0.95,
    )
    region_left: int | None = _quantity(None, "px", "Left edge of the part of the picture that is searched.", ge=0)
    region_top: int | None = _quantity(None, "px", "Top edge of that part.", ge=0)
    region_right: int | None = _quantity(None, "px", "Right edge of that part.", gt=0)
    region_bottom: int | None = _quantity(None, "px", "Bottom edge of that part.", gt=0)
    pixels_per_cm: float | None = _quantity(None, "px/cm", "Scale of the picture; positions are then in cm.", gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.opening % 2 == 0:
            raise ValueError("opening must be odd, so that it moves no edge to one side")
        for low, high in ((self.region_left, self.region_right), (self.region_top, self.region_bottom)):
            if low is not None and high is not None and high <= low:
                raise ValueError(
                    "the region must have its right edge right of the left one and its bottom below its top"
                )
        return self


class VideoTrack(Pipeline):
    """Median background, difference, opening, largest blob; sizes and jumps are judged over the whole track."""

    name = "video.track"
    version = "1.1.0"
    summary = "Tracks the centre and heading of one animal in a video, and says lost instead of inventing a position."
    inputs = (Input(("video",), "A video of one animal seen by a camera that does not move."),)
    parameters = VideoTrackParameters

    def run(self, run: Run) -> Output:
        """Track; ``PipelineError`` when the video is damaged or no animal can be told from the background."""
        from analysis.methods.errors import InvalidDataError

        recordings = run.of_kind("video")
        if len(recordings) != 1:
            raise PipelineError(f"Tracking takes one video, not {len(recordings)}.")
        from analysis.readers import open_video

        try:
            return _track(run, open_video(recordings[0]))
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _track(run: Run, video: Video) -> Output:
    from analysis.methods import tracking

    settings: VideoTrackParameters = run.parameters
    for note in video.notes:
        run.log(note)
    run.progress(0.01, "making the background picture")
    background = tracking.background_of(
        video.sample(settings.background_frames),
        # A light animal is seen through by low values, as a dark one is by high ones.
        quantile=settings.background_quantile if settings.animal == "dark" else 1 - settings.background_quantile,
    )
    height, width = background.shape
    total = video.count or round((video.duration or 0) * 30) or None

    def report(done: int, time: float) -> None:
        share = min(1.0, done / total) if total else 0.5
        run.progress(0.05 + 0.85 * share, f"tracking, {done:,} frames, {time:.0f} s of video")

    track = tracking.track_animal(
        video.frames(),
        background,
        tracking.TrackerSettings(
            animal=settings.animal,
            threshold=settings.threshold,
            minimum_contrast=settings.minimum_contrast,
            opening=settings.opening,
            minimum_area=settings.minimum_area,
            largest_share=settings.largest_share / 100,
            size_tolerance=settings.size_tolerance,
            maximum_speed=settings.maximum_speed,
            region=_region(settings, width, height),
        ),
        report=report,
    )
    return _output(run, video, background, track)


def _region(settings: VideoTrackParameters, width: int, height: int) -> tuple[int, int, int, int] | None:
    edges = (settings.region_left, settings.region_top, settings.region_right, settings.region_bottom)
    if all(edge is None for edge in edges):
        return None
    left, top = settings.region_left or 0, settings.region_top or 0
    return left, top, settings.region_right or width, settings.region_bottom or height


def _output(run: Run, video: Video, background: NDArray[np.uint8], track: Track) -> Output:
    import numpy as np

    from analysis.figures import tracking as draw
    from analysis.methods import tracking

    settings: VideoTrackParameters = run.parameters
    unit, scale = ("cm", 1 / settings.pixels_per_cm) if settings.pixels_per_cm else ("px", 1.0)
    height, width = background.shape
    found = track.reason == tracking.Lost.FOUND
    xy = track.xy * scale
    if not found.any():
        worst = tracking.Lost(int(np.bincount(track.reason).argmax()))
        raise PipelineError(
            f"The animal is lost in all {found.size:,} frames, mostly because {worst.sentence}; the animal "
            "is said to be "
            f"{settings.animal} on its floor, and to differ by "
            f"{settings.threshold or settings.minimum_contrast} grey levels or more."
        )
    speed = tracking.speed_of(track.time, xy)
    bin_size = max(width, height) * scale / 40
    seconds = tracking.occupancy(track.time, xy, extent=(width * scale, height * scale), bin_size=bin_size)
    np.savez_compressed(
        run.folder / "position.npz",
        time=track.time,
        x=xy[:, 0],
        y=xy[:, 1],
        unit=unit,
        heading_deg=np.degrees(track.heading),
        reason=track.reason,
        area_px=track.area,
    )
    reasons = {
        tracking.Lost(code).sentence: int(number)
        for code, number in enumerate(np.bincount(track.reason, minlength=len(tracking.Lost)))
        if number and code != tracking.Lost.FOUND
    }
    sentence = draw.losses_by_reason(reasons, found.size)
    run.log(sentence)
    run.progress(0.95, "drawing")
    figures = [
        draw.track_on_background(background, track.xy, scale=scale, unit=unit),
        draw.occupancy(seconds, bin_size=bin_size, unit=unit),
        draw.over_time(track.time, speed, track.heading, ~found, unit=unit),
    ]
    steps = np.diff(track.time)
    moved = np.hypot(*np.diff(xy, axis=0).T)
    known = np.isfinite(speed)
    metrics = {
        "found": Metric(
            float(found.mean()) * 100, "%", "frames with a position", "the rest is lost, never filled in", headline=True
        ),
        "lost": Metric(int((~found).sum()), "frames", "lost", sentence, headline=True),
        "frames": Metric(int(found.size), "frames", "frames"),
        "longest_loss": Metric(_longest(track.time, ~found), "s", "longest loss", "longest stretch without a position"),
        "missing_frames": Metric(
            video.missing, "frames", "missing frames", "that the recorder knows to have been lost before"
        ),
        "distance": Metric(
            float(np.nansum(moved)),
            unit,
            "distance",
            "path length over neighbouring found frames; jitter of the silhouette adds to it",
            headline=True,
        ),
        "median_speed": Metric(
            float(np.median(speed[known])) if known.any() else None,
            f"{unit}/s",
            "median speed",
            "displacement over 0.2 s",
            headline=True,
        ),
        "area": Metric(
            float(np.median(track.area[found])), "px²", "median area", "of the body's silhouette after the opening"
        ),
        "length": Metric(
            track.length * scale, unit, "body length", "of the ellipse like the silhouette without the tail, median"
        ),
        "directed": Metric(
            float(np.isfinite(track.heading[found]).mean()) * 100,
            "%",
            "positions with a heading",
            "the others show no long axis: rearing, curled up",
        ),
        "rate": Metric(
            float(1 / np.median(steps)) if steps.size and np.median(steps) > 0 else None,
            "Hz",
            "frame rate",
            "one over the median interval",
        ),
    }
    run.progress(1.0, "done")
    made = DerivedRecording(
        kind="position",
        format="position-npz",
        files=("position.npz",),
        parameters={"unit": unit, "clock": "recording", "body_point": "centroid of the silhouette without the tail"},
        rate=float(1 / np.median(steps)) if steps.size and np.median(steps) > 0 else None,
        channels=2,
        duration=float(track.time[-1] - track.time[0]),
    )
    return Output(metrics, figures, [], [made], sentence)


def _longest(time: NDArray[np.floating], lost: NDArray[np.bool_]) -> float:
    import numpy as np

    change = np.diff(np.concatenate([[0], lost.astype(int), [0]]))
    starts, stops = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    if not starts.size:
        return 0.0
    step = float(np.median(np.diff(time))) if time.size > 1 else 0.0
    return float(np.max(time[stops - 1] - time[starts])) + step
