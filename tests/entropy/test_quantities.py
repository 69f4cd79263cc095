import pytest
import torch
from transformers import AutoModelForCausalLM

from bupo.entropy.quantities import measure
from bupo.policies import InternalPolicies


def entropy(logits):
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


@pytest.fixture(scope="module")
def measured(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    ids = torch.randint(6, 300, (20,), generator=torch.Generator().manual_seed(2))
    policies = InternalPolicies(model)
    states = policies.states(ids, slice(7, 19))
    rows, values = measure(policies, states, ids[8:20], ["raw", "final_norm"], anchors=[1, 3])
    assert len(rows) == values.shape[0] == len(set(rows))
    return model, ids, dict(zip(rows, values, strict=True))


def slow_states(model, ids):
    """Each module called by hand, in float64: H^{l-1}, LN(H^{l-1}), A, LN(H^{l-1} + A), F, H^l of every layer."""
    model = model.double()
    hidden = model.model.embed_tokens(ids[None])
    rotary = model.model.rotary_emb(hidden, torch.arange(len(ids))[None])
    mask = torch.full((len(ids), len(ids)), -torch.inf, dtype=torch.float64).triu(1)[None, None]
    for number, layer in enumerate(model.model.layers, start=1):
        normed = layer.input_layernorm(hidden)
        attention = layer.self_attn(normed, position_embeddings=rotary, attention_mask=mask)[0]
        middle = hidden + attention
        middle_normed = layer.post_attention_layernorm(middle)
        ffn = layer.mlp(middle_normed)
        yield (
            number,
            *(x[0, 7:19] for x in (hidden, normed, attention, middle, middle_normed, ffn, middle + ffn)),
        )
        hidden = middle + ffn


@torch.no_grad()
def test_against_a_plain_slow_computation(measured):
    model, ids, values = measured
    table = {(r.quantity, r.policy, r.layer, r.lens): v.double() for r, v in values.items() if not r.anchor}
    lenses = {"raw": lambda x: x, "final_norm": lambda x: model.model.norm(x)}
    checked = set()

    def check(key, expected):
        assert (table[key] - expected).abs().max() < 1e-4, key
        checked.add(key)

    for l, below, normed, attention, middle, middle_normed, ffn, above in slow_states(model, ids):  # noqa: E741
        for lens, through in lenses.items():

            def h(state, through=through):
                return entropy(model.lm_head(through(state)))

            check(("entropy_change", "layer", l, lens), h(above) - h(below))
            check(("entropy_change", "attention", l, lens), h(attention) - h(normed))
            check(("entropy_change", "ffn", l, lens), h(ffn) - h(middle_normed))
            states = {"layer": above, "attention": attention, "ffn": ffn}
            states |= {"attention_input": normed, "ffn_input": middle_normed}
            for policy, state in states.items():
                check(("entropy", policy, l, lens), h(state))
            if l == 1:
                check(("entropy", "embedding", 0, lens), h(below))
        check(("cosine", "attention", l, "raw"), torch.cosine_similarity(attention, below, -1))
        check(("cosine", "ffn", l, "raw"), torch.cosine_similarity(ffn, middle, -1))
        check(("norm", "layer", l, "raw"), above.norm(dim=-1))
        check(("norm", "attention", l, "raw"), attention.norm(dim=-1))
    final = model.model.norm(above)
    check(("entropy", "final", 4, "final_norm"), entropy(model.lm_head(final)))
    check(("norm", "final", 4, "final_norm"), final.norm(dim=-1))
    log_p = model.lm_head(final).log_softmax(-1)
    check(("nll", "final", 4, "final_norm"), -log_p.gather(-1, ids[8:20, None])[:, 0])
    assert {key for key in table if key[0] in ("entropy", "entropy_change", "cosine", "nll")} <= checked


@torch.no_grad()
def test_pairs_of_layers_against_a_plain_slow_computation(measured):
    model, ids, values = measured
    outputs = [state[-1] for state in slow_states(model, ids)]
    lenses = {"raw": lambda x: x, "final_norm": lambda x: model.model.norm(x)}
    log_p = {
        lens: [model.lm_head(through(state)).log_softmax(-1) for state in outputs]
        for lens, through in lenses.items()
    }
    table = {(r.quantity, r.anchor, r.layer, r.lens): v.double() for r, v in values.items() if r.anchor}
    expected = {}
    for k, m in ((1, 2), (1, 3), (1, 4), (3, 4)):
        cosine = torch.cosine_similarity(outputs[k - 1], outputs[m - 1], -1)
        expected["cosine_to_later", k, m, "raw"] = cosine
        for lens, each in log_p.items():
            kl = (each[k - 1].exp() * (each[k - 1] - each[m - 1])).sum(-1)
            expected["kl_to_later", k, m, lens] = kl
    assert set(table) == set(expected)
    assert all(row.policy == "layer" for row in values if row.anchor)
    for key, value in expected.items():
        assert (table[key] - value).abs().max() < 1e-4, key


def test_the_last_layer_has_no_later_one(measured):
    model, ids, _ = measured
    policies = InternalPolicies(model)
    rows, values = measure(policies, policies.states(ids), ids, ["raw"], anchors=[4])
    assert len(rows) == len(values) and not any(row.anchor for row in rows)


def test_temperature_divides_every_logit(measured):
    """Of a model whose unembedding is divided by it, at temperature 1."""
    model, ids, _ = measured
    policies = InternalPolicies(model)
    states = policies.states(ids)
    rows, values = measure(policies, states, ids, ["raw", "final_norm"], 2.0, anchors=[2])
    with torch.no_grad():
        model.lm_head.weight.div_(2.0)
        _, halved = measure(policies, states, ids, ["raw", "final_norm"], anchors=[2])
        model.lm_head.weight.mul_(2.0)
    assert {row.quantity for row in rows} >= {"nll", "kl_to_later"}
    torch.testing.assert_close(values, halved, atol=1e-5, rtol=1e-5)


def test_agreement_with_the_final_policy(measured):
    _, _, values = measured
    for row, value in values.items():
        if row.quantity == "top1_agreement":
            assert set(value.tolist()) <= {0.0, 1.0}
        if row.quantity == "kl_to_final":
            assert value.min() >= 0
            if row.policy == "layer" and row.layer == 4 and row.lens == "final_norm":
                assert value.max() < 1e-5
