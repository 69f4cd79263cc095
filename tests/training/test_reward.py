import pytest

from bupo.training.reward import compute_score


@pytest.mark.parametrize("grader", ["math_verify", "string"])
@pytest.mark.parametrize(
    ("response", "score", "no_box"),
    [
        ("so \\boxed{42}", 1.0, 0.0),
        ("\\boxed{41}", 0.0, 0.0),
        ("42", 0.0, 1.0),
        ("\\boxed{4} no, \\boxed{42}", 1.0, 0.0),
    ],
)
def test_one_for_the_right_answer_in_the_last_box(grader, response, score, no_box):
    found = compute_score("sums", response, "42", {"index": 1}, grader=grader)
    assert found == {"score": score, "acc": score, "no_box": no_box}


def test_verl_finds_the_reward_of_the_configs(root):
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn

    reward = OmegaConf.load(root / "configs" / "cell.yaml").reward
    reward.custom_reward_function.reward_kwargs.grader = "string"
    score = get_custom_reward_fn(OmegaConf.create({"reward": reward}))
    found = score(data_source="s", solution_str="\\boxed{x}", ground_truth="x", extra_info={})
    assert found["score"] == 1.0
