import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_checkpoint import make_checkpoint, make_problems
from transformers import AutoModelForCausalLM

from bupo.entropy import __main__ as command
from bupo.entropy.analysis import analyse, boundary_record, gather
from bupo.entropy.problems import Problem
from bupo.entropy.responses import Response
from bupo.entropy.settings import Analysis, ModelSource, model_source
from bupo.errors import UserError
from bupo.grading import Grade
from bupo.policies import InternalPolicies
from bupo.validation import load_yaml, validated

SETTINGS = Analysis(problems=6, max_new_tokens=10, samples=2)


@pytest.fixture(scope="module")
def analysed(checkpoint, problems_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    record = analyse(ModelSource("tiny", str(checkpoint)), problems_file, SETTINGS, out)
    return out, record, checkpoint


def test_files_and_columns(analysed):
    out, record, _ = analysed
    assert sorted(path.name for path in out.iterdir()) == [
        "boundary.json",
        "responses.parquet",
        "statistics.parquet",
    ]
    table = pd.read_parquet(out / "statistics.parquet")
    assert list(table) == [
        "quantity",
        "policy",
        "layer",
        "lens",
        "slice",
        "mean",
        "low",
        "high",
        "n_tokens",
        "n_problems",
    ]
    assert not table.duplicated(["quantity", "policy", "layer", "lens", "slice"]).any()
    assert set(table.quantity) == {
        "entropy",
        "entropy_change",
        "kl_to_final",
        "top1_agreement",
        "cosine",
        "norm",
    }
    assert set(table.slice) == {"all", "wrong"}
    assert (table.low <= table["mean"]).all() and (table["mean"] <= table.high).all()
    assert json.loads((out / "boundary.json").read_text()) == record
    assert record["layers"] == 4 and [e["layer"] for e in record["evidence"]] == [1, 2, 3, 4]


def test_statistics_are_means_over_exactly_the_response_tokens(analysed):
    """Recomputed from the stored token ids with the whole model, no streaming, in float64."""
    out, record, checkpoint = analysed
    table = pd.read_parquet(out / "statistics.parquet").set_index(
        ["quantity", "policy", "layer", "lens", "slice"]
    )
    responses = pd.read_parquet(out / "responses.parquet")
    assert len(responses) == 12 and responses.problem_id.nunique() == 6
    model = AutoModelForCausalLM.from_pretrained(checkpoint).double().eval()
    entropies, layer_changes = [], []
    for prompt, response in zip(responses.prompt_ids, responses.response_ids, strict=True):
        ids = torch.tensor([*prompt, *response])[None]
        with torch.no_grad():
            hidden = model(ids, output_hidden_states=True)
            rows = slice(len(prompt) - 1, len(prompt) - 1 + len(response))
            states = [hidden.logits, *(model.lm_head(h) for h in hidden.hidden_states[:3])]
        log_p = torch.stack([x[0, rows] for x in states]).log_softmax(-1)
        final, _, first, second = -(log_p.exp() * log_p).sum(-1)
        entropies += final.tolist()
        layer_changes += (second - first).tolist()
    found = table.loc[("entropy", "final", 4, "final_norm", "all")]
    assert found["mean"] == pytest.approx(np.mean(entropies), abs=1e-4)
    change = table.loc[("entropy_change", "layer", 2, "raw", "all")]
    assert change["mean"] == pytest.approx(np.mean(layer_changes), abs=1e-4)
    assert (
        found.n_tokens == len(entropies) == record["n_tokens"]
        and found.n_problems == record["n_problems"] == 6
    )


def test_running_again_gives_the_same_and_order_does_not_matter(analysed, tmp_path, problems_file):
    out, record, checkpoint = analysed
    pd.read_parquet(problems_file)[::-1].to_parquet(tmp_path / "turned.parquet")
    again = analyse(
        ModelSource("tiny", str(checkpoint)), tmp_path / "turned.parquet", SETTINGS, tmp_path / "out"
    )
    assert again == record
    for name in ("responses.parquet", "statistics.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (out / name).read_bytes()


def test_slices_by_correctness(checkpoint):
    policies = InternalPolicies(AutoModelForCausalLM.from_pretrained(checkpoint).eval())
    generator = torch.Generator().manual_seed(0)

    def response(problem, sample, length):
        tokens = torch.randint(6, 300, (length,), generator=generator).tolist()
        return Response(Problem(problem, [], "1"), sample, [5, 6, 7], tokens, "", True)

    responses = [response("a", 0, 4), response("a", 1, 6), response("b", 0, 3), response("c", 0, 5)]
    grades = [Grade(verdict, "", None) for verdict in (True, False, False, True)]
    settings = Analysis(lenses=["raw"])
    slices = gather(policies, responses, grades, settings).slices
    assert {name: (means.tokens, means.clusters) for name, means in slices.items()} == {
        "all": (18, 3),
        "correct": (9, 2),
        "wrong": (9, 2),
    }
    alone = gather(policies, [responses[0], responses[3]], [None, None], settings).slices
    assert list(alone) == ["all"]
    np.testing.assert_allclose(slices["correct"].sums, alone["all"].sums, rtol=1e-12)
    np.testing.assert_allclose(slices["all"].sums, slices["correct"].sums + slices["wrong"].sums, rtol=1e-9)


def test_no_response_is_refused(checkpoint):
    policies = InternalPolicies(AutoModelForCausalLM.from_pretrained(checkpoint).eval())
    with pytest.raises(UserError, match="no response"):
        gather(policies, [], [], SETTINGS)


def test_boundary_json_without_intervals_is_valid_json():
    rows = [("entropy_change", "ffn", k, "raw", "all", 0.3, np.nan, np.nan, 9, 1) for k in (2, 1)]
    table = pd.DataFrame(
        rows,
        columns=[
            "quantity",
            "policy",
            "layer",
            "lens",
            "slice",
            "mean",
            "low",
            "high",
            "n_tokens",
            "n_problems",
        ],
    )
    record = boundary_record(table, "m", SETTINGS)
    assert record["status"] == "unclear" and record["evidence"][0]["low"] is None
    json.dumps(record, allow_nan=False)


def test_command_line_by_hand_with_a_model_json(tmp_path):
    make_checkpoint(tmp_path / "llama", kind="llama", layers=3, hidden=16)
    make_problems(tmp_path / "p.parquet", count=3)
    (tmp_path / "model.json").write_text(
        json.dumps({"name": "tiny_llama", "path": "llama", "revision": None, "layers": 3})
    )
    (tmp_path / "spec.yaml").write_text("max_new_tokens: 4\nlenses: [raw]\n")
    call = [sys.executable, "-m", "bupo.entropy", "model.json", "--problems", "p.parquet", "--out", "out"]
    done = subprocess.run([*call, "--spec", "spec.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny_llama: boundary layer")
    assert json.loads((tmp_path / "out" / "boundary.json").read_text())["model"] == "tiny_llama"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tolerence: 0.1", "tolerence is not a known key"),
        ("tolerance: -1", "tolerance = -1"),
        ("lenses: [raw, tuned]", "lenses.1 = 'tuned'"),
        ("lenses: [final_norm]", "boundary_lens 'raw' should be one of lenses"),
        ("lenses: [raw, raw]", "names one of them twice"),
    ],
)
def test_wrong_settings_are_one_sentence(tmp_path, spec, words, monkeypatch):
    (tmp_path / "s.yaml").write_text(spec)
    arguments = ["x", "m", "--problems", "p", "--out", "o", "--spec", str(tmp_path / "s.yaml")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(UserError) as error:
        command.main()
    assert words in str(error.value) and "s.yaml" in str(error.value) and "\n" not in str(error.value)


def test_wrong_models_are_one_sentence(tmp_path, checkpoint, problems_file):
    with pytest.raises(UserError, match="no causal language model could be loaded"):
        analyse(ModelSource("x", str(tmp_path)), problems_file, SETTINGS, tmp_path / "out")
    with pytest.raises(UserError, match=r"layers = 4, but its model\.json says 36"):
        analyse(ModelSource("x", str(checkpoint), layers=36), problems_file, SETTINGS, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="there is no such file"):
        model_source("nowhere/model.json")
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UserError, match="the key path is missing"):
        model_source(str(tmp_path))


def test_a_hub_model_keeps_its_revision(tmp_path):
    (tmp_path / "model.json").write_text(
        json.dumps({"path": "Qwen/Qwen3-4B", "revision": "abc", "layers": 36})
    )
    assert model_source(str(tmp_path)) == ModelSource(tmp_path.name, "Qwen/Qwen3-4B", "abc", 36)
    assert model_source("Qwen/Qwen3-4B") == ModelSource("Qwen3-4B", "Qwen/Qwen3-4B")


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_shipped_settings_are_valid(root, name):
    path = root / "configs" / "analysis" / f"{name}.yaml"
    assert validated(Analysis, {**load_yaml(path), "seed": 1}, path).tolerance == 0.05
