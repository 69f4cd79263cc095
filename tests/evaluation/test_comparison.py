"""Paired comparisons, many at once, and where a score's spread is from."""

import numpy as np
import pandas as pd
import pytest

from bupo.evaluation.comparison import (
    correct_matrix,
    difference_over_seeds,
    differences,
    holm,
    problem_values,
    resolvable_difference,
    sign_flip_p_value,
)
from bupo.evaluation.intervals import over_differences, over_problems, standard_error
from bupo.evaluation.variance import variance_split


def scores(matrix: np.ndarray, prefix: str = "p") -> pd.DataFrame:
    rows = [
        {"problem_id": f"{prefix}{problem}", "sample": sample, "correct": bool(value)}
        for (problem, sample), value in np.ndenumerate(matrix)
    ]
    return pd.DataFrame(rows).sample(frac=1.0, random_state=0)


def delta(ours: np.ndarray, theirs: np.ndarray, k: int | None = None) -> np.ndarray:
    return differences(problem_values(scores(ours), k), problem_values(scores(theirs), k))


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


def test_paired_differences():
    rng = np.random.default_rng(4)
    difficulty = rng.random(100)[:, None]
    base = (rng.random((100, 8)) < difficulty * 0.8).astype(int)
    better = (rng.random((100, 8)) < difficulty).astype(int)
    result = over_differences(delta(better, base))
    assert result.value == pytest.approx(better.mean() - base.mean()) and result.n == 100
    assert 0 < result.low < result.value < result.high
    mirrored = over_differences(delta(base, better))
    assert mirrored.value == -result.value and mirrored.high < 0
    unpaired = over_problems(better.mean(axis=1)).high - over_problems(better.mean(axis=1)).low
    assert result.high - result.low < unpaired  # the problems' difficulty cancels
    assert sign_flip_p_value(delta(better, base)) < 0.01
    same = over_differences(delta(base, base))
    assert same.low < 0 < same.high and sign_flip_p_value(delta(base, base)) == 1.0
    assert over_differences(delta(better, base, k=8)).value == pytest.approx(
        better.max(axis=1).mean() - base.max(axis=1).mean()
    )
    with pytest.raises(ValueError, match="same problems"):
        differences(problem_values(scores(better)), problem_values(scores(base, prefix="q")))


def test_sign_flips_are_exact_for_few_problems():
    ours = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    assert sign_flip_p_value(ours) == 2 / 16  # all of four the same sign, either way


def test_sign_flips_weigh_benchmarks_equally():
    few, many = np.array([1.0, 1.0, -1.0]), np.full(12, -0.25)
    assert sign_flip_p_value(few, many) > sign_flip_p_value(np.concatenate([few, many]))


def test_p_values_are_uniform_where_there_is_no_difference():
    rng = np.random.default_rng(8)
    p_values = [
        sign_flip_p_value(rng.normal(0, 1, 30) * rng.random(30), flips=400, seed=i) for i in range(500)
    ]
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.08


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_resolvable_difference():
    error = standard_error(np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 30))[0]
    assert resolvable_difference(error) == pytest.approx((1.95996 + 0.84162) * error, rel=1e-4)
    assert resolvable_difference(error, comparisons=10) > 1.2 * resolvable_difference(error)


def test_a_resolvable_difference_is_mostly_resolved():
    """Of true differences of that size, 80 of 100 give an interval without zero."""
    rng = np.random.default_rng(9)
    found = 0
    for _ in range(400):
        noise = rng.normal(0.0, 0.2, 100)
        least = resolvable_difference(0.2 / 100**0.5)
        found += over_differences(noise + least).low > 0
    assert 0.74 <= found / 400 <= 0.86


def test_differences_over_seeds():
    ours, theirs = [0.36, 0.37, 0.38], [0.32, 0.31, 0.33]
    interval = difference_over_seeds(ours, theirs)
    assert interval is not None and interval.value == pytest.approx(0.05) and 0 < interval.low < 0.05
    against_base = difference_over_seeds(ours, [0.2])
    assert against_base is not None and against_base.n == 3 and against_base.value == pytest.approx(0.17)
    assert difference_over_seeds([0.4], [0.3]) is None
    equal = difference_over_seeds([0.4, 0.4], [0.3, 0.3])
    assert equal is not None and equal.low == equal.high == pytest.approx(0.1)


def test_the_split_adds_up_and_finds_the_parts():
    rng = np.random.default_rng(10)
    seeds, problems, n = 5, 60, 8
    kept = []
    for _ in range(200):
        chance = 0.5 + rng.normal(0, 0.05, (seeds, 1)) + rng.uniform(-0.35, 0.35, (1, problems))
        chance = np.clip(chance + rng.normal(0, 0.06, (seeds, problems)), 0, 1)
        x = rng.random((seeds, problems, n)) < chance[:, :, None]
        split = variance_split(x)
        kept.append([split.seeds, split.problems, split.seeds_and_problems, split.decoding])
    parts = np.mean(kept, axis=0)
    within = np.mean(chance * (1 - chance))
    expected = [
        0.05**2 / seeds,
        0.7**2 / 12 / problems,
        0.06**2 / (seeds * problems),
        within / (seeds * problems * n),
    ]
    assert parts == pytest.approx(expected, rel=0.2)


def test_one_seed_or_one_sample_leaves_parts_unknown():
    rng = np.random.default_rng(11)
    x = (rng.random((1, 30, 8)) < rng.random((1, 30, 1))).astype(int)
    split = variance_split(x)
    assert split.seeds is None and split.seeds_and_problems is None
    assert split.decoding is not None
    mean_variance = x.mean(axis=2)[0].var(ddof=1) / 30
    assert split.problems + split.decoding == pytest.approx(mean_variance)
    assert variance_split(x[:, :, :1]).decoding is None
    with pytest.raises(ValueError, match="two or more"):
        variance_split(x[:, :1])
