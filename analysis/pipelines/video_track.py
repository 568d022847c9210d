"""``video.track``: where the animal of each arena is in every frame and where it faces, or that it is lost, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from analysis.pipelines.base import Input, Output, Parameters, Pipeline, PipelineError, Run
from analysis.pipelines.video_arenas import MOST_ARENAS, Calibration, DrawnArena, check_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.methods.arenas import Scale
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
    largest_share: float = _quantity(20.0, "% of arena", "Larger things are not the animal.", gt=0, le=100)
    size_tolerance: float = _quantity(
        4.0, "times", "Things so many times larger or smaller than the animal's median area are not the animal.", gt=1
    )
    maximum_speed: float | None = _quantity(
        None,
        "px/s",
        "Short visits to places that need more speed are lost; one diagonal of the arena a second when empty.",
        gt=0,
    )
    background_frames: int = _quantity(
        60, "frames", "Frames spread over the video that the background is made of.", ge=3, le=500
    )
    background_quantile: float = _quantity(
        0.9,
        "",
        "Quantile of a pixel's values taken as background (for a light animal, one minus it). 0.9 sees the floor where "
        "an animal rests for up to 85 % of the video; 0.5, the median, is for light that changes.",
        ge=0.05,
        le=0.95,
    )
    arenas: list[DrawnArena] = Field(
        default=[],
        max_length=MOST_ARENAS,
        description="Arenas with one animal each, as drawn on a frame; the whole picture is one when there is none. "
        "Every arena becomes a position recording with its name.",
    )
    calibration: Calibration | None = Field(
        None,
        description="Two points and their distance, or the corners of a rectangle on the floor and its sides, as drawn "
        "on a frame; positions are then in cm.",
    )
    pixels_per_cm: float | None = _quantity(None, "px/cm", "Scale of the picture; positions are then in cm.", gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.opening % 2 == 0:
            raise ValueError("opening must be odd, so that it moves no edge to one side")
        check_names(self.arenas)
        if self.calibration is not None and self.pixels_per_cm is not None:
            raise ValueError("write the calibration or pixels_per_cm, not both")
        return self


class VideoTrack(Pipeline):
    """Median background, difference, opening, largest blob; sizes and jumps are judged over the whole track."""

    name = "video.track"
    version = "1.2.0"
    summary = "Tracks the centre and heading of an animal in each arena of a video, or says lost."
    inputs = (
        Input(
            ("video",),
            "A video of a camera that does not move, with one animal in the picture or in each arena drawn on it.",
        ),
    )
    parameters = VideoTrackParameters

    def methods(self, parameters: VideoTrackParameters) -> str:
        """Return how it was computed."""
        chosen = (
            f"Otsu's threshold (at least {parameters.minimum_contrast} grey levels)"
            if parameters.threshold is None
            else f"{parameters.threshold} grey levels"
        )
        fast = (
            "one diagonal of the arena a second"
            if parameters.maximum_speed is None
            else f"{parameters.maximum_speed:g} px/s"
        )
        quantile = parameters.background_quantile if parameters.animal == "dark" else 1 - parameters.background_quantile
        return (
            f"The background of each pixel was the {quantile:.2g} quantile of {parameters.background_frames} frames "
            f"spread over the video. The animal, {parameters.animal} on the floor, was the largest connected region of "
            f"at least {parameters.minimum_area:g} px² that differed from it by more than {chosen} after an opening of "
            f"{parameters.opening} px, and its position the centre of that region. It was lost where the region was "
            f"larger than {parameters.largest_share:g} % of the arena or {parameters.size_tolerance:g} times larger or "
            f"smaller than its median over the video, and where it could only be reached faster than {fast}."
        )

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
    from analysis.methods.arenas import mask_of

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

    tracks = tracking.track_animals(
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
        ),
        [mask_of(arena.shape, arena.points, height=height, width=width) for arena in settings.arenas] or [None],
        report=report,
    )
    return _output(run, video, background, tracks)


def _scale(settings: VideoTrackParameters) -> Scale:
    from analysis.methods.arenas import uniform

    if settings.calibration is not None:
        return settings.calibration.scale()
    return uniform(settings.pixels_per_cm, "cm") if settings.pixels_per_cm else uniform(1.0, "px")


def _output(run: Run, video: Video, background: NDArray[np.uint8], tracks: list[Track]) -> Output:
    """Return the output of all arenas; one that is empty makes no recording, all of them an error."""
    from analysis.figures import tracking as draw
    from analysis.methods import tracking
    from analysis.pipelines.video_output import TrackedArena

    settings: VideoTrackParameters = run.parameters
    scale = _scale(settings)
    names = [arena.name for arena in settings.arenas] or [""]
    if not any((track.reason == tracking.Lost.FOUND).any() for track in tracks):
        raise PipelineError(_nowhere(settings, tracks))
    run.progress(0.95, "drawing")
    # A picture taken at an angle has no one scale: its track is drawn in px.
    even = bool(scale.matrix[2, 0] == scale.matrix[2, 1] == 0 and scale.matrix[0, 1] == 0)
    figures = [
        draw.track_on_background(
            background,
            [track.xy for track in tracks],
            scale=float(scale.matrix[0, 0]) if even else 1.0,
            unit=scale.unit if even else "px",
        )
    ]
    output = Output(figures=figures)
    sentences = []
    for number, (name, track) in enumerate(zip(names, tracks, strict=True)):
        made = TrackedArena(track, scale, name, number if len(tracks) > 1 else None)
        output.metrics |= made.metrics(video.missing)
        sentences.append(f"{name}: {made.losses}" if name else made.losses)
        run.log(sentences[-1])
        if made.found.any():
            extent = settings.arenas[number].points if settings.arenas else None
            output.figures += made.figures(extent, settings.arenas[number].shape if extent else "", background.shape)
            output.recordings.append(made.recording(run.folder))
    output.summary = " ".join(sentences)
    run.progress(1.0, "done")
    return output


def _nowhere(settings: VideoTrackParameters, tracks: list[Track]) -> str:
    import numpy as np

    from analysis.methods import tracking

    reasons = np.concatenate([track.reason for track in tracks])
    worst = tracking.Lost(int(np.bincount(reasons).argmax()))
    where = f" of {len(tracks)} arenas" if len(tracks) > 1 else ""
    return (
        f"The animal is lost in all {tracks[0].reason.size:,} frames{where}, mostly because {worst.sentence}; the "
        f"animal is said to be {settings.animal} on its floor, and to differ by "
        f"{settings.threshold or settings.minimum_contrast} grey levels or more."
    )
