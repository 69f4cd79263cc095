"""Our sweep against the authors' algorithm, said anew and run on the same model (where it is right)."""

import importlib

import pytest
import torch

from bupo.policies import PARTS, InternalPolicies

THEIRS = {
    "attention_input": "attention {} in",
    "attention": "attention {} out",
    "ffn_input": "ffn {} in",
    "ffn": "ffn {} out",
    "layer": "layer {} out",
}


@pytest.fixture
def common(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "benchmarks")
    return importlib.import_module("entropy_common")


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_the_same_entropies(common, model_factory, ids, kind):
    model = model_factory(kind, attn_implementation="eager")
    theirs = common.authors_way(model, ids[0])
    assert len(theirs) == 6 * 5 + 1
    policies = InternalPolicies(model)
    ours = policies.read(policies.states(ids[0]), ["raw"], compare=False)["raw"].entropy
    close = {"rtol": 0, "atol": 5e-5}
    torch.testing.assert_close(ours.final, theirs["final"], **close)
    below = ours.embedding
    for layer in range(1, 6):
        for part in PARTS:
            torch.testing.assert_close(ours.of(part, layer), theirs[THEIRS[part].format(layer)], **close)
        torch.testing.assert_close(below, theirs[f"layer {layer} in"], **close)
        below = ours.of("layer", layer)
