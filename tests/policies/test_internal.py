import pytest
import torch

from bupo.policies import PARTS, InternalPolicies, LayerIndex, truncated_forward
from bupo.policies.products import Factor


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
@pytest.mark.parametrize("kind", ["qwen3", "gemma2"])
def test_every_policy_against_float64(model_factory, ids, kind, temperature):
    model = model_factory(kind)
    policies = InternalPolicies(model)
    cap = policies.decoder.softcap
    assert (cap is not None) == (kind == "gemma2")
    states = policies.states(ids[0])

    def log_policy(state):
        logits = state.double() @ model.lm_head.weight.double().T
        logits = cap * torch.tanh(logits / cap) if cap else logits
        return (logits / temperature).log_softmax(-1)

    final, tokens = log_policy(states.final), ids[1]
    for lens, reading in policies.read(states, temperature=temperature, tokens=tokens).items():
        every = [(states.of(p, k), p, k) for p in PARTS for k in range(1, 6)]
        for state, policy, k in [*every, (states.embedding, "embedding", 0)]:
            log_p = log_policy(model.model.norm(state) if lens == "final_norm" else state)
            kl = (log_p.exp() * (log_p - final)).sum(-1)

            def read(values, policy=policy, k=k):
                return values.of(policy, k) if k else values.embedding

            assert (read(reading.entropy) - slow(log_p)).abs().max() < 5e-5
            torch.testing.assert_close(read(reading.kl_to_final).double(), kl, rtol=1e-4, atol=5e-5)
            assert torch.equal(read(reading.top1_agreement).bool(), log_p.argmax(-1) == final.argmax(-1))
        expected = final.gather(-1, tokens[:, None])[:, 0]
        torch.testing.assert_close(reading.final_log_prob.double(), expected, rtol=1e-5, atol=5e-5)


@pytest.mark.parametrize("lens", ["raw", "final_norm"])
@pytest.mark.parametrize("kind", ["qwen3", "gemma2"])
def test_kl_to_later_layers_against_float64(model_factory, ids, kind, lens):
    policies = InternalPolicies(model_factory(kind).double())
    states = policies.states(ids[0])
    log_p = [
        (policies.logits(states.of("layer", k), lens) / 0.8).log_softmax(-1)
        for k in range(1, policies.total + 1)
    ]
    for k in range(1, policies.total + 1):
        found = policies.kl_to_later(states, k, lens, temperature=0.8)
        assert found.shape == (policies.total - k, len(ids[0]))
        for row, log_q in zip(found, log_p[k:], strict=True):
            expected = (log_p[k - 1].exp() * (log_p[k - 1] - log_q)).sum(-1)
            torch.testing.assert_close(row, expected, rtol=1e-9, atol=1e-9)
    same = policies.kl_to_later(states, LayerIndex(2, policies.total), lens, temperature=0.8)
    assert torch.equal(same, policies.kl_to_later(states, 2, lens, temperature=0.8))


def test_float32_kl_to_later_layers(model, ids):
    policies = InternalPolicies(model)
    states = policies.states(ids[0])
    log_p = (states.all("layer").double() @ model.lm_head.weight.double().T).log_softmax(-1)
    expected = (log_p[1].exp() * (log_p[1] - log_p[2:])).sum(-1)
    torch.testing.assert_close(policies.kl_to_later(states, 2).double(), expected, rtol=1e-4, atol=5e-5)


def test_layers_are_checked(model, ids):
    policies = InternalPolicies(model)
    states = policies.states(ids[0])
    for wrong in (0, 6, LayerIndex(2, 36)):
        with pytest.raises(ValueError, match="layer"):
            policies.kl_to_later(states, wrong)


def test_each_distinct_state_is_read_once(model, ids, monkeypatch):
    rows = []
    times = Factor.times
    monkeypatch.setattr(Factor, "times", lambda self, x, out=None: rows.append(len(x)) or times(self, x, out))
    policies = InternalPolicies(model)
    policies.read(policies.states(ids[0]), ["raw"], compare=False)
    assert rows == [17, (5 * 5 + 1) * 17]  # the final policy, and one stacked product for all the others
    rows.clear()
    policies.read(policies.states(ids[0]))
    assert rows[:2] == [17, 17]  # the final policy's logits once more, to compare with
    assert sum(rows[2:]) == 2 * (5 * 5 + 1) * 17


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_in_bfloat16(model, ids, dtype):
    model = model.to(dtype)
    exact, fast = InternalPolicies(model), InternalPolicies(model, products="bfloat16")
    states = exact.states(ids[0])
    expected, found = exact.read(states)["raw"], fast.read(states)["raw"]
    assert found.entropy.parts.dtype == torch.float32
    gap = (found.entropy.parts - expected.entropy.parts).abs().max()
    assert gap == 0 if dtype == torch.bfloat16 else 0 < gap < 0.2
    with pytest.raises(ValueError, match="products 'float8' are unknown"):
        InternalPolicies(model, products="float8")


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
    assert reading.kl_to_final is None and reading.top1_agreement is None and reading.final_log_prob is None


def test_an_unknown_lens_is_refused(model, ids):
    policies = InternalPolicies(model)
    states = policies.states(ids[0])
    for read in (lambda: policies.read(states, ["tuned"]), lambda: policies.kl_to_later(states, 2, "tuned")):
        with pytest.raises(ValueError, match="lens 'tuned' is unknown"):
            read()
