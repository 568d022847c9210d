"""Decoding with rates that follow theta, against who knows every rate, and what must not leak."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.methods.errors import InvalidDataError
from analysis.methods.odour_drives import fit_drives
from analysis.methods.odour_sessions import OdourTruth, simulate_odour_session
from analysis.methods.sequence import trial_folds
from analysis.methods.theta_decoder import PARTS, decode_theta_odours, fit_theta_odours, phase_counts
from analysis.methods.theta_sequence import ThetaModel


def decoded(session, *, folds: int = 10, labels=None):
    trained = session.correct & session.in_sequence
    fold = trial_folds(session.odour, trained, folds=folds, rng=np.random.default_rng(0))
    counts = phase_counts(session.counts, session.phase)
    labels = session.odour if labels is None else labels
    return fold, decode_theta_odours(counts, labels, trained, fold, n_odours=5)


# The clearest and the faintest cells are looked at always; those between, and twice the trials, in the long run.
BETWEEN = [pytest.param(*pair, marks=pytest.mark.long) for pair in ((2.5, 40), (1.5, 40), (1.0, 80))]


@pytest.mark.parametrize(("peak", "rounds"), [(6.0, 40), (1.0, 40), *BETWEEN])
def test_accuracy_is_within_three_points_of_the_ideal_observer(peak, rounds):
    real, ideal = [], []
    for seed in range(8):
        session = simulate_odour_session(OdourTruth(peak=peak, rounds=rounds), seed=seed)
        every = np.ones(session.odour.size, dtype=bool)
        _, posterior = decoded(session)
        real.append(np.mean(posterior.argmax(axis=1) == session.odour))
        ideal.append(session.ideal_accuracy(every))
    assert np.mean(ideal) > 0.75
    assert np.mean(real) > np.mean(ideal) - 0.03


def test_units_that_tell_nothing_are_decoded_at_chance():
    shares = []
    for seed in range(10):
        session = simulate_odour_session(OdourTruth(peak=0, units=20), seed=seed, n_bins=30)
        _, posterior = decoded(session)
        trained = session.correct & session.in_sequence
        shares.append(np.mean(posterior.argmax(axis=1)[trained] == session.odour[trained]))
    # 1,500 trials, one of five right by chance: the standard error is one per cent.
    assert np.mean(shares) == pytest.approx(0.2, abs=0.04)


def test_what_a_tested_trial_says_changes_no_rate_it_is_decoded_with():
    session = simulate_odour_session(OdourTruth(peak=2.5), seed=1)
    fold, posterior = decoded(session)
    labels = session.odour.copy()
    labels[fold == 0] = (labels[fold == 0] + 1) % 5
    fold_again, again = decoded(session, labels=labels)
    np.testing.assert_array_equal(fold, fold_again)
    np.testing.assert_array_equal(again[fold == 0], posterior[fold == 0])
    assert not np.array_equal(again[fold == 1], posterior[fold == 1])


def test_the_rates_of_the_truth_are_found():
    truth = OdourTruth(peak=4.0, rounds=200, units=10)
    session = simulate_odour_session(truth, seed=2)
    trained = session.correct & session.in_sequence
    counts = phase_counts(session.counts, session.phase)
    fitted = fit_theta_odours(counts[trained], session.odour[trained], n_odours=5)
    assert np.rad2deg(fitted.model.lag) == pytest.approx(truth.lag, abs=5)
    phases = np.floor(np.mod(session.phase[0], 2 * np.pi) / (2 * np.pi) * 24).astype(int)
    for odour in range(5):
        expected = session.expected[odour, 0]
        assert np.corrcoef(fitted.rates[odour][:, phases].ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("driving", [0, 1, 2, 3, 4, 5])
def test_a_unit_driven_by_any_number_of_odours_among_units_of_one_keeps_its_drives(driving):
    rng = np.random.default_rng(driving)
    model = ThetaModel(lag=np.deg2rad(100), phase=np.pi, depth=1.0, neighbours=0.6)
    phases = (np.arange(PARTS) + 0.5) * 2 * np.pi / PARTS
    design = model.design(phases, 5)
    drives = np.zeros((6, 40))
    drives[np.arange(40) % 5, np.arange(40)] = 0.02
    drives[:5, 0] = np.where(np.arange(5) < driving, 0.03, 0.0)
    # Bases over two orders of magnitude, as in hippocampus.
    drives[5] = 0.02 * rng.lognormal(0, 1.5, 40)
    drives[5, 0] = 0.02
    bins = np.full((5, PARTS), 2000.0)
    expected = np.einsum("opk,ku->oup", design, drives) * bins[:, None, :]
    fitted = fit_drives(design, rng.poisson(expected), bins)
    # 10,000 bins of 10 ms for each drive: a standard error of 0.0006 or so beside a base of 0.02.
    np.testing.assert_allclose(fitted[:, 0], drives[:, 0], atol=0.004)
    assert np.corrcoef(np.log(fitted[5]), np.log(drives[5]))[0, 1] > 0.99


def test_units_without_a_spike_get_rates_that_forbid_no_odour():
    session = simulate_odour_session(OdourTruth(peak=2.5, units=10), seed=4)
    counts = session.counts.copy()
    counts[:, 3] = 0
    fitted = fit_theta_odours(phase_counts(counts, session.phase), session.odour, n_odours=5)
    assert np.all(fitted.rates > 0)
    assert np.all(fitted.rates[:, 3] < 1e-3)
    silent = fit_theta_odours(phase_counts(np.zeros_like(counts), session.phase), session.odour, n_odours=5)
    assert np.isfinite(silent.posterior(phase_counts(counts, session.phase))).all()


def test_bins_without_a_phase_are_left_out():
    counts = np.ones((2, 3, 4))
    phase = np.array([[0.1, np.nan, 3.2, -0.1], [np.nan] * 4])
    sorted_counts = phase_counts(counts, phase)
    np.testing.assert_array_equal(sorted_counts.bins.sum(axis=1), [3, 0])
    np.testing.assert_array_equal(sorted_counts.spikes.sum(axis=2), [[3] * 3, [0] * 3])
    assert sorted_counts.bins[0, [0, 12, 23]].tolist() == [1, 1, 1]


def test_shapes_that_do_not_fit_and_odours_without_trials_are_refused():
    with pytest.raises(InvalidDataError, match="do not fit together"):
        phase_counts(np.ones((2, 3, 4)), np.ones((2, 5)))
    counts = phase_counts(np.ones((4, 3, 6)), np.ones((4, 6)))
    with pytest.raises(InvalidDataError, match="an odour has none"):
        fit_theta_odours(counts, np.array([0, 1, 1, 0]), n_odours=3)
