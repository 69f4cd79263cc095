"""A checkout, its environment and its results in folders whose names have a space."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import copy_of

from bupo.files import read_yaml

pytestmark = pytest.mark.slow

RESULTS = "the results"
RUN = f"{RESULTS}/demo/runs/tiny_qwen3/bupo-kauto-s4/seed1/config.yaml"


def test_jobs_run_in_a_folder_with_a_space(root, tmp_path):
    folder = tmp_path / "a checkout"
    folder.mkdir()
    copy_of(root, folder)
    (folder / "an environment").symlink_to(sys.prefix)
    python = folder / "an environment/bin/python"

    def snakemake(*arguments: str) -> str:
        command = [
            str(python),
            "-m",
            "snakemake",
            "--cores",
            "2",
            "--config",
            f"results={RESULTS}",
            *arguments,
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stderr

    snakemake("--dry-run")
    # what takes long is there already
    model = folder / RESULTS / "demo/models/tiny_qwen3/model.json"
    boundary = folder / RESULTS / "demo/entropy/tiny_qwen3/boundary.json"
    for file, value in (
        (model, {"path": "m", "sha256": {}}),
        (boundary, {"status": "clear", "boundary_layer": 4, "reason": "why"}),
    ):
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(value))
    told = snakemake("--", RUN, f"{RESULTS}/demo/data/arithmetic.json")
    assert "[demo] 2/2 jobs" in told
    evidence = read_yaml(folder / RUN)["bupo"]["layer_evidence"]
    assert evidence["file"] == str(Path(RESULTS) / "demo/entropy/tiny_qwen3/boundary.json")
