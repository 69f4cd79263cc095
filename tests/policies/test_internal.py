import pytest
import torch

from bupo.policies import PARTS, InternalPolicies, LayerIndex, internal, truncated_forward
from bupo.policies import streaming as streaming_module


def slow(logits):
    log_p = logits.double().log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def test_three_lines(model, ids):
    policies = InternalPolicies(model)
    reading = policies.read(policies.states(ids[0]))["raw"]
    entropy = reading.entropy.of("layer", 3)
    with torch.no_grad(), truncated_forward(model, LayerIndex(3, 5)):
        expected = slow(model(input_ids=ids[:1]).logits[0])
    assert (entropy - expected).abs().max() < 5e-5


def test_last_layer_with_final_norm_is_the_models_own_policy(model, ids):
    policies = InternalPolicies(model)
    states = policies.states(ids[0])
    with torch.no_grad():
        own = model(input_ids=ids[:1]).logits[0].log_softmax(-1)
    mine = policies.logits(states.of("layer", 5), "final_norm").log_softmax(-1)
    assert (mine - own).abs().max() < 1e-5
    reading = policies.read(states)["final_norm"]
    assert (reading.entropy.of("layer", 5) - reading.entropy.final).abs().max() < 1e-5
    assert (reading.entropy.final - slow(own)).abs().max() < 5e-5
    assert reading.kl_to_final.of("layer", 5).abs().max() < 1e-5
    assert reading.top1_agreement.of("layer", 5).min() == 1


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_every_policy_against_float64(model, ids, temperature):
    policies = InternalPolicies(model)
    states = policies.states(ids[0])
    final = (policies.logits(states.final).double() / temperature).log_softmax(-1)
    for lens, reading in policies.read(states, temperature=temperature).items():
        every = [(states.of(p, k), p, k) for p in PARTS for k in range(1, 6)] + [
            (states.embedding, "embedding", 0)
        ]
        for state, policy, k in every:
            through = model.model.norm(state) if lens == "final_norm" else state
            logits = through.double() @ model.lm_head.weight.double().T / temperature

            def read(values, policy=policy, k=k):
                return values.of(policy, k) if k else values.embedding

            log_p = logits.log_softmax(-1)
            kl = (log_p.exp() * (log_p - final)).sum(-1)
            assert (read(reading.entropy) - slow(logits)).abs().max() < 5e-5
            torch.testing.assert_close(read(reading.kl_to_final).double(), kl, rtol=1e-4, atol=5e-5)
            assert torch.equal(read(reading.top1_agreement).bool(), logits.argmax(-1) == final.argmax(-1))


def test_each_distinct_state_is_read_once(model, ids, monkeypatch):
    rows = []
    product = streaming_module.product
    monkeypatch.setattr(streaming_module, "product", lambda x, w: rows.append(x.shape[0]) or product(x, w))
    policies = InternalPolicies(model)
    policies.read(policies.states(ids[0]), ["raw"], compare=False)
    assert sum(rows) == (5 * 5 + 2) * 17
    assert len(rows) == 5 + 1  # one stacked product a layer, one for the final policy


def test_log_prob_with_its_gradient(model, ids):
    policies = InternalPolicies(model)
    states = policies.states(ids[0])
    found = policies.log_prob(states.of("layer", 2)[:-1], ids[0, 1:], "final_norm").log_prob
    logits = model.lm_head(model.model.norm(states.of("layer", 2)))[:-1]
    expected = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found.sum().backward()
    mine = model.lm_head.weight.grad.clone()
    model.zero_grad()
    expected.sum().backward()
    torch.testing.assert_close(mine, model.lm_head.weight.grad, rtol=1e-4, atol=1e-4)


def test_without_comparison(model, ids):
    policies = InternalPolicies(model)
    reading = policies.read(policies.states(ids[0]), ["raw"], compare=False)["raw"]
    assert reading.kl_to_final is None and reading.top1_agreement is None


def test_an_unknown_lens_is_refused(model, ids):
    policies = internal.InternalPolicies(model)
    with pytest.raises(ValueError, match="lens 'tuned' is unknown"):
        policies.read(policies.states(ids[0]), ["tuned"])
