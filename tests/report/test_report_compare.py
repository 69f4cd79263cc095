"""Comparisons, verdicts and words on results whose truth is known."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from results_in_memory import SAMPLES, SIZES, both, evaluated, results
from results_tree import Scenario, make_tree

from bupo.figures.style import PALETTE, cell_looks
from bupo.report.cells import MEAN, Cell, cells_of, grpo_for
from bupo.report.collect import collect, read_metrics, switches, trains_internal
from bupo.report.compare import ABOVE, ABOVE_HERE, BELOW, OPEN, comparisons_of, headline
from bupo.report.records import Results, Run
from bupo.report.scores import scores_of
from bupo.report.spread import spreads
from bupo.report.verdict import answers
from bupo.report.words import points


def told(found: Results):
    cells = cells_of(found)
    comparisons = comparisons_of(found, cells)
    return cells, comparisons, answers(found, cells, scores_of(found, cells), comparisons)[0]


@pytest.mark.parametrize(
    ("bupo", "verdict", "title", "tone"),
    [
        (0.8, ABOVE, "Yes: bottom-up training beats GRPO here.", "good"),
        (0.3, BELOW, "No: GRPO beats bottom-up training here.", "bad"),
        (0.56, OPEN, "Not resolved", "open"),
    ],
)
def test_the_verdict_follows_the_truth(bupo, verdict, title, tone):
    found = results({"base": both(0.3), "grpo": both(0.55), "bupo-k3": both(bupo)}, SIZES)
    _, comparisons, answer = told(found)
    main = [c for c in headline(comparisons, found.benchmarks) if c.against == "grpo"]
    assert [c.verdict for c in main] == [verdict] and main[0].benchmark == MEAN
    assert answer.title.startswith(title) and answer.tone == tone
    assert ("80 % power" in " ".join(answer.sentences)) == (verdict == OPEN)


def test_the_mean_weighs_benchmarks_equally_and_pairs_problems():
    found = results({"base": both(0.3), "grpo": {"a": 0.5, "b": 0.1}, "bupo-k3": {"a": 0.5, "b": 0.9}}, SIZES)
    cells, comparisons, _ = told(found)
    by_name = {c.benchmark: c for c in comparisons if c.against == "grpo"}
    middle = (by_name["a"].difference.value + by_name["b"].difference.value) / 2
    assert by_name[MEAN].difference.value == pytest.approx(middle)
    assert by_name[MEAN].n_problems == 200
    scores = {(s.cell, s.benchmark): s for s in scores_of(found, cells)}
    ours, theirs = scores["bupo-k3", "b"].avg.value, scores["grpo", "b"].avg.value
    assert by_name["b"].difference.value == pytest.approx(ours - theirs)


def test_twenty_equal_cells_make_no_winner():
    rates = {"base": both(0.5), "grpo": both(0.5)} | {f"bupo-a{n}": both(0.5) for n in range(20)}
    _, comparisons, answer = told(results(rates, SIZES))
    against = [c for c in comparisons if c.against == "grpo"]
    # Two of these twenty are below 0.05 by chance; none is after the correction.
    assert any(c.p_value <= 0.05 for c in against)
    assert not [c for c in against if c.verdict in (ABOVE, BELOW)]
    assert answer.title.startswith("Not resolved")


def test_six_cells_are_told_one_by_one_and_of_more_a_sentence_has_the_rest():
    six = {"base": both(0.3), "grpo": both(0.5), **{f"bupo-k{k}": both(0.5 + 0.01 * k) for k in range(1, 7)}}
    sentences = told(results(six, SIZES))[2].sentences
    assert sum(sentence.startswith("bupo-k") for sentence in sentences) == 6
    assert not any(sentence.startswith("The other") for sentence in sentences)
    seven = {**six, "bupo-k7": both(0.9)}
    sentences = told(results(seven, SIZES))[2].sentences
    assert sentences[0].startswith("bupo-k7: +"), "what is resolved comes first"
    assert sum(sentence.startswith("bupo-k") for sentence in sentences) == 5
    (rest,) = [sentence for sentence in sentences if sentence.startswith("The other")]
    assert rest.startswith("The other 2 cells are between ") and "2 not resolved" in rest
    (gains,) = [sentence for sentence in sentences if "Points against base" in sentence]
    assert re.search(
        r"Points against base: from \S+ \+[\d.]+ \([^)]*\) to bupo-k7 \+[\d.]+ \([^)]*\)\.$", gains
    )


def test_seeds_are_taken_together():
    found = results({"base": both(0.3), "grpo": both(0.5), "bupo-k3": both(0.6)}, SIZES, seeds=(1, 2, 3))
    cells, comparisons, answer = told(found)
    score = next(s for s in scores_of(found, cells) if (s.cell, s.benchmark) == ("grpo", "a"))
    assert score.n_samples == 3 * SAMPLES and set(score.by_seed) == {1, 2, 3}
    assert score.avg.value == pytest.approx(np.mean(list(score.by_seed.values())))
    assert not any("one seed" in sentence for sentence in answer.sentences)
    assert len([c for c in comparisons if c.benchmark == MEAN]) == 3


def test_a_gain_of_one_lucky_seed_is_not_above():
    """Two seeds far better, one far worse: over problems it looks like a gain, over seeds it is none."""
    found = results({"base": both(0.3), "grpo": both(0.5), "bupo-k3": both(0.6)}, SIZES, seeds=(1, 2, 3))
    lucky = {1: 0.85, 2: 0.8, 3: 0.3}

    def seeded(run: Run) -> Run:
        rng = np.random.default_rng(run.seed)
        sizes = SIZES.items()
        drawn = {name: evaluated(name, rng.random((n, SAMPLES)) < lucky[run.seed]) for name, n in sizes}
        return dataclasses.replace(run, evaluated=drawn)

    runs = [seeded(run) if run.cell == "bupo-k3" else run for run in found.runs]
    found = dataclasses.replace(found, runs=runs)
    comparison = next(c for c in told(found)[1] if (c.against, c.benchmark) == ("grpo", MEAN))
    assert comparison.difference.low > 0 and comparison.corrected < 0.01
    assert comparison.over_seeds.low < 0 < comparison.over_seeds.high
    assert comparison.verdict == ABOVE_HERE and comparison.words == "above, not over seeds"
    steady = told(
        results({"base": both(0.3), "grpo": both(0.5), "bupo-k3": both(0.7)}, SIZES, seeds=(1, 2, 3))
    )
    assert {c.verdict for c in steady[1] if c.cell == "bupo-k3" and c.benchmark == MEAN} == {ABOVE}


def test_what_few_problems_cannot_show_is_said_so():
    found = results({"base": {"a": 0.5}, "grpo": {"a": 0.5}, "bupo-k3": {"a": 0.55}}, {"a": 30})
    comparisons = [c for c in told(found)[1] if c.against == "grpo"]
    assert [c.words for c in comparisons] == ["not resolvable with 30 problems"]
    assert comparisons[0].resolvable > abs(comparisons[0].difference.value)
    alone = results(
        {"base": {"a": 0.5}, "grpo": {"a": 0.5}, "bupo-k3": {"a": 0.55}, "bupo-k4": {"a": 0.5}}, {"a": 30}
    )
    of_two = next(c for c in told(alone)[1] if (c.cell, c.against) == ("bupo-k3", "grpo"))
    assert of_two.resolvable > comparisons[0].resolvable, "a larger family resolves less"


def test_scores_have_an_interval_for_every_chance():
    found = results({"base": both(0.3), "grpo": both(0.5)}, SIZES, seeds=(1, 2, 3))
    scores = {(s.cell, s.benchmark): s for s in scores_of(found, cells_of(found))}
    for score in scores.values():
        assert score.avg.low < score.avg.value < score.avg.high
        assert score.decoding.low < score.avg.value < score.decoding.high
        assert (score.over_seeds is None) == (score.cell == "base")
    wide, narrow = scores["grpo", "a"].avg, scores["grpo", "a"].decoding
    assert narrow.high - narrow.low <= wide.high - wide.low
    split = {(cell.name, name): parts for cell, name, parts in spreads(found, cells_of(found))}
    assert split["base", "a"].seeds is None and split["grpo", "a"].seeds is not None


def test_grpo_on_another_training_set_is_no_baseline():
    found = results({"base": both(0.3), "grpo": both(0.5), "bupo-k3": both(0.6)}, SIZES)
    runs = [dataclasses.replace(r, train_set="other") if r.cell == "grpo" else r for r in found.runs]
    found = dataclasses.replace(found, runs=runs)
    cells, comparisons, answer = told(found)
    assert grpo_for(cells[2], cells) is None
    assert {c.against for c in comparisons} == {"base"}
    assert answer.title == "No comparison with GRPO." and "training set" in answer.sentences[0]


def test_low_scores_that_differ_are_not_called_floor():
    rates = {"base": both(0.0), "grpo": both(0.0), "bupo-k3": both(0.04)}
    _, _, answer = told(results(rates, {"a": 900, "b": 900}))
    assert answer.title.startswith("Yes")
    _, _, flat = told(results({"base": both(0.0), "grpo": both(0.0), "bupo-k3": both(0.0)}, SIZES))
    assert "floor" in flat.title


def test_a_label_shows_what_auto_became():
    run = Run(model="m", cell="bupo-kauto-s4", seed=1, method="bupo", layer_requested="auto", layer=3)
    assert Cell("m", run.cell, [run]).label == "bupo-kauto-s4 (layer 3)"
    other = dataclasses.replace(run, seed=2, layer=4)
    assert Cell("m", run.cell, [run, other]).label == "bupo-kauto-s4"


def test_missing_problems_are_refused(tmp_path: Path):
    from bupo.errors import UserError

    experiment = make_tree(tmp_path, Scenario(problems=4, samples=2))
    path = experiment.parent / "evaluation/tiny_qwen3/grpo/seed1/arithmetic_easy/scores.parquet"
    table = pd.read_parquet(path)
    table[table["problem_id"] != "arithmetic_easy-0000"].to_parquet(path)
    found = collect(experiment)
    with pytest.raises(UserError, match=r"grpo and base on arithmetic_easy: .*arithmetic_easy-0000"):
        comparisons_of(found, cells_of(found))


def test_a_baseline_with_a_layer_trains_no_internal_policy():
    assert trains_internal([{"layer": 3, "steps": 4}, {"layer": "final"}])
    assert not trains_internal([{"layer": "final"}])
    run = Run(model="m", cell="grpo_frozen-k3", seed=1, method="grpo_frozen", layer_requested=3, layer=3)
    assert run.bottom_up and not dataclasses.replace(run, internal=False).bottom_up


def test_phase_switches_come_from_the_schedule():
    assert switches([{"layer": 3, "steps": 4}, {"layer": "final"}], 15) == [4]
    assert switches([{"layer": 2, "steps": 4}, {"layer": 4, "steps": 3}, {"layer": "final"}], 15) == [4, 7]
    assert switches([{"layer": "final"}], 15) == []
    assert switches([{"layer": 3, "steps": 15}, {"layer": "final"}], 15) == []


def test_metrics_keep_their_steps_and_gaps(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "a": 0.5}\n{"step": 2, "b_time": 3}\n{"step": 3, "a": 0.75, "c": "text"}\n{"st'
    )
    assert read_metrics(path) == {"a": [(1, 0.5), (3, 0.75)], "b_time": [(2, 3.0)]}
    path.write_text("")
    assert read_metrics(path) == {}


def test_each_cell_keeps_its_colour():
    styles = cell_looks(["base", "grpo", "bupo-k1", "base", "grpo"])
    assert list(styles) == ["base", "grpo", "bupo-k1"]
    assert styles["base"].color == PALETTE["base"]
    many = cell_looks([f"c{n}" for n in range(60)])
    assert len({(s.color, s.marker, s.dash) for s in many.values()}) == 60


def test_points_are_signed():
    assert points(0.0123) == "+1.2" and points(-0.05) == "−5.0" and points(None) == "–"
