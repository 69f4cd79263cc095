"""docs/extending.md: what it has one write is a model, a set, a benchmark, a task and a method."""

import re
import shutil

import pytest
import yaml

from bupo.experiment.resolve import plan_of


@pytest.fixture
def blocks(root):
    """The YAML blocks of each section."""
    text = (root / "docs" / "extending.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.M)[1:]
    return {part.split("\n")[0]: re.findall(r"^```yaml\n(.*?)^```", part, re.M | re.S) for part in sections}


def test_an_experiment_can_name_all_of_them(root, tmp_path, blocks):
    configs = tmp_path / "configs"
    shutil.copytree(root / "configs", configs)
    (configs / "model/my_model.yaml").write_text(*blocks["A model"])
    (configs / "data/my_set.yaml").write_text(*blocks["A data set"])
    benchmark = blocks["A data set"][0].replace("my_set", "my_benchmark").replace("train\n", "benchmark\n", 1)
    (configs / "data/my_benchmark.yaml").write_text(benchmark)
    (configs / "algorithm/my_method.yaml").write_text(*blocks["A method"])
    demo = yaml.safe_load((root / "configs/experiment/demo.yaml").read_text())
    demo["models"] = {"train": ["my_model"], "analyse": []}
    demo["data"] |= {"source": "hub", "train": ["my_set"], "benchmarks": ["my_benchmark"]}
    demo["analysis"]["problems"] = "my_benchmark"
    demo["analysis"]["snapshots"] = None
    demo["grid"] = [{"method": "my_method", "layer": [6, 12]}]
    (configs / "experiment/mine.yaml").write_text(yaml.safe_dump(demo))
    cells = plan_of("mine", [], configs).cells
    assert [(cell.model, cell.method, cell.layer) for cell in cells] == [
        ("my_model", "my_method", 6),
        ("my_model", "my_method", 12),
    ]


def test_a_method_trains_what_its_file_says(root, tmp_path, blocks):
    from bupo.experiment.methods import load_methods

    shutil.copytree(root / "configs/algorithm", tmp_path / "algorithm")
    (tmp_path / "algorithm/my_method.yaml").write_text(*blocks["A method"])
    method = load_methods(tmp_path)["my_method"]
    assert method.needs == {"layer"}
    assert method.schedule(6, None, 36) == [{"layer": 6, "steps": 10}, {"layer": "final"}]


def test_a_task_is_like_those_that_are_there(root, blocks):
    (task,) = (yaml.safe_load(block) for block in blocks["A benchmark"])
    there = root / "workflow/bupo/evaluation/tasks/bupo_minerva.yaml"
    assert task.keys() == yaml.safe_load(there.read_text()).keys() - {"tag"}
