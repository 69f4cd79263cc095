"""Which scores are bold: resolved above every other cell, by their own family and by the grid's verdicts."""

import dataclasses

import numpy as np
from results_in_memory import SIZES, both, evaluated, results

from bupo.report.cells import MEAN, cells_of
from bupo.report.compare import BELOW, BELOW_ALONE, comparisons_of, leaders
from bupo.report.scores import scores_of


def test_no_winner_leads_inside_the_noise():
    def leading(rates):
        found = results(rates, SIZES)
        cells = cells_of(found)
        scores = leaders(found, cells, scores_of(found, cells), comparisons_of(found, cells))
        return {(s.cell, s.benchmark) for s in scores if s.leads}

    near = {"base": both(0.3), "grpo": both(0.5), "bupo-k3": both(0.53)}
    assert leading(near) == set()
    far = {"base": both(0.3), "grpo": both(0.4), "bupo-k3": both(0.8)}
    assert leading(far) == {("bupo-k3", "a"), ("bupo-k3", "b"), ("bupo-k3", MEAN)}
    assert leading({"base": both(0.9)}) == set()


def test_no_verdict_of_the_grid_says_less_than_a_leading_score():
    led, open_ones = 0, 0
    for gain in np.linspace(0.0, 0.3, 16):
        many = {f"bupo-k{k}": {"a": 0.5 + 0.01 * k, "b": 0.5} for k in range(4)}
        found = results({"base": both(0.3), "grpo": {"a": 0.5 + gain, "b": 0.5}, **many}, {"a": 60, "b": 60})
        cells = cells_of(found)
        comparisons = comparisons_of(found, cells)
        scores = leaders(found, cells, scores_of(found, cells), comparisons)
        ours = [c for c in comparisons if (c.against, c.benchmark) == ("grpo", "a")]
        led += (leads := any(s.leads for s in scores if (s.cell, s.benchmark) == ("grpo", "a")))
        resolved = all(c.verdict == BELOW for c in ours)
        open_ones += not resolved and all(c.p_value < 0.05 for c in ours)
        assert resolved or not leads
    assert led and open_ones


def test_a_score_that_leads_its_own_family_but_not_the_grids_is_not_bold():
    """On "a" GRPO solves 8 problems more than six equal cells; on "b" one cell is far above all others.

    The lead on "b" leaves the family of leading scores few hypotheses to correct for (6 x 2/256 < 0.05); to the
    grid's comparisons with GRPO the equal cells on "b" are more of them (11 x 2/256 > 0.05).
    """
    half = np.repeat([[1.0], [0.0]], 20, axis=0)
    ahead = half.copy()
    ahead[20:28] = 1.0
    tables = {"base": (0 * half, 0 * half), "grpo": (ahead, half)}
    tables |= {f"bupo-k{k}": (half, half) for k in range(5)} | {"bupo-k5": (half, half + (half == 0))}
    found = results({name: {} for name in tables}, {"a": 40, "b": 40})
    runs = [
        dataclasses.replace(
            run, evaluated={n: evaluated(n, t) for n, t in zip("ab", tables[run.cell], strict=True)}
        )
        for run in found.runs
    ]
    found = dataclasses.replace(found, runs=runs)
    cells = cells_of(found)
    comparisons, scores = comparisons_of(found, cells), scores_of(found, cells)

    def leading(told):
        return {s.cell for s in leaders(found, cells, scores, told) if s.benchmark == "a" and s.leads}

    verdicts = {c.verdict for c in comparisons if (c.against, c.benchmark) == ("grpo", "a")}
    assert verdicts == {BELOW_ALONE}
    assert leading([]) == {"grpo"} and leading(comparisons) == set()
