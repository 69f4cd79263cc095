"""What the README tells a new user to do is right."""

import re
import shutil

import pytest
import yaml

from bupo.experiment.resolve import plan_of


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def test_its_grid_is_one_of_a_copy_of_the_demo(root, readme, tmp_path):
    shutil.copytree(root / "configs", tmp_path / "configs")
    (block,) = re.findall(r"```yaml\n(.*?)```", readme, re.S)
    file = tmp_path / "configs/experiment/mine.yaml"
    demo = yaml.safe_load((root / "configs/experiment/demo.yaml").read_text())
    file.write_text(yaml.safe_dump({**demo, **yaml.safe_load(block)}))
    plan = plan_of("mine", [], tmp_path / "configs")
    assert [cell.name for cell in plan.cells] == [
        "grpo",
        *("bupo-kauto-s4", "bupo-kauto-s8", "bupo-k5-s4", "bupo-k5-s8"),
    ]
