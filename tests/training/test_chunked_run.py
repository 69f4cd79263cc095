"""Whole runs with chunked log-probs: the numbers of runs with logits."""

import pytest
import torch
from safetensors.torch import load_file
from test_training_run import BUPO, metrics, models, train, written

pytestmark = pytest.mark.slow

CHUNKED = "bupo.chunked_log_prob=true"
RUNS = {
    "both phases": (*BUPO, "trainer.total_training_steps=3"),
    "reference": ("actor_rollout_ref.actor.use_kl_loss=true", "trainer.total_training_steps=2"),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request, compose, tmp_path_factory):
    def make(*overrides):
        folder = tmp_path_factory.mktemp("run")
        train(written(compose, folder / "config", *RUNS[request.param], *overrides), folder / "run")
        return folder / "run"

    return make


def test_a_run_has_the_numbers_of_one_with_logits(run):
    mine, theirs = run(CHUNKED), run()
    assert metrics(mine) != metrics(theirs)  # bitwise: other sums
    for one, other in zip(metrics(mine), metrics(theirs), strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
    weights = [load_file(out / "model/model.safetensors") for out in (mine, theirs)]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], atol=1e-3, rtol=0)


def test_with_ray_the_numbers_are_the_same(compose, tmp_path):
    runs = []
    for single in ("true", "false"):
        overrides = (*RUNS["both phases"], CHUNKED, f"bupo.single_process={single}")
        train(written(compose, tmp_path / single / "config", *overrides), tmp_path / single / "run")
        runs.append(tmp_path / single / "run")
    assert metrics(runs[0]) == metrics(runs[1])
    assert models(runs[0]) == models(runs[1])
