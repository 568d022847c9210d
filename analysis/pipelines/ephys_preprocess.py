"""``ephys.preprocess``: LFP and spikes of raw voltage in one pass over its file."""

from __future__ import annotations

from dataclasses import replace

from analysis.pipelines.base import Input, Output, Pipeline, PipelineError, Run
from analysis.pipelines.ephys_lfp import EphysLfpParameters, LfpTable
from analysis.pipelines.ephys_spikes import EphysSpikesParameters, PeakSearch


class EphysPreprocessParameters(EphysLfpParameters, EphysSpikesParameters):
    """Those of ``ephys.lfp`` and of ``ephys.spikes``, by the same names."""


class EphysPreprocess(Pipeline):
    """Zero-phase decimation, spectra and theta; zero-phase band pass, common median reference, exclusive peaks."""

    name = "ephys.preprocess"
    version = "1.0.0"
    summary = "Makes LFP and finds spikes in one pass over raw voltage: what ephys.lfp and ephys.spikes do, read once."
    inputs = (Input(("ephys",), "Wide-band voltage, 10 kHz or faster."),)
    parameters = EphysPreprocessParameters

    def run(self, run: Run) -> Output:
        """Make both; ``PipelineError`` for what either of the two pipelines refuses."""
        from analysis.methods.errors import InvalidDataError

        recordings = run.of_kind("ephys")
        if len(recordings) != 1:
            raise PipelineError(f"LFP and spikes are made of one recording of voltage, not {len(recordings)}.")
        from analysis.methods import voltage
        from analysis.readers import open_signal

        try:
            signal = open_signal(recordings[0])
            table = LfpTable(run, signal)
            search = PeakSearch(run, signal)
            for chunk in voltage.scan(
                signal.read,
                signal.n_samples,
                signal.n_channels,
                signal.rate,
                decimator=table.decimator,
                peaks=search.detection,
                workers=voltage.threads(),
            ):
                table.add(chunk)
                search.add(chunk)
                run.progress(
                    0.1 + 0.6 * chunk.stop / signal.n_samples,
                    f"filtering and finding peaks, {chunk.stop / signal.rate:.0f} of {signal.duration:.0f} s",
                )
            spikes = search.found(_part(run, 0.7, 0.75))
            lfp = table.measured(_part(run, 0.75, 1.0))
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error
        made = [replace(one, name=name) for of, name in ((lfp, "LFP"), (spikes, "spikes")) for one in of.recordings]
        return Output(
            lfp.metrics | spikes.metrics,
            lfp.figures + spikes.figures,
            lfp.artifacts + spikes.artifacts,
            made,
            f"{lfp.summary} {spikes.summary}",
        )


def _part(run: Run, start: float, stop: float) -> Run:
    """Return the run of a step that lasts from one share of the whole to another."""
    return replace(run, progress=lambda share, message: run.progress(start + (stop - start) * share, message))
