"""The estimators against exhaustive enumeration and simulation."""

import itertools
from math import comb

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bupo.evaluation.comparison import (
    correct_matrix,
    holm,
    paired_difference,
    paired_p_value,
    problem_values,
    resolvable_difference,
)
from bupo.evaluation.statistics import (
    majority,
    majority_at_k,
    over_decoding,
    over_problems,
    pass_at_k,
    pass_at_k_per_problem,
    pass_at_k_table,
    student_quantile,
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
    with pytest.raises(ValueError, match="assignment destination is read-only"):
        pass_at_k_table(4, 2)[0] = 7


def test_majority():
    assert majority(["1", "1", "2"], [True, True, False]) == 1.0
    assert majority(["1", "2", "2"], [True, False, False]) == 0.0
    assert majority(["1", "2"], [True, False]) == 0.5
    assert majority([None, None, "1"], [False, False, True]) == 1.0
    assert majority([None, None], [False, False]) == 0.0
    assert majority(["1/2", "0.50"], [True, True]) == 1.0  # right samples are one camp


def test_majority_at_k_against_enumeration():
    keys = ["a", "a", "b", "b", "b", None]
    correct = [True, True, False, False, False, False]
    for k in range(1, 7):
        exact = np.mean(
            [
                majority([keys[i] for i in s], [correct[i] for i in s])
                for s in itertools.combinations(range(6), k)
            ]
        )
        assert majority_at_k(keys, correct, k, draws=4000) == pytest.approx(exact, abs=0.03)
    with pytest.raises(ValueError, match="maj@7"):
        majority_at_k(keys, correct, 7)


def test_student_quantile():
    for degrees in (5, 10, 29, 500):
        assert student_quantile(0.975, degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=2e-3)


def test_intervals_over_problems_cover():
    """1,000 simulated benchmarks of 30 problems with 8 samples: the true mean lies inside in 93-97%."""
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(1000):
        difficulty = rng.beta(0.5, 1.0, 30)
        values = rng.binomial(8, difficulty) / 8
        interval = over_problems(values, resamples=1000, seed=trial)
        hits += interval.low <= 1 / 3 <= interval.high
    assert 930 <= hits <= 970


def test_intervals_over_decoding_cover():
    """The same for fixed problems whose samples are drawn again."""
    rng = np.random.default_rng(1)
    difficulty = rng.beta(1.0, 1.0, 30)
    hits = 0
    for trial in range(400):
        matrix = (rng.random((30, 16)) < difficulty[:, None]).astype(int)
        low, high = over_decoding(matrix, resamples=300, seed=trial)
        hits += low <= difficulty.mean() <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_intervals_where_all_problems_agree():
    nothing = over_problems(np.zeros(30))
    assert (nothing.value, nothing.low) == (0.0, 0.0)
    assert nothing.high == pytest.approx(1 - 0.025 ** (1 / 30))
    everything = over_problems(np.ones(30))
    assert (everything.value, everything.high) == (1.0, 1.0)
    same = over_problems(np.zeros(30), bounds=(-1.0, 1.0))
    assert same.low == -same.high < 0
    with pytest.raises(ValueError, match="at least one"):
        over_problems([])


def test_intervals_repeat_and_contain_the_value():
    matrix = (np.random.default_rng(2).random((40, 8)) < 0.4).astype(int)
    values = pass_at_k_per_problem(matrix, 4)
    first = over_problems(values, 2000)
    assert first == over_problems(values, 2000) and first.n == 40
    assert first.low < first.value < first.high
    low, high = over_decoding(matrix, 4)
    assert low < first.value < high and (low, high) == over_decoding(matrix, 4)


def scores(matrix: np.ndarray, prefix: str = "p") -> pd.DataFrame:
    rows = [
        {"problem_id": f"{prefix}{problem}", "sample": sample, "correct": bool(value)}
        for (problem, sample), value in np.ndenumerate(matrix)
    ]
    return pd.DataFrame(rows).sample(frac=1.0, random_state=0)


def test_scores_become_a_matrix_whatever_their_order():
    matrix = (np.random.default_rng(3).random((5, 4)) < 0.5).astype(int)
    problems, back = correct_matrix(scores(matrix))
    assert problems == [f"p{i}" for i in range(5)] and np.array_equal(back, matrix)
    assert problem_values(scores(matrix))["p2"] == matrix[2].mean()
    table = scores(matrix)
    with pytest.raises(ValueError, match="twice"):
        correct_matrix(pd.concat([table, table.iloc[:1]]))
    with pytest.raises(ValueError, match="same samples"):
        correct_matrix(table.iloc[1:])


def test_paired_difference():
    rng = np.random.default_rng(4)
    difficulty = rng.random(100)[:, None]
    base = (rng.random((100, 8)) < difficulty * 0.8).astype(int)
    better = (rng.random((100, 8)) < difficulty).astype(int)
    result = paired_difference(scores(better), scores(base))
    assert result.value == pytest.approx(better.mean() - base.mean()) and result.n == 100
    assert 0 < result.low < result.value < result.high
    mirrored = paired_difference(scores(base), scores(better))
    assert mirrored.value == -result.value and mirrored.high < 0
    unpaired = over_problems(better.mean(axis=1)).high - over_problems(better.mean(axis=1)).low
    assert result.high - result.low < unpaired  # the problems' difficulty cancels
    assert paired_p_value(scores(better), scores(base)) < 0.01
    same = paired_difference(scores(base), scores(base))
    assert same.low < 0 < same.high and paired_p_value(scores(base), scores(base)) == 1.0
    assert paired_difference(scores(better), scores(base), k=8).value == pytest.approx(
        better.max(axis=1).mean() - base.max(axis=1).mean()
    )
    with pytest.raises(ValueError, match="same problems"):
        paired_difference(scores(better), scores(base, prefix="q"))


def test_sign_flips_are_exact_for_few_problems():
    delta = np.array([[1], [1], [1], [1], [0]])
    p = paired_p_value(scores(delta), scores(np.zeros_like(delta)))
    assert p == 2 / 16  # all of four the same sign, either way


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_resolvable_difference():
    assert resolvable_difference(0.4, 30) == pytest.approx((1.96 + 0.8416) * 0.4 / 30**0.5, rel=1e-3)
    assert resolvable_difference(0.4, 120) == pytest.approx(resolvable_difference(0.4, 30) / 2)
