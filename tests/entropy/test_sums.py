import weakref

import numpy as np
import pytest
import torch
from tiny_checkpoint import make_checkpoint, make_tokenizer, response_of
from transformers import AutoModelForCausalLM

from bupo.entropy import sums as sums_module
from bupo.entropy.kinds import KINDS, TokenKinds
from bupo.entropy.settings import Analysis
from bupo.entropy.slices import Slices
from bupo.entropy.sums import problem_sums
from bupo.errors import UserError
from bupo.policies import InternalPolicies

SETTINGS = Analysis(max_new_tokens=40, anchor_layers=[2])
SLICES = Slices(SETTINGS.edges, ["sums"])
OF_TOKEN = TokenKinds(make_tokenizer(), {2})


def sums_of(policies, *responses, settings=SETTINGS):
    masks = [SLICES.of(each, OF_TOKEN.of(each.prompt_ids, each.response_ids)) for each in responses]
    rows, found = problem_sums(policies, responses, masks, settings)
    return rows, {each.slice: each for each in found}


@pytest.fixture(scope="module")
def policies(checkpoint):
    return InternalPolicies(AutoModelForCausalLM.from_pretrained(checkpoint).eval())


def test_slices_share_out_the_tokens_and_their_sums(policies):
    first = response_of("a", 19, sample=0, correct=True)
    second = response_of("a", 31, sample=1, correct=False)
    second.response_ids[-1] = 2
    rows, found = sums_of(policies, first, second)
    assert {name: each.n_tokens for name, each in found.items()} == {
        **{"all": 50, "correct": 19, "wrong": 31, "text": 49, "special": 1},
        **{"position 1-8": 16, "position 9-16": 16, "position 17-32": 18},
    }
    assert all(each.sums.shape == (len(rows),) and each.sums.dtype == np.float64 for each in found.values())
    for parts in (("correct", "wrong"), [k for k in KINDS if k in found], [k for k in found if "-" in k]):
        np.testing.assert_allclose(sum(found[k].sums for k in parts), found["all"].sums, rtol=1e-12)
    _, alone = sums_of(policies, first)
    np.testing.assert_array_equal(found["correct"].sums, alone["all"].sums)


def test_blocks_of_positions_change_nothing(policies, monkeypatch):
    response = response_of("a", 37)
    rows, whole = sums_of(policies, response)
    monkeypatch.setattr(sums_module, "BLOCK", 5)
    again, blocks = sums_of(policies, response)
    assert rows == again and list(whole) == list(blocks)
    for name, each in whole.items():
        np.testing.assert_allclose(blocks[name].sums, each.sums, rtol=2e-6, atol=1e-5)


def test_only_the_states_grow_with_the_response(policies, monkeypatch):
    """However long the response, no more than a block of positions is measured at a time."""
    lengths = []
    measure = sums_module.measure

    def spy(policies, states, tokens, *more):
        lengths.append((states.final.shape[0], states.parts.shape[2], len(tokens)))
        return measure(policies, states, tokens, *more)

    monkeypatch.setattr(sums_module, "measure", spy)
    monkeypatch.setattr(sums_module, "BLOCK", 16)
    sums_of(policies, response_of("a", 40))
    assert lengths == [(16, 16, 16), (16, 16, 16), (8, 8, 8)]


@pytest.mark.parametrize(
    ("blocks", "dtype", "parts"),
    [
        (2.99, "float32", [(2, 18), (18, 34), (34, 42)]),
        (2, "bfloat16", [(2, 18), (18, 34), (34, 42)]),
        (0.5, "float32", [(2, 10), (10, 18), (18, 26), (26, 34), (34, 42)]),
        (5, "float32", [(2, 42)]),
    ],
)
def test_many_states_are_made_in_parts_to_the_same_sums(checkpoint, monkeypatch, blocks, dtype, parts):
    """However few of them are held at a time: whole blocks, each from a forward pass over the whole response."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=getattr(torch, dtype)).eval()
    policies = InternalPolicies(model)
    monkeypatch.setattr(sums_module, "BLOCK", 8)
    response = response_of("a", 40)
    rows, whole = sums_of(policies, response)
    made, held = [], []
    make = policies.states

    def states(ids, positions):
        assert all(each() is None for each in held)  # the earlier ones are gone before there are more
        found = make(ids, positions)
        held.append(weakref.ref(found.parts))
        made.append((positions.start, positions.stop))
        assert len(ids) == 43
        return found

    monkeypatch.setattr(policies, "states", states)
    bytes_each = (5 * 4 + 2) * 32 * (4 if dtype == "float32" else 2)  # 4 layers of width 32
    monkeypatch.setattr(sums_module, "HELD", int(blocks * 8 * bytes_each))
    again, found = sums_of(policies, response)
    assert made == parts and again == rows and list(found) == list(whole)
    for name, each in whole.items():
        np.testing.assert_array_equal(found[name].sums, each.sums)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_types_of_weights(checkpoint, policies, dtype):
    other = InternalPolicies(
        AutoModelForCausalLM.from_pretrained(checkpoint, dtype=getattr(torch, dtype)).eval()
    )
    response = response_of("a", 24)
    rows, found = sums_of(other, response)
    expected = sums_of(policies, response)[1]["all"].sums / 24
    means = found["all"].sums / 24
    close = 2e-5 if dtype == "float64" else 0.05
    for row, mean, right in zip(rows, means, expected, strict=True):
        if row.quantity in ("entropy", "entropy_change", "cosine", "nll"):
            assert abs(mean - right) < close * max(1, abs(right)), row


def test_a_deep_model(tmp_path):
    folder = make_checkpoint(tmp_path / "deep", layers=44, hidden=16)
    policies = InternalPolicies(AutoModelForCausalLM.from_pretrained(folder).eval())
    settings = Analysis(max_new_tokens=40, anchor_layers=[6, 43])
    rows, found = sums_of(policies, response_of("a", 6), settings=settings)
    layers = [
        row.layer for row in rows if (row.quantity, row.policy, row.lens) == ("entropy", "layer", "raw")
    ]
    assert layers == list(range(1, 45))
    assert [row.layer for row in rows if row.quantity == "cosine_to_later"] == [*range(7, 45), 44]
    assert np.isfinite(found["all"].sums).all()


def test_what_is_not_finite_is_told(policies, monkeypatch):
    measure = sums_module.measure

    def overflow(*arguments):
        rows, values = measure(*arguments)
        values[rows.index(next(row for row in rows if row.quantity == "norm")), 0] = torch.inf
        return rows, values

    monkeypatch.setattr(sums_module, "measure", overflow)
    with pytest.raises(
        UserError, match="problem a: the norm of the embedding policy at layer 0 is not finite"
    ):
        sums_of(policies, response_of("a", 5))


def test_an_empty_response_is_refused(policies):
    response = response_of("a", 0)
    masks = {"all": np.ones(0, dtype=bool)}
    with pytest.raises(UserError, match="problem a, sample 0: the response is empty"):
        problem_sums(policies, [response], [masks], SETTINGS)
