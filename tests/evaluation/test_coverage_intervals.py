"""Intervals hold what they promise: 1,000 simulated AIMEs (30 problems) each, and bounds where nothing spreads."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln

from bupo.evaluation.intervals import (
    decoding_variances,
    over_decoding,
    over_differences,
    over_problems,
    over_seeds,
    spread_interval,
    standard_error,
    student_quantile,
)
from bupo.evaluation.statistics import pass_at_k_per_problem, pass_at_k_table

AIMES, PROBLEMS = 1000, 30
# Difficulties as of a strong and a weak model on AIME, and of problems that are about equally hard.
STRONG, WEAK, EVEN = (0.5, 1.0), (0.15, 0.6), (2.0, 3.0)


def solved(shape: tuple[float, float], k: int) -> float:
    """Mean of 1 - (1 - p)^k over problems whose chance p is drawn from a beta distribution."""
    a, b = shape
    return float(1.0 - np.exp(betaln(a, b + k) - betaln(a, b)))


def hits_over_problems(shape: tuple[float, float], n: int, k: int) -> int:
    """In how many simulated benchmarks the interval holds the truth."""
    rng = np.random.default_rng(n + k)
    difficulty = rng.beta(*shape, (AIMES, PROBLEMS))
    shares = pass_at_k_table(n, k)[rng.binomial(n, difficulty)]
    intervals = [over_problems(values) for values in shares]
    return sum(i.low <= solved(shape, k) <= i.high for i in intervals)


@pytest.mark.parametrize("shape", [STRONG, WEAK, EVEN])
@pytest.mark.parametrize(("n", "k"), [(4, 1), (8, 1), (32, 1), (300, 1), (16, 4)])
def test_intervals_over_problems_cover(shape: tuple[float, float], n: int, k: int):
    assert 930 <= hits_over_problems(shape, n, k) <= 970


@pytest.mark.parametrize(("n", "k"), [(32, 8), (32, 32), (300, 16), (300, 128)])
def test_intervals_of_pass_at_many_cover(n: int, k: int):
    assert 930 <= hits_over_problems(WEAK, n, k) <= 970


@pytest.mark.parametrize("shape", [EVEN, (0.6, 0.2), (0.6, 0.15)])
@pytest.mark.parametrize(("n", "k"), [(32, 8), (64, 32), (300, 64)])
def test_where_nearly_all_problems_are_solved_intervals_err_on_the_safe_side(shape, n: int, k: int):
    assert solved(shape, k) > 0.9 and hits_over_problems(shape, n, k) >= 930


@pytest.mark.parametrize("shape", [STRONG, WEAK, EVEN])
@pytest.mark.parametrize(("n", "k"), [(4, None), (32, None), (16, 4), (32, 8)])
def test_intervals_over_decoding_cover(shape: tuple[float, float], n: int, k: int | None):
    rng = np.random.default_rng(n)
    hits = 0
    for difficulty in rng.beta(*shape, (20, PROBLEMS)):
        truth = float(np.mean(1.0 - (1.0 - difficulty) ** (k or 1)))
        for _ in range(AIMES // 20):
            low, high = over_decoding(rng.random((PROBLEMS, n)) < difficulty[:, None], k)
            hits += low <= truth <= high
    assert 930 <= hits <= 970


@pytest.mark.parametrize("gain", [0.0, 0.1])
def test_intervals_of_differences_cover(gain: float):
    """Two models on the same problems; the second gains most where the first is in doubt."""
    rng = np.random.default_rng(5)

    def chances(count: int) -> tuple[np.ndarray, np.ndarray]:
        first = rng.beta(*STRONG, (count, PROBLEMS))
        change = (gain + rng.normal(0.0, 0.15, first.shape)) * 4.0 * first * (1.0 - first)
        return first, np.clip(first + change, 0.0, 1.0)

    first, second = chances(20_000)
    truth = float(np.mean(second - first))
    first, second = chances(AIMES)
    deltas = (rng.binomial(16, second) - rng.binomial(16, first)) / 16
    hits = sum(i.low <= truth <= i.high for i in map(over_differences, deltas))
    assert 930 <= hits <= 970


def test_intervals_over_seeds_cover():
    rng = np.random.default_rng(6)
    hits = 0
    for values in rng.normal(0.4, 0.02, (AIMES, 3)):
        interval = over_seeds(values)
        assert interval.n == 3 and interval.low < interval.value < interval.high
        hits += interval.low <= 0.4 <= interval.high
    assert 930 <= hits <= 970
    with pytest.raises(ValueError, match="two or more"):
        over_seeds([0.4])


def test_the_mean_of_benchmarks_covers_too():
    rng = np.random.default_rng(7)
    truth = (solved(STRONG, 1) + solved(WEAK, 1)) / 2
    hits = 0
    for _ in range(AIMES):
        small = rng.binomial(8, rng.beta(*STRONG, 30)) / 8
        large = rng.binomial(8, rng.beta(*WEAK, 200)) / 8
        interval = over_problems(small, large)
        assert interval.value == pytest.approx((small.mean() + large.mean()) / 2) and interval.n == 230
        hits += interval.low <= truth <= interval.high
    assert 930 <= hits <= 970


@pytest.mark.parametrize(("n", "k"), [(8, 1), (8, 4), (16, 3)])
def test_the_variance_from_decoding_is_unbiased(n: int, k: int):
    counts = np.arange(n + 1)
    for chance in (0.02, 0.3, 0.9):
        weights = stats.binom.pmf(counts, n, chance)
        table = pass_at_k_table(n, k)
        true = weights @ table**2 - (weights @ table) ** 2
        assert weights @ decoding_variances(n, k) == pytest.approx(true, rel=1e-9, abs=1e-12)


def test_beyond_half_of_the_samples_the_variance_is_that_at_the_observed_chance():
    variances = decoding_variances(4, 4)
    draws = np.random.default_rng(0).binomial(4, 0.25, 400_000)
    assert variances[1] == pytest.approx(pass_at_k_table(4, 4)[draws].var(), rel=0.01)
    assert variances[0] == variances[4] == 0.0
    assert np.isfinite(decoding_variances(2000, 1999)).all()


def test_where_all_problems_agree():
    nothing = over_problems(np.zeros(30))
    assert (nothing.value, nothing.low) == (0.0, 0.0) and 0.1 < nothing.high < 0.13
    everything = over_problems(np.ones(30))
    assert everything.low == pytest.approx(1.0 - nothing.high) and everything.high == 1.0
    half = over_problems(np.full(30, 0.5))
    assert half.low < 0.5 < half.high
    same = over_differences(np.zeros(30))
    assert same.low == -same.high == -(1.0 - 0.025 ** (1 / 30))
    assert over_problems([0.3]) == (0.3, 0.0, 1.0, 1)
    for empty in (over_problems, over_differences):
        with pytest.raises(ValueError, match="at least one"):
            empty([])


def test_where_all_samples_agree():
    low, high = over_decoding(np.zeros((30, 16)))
    assert low == 0.0 and high == pytest.approx(1.0 - 0.025 ** (1 / 480))
    assert over_decoding(np.ones((30, 16)))[0] == pytest.approx(1.0 - high)
    assert over_decoding(np.zeros((30, 16)), 8)[1] == pytest.approx(1.0 - 0.025 ** (8 / 480))
    decided = np.repeat([[1], [0]], 16, axis=1).repeat(15, axis=0)
    low, high = over_decoding(decided)
    assert 0.49 < low < 0.5 < high < 0.51  # 480 samples without a doubt leave a little
    low, high = over_decoding(np.array([[1], [0], [1]]))
    assert low < 2 / 3 < high


def test_intervals_contain_their_value():
    matrix = (np.random.default_rng(2).random((40, 8)) < 0.4).astype(int)
    values = pass_at_k_per_problem(matrix, 4)
    interval = over_problems(values)
    assert interval.low < interval.value < interval.high and interval.n == 40
    wider = over_problems(values, level=0.99)
    assert wider.low < interval.low and wider.high > interval.high
    low, high = over_decoding(matrix, 4)
    assert low < interval.value < high
    assert spread_interval(0.5, 0.01) == pytest.approx((0.304, 0.696), abs=1e-3)
    assert spread_interval(0.0, 0.0) == (0.0, 0.0)


def test_student_quantile_and_standard_error():
    for degrees in (1, 2, 3, 4, 5, 10, 29, 199, 200, 500):
        for probability in (0.9, 0.975, 0.9995):
            exact = stats.t.ppf(probability, degrees)
            assert student_quantile(probability, degrees) == pytest.approx(exact, rel=1e-6)
    assert student_quantile(0.025, 7) == -student_quantile(0.975, 7)
    values = np.random.default_rng(3).random(50)
    assert standard_error(values) == pytest.approx((values.std(ddof=1) / 50**0.5, 49.0))
    both, degrees = standard_error(values, values[:10])
    assert both == pytest.approx(
        np.hypot(values.std(ddof=1) / 50**0.5, values[:10].std(ddof=1) / 10**0.5) / 2
    )
    assert 9 < degrees < 58
