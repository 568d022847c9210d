"""How position was decoded, in sentences for the methods of a paper: of parameters alone, so true of every result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.pipelines.decode_position import TrackDecodingParameters

_LEARNT = {
    "ridge": "ridge regression on spike counts around the bin",
    "kernel": "kernel regression on spike counts around the bin",
    "boosting": "gradient-boosted trees on spike counts around the bin",
    "perceptron": "a multilayer perceptron on spike counts around the bin",
    "recurrent": "a recurrent network of gated units that reads the spikes before and after the bin (Cho et al. 2014)",
    "convolutional": "a convolutional network over time (Bai, Kolter and Koltun 2018)",
}
_CHAIN = "(random walk with jumps; Brown et al. 1998, Denovellis et al. 2021)"


def position_methods(settings: TrackDecodingParameters) -> list[str]:
    """Return the sentences on what was decoded, by what, and how it was cross-validated."""
    whose = "units labelled good" if settings.which_units == "good" else "all units"
    where = (
        f"in two dimensions, in squares of which {settings.bins_along} lie along the longer side,"
        if settings.in_the_open
        else f"along the track, onto which positions were projected by their first principal component and which was "
        f"cut into {settings.bins_along} bins,"
    )
    window = (
        f", each count over {_quantity(settings.window)} s"
        if settings.window and settings.decoder == "bayesian"
        else ""
    )
    said = [
        (
            f"Position {where} was decoded from the spikes of {whose} in time bins of {_quantity(settings.bin)} "
            f"s{window}, by {_decoder(settings)}."
        )
    ]
    smoothed = (
        f"Tracked positions were smoothed by a Gaussian with a standard deviation of "
        f"{_quantity(settings.position_smoothing)} s. "
        if settings.position_smoothing
        else ""
    )
    unit = "cm/s" if settings.speed_unit == "cm/s" else f"% of {settings.whole} per second"
    said.append(
        f"{smoothed}Only bins in which the animal moved faster than {_quantity(settings.speed_threshold)} {unit} "
        "trained the decoder and were scored."
    )
    blocks = "of whole laps" if settings.blocks == "laps" else "of equal time"
    said.append(
        f"Each of {settings.folds} contiguous blocks {blocks} was decoded by what had been learned from the others, "
        f"with {_quantity(settings.guard)} s left out between training and tested bins; units with fewer than "
        f"{settings.minimum_spikes} spikes in the training bins of a block were left out of it."
    )
    if settings.learns_in_torch:
        said.append("How long the network learned was chosen by a block of its training bins that was held back.")
    elif settings.decoder != "bayesian":
        said.append(
            f"The decoder's settings were chosen anew for each block by {settings.inner_folds} inner blocks of its "
            "training bins."
        )
    return said


def shift_methods(shifts: int, settings: TrackDecodingParameters) -> str:
    """Return the sentence on the test against chance."""
    return (
        f"Chance was taken from {shifts} circular shifts of all units together against behaviour by at least "
        f"{_quantity(settings.shortest_shift)} s, each with the whole cross-validation repeated; "
        "p = (1 + k) / (1 + n), where k of n shifts did at least as well."
    )


def _decoder(settings: TrackDecodingParameters) -> str:
    name = settings.decoder
    if learnt := _LEARNT.get(name):
        return learnt
    if name == "bayesian":
        prior = "the occupancy of the training bins" if settings.prior == "occupancy" else "uniform"
        smoothing = (
            f"smoothed by a Gaussian with a standard deviation of {_quantity(settings.map_smoothing)} place bin"
            + ("s" if settings.map_smoothing != 1 else "")
            if settings.map_smoothing
            else "not smoothed"
        )
        return (
            "one-step Bayesian reconstruction with a Poisson likelihood (Zhang et al. 1998); rate maps were "
            f"{smoothing}, the prior was {prior}"
        )
    if name == "bayesian-chosen":
        return "one-step Bayesian reconstruction with a Poisson likelihood (Zhang et al. 1998)"
    states = "place and of running or resting" if settings.in_the_open else "place and running direction"
    spikes = "the spikes up to it" if name == "state-space-causal" else "the spikes before and after it"
    return f"a state-space model of {states} {_CHAIN}, each bin from {spikes}"


def _quantity(value: float) -> str:
    return f"{value:g}"
