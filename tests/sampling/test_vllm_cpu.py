"""vLLM itself, on a CPU and in an environment of its own (make env-vllm), on a tiny model."""

import pytest
import torch
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from bupo.sampling import Request, SamplingSettings, decode, key_of, sample_vllm

SHAPE = {
    "vocab_size": 60,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 128,
    "initializer_range": 0.15,
    "tie_word_embeddings": True,
    "eos_token_id": 3,
}
ENDS = frozenset([3, 7, 11])
PROMPTS = [(2, 5, 6, 7), (2, 9), (2, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21), (8,)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that ships with sampling settings, which would show if they were applied."""
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**SHAPE)).eval()
    model.generation_config = GenerationConfig(
        eos_token_id=20, do_sample=True, temperature=0.2, top_k=2, repetition_penalty=1.5
    )
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    return model, str(folder)


def settings(**changes):
    return SamplingSettings(end_token_ids=ENDS, **{"max_new_tokens": 24, **changes})


def by_vllm(model, folder, requests, wanted, python):
    parts = sample_vllm(model[1], None, requests, wanted, {"dtype": "float32"}, folder, python)
    found = dict(pair for part in parts for pair in part)
    return [found[place] for place in range(len(requests))]


@pytest.mark.slow
def test_greedy_equals_hugging_face(model, tmp_path, vllm_python):
    wanted = settings(temperature=0.0)
    requests = [Request(prompt, 0) for prompt in PROMPTS]
    ours = decode(model[0], requests, wanted)
    theirs = by_vllm(model, tmp_path, requests, wanted, vllm_python)
    assert {one.finish_reason for one in ours} == {"stop", "length"}
    for left, right in zip(ours, theirs, strict=True):
        assert (left.token_ids, left.finish_reason) == (right.token_ids, right.finish_reason)
        assert right.log_probs == pytest.approx(left.log_probs, abs=1e-4)


@pytest.mark.slow
def test_samples_hang_on_their_keys_and_follow_the_models_distribution(model, tmp_path, vllm_python):
    wanted, count = settings(), 500
    requests = [Request(prompt, key_of(prompt, i)) for prompt in PROMPTS for i in range(count)]
    found = by_vllm(model, tmp_path / "all", requests, wanted, vllm_python)
    some = [1777, 3, 600, 1200, 4]
    again = by_vllm(model, tmp_path / "some", [requests[place] for place in some], wanted, vllm_python)
    assert [one.token_ids for one in again] == [found[place].token_ids for place in some]

    for one in found:
        stopped = one.token_ids[-1] in ENDS
        assert one.finish_reason == ("stop" if stopped else "length")
        assert stopped or len(one.token_ids) == 24
        assert not ENDS & set(one.token_ids[:-1])
    assert {one.token_ids[-1] for one in found if one.finish_reason == "stop"} == ENDS
    for place, prompt in enumerate(PROMPTS):
        group = found[place * count : (place + 1) * count]
        assert len({tuple(one.token_ids) for one in group}) > 100
        first = torch.bincount(torch.tensor([one.token_ids[0] for one in group]), minlength=60) / count
        with torch.no_grad():
            logits = model[0](torch.tensor([[*prompt, *group[0].token_ids]])).logits[0, len(prompt) - 1 : -1]
        policy = logits[0].softmax(-1)
        assert ((first - policy).abs() < 5 * (policy * (1 - policy) / count).sqrt() + 1 / count).all()
        log_probs = logits.log_softmax(-1).gather(-1, torch.tensor(group[0].token_ids)[:, None])[:, 0]
        assert group[0].log_probs == pytest.approx(log_probs.tolist(), abs=1e-4)
