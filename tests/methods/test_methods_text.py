"""The paragraph on methods says what was run, and nothing that is not known."""

from __future__ import annotations

from analysis.export.methods_text import Setting, methods_paragraph

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
