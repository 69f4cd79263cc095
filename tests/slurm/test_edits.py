"""What is edited while jobs of a real Slurm run."""

import pytest
from checkout import kill_group
from grid import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

BASE = "evaluation/tiny_qwen3/base/seed0/arithmetic_easy"


def test_an_edit_while_a_grid_runs_reaches_none_of_its_jobs(grid):
    grid.change("evaluation/demo.yaml", shards={"problems": 2, "samples": None})
    grid.forget(BASE)
    process = grid.start(f"results/small/{BASE}/summary.json")
    try:
        wait_until(lambda: grid.submitted("sample"), process)
        for file in ("experiment/small.yaml", "config.yaml"):
            (grid.folder / "configs" / file).write_text("half: [")
        output, _ = process.communicate(timeout=600)
    finally:
        kill_group(process)
    assert process.returncode == 0, output[-6000:]
    # the grading began after the edit, on a node
    assert len(grid.submitted("grade")) == 1
