"""The jobs that the benchmark's large grid has, counted by hand for fewer seeds of it."""

import importlib.util
import json

import pytest

pytestmark = pytest.mark.slow


def test_a_dry_run_plans_every_job_of_a_grid_once(root, checkout):
    spec = importlib.util.spec_from_file_location("dry_run", root / "benchmarks/dry_run.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    grid = [{**block, "seed": [1]} for block in benchmark.EXPERIMENT["grid"]]
    experiment = {**benchmark.EXPERIMENT, "grid": grid}
    (checkout.folder / "configs/experiment/large.yaml").write_text(json.dumps(experiment))
    planned = checkout.run("--dry-run", "--quiet", "rules", "--config", "experiment=large")
    assert planned.returncode == 0, planned.stdout[-4000:]
    pairs = (line.split() for line in planned.stdout.splitlines() if len(line.split()) == 2)
    counts = {rule: int(count) for rule, count in pairs if count.isdigit()}

    models, benchmarks = 2, 6
    # four methods without a layer; InterGRPO at 11 layers; BuPO at 11 layers times 10 numbers of steps
    cells = models * (4 + 11 + 11 * 10)
    expected = {
        "normalise": 1 + benchmarks,
        "contamination": 1,
        "export_training": models,
        "export_benchmark": models * benchmarks,
        "named_model": models,
        "entropy": models,
        "configure": cells,
        "train": cells,
        "evaluate": (cells + models) * benchmarks,
        "report": 1,
        "tracked": 1,
        "all": 1,
    }
    assert counts == {**expected, "total": sum(expected.values())}
