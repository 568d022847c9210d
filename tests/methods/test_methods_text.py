"""The paragraph on methods says what was run, and nothing that is not known."""

from __future__ import annotations

import pytest

from analysis.export.methods_text import Setting, methods_paragraph
from analysis.offered import in_words
from analysis.pipelines import registry

PROVENANCE = {
    "pipeline": "ephys.spikes",
    "version": "1.0.0",
    "seed": 7,
    "code": {"labsite": "0.1", "commit": "0123456789abcdef", "changed_since_commit": False},
    "inputs": [
        {
            "label": "probe 1",
            "kind": "ephys",
            "files": [{"name": "raw.bin", "sha256": "ab" * 32}, {"name": "raw.json", "sha256": ""}],
        }
    ],
    "environment": {"python": "3.12.1", "packages": {"numpy": "2.1", "scipy": "1.15"}, "used": ["numpy", "torch"]},
}


def test_the_paragraph_names_data_settings_and_software():
    text = methods_paragraph(
        PROVENANCE,
        method="Zero-phase band pass; negative peaks",
        settings=[
            Setting("Lower end of the spike band.", 300.0, "Hz"),
            Setting("Subtract the median over good channels, where there are eight. More.", value=True),
            Setting("LFP channel; empty for the best.", None, "channel"),
            Setting("Bands.", [4, 8.5], "Hz"),
        ],
    )
    assert text == (
        "The ephys recording “probe 1” (raw.bin, SHA-256 abababababab, and 1 more) was analysed with ephys.spikes 1.0.0"
        " of Labsite 0.1 (commit 0123456789ab). Zero-phase band pass; negative peaks. Settings were lower end of the"
        " spike band: 300 Hz; subtract the median over good channels, where there are eight: yes; LFP channel: not set;"
        " bands: 4, 8.5 Hz; seed of random numbers: 7. Computed with Python 3.12.1 and numpy 2.1."
    )


def test_what_is_not_known_is_left_out():
    bare = {"pipeline": "lab.step", "version": "2", "inputs": [{"label": "a", "kind": "lfp", "files": []}]}
    assert methods_paragraph(bare, method="", settings=[]) == (
        "The LFP recording “a” (no file) was analysed with lab.step 2."
    )
    assert methods_paragraph({}, method="", settings=[]) == ""


@pytest.mark.parametrize(
    ("pipeline", "parameters", "said", "not_said"),
    [
        (
            "decode.position", {"place_bins": 40, "guard": 1.2, "window": 0.5},
            ["cut into 40 bins", "each count over 0.5 s", "prior was the occupancy",
             "10 contiguous blocks of equal time", "1.2 s left out", "1000 circular shifts"],
            ["inner blocks", "two dimensions"],
        ),
        (
            "decode.position",
            {"decoder": "state-space-causal", "arena": "open-field", "which_units": "good", "shifts": 0},
            ["two dimensions, in squares of which 25", "units labelled good", "from the spikes up to it",
             "5 inner blocks"],
            ["circular shifts", "Bayesian"],
        ),
        (
            # Those that choose their own window count in single bins, whatever window is set.
            "stats.permutation", {"decoder": "ridge", "window": 0.5, "guard": 2, "permutations": 37},
            ["ridge regression", "37 circular shifts"], ["each count over"],
        ),
        (
            "decode.sequence", {"decoder": "counts", "permutations": 0, "draws": 0, "folds": 4},
            ["by the mean counts of every odour", "decoded in 4 parts"], ["theta", "shuffles", "drawn"],
        ),
        ("stats.labels", {"stop": 1.5, "permutations": 99}, ["between 0 s and 1.5 s", "under 99 shuffles"], []),
        ("spikes.fields", {"space": "open", "shifts": 500}, ["500 circular shifts", "in squares"], ["along the track"]),
        ("ephys.spikes", {"reference": False, "low": 400}, ["from 400 to 6000 Hz", "within 50 µm"], ["subtracted"]),
        ("lfp.ripples", {"channel": 3}, ["of channel 3", "0.015 to 0.5 s"], ["most power"]),
        ("lfp.phase", {"shifts": 0}, ["the channel with most power", "at least 50 spikes"], ["shifts"]),
        ("video.track", {"animal": "light", "threshold": 30}, ["the 0.1 quantile", "30 grey levels"], ["Otsu"]),
        ("sync.align", {"tolerance": 0.002}, ["within 2 ms of that line", "200 ppm"], ["frames"]),
        ("spikes.fields", {"space": "track", "shifts": 0}, ["each running direction"], ["place cell", "squares"]),
    ],
)  # fmt: skip
def test_what_was_done_is_said_in_sentences_that_hold_for_the_parameters(pipeline, parameters, said, not_said):
    known = registry.get(pipeline)
    text = in_words(known, parameters)
    assert text == known.methods(known.parameters.model_validate(parameters))
    for words in said:
        assert words in text
    for words in not_said:
        assert words not in text
    assert text.endswith(".")


def test_without_sentences_of_its_own_and_with_parameters_of_another_day_a_pipeline_is_told_in_one():
    assert not registry.get("ephys.lfp").methods(None)
    for parameters in ({}, {"no_longer": 1}, None):
        assert in_words(registry.get("ephys.lfp"), parameters).startswith("Zero-phase decimation in pieces")
    assert not in_words(registry.get("decode.position"), {"no_longer": 1}).startswith("Position along")
