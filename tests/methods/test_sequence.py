"""Decoding of odours, on sessions whose truth is known and on sessions that hold nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from analysis.methods.errors import InvalidDataError
from analysis.methods.odour_sessions import OdourTruth, simulate_odour_session
from analysis.methods.sequence import confusion, counts_by_phase, decode_odours, label_test, trial_folds
from analysis.methods.theta_sequence import theta_lag


def by_phase(session):
    counts = counts_by_phase(session.counts, session.phase, n_phases=6)
    return counts.reshape(counts.shape[0], -1)


def decoded(session, seed=0):
    trained = session.correct & session.in_sequence
    fold = trial_folds(session.odour, trained, folds=10, rng=np.random.default_rng(seed))
    counts = by_phase(session)
    return trained, fold, decode_odours(counts, session.odour, trained, fold, n_odours=5)


def test_odours_are_told_nearly_as_well_as_by_who_knows_the_rates():
    real, ideal = [], []
    for seed in range(6):
        session = simulate_odour_session(OdourTruth(peak=2.5), seed=seed)
        _, _, posterior = decoded(session)
        every = np.ones(session.odour.size, dtype=bool)
        table = confusion(posterior, session.odour, every)
        assert table.sum() == every.size
        real.append(np.trace(table) / table.sum())
        ideal.append(session.ideal_accuracy(every))
    assert 0.5 < np.mean(ideal) < 1
    assert np.mean(real) > np.mean(ideal) - 0.03


@pytest.mark.parametrize("truth", [-100.0, -40.0, 40.0, 70.0, 130.0])
def test_the_lag_within_theta_is_found_with_its_sign(truth):
    session = simulate_odour_session(OdourTruth(lag=truth, peak=3), seed=3)
    trained = session.correct & session.in_sequence
    found = theta_lag(session.counts, session.phase, session.odour, trained, n_odours=5, rng=np.random.default_rng(0))
    assert found.lag == pytest.approx(truth, abs=20)
    assert found.interval[0] <= found.lag <= found.interval[1]


def test_nothing_is_found_where_there_is_nothing():
    p = []
    for seed in range(100):
        session = simulate_odour_session(OdourTruth(peak=0, units=15, rounds=20), seed=seed, n_bins=20)
        test = label_test(
            session.counts.sum(axis=2),
            session.odour,
            session.correct & session.in_sequence,
            n_odours=5,
            folds=5,
            permutations=99,
            rng=np.random.default_rng(seed + 1000),
        )
        p.append(test.p)
    assert kstest(p, "uniform").pvalue > 0.05


def test_what_a_tested_trial_says_changes_no_rate_it_is_decoded_with():
    session = simulate_odour_session(OdourTruth(), seed=1)
    trained, fold, posterior = decoded(session)
    counts, labels = by_phase(session), session.odour.copy()
    labels[fold == 0] = (labels[fold == 0] + 1) % 5
    again = decode_odours(counts, labels, trained, fold, n_odours=5)
    np.testing.assert_array_equal(again[fold == 0], posterior[fold == 0])
    assert not np.array_equal(again[fold == 1], posterior[fold == 1])


def test_too_few_trials_of_an_odour_are_refused_by_name():
    labels = np.repeat(np.arange(5), [10, 10, 3, 10, 10])
    with pytest.raises(InvalidDataError, match="Odour 3 has 3 correct in-sequence trials"):
        trial_folds(labels, np.ones(labels.size, dtype=bool), folds=5, rng=np.random.default_rng(0))
