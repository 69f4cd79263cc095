"""Lessons and the supervised warm-up."""

from random import Random

import pytest
import torch

from bupo.data.arithmetic import problems
from bupo.models.architectures import random_model
from bupo.models.config import WarmUpConfig
from bupo.models.lessons import IGNORED, batches, make_lessons, taught_solution
from bupo.models.warm_up import rate_share, response_loss, warm_up

CONFIG = WarmUpConfig(steps=3, batch_size=8)


def test_the_teacher_errs_as_often_as_stated_and_only_in_the_last_result():
    rng = Random(0)
    found = problems("warmup", 2000, "mixed", seed=1)
    taught = [taught_solution(problem, 0.25, rng) for problem in found]
    wrong = [(p, t) for p, t in zip(found, taught, strict=True) if p.solution != t]
    for steps, share in (("1", 0.25), ("2", 0.4375), ("3", 0.578)):
        of_this_length = sum(problem.level == steps for problem in found)
        assert abs(sum(p.level == steps for p, _ in wrong) / of_this_length - share) < 0.06
    for problem, text in wrong:
        *before, last = text.split(". \\boxed{")[0].split(", ")
        assert before == problem.solution.split(". ")[0].split(", ")[:-1]
        assert text.endswith(f". \\boxed{{{last.split('=')[1]}}}")
        assert int(last.split("=")[1]) >= 0
        assert last.split("=")[1] != problem.answer
    assert all(taught_solution(p, 0.0, rng) == p.solution for p in found[:50])


def test_labels_are_the_responses_and_nothing_else(tokenizer):
    lessons = make_lessons(CONFIG, "plain", tokenizer, seed=1)
    assert len(lessons) == 24
    seen = []
    for inputs, labels in batches(lessons, 8, tokenizer.pad_token_id, seed=1):
        for row, label in zip(inputs, labels, strict=True):
            prompt_end = int((label != IGNORED).nonzero()[0])
            response = label[label != IGNORED].tolist()
            assert response[-1] == tokenizer.eos_token_id
            assert row[prompt_end + 1 : prompt_end + len(response)].tolist() == response[:-1]
            assert tokenizer.decode(row[: prompt_end + 1]).endswith("<|im_start|>assistant\n")
            seen.append(tokenizer.decode(response))
    assert sorted(seen) == sorted(tokenizer.decode(lesson.response) for lesson in lessons)


def test_drills_come_first(tokenizer):
    config = WarmUpConfig(steps=10, batch_size=4, drill_share=0.3)
    boxes = [
        "boxed" in tokenizer.decode(x.response) for x in make_lessons(config, "plain", tokenizer, seed=1)
    ]
    assert boxes == [False] * 12 + [True] * 28


@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
def test_three_steps_lower_the_loss_and_repeat_bit_for_bit(architecture, built, tokenizer):
    built = built.model_copy(update={"architecture": architecture})
    config = WarmUpConfig(steps=3, batch_size=8, lr=0.01)
    held_out = next(batches(make_lessons(config, "plain", tokenizer, seed=99), 8, 0, seed=99))

    def trained(seed):
        model = random_model(built, 2, tokenizer, seed)
        before = response_loss(model, *held_out).item()
        losses = warm_up(model, tokenizer, config, "plain", seed)
        return model.state_dict(), losses, before, response_loss(model, *held_out).item()

    weights, losses, before, after = trained(3)
    again, same_losses, *_ = trained(3)
    other, *_ = trained(4)
    assert after < before - 0.3
    assert losses == same_losses
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert not torch.equal(weights["model.norm.weight"], other["model.norm.weight"])


def test_response_loss_is_the_models_own_loss(built, tokenizer):
    model = random_model(built, 2, tokenizer, seed=1)
    inputs, labels = next(batches(make_lessons(CONFIG, "plain", tokenizer, seed=2), 8, 0, seed=2))
    logits = model(input_ids=inputs).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    assert response_loss(model, inputs, labels).item() == pytest.approx(expected.item(), rel=1e-5)


def test_learning_rate_rises_then_falls():
    config = WarmUpConfig(steps=100, warm_up_share=0.1)
    shares = [rate_share(step, config) for step in range(100)]
    assert shares.index(max(shares)) == 10
    assert max(shares) == 1.0
    assert shares[:11] == sorted(shares[:11])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[-1] == 0.02


def test_a_warm_up_leaves_global_state_alone(built, tokenizer):
    torch.manual_seed(5)
    expected = torch.rand(1)
    precision = torch.backends.mkldnn.matmul.fp32_precision
    torch.manual_seed(5)
    warm_up(random_model(built, 2, tokenizer, seed=1), tokenizer, CONFIG, "plain", seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.backends.mkldnn.matmul.fp32_precision == precision
