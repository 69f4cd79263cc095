"""What runs where Snakemake runs, and not on a node."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

RULES = """
import json, sys
from pathlib import Path
from snakemake.api import ConfigSettings, ResourceSettings, SnakemakeApi
with SnakemakeApi() as api:
    settings = ConfigSettings(config=json.loads(sys.argv[1]))
    workflow = api.workflow(ResourceSettings(cores=1), settings, snakefile=Path("Snakefile"))._workflow
    made_by = {
        file: [rule.name for rule in workflow.rules if rule.is_producer(file)]
        for file in sys.argv[2:]
    }
print(json.dumps([made_by, sorted(workflow._localrules)]))
"""


def test_models_are_looked_up_locally_also_beside_one_that_is_built(checkout):
    config = {"experiment": "demo", "overrides": ["models.analyse=[tiny_qwen3,qwen3_4b]"]}
    files = [f"results/demo/models/{name}/model.json" for name in ("tiny_qwen3", "qwen3_4b")]
    done = subprocess.run(
        [sys.executable, "-c", RULES, json.dumps(config), *files],
        cwd=checkout.folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    made_by, local = json.loads(done.stdout.splitlines()[-1])
    assert made_by == {files[0]: ["model"], files[1]: ["named_model"]}
    assert "named_model" in local and "model" not in local
