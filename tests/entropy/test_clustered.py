import numpy as np
import pytest
from scipy import stats

from bupo.entropy.clustered import ClusteredMeans


def means_of(clusters):
    means = ClusteredMeans(clusters[0].shape[0])
    for values in clusters:
        means.add(values.sum(1), values.shape[1])
    return means


def random_clusters(seed, count=20, rows=3, effect=1.0):
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 30, count)
    return [generator.normal(5, 1, (rows, n)) + effect * generator.normal(0, 1, (rows, 1)) for n in sizes]


def test_against_the_formula_written_out():
    clusters = random_clusters(0)
    found = means_of(clusters).interval(0.9)
    tokens = np.concatenate(clusters, 1)
    mean = tokens.mean(1)
    residuals = np.stack([(values - mean[:, None]).sum(1) for values in clusters])
    variance = 20 / 19 * (residuals**2).sum(0) / tokens.shape[1] ** 2
    half = stats.t.ppf(0.95, 19) * np.sqrt(variance)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.low, mean - half, rtol=1e-9)
    np.testing.assert_allclose(found.high, mean + half, rtol=1e-9)


def test_one_token_a_problem_is_the_plain_t_interval():
    values = np.random.default_rng(1).normal(size=15)
    found = means_of([np.array([[v]]) for v in values]).interval(0.95)
    low, high = stats.t.interval(0.95, 14, values.mean(), stats.sem(values))
    assert found.low[0] == pytest.approx(low) and found.high[0] == pytest.approx(high)


def test_intervals_cover_as_often_as_they_say():
    hits = 0
    for seed in range(400):
        found = means_of(random_clusters(seed, count=30, rows=1)).interval(0.9)
        hits += found.low[0] <= 5 <= found.high[0]
    assert 0.85 < hits / 400 < 0.95


def test_a_constant_has_a_point_for_an_interval():
    found = means_of([np.full((1, n), 7.1) for n in (3, 9, 4)]).interval(0.95)
    assert found.low[0] == pytest.approx(7.1, abs=1e-6) and found.high[0] == pytest.approx(7.1, abs=1e-6)


def test_one_problem_has_a_mean_but_no_interval():
    found = means_of([np.ones((2, 5))]).interval(0.95)
    assert found.mean.tolist() == [1, 1] and np.isnan(found.low).all() and np.isnan(found.high).all()


def test_no_tokens_leave_no_trace():
    means = ClusteredMeans(1)
    means.add(np.zeros(1), 0)
    assert means.clusters == 0 and np.isnan(means.interval(0.95).mean).all()
