"""The authors' algorithm, re-expressed: its states and logits are right, its choice of positions is not.

It takes the positions from the first response token on: that leaves out the one that predicts the first
token, and counts the last one, which predicts nothing that is part of the response.
"""

import pytest
import torch
from tiny_checkpoint import make_tokenizer, response_of
from transformers import AutoModelForCausalLM

from bupo.entropy.kinds import TokenKinds
from bupo.entropy.settings import Analysis
from bupo.entropy.slices import Slices
from bupo.entropy.sums import problem_sums
from bupo.policies import InternalPolicies

PROMPT, LENGTH = 9, 14


def entropy(model, states):
    probabilities = model.lm_head(states).softmax(-1)
    return -(probabilities * probabilities.log()).sum(-1)


@torch.no_grad()
def entropies_of_all_positions(model, ids):
    """Every layer's, attention's and FFN's entropy at every position, [T], from whole logits."""
    kept, hooks = {}, []

    def keep(key):
        def hook(_module, _args, output):
            kept[key] = (output[0] if isinstance(output, tuple) else output)[0]

        return hook

    for number, layer in enumerate(model.model.layers, start=1):
        for name, module in (("layer", layer), ("attention", layer.self_attn), ("ffn", layer.mlp)):
            hooks.append(module.register_forward_hook(keep((name, number))))
    model(torch.tensor(ids)[None])
    for hook in hooks:
        hook.remove()
    return {key: entropy(model, states) for key, states in kept.items()}


@pytest.fixture(scope="module")
def both(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(8)  # policies that differ from token to token
    response = response_of("a", length=LENGTH, prompt=PROMPT)
    whole = entropies_of_all_positions(model, response.prompt_ids + response.response_ids)
    kinds = TokenKinds(make_tokenizer(), {2}).of(response.prompt_ids, response.response_ids)
    masks = Slices([LENGTH], ["sums"]).of(response, kinds)
    rows, sums = problem_sums(InternalPolicies(model), [response], [masks], Analysis())
    (every,) = (each for each in sums if each.slice == "all")
    assert every.n_tokens == LENGTH
    found = dict(
        zip(((row.quantity, row.policy, row.layer, row.lens) for row in rows), every.sums, strict=True)
    )
    return whole, found


def test_means_are_theirs_over_the_positions_that_predict_the_response(both):
    whole, found = both
    assert len(whole) == 12
    for (policy, layer), values in whole.items():
        right = values[PROMPT - 1 : PROMPT + LENGTH - 1].mean().item()
        assert found["entropy", policy, layer, "raw"] / LENGTH == pytest.approx(right, abs=1e-5)


def test_theirs_is_off_by_one_position(both):
    whole, found = both
    for (policy, layer), values in whole.items():
        theirs = values[PROMPT:].sum().item()
        assert len(values[PROMPT:]) == LENGTH
        left_out, counted_in = values[PROMPT - 1].item(), values[-1].item()
        ours = found["entropy", policy, layer, "raw"]
        assert ours == pytest.approx(theirs + left_out - counted_in, abs=1e-4)
        assert abs(ours - theirs) > 0.01
