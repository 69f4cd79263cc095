"""The first steps of every method have the numbers that they had.

``golden.json`` was made on two x86-64 cores with this environment's torch. Other processors round differently; the
tolerance is what that makes of a few steps, and far less than what any change of a method does. After a change
that is meant, ``WRITE_GOLDEN=1 pytest tests/training/test_golden.py`` writes the file anew.
"""

import json
import os
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("golden.json")
LAYER, STEPS = "++bupo.layer=2", "++bupo.iterative_steps=2"
METHODS = {
    "grpo": (),
    "bupo": (LAYER, STEPS),
    "bupo_final_norm": (LAYER, STEPS),
    "bupo_progressive": ("++bupo.layer=1", "++bupo.iterative_steps=1"),
    "intergrpo": (LAYER,),
    "grpo_frozen": (LAYER,),
    "grpo_layer_lr": (LAYER,),
    "ppo": (),
    "rloo": (),
    "reinforce_plus_plus": (),
}
KEYS = (
    "critic/score/mean",
    "response_length/mean",
    "bupo/entropy_full",
    "bupo/entropy_internal",
    "bupo/kl_full_to_internal",
    "critic/advantages/max",
    "critic/values/mean",
    "critic/vf_loss",
    "critic/grad_norm",
    "actor/pg_loss",
    "actor/grad_norm",
)


def numbers(compose, folder):
    """For each method the metrics of its first three steps."""
    from test_training_run import metrics, written
    from warm_trainer import WarmTrainer

    trainer, found = WarmTrainer(), {}
    for method, axes in METHODS.items():
        overrides = (f"algorithm={method}", *axes, "trainer.total_training_steps=3")
        config = written(compose, folder / method, *overrides)
        status, said = trainer.train(config, folder / method / "run")
        assert status == 0, said
        found[method] = [
            {key: line[key] for key in KEYS if key in line} for line in metrics(folder / method / "run")
        ]
    trainer.close()
    return found


@pytest.mark.slow
def test_the_first_steps_have_the_golden_numbers(compose, tmp_path):
    found = numbers(compose, tmp_path)
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=2) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert golden.keys() == found.keys() == METHODS.keys()
    for method, lines in golden.items():
        for step, (expected, line) in enumerate(zip(lines, found[method], strict=True), start=1):
            assert line == pytest.approx(expected, rel=1e-3, abs=1e-5), (method, step)


def test_every_method_has_golden_numbers_of_its_own(root):
    assert {path.stem for path in (root / "configs/algorithm").glob("*.yaml")} == METHODS.keys()
    golden = json.loads(GOLDEN.read_text())
    first = {method: json.dumps(lines[:2]) for method, lines in golden.items()}
    # in its first two steps, intergrpo is bupo
    assert first["bupo"] == first["intergrpo"]
    assert len(set(first.values())) == len(METHODS) - 1
