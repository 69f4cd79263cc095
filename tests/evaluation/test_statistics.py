"""avg@n, pass@k and maj@k against exhaustive enumeration."""

import itertools
from math import comb

import numpy as np
import pytest

from bupo.evaluation.statistics import (
    camps,
    majority,
    majority_at_k,
    majority_variance,
    pass_at_k,
    pass_at_k_per_problem,
    pass_at_k_table,
    share_of_right,
)


@pytest.mark.parametrize("n", range(1, 11))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(n: int):
    for correct, k in itertools.product(range(n + 1), range(1, n + 1)):
        samples = [1] * correct + [0] * (n - correct)
        subsets = list(itertools.combinations(samples, k))
        assert len(subsets) == comb(n, k)
        assert pass_at_k(n, correct, k) == pytest.approx(sum(map(max, subsets)) / len(subsets), abs=1e-15)


def test_pass_at_k_known_values():
    assert pass_at_k(4, 1, 4) == 1.0
    assert pass_at_k(4, 1, 1) == 0.25
    assert pass_at_k(300, 0, 256) == 0.0
    assert pass_at_k(300, 1, 256) == pytest.approx(256 / 300)


@pytest.mark.parametrize(("n", "correct", "k"), [(4, 1, 5), (4, 1, 0), (4, 5, 1), (4, -1, 1)])
def test_pass_at_k_refuses(n: int, correct: int, k: int):
    with pytest.raises(ValueError, match="would be right"):
        pass_at_k(n, correct, k)


def test_pass_at_k_of_a_matrix():
    matrix = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
    assert pass_at_k_per_problem(matrix, 2).tolist() == [0.0, 0.5, 1.0]
    assert pass_at_k_per_problem(matrix, 1).mean() == matrix.mean()
    with pytest.raises(ValueError, match="pass@5 of 4"):
        pass_at_k_per_problem(matrix, 5)
    with pytest.raises(ValueError, match="assignment destination is read-only"):
        pass_at_k_table(4, 2)[0] = 7


def test_majority():
    assert majority(["1", "1", "2"], [True, True, False]) == 1.0
    assert majority(["1", "2", "2"], [True, False, False]) == 0.0
    assert majority(["1", "2"], [True, False]) == 0.5
    assert majority(["1", "2", "3"], [True, False, False]) == pytest.approx(1 / 3)
    assert majority([None, None, "1"], [False, False, True]) == 1.0
    assert majority([None, None], [False, False]) == 0.0
    assert majority(["1/2", "0.50"], [True, True]) == 1.0  # right samples are one camp
    assert majority([None, "2"], [True, False]) == 0.5  # a right sample votes however it is spelled
    assert majority([None], [False]) == 0.0


def test_camps():
    assert camps(["a", "b", None, "b"], [True, False, False, False]).tolist() == [1, 1, 2]
    assert camps(["a", float("nan"), None], [False, False, True]).tolist() == [1, 1, 1]
    many = np.array([[2, 5, 2, 1], [1, 0, 0, 0], [0, 3, 0, 0]])
    assert share_of_right(many).tolist() == [0.5, 1.0, 0.0]


KEYS = ["a", "a", "b", "b", "b", None]
CORRECT = [True, True, False, False, False, False]


@pytest.mark.parametrize("k", range(1, 7))
def test_majority_at_k_against_enumeration(k: int):
    exact = np.mean(
        [majority([KEYS[i] for i in s], [CORRECT[i] for i in s]) for s in itertools.combinations(range(6), k)]
    )
    counts = camps(KEYS, CORRECT)
    assert majority_at_k(counts, k, draws=20_000) == pytest.approx(exact, abs=0.015)
    assert majority_at_k(counts, k) == majority_at_k(counts, k)


def test_majority_at_k_needs_k_samples():
    with pytest.raises(ValueError, match="maj@7"):
        majority_at_k(camps(KEYS, CORRECT), 7)


@pytest.mark.parametrize(("k", "bound"), [(1, 1.1), (4, 1.0), (8, 1.0), (16, 4 / 3)])
def test_the_variance_of_a_majority(k: int, bound: float):
    """The spread of maj@k over fresh samples beside the mean of what is stated."""
    rng = np.random.default_rng(0)
    drawn = [rng.multinomial(16, [0.4, 0.1, 0.3, 0.2]) for _ in range(400)]
    spread = np.var([majority_at_k(counts, k, draws=1000) for counts in drawn])
    stated = np.mean([majority_variance(counts, k, draws=1000) for counts in drawn])
    assert 0.5 * stated < spread <= bound * stated


def test_a_majority_without_doubt_has_no_variance():
    assert majority_variance(np.array([9, 0, 0]), 4) == 0.0
