import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_checkpoint import response_of
from transformers import AutoModelForCausalLM

from bupo.entropy import shard
from bupo.entropy.quantities import Row
from bupo.entropy.results import merge
from bupo.entropy.settings import Analysis
from bupo.entropy.shard import RESPONSES, SUMS, Shard, run_shard
from bupo.entropy.slices import Slices
from bupo.entropy.source import LoadedModel, ModelSource
from bupo.entropy.statistics import statistics_table
from bupo.entropy.tables import (
    SliceSums,
    about,
    count_tokens,
    read_responses,
    read_sums,
    write_responses,
    write_sums,
)

ROWS = [Row("entropy", "ffn", 1, "raw"), Row("kl_to_later", "layer", 2, "raw", anchor=1)]


def test_the_table_holds_the_slices_in_order_and_whole_numbers_for_anchors():
    sums = [
        SliceSums("s", problem, name, tokens, np.array([tokens * value, -tokens * value]))
        for problem, value in (("a", 1.0), ("b", 3.0))
        for name, tokens in (("wrong", 2), ("all", 4))
    ]
    table = statistics_table(ROWS, ["all", "correct", "wrong"], sums, 0.95)
    assert table["slice"].tolist() == ["all", "all", "wrong", "wrong"]
    assert table["mean"].tolist() == [2.0, -2.0] * 2
    assert table["n_tokens"].tolist() == [8, 8, 4, 4] and set(table["n_problems"]) == {2}
    assert table["anchor"].dtype == "Int64" and table["anchor"].isna().tolist() == [True, False] * 2


def test_sums_and_responses_come_back_from_their_files(tmp_path):
    rng = np.random.default_rng(0)
    problems = [
        [SliceSums("s", f"p{i}", name, i + 1, rng.normal(size=3)) for name in ("all", "text")]
        for i in range(5)
    ]
    write_sums(tmp_path / "s.parquet", problems, 3, {"identity": "x"})
    found = list(read_sums(tmp_path / "s.parquet"))
    assert [each[:4] for each in found] == [each[:4] for problem in problems for each in problem]
    for each, wrote in zip(found, (each for problem in problems for each in problem), strict=True):
        np.testing.assert_array_equal(each.sums, wrote.sums)
    assert about(tmp_path / "s.parquet") == {"identity": "x"} and about(tmp_path / "none.parquet") == {}
    responses = [
        response_of(f"p{i}", i + 1, gold=None if i else "7", correct=bool(i) or None) for i in range(150)
    ]
    write_responses(tmp_path / "r.parquet", responses)
    assert list(read_responses(tmp_path / "r.parquet")) == responses
    assert count_tokens(tmp_path / "r.parquet") == sum(range(1, 151))
    assert about(tmp_path / "r.parquet") == {}


@pytest.fixture(scope="module")
def analysed(checkpoint, problems_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    settings = Analysis(problems=6, samples=2, max_new_tokens=10)
    run_shard(ModelSource("tiny", str(checkpoint)), [problems_file], settings, out, Shard())
    return (checkpoint, out, *merge(out, 1))


def test_statistics_are_means_over_exactly_the_response_tokens(analysed):
    """Recomputed from the stored token ids with the whole model, no streaming, in float64."""
    checkpoint, out, table, record = analysed
    table = table.set_index(["quantity", "policy", "layer", "lens", "slice"])
    responses = pd.read_parquet(out / "responses.parquet")
    assert len(responses) == 12 and responses.problem_id.nunique() == 6
    model = AutoModelForCausalLM.from_pretrained(checkpoint).double().eval()
    entropies, changes, surprises = [], [], []
    for prompt, response in zip(responses.prompt_ids, responses.response_ids, strict=True):
        ids = torch.tensor([*prompt, *response])[None]
        with torch.no_grad():
            hidden = model(ids, output_hidden_states=True)
            rows = slice(len(prompt) - 1, len(prompt) - 1 + len(response))
            states = [hidden.logits, *(model.lm_head(h) for h in hidden.hidden_states[:3])]
        log_p = torch.stack([x[0, rows] for x in states]).log_softmax(-1)
        final, _, first, second = -(log_p.exp() * log_p).sum(-1)
        entropies += final.tolist()
        changes += (second - first).tolist()
        surprises += [-log_p[0, i, token].item() for i, token in enumerate(response)]
    expected = {
        ("entropy", "final", 4, "final_norm"): entropies,
        ("entropy_change", "layer", 2, "raw"): changes,
        ("nll", "final", 4, "final_norm"): surprises,
    }
    for key, values in expected.items():
        assert table.loc[(*key, "all"), "mean"] == pytest.approx(np.mean(values), abs=1e-4), key
    found = table.loc[("entropy", "final", 4, "final_norm", "all")]
    assert found.n_tokens == len(entropies) == record["n_tokens"]
    assert found.n_problems == record["n_problems"] == 6


def test_tokens_are_drawn_from_the_policy_that_is_measured(analysed):
    """The mean surprise of tokens drawn at T = 1 is the mean entropy, within a few standard errors."""
    _, _, table, _ = analysed
    final = table[(table.policy == "final") & (table["slice"] == "all")].set_index("quantity")
    half = (final.high - final.low)["nll"] / 2
    assert abs(final["mean"]["nll"] - final["mean"]["entropy"]) < 3 * half


def peak(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def many_rows(monkeypatch):
    """Measuring that gives 3,000 numbers for each slice, from the response alone."""
    rows = [Row("entropy_change", "ffn", 1 + layer, "raw") for layer in range(3000)]

    def sums_of(_policies, responses, masks, _settings):
        first = responses[0]
        values = np.full(len(rows), float(len(first.response_ids)))
        return rows, [SliceSums(first.set, first.problem_id, name, 1, values) for name in masks[0]]

    monkeypatch.setattr(shard, "problem_sums", sums_of)


def test_memory_does_not_grow_with_the_number_of_problems(tmp_path, checkpoint, many_rows):
    """Of measuring and of merging: 2,000 tokens and 6 slices of 3,000 sums (144 kB) a problem."""
    settings, slices = Analysis(max_new_tokens=2000, position_edges=[2000]), Slices([2000], ["sums"])
    loaded = LoadedModel(ModelSource("tiny", str(checkpoint)), "float32")
    assert loaded.policies.total == 4 and loaded.kinds.special.size
    peaks = {}
    for name, count in (("caches are filled", 10), ("few", 10), ("many", 60)):
        out = tmp_path / name
        folder = Shard().folder(out)
        asked = (response_of(f"p{i:04d}", 2000, correct=True) for i in range(count))
        write_responses(folder / RESPONSES, asked)

        def measure(folder=folder):
            shard._measure(loaded, folder / RESPONSES, slices, settings, folder / "work")

        told = {"identity": "x", "model": "m", "files": [], "slices": slices.names}
        told |= {"rows": [vars(Row("entropy_change", "ffn", 1 + i, "raw")) for i in range(3000)]}
        measured = peak(measure)
        parts = (list(read_sums(path)) for path in sorted((folder / "work").glob("*.parquet")))
        write_sums(folder / SUMS, parts, 3000, {**told, "settings": settings.model_dump()})
        peaks[name] = (measured, peak(lambda out=out: merge(out, 1)))
    for few, many in zip(peaks["few"], peaks["many"], strict=True):
        assert many < few + 200_000, peaks
