"""Every known architecture: its states are those that the model adds up, its final policy is the model's own."""

import pytest
import torch
from tiny_decoders import HIDDEN, KINDS, LAYERS, tiny_decoder
from torch import nn

from bupo.policies import PARTS, Decoder, InternalPolicies, LayerIndex, truncated_forward

every_kind = pytest.mark.parametrize("kind", KINDS)


def logits_of(decoder, states):
    """What the model makes of a state in front of its unembedding, written down once more."""
    logits = states @ decoder.model.lm_head.weight.T
    return logits if decoder.softcap is None else decoder.softcap * torch.tanh(logits / decoder.softcap)


def zero(layer, name):
    found = [p for key, p in layer.named_parameters() if name in key.split(".")]
    assert found
    with torch.no_grad():
        for parameter in found:
            parameter.zero_()


@every_kind
def test_the_last_layer_through_the_final_norm_is_the_models_own_policy(kind, ids):
    model = tiny_decoder(kind)
    policies = InternalPolicies(model)
    states = policies.states(ids[0])
    with torch.no_grad():
        own = model(input_ids=ids[:1]).logits[0].log_softmax(-1)
        last = policies.decoder.final_norm(states.of("layer", LAYERS))
        assert (logits_of(policies.decoder, last).log_softmax(-1) - own).abs().max() < 1e-5
        assert (logits_of(policies.decoder, states.final).log_softmax(-1) - own).abs().max() < 1e-5
    assert own.exp().amax(-1).mean() > 0.01  # no uniform policy, which anything would reproduce
    entropy = -(own.exp() * own).sum(-1)
    reading = policies.read(states, ["final_norm"])["final_norm"]
    assert reading.kl_to_final.of("layer", LAYERS).abs().max() < 1e-5
    mine = policies.logits(states.of("layer", LAYERS), "final_norm").log_softmax(-1)
    assert (mine - own).abs().max() < 1e-5
    assert (reading.entropy.of("layer", LAYERS) - entropy).abs().max() < 5e-5
    assert (reading.entropy.final - entropy).abs().max() < 5e-5


@every_kind
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_are_those_of_hugging_face(kind, tied, dtype, ids):
    model = tiny_decoder(kind, tied=tied).to(dtype)
    states = Decoder(model).states(ids[0])
    with torch.no_grad():
        out = model(input_ids=ids[:1], output_hidden_states=True)
    assert states.parts.dtype == dtype
    assert torch.equal(states.embedding, out.hidden_states[0][0])
    for k in range(1, LAYERS):
        assert torch.equal(states.of("layer", k), out.hidden_states[k][0])
    assert torch.equal(states.final, out.hidden_states[LAYERS][0])


@every_kind
def test_residual_sums_close(kind, ids):
    model = tiny_decoder(kind, **{"experts_implementation": "eager"} if kind == "qwen3_moe" else {}).double()
    states = Decoder(model).states(ids[0])
    total = states.embedding + states.all("attention").sum(0) + states.all("ffn").sum(0)
    torch.testing.assert_close(states.of("layer", LAYERS), total, rtol=1e-12, atol=1e-12)
    for part in ("attention", "ffn"):
        share = states.all(part).norm(dim=-1).mean(-1) / states.all("layer").norm(dim=-1).mean(-1)
        assert (share > 0.01).all()  # each part matters


@every_kind
def test_a_silenced_module_adds_nothing(kind, ids):
    """What is read as A^l and F^l is what attention and FFN add: seen by silencing them, not by their names."""
    model = tiny_decoder(kind)
    decoder = Decoder(model)
    whole = decoder.states(ids[0])
    zero(decoder.layers[1], "down_proj")
    states = decoder.states(ids[0])
    assert not states.of("ffn", 2).any() and whole.of("ffn", 2).any()
    assert torch.equal(states.of("attention", 2), whole.of("attention", 2))
    assert torch.equal(states.of("layer", 2), states.of("layer", 1) + whole.of("attention", 2))
    zero(decoder.layers[1], "o_proj")
    states = decoder.states(ids[0])
    assert not states.of("attention", 2).any() and torch.equal(states.of("layer", 2), states.of("layer", 1))


@every_kind
def test_inputs_are_what_the_modules_read(kind, ids):
    """Seen at the first projections inside attention and FFN, whose names the adapter does not know."""
    model = tiny_decoder(kind)
    decoder = Decoder(model)
    seen = {}
    for index, layer in enumerate(decoder.layers):
        for key, module in layer.named_modules():
            name = key.split(".")[-1]
            if name in ("q_proj", "qkv_proj", "gate_proj", "gate_up_proj", "gate"):
                policy = "attention_input" if "attn" in key else "ffn_input"
                where = (policy, index + 1)
                module.register_forward_pre_hook(lambda m, a, where=where: seen.update({where: a[0]}))
    states = decoder.states(ids[0])
    assert len(seen) == 2 * LAYERS
    for (policy, k), value in seen.items():
        assert torch.equal(states.of(policy, k), value.reshape(-1, HIDDEN))


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("k", range(1, LAYERS + 1))
def test_truncated_forward_reads_the_state_of_layer_k(kind, k, dtype, ids):
    model = tiny_decoder(kind).to(dtype)
    decoder = Decoder(model)
    with torch.no_grad():
        state = decoder_output(model, k, ids)
        raw = logits_of(decoder, state)
        with truncated_forward(model, LayerIndex(k, LAYERS)):
            out = model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
            cached = model(input_ids=ids, use_cache=True).logits
            alone = model(input_ids=ids[:1], output_hidden_states=True).hidden_states[k][0]
        with truncated_forward(model, LayerIndex(k, LAYERS), "final_norm"):
            normed = model(input_ids=ids).logits
    assert torch.equal(out.logits.log_softmax(-1), raw.log_softmax(-1)) and torch.equal(cached, raw)
    assert torch.equal(out.hidden_states[k], state)
    assert torch.equal(alone, decoder.states(ids[0]).of("layer", k))
    assert len(out.hidden_states) == k + 1
    with torch.no_grad():
        expected = logits_of(decoder, decoder.final_norm(state))
        whole = model(input_ids=ids).logits
    assert torch.equal(normed, expected) and not torch.equal(raw, whole)
    assert torch.equal(normed, whole) == (k == LAYERS)


def decoder_output(model, k, ids):
    """H^k in a whole forward of the model, with its graph."""
    found = {}
    hook = Decoder(model).layers[k - 1].register_forward_hook(lambda m, a, out: found.update(state=out))
    model(input_ids=ids)
    hook.remove()
    return found["state"]


@every_kind
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("lens", ["raw", "final_norm"])
def test_gradients_of_phase_1(kind, tied, checkpointing, lens, ids):
    model = tiny_decoder(kind, tied=tied).train()
    decoder, k = Decoder(model), 3
    state = decoder_output(model, k, ids)
    state = decoder.final_norm(state) if lens == "final_norm" else state
    log_p = logits_of(decoder, state).log_softmax(-1)
    log_p[:, :-1].gather(2, ids[:, 1:, None]).mean().backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with truncated_forward(model, LayerIndex(k, LAYERS), lens):
        mine = model(input_ids=ids).logits.log_softmax(-1)
    # outside the block on purpose: gradient checkpointing runs layers again here
    mine[:, :-1].gather(2, ids[:, 1:, None]).mean().backward()
    assert torch.equal(mine, log_p)
    unused = {p for layer in decoder.layers[k:] for p in layer.parameters()}
    unused |= {*decoder.final_norm.parameters()} if lens == "raw" else set()
    unused |= {p for name, p in model.named_parameters() if "vision_tower" in name or "projector" in name}
    for name, parameter in model.named_parameters():
        if parameter in unused:
            assert parameter.grad is None, name
        else:
            assert torch.equal(parameter.grad, expected[name]), name
    assert all(p.grad is not None for p in decoder.layers[k - 1].parameters())
    assert decoder.embedding.weight.grad.any() and decoder.unembedding.grad.any()


@pytest.mark.parametrize("k", [1, 3])
def test_a_mixture_of_experts_balances_the_layers_that_run(k, ids):
    model = tiny_decoder("qwen3_moe", output_router_logits=True)
    whole = model(input_ids=ids)
    assert len(whole.router_logits) == LAYERS - 1  # the second layer is dense
    with truncated_forward(model, LayerIndex(k, LAYERS)):
        out = model(input_ids=ids, labels=ids)
    sparse = [index for index in range(k) if index != 1]
    assert len(out.router_logits) == len(sparse)
    for mine, full in zip(out.router_logits, whole.router_logits, strict=False):
        assert torch.equal(mine, full)
    out.aux_loss.backward()
    touched = {
        name.split(".")[2]
        for name, p in model.named_parameters()
        if p.grad is not None and "gate.weight" in name
    }
    assert touched == {str(index) for index in sparse}


@pytest.mark.parametrize("kind", ["qwen3", "gemma2"])
def test_more_than_forty_layers(kind, ids):
    model = tiny_decoder(kind, layers=44)
    states = Decoder(model).states(ids[0])
    assert states.parts.shape == (44, len(PARTS), 17, HIDDEN)
    with torch.no_grad():
        hidden = model(input_ids=ids[:1], output_hidden_states=True).hidden_states
        layer = LayerIndex(41, 44)
        assert torch.equal(states.of("layer", layer), hidden[41][0])
        assert not torch.equal(hidden[40], hidden[41]) and not torch.equal(hidden[41], hidden[42])
        with truncated_forward(model, layer):
            logits = model(input_ids=ids[:1]).logits
    assert torch.equal(logits, logits_of(Decoder(model), hidden[41]))


def test_every_layer_type_has_its_own_mask(ids):
    """Beyond the window a token moves the states of full attention alone."""
    model = tiny_decoder("gemma3_text", layer_types=["sliding_attention"] * 2 + ["full_attention"] * 3)
    other = ids[0].clone()
    other[0] = 7
    decoder = Decoder(model)
    mine, theirs = decoder.states(ids[0]), decoder.states(other)
    assert torch.equal(mine.of("layer", 2)[12:], theirs.of("layer", 2)[12:])
    assert not torch.equal(mine.of("layer", 3)[12:], theirs.of("layer", 3)[12:])
    with torch.no_grad(), truncated_forward(model, LayerIndex(2, LAYERS)):
        assert torch.equal(
            model(input_ids=ids[:1]).logits[0, 12:], model(input_ids=other[None]).logits[0, 12:]
        )


def test_an_embedding_scale_is_in_the_lowest_state(ids):
    model = tiny_decoder("gemma2")
    table = nn.functional.embedding(ids[0], model.model.embed_tokens.weight)
    torch.testing.assert_close(Decoder(model).states(ids[0]).embedding, table * HIDDEN**0.5)
