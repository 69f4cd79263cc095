"""The task files: every benchmark by name, from local files or from the hub, sampled as ours are."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from lm_eval.tasks import TaskManager

from bupo.data.prompts import BOXED, PROMPTS
from bupo.errors import UserError
from bupo.evaluation.config import read_settings
from bupo.evaluation.named import CONFIGS, data_spec, load_named, prompt_name
from bupo.evaluation.task import TASK_DIRECTORY

SAMPLES = {
    **{"math500": 16, "amc23": 16, "aime24": 32, "aime25": 32},
    **{"minerva": 16, "olympiadbench": 16, "gsm8k": 16, "aime22": 32, "aime23": 32},
}


def load(task: str, **metadata):
    manager = TaskManager(include_path=TASK_DIRECTORY, include_defaults=False, metadata=metadata)
    return manager.load(task)["tasks"][task]


def test_every_benchmark_has_a_task():
    names = TaskManager(include_path=TASK_DIRECTORY, include_defaults=False).all_subtasks
    assert set(names) == {"bupo_benchmark", *(f"bupo_{name}" for name in SAMPLES)}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_benchmark_loads_whole_from_local_files(name: str, root: Path, shared_data: Path):
    task = load(f"bupo_{name}", directory=str(shared_data), prompt="qwen")
    rows = yaml.safe_load((root / "configs" / "data" / f"{name}.yaml").read_text())["rows"]
    assert len(task.eval_docs) == len(set(task.eval_docs["id"])) == rows
    assert all(one["id"].startswith(f"{name}-") and one["answer"] for one in task.eval_docs)
    assert set(task.eval_docs["system"]) == {BOXED}
    assert task.config.repeats == SAMPLES[name]


def test_sampling_is_that_of_the_papers_evaluation(root: Path, shared_data: Path):
    ours = read_settings(root / "configs" / "evaluation" / "paper.yaml")
    for name in ("aime24", "amc23"):
        task = load(f"bupo_{name}", directory=str(shared_data), prompt="qwen")
        assert task.config.generation_kwargs == {
            "do_sample": True,
            "temperature": ours.temperature,
            "top_p": ours.top_p,
            "top_k": 0,
            "repetition_penalty": 1.0,
            "max_gen_toks": ours.max_new_tokens,
            "until": [],
        }


def test_the_number_of_samples_is_open(tiny: Path):
    task = load("bupo_benchmark", benchmark=str(tiny / "benchmark.parquet"), samples=5)
    assert task.config.repeats == 5
    declared = {"avg", "maj", "no_box", "grades", *(f"pass_at_{k}" for k in range(1, 6))}
    assert set(task.aggregation()) == set(task.higher_is_better()) == declared
    task.set_config("repeats", 2)
    assert "pass_at_2" in task.aggregation() and "pass_at_3" not in task.aggregation()
    for wrong in (0, "4", 2.0, True):
        with pytest.raises(UserError, match="samples is"):
            load("bupo_benchmark", benchmark=str(tiny / "benchmark.parquet"), samples=wrong)


def test_prompts_are_those_of_the_models_family(shared_data: Path):
    problem = load_named("aime25", directory=str(shared_data), prompt="plain")["test"][0]["user"]
    for repo, name in {
        "Qwen/Qwen3-8B": "qwen",
        "OctoThinker/OctoThinker-3B-Long-Base": "octothinker",
    }.items():
        first = load_named("aime25", directory=str(shared_data), pretrained=repo, dtype="bfloat16")["test"][0]
        messages = [{"role": role, "content": first[role]} for role in ("system", "user") if first[role]]
        assert messages == PROMPTS[name].messages(problem)


def test_where_the_prompts_name_comes_from(tmp_path: Path):
    assert prompt_name({"pretrained": "Qwen/Qwen3-4B"}) == "qwen"
    assert prompt_name({"pretrained": "Qwen/Qwen3-4B", "prompt": "plain"}) == "plain"
    assert prompt_name({"pretrained": str(tmp_path)}) is None and prompt_name({}) is None
    (tmp_path / "model.json").write_text(json.dumps({"prompt": "octothinker"}))
    assert prompt_name({"pretrained": str(tmp_path)}) == "octothinker"
    with pytest.raises(UserError, match="prompt is 'chatty'; one of plain"):
        prompt_name({"prompt": "chatty"})


def test_without_a_folder_the_hubs_pinned_revision_is_read(root: Path, shared_data: Path, monkeypatch):
    asked = []

    def from_hub(path, name, revision, split):
        asked.append(SimpleNamespace(path=path, name=name, revision=revision, split=split))
        with (shared_data / "gsm8k" / "openai_test.jsonl").open() as file:
            return [json.loads(line) for line in file]

    monkeypatch.setattr("datasets.load_dataset", from_hub)
    documents = load_named("gsm8k", prompt="qwen")["test"]
    hub = yaml.safe_load((root / "configs" / "data" / "gsm8k.yaml").read_text())["hub"]
    (call,) = asked
    assert (call.path, call.name, call.split) == (hub["dataset"], hub["config"], hub["split"])
    assert call.revision == hub["revision"] and len(call.revision) == 40
    assert documents["id"] == load_named("gsm8k", directory=str(shared_data), prompt="qwen")["test"]["id"]


def test_sets_of_another_folder_of_settings(tmp_path: Path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "repository").mkdir()
    rows = [{"problem": f"What is {n}+1?", "answer": n + 1} for n in range(3)]
    (tmp_path / "repository" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    hub = {"dataset": str(tmp_path / "repository"), "revision": "0" * 40, "split": "test"}
    (tmp_path / "configs" / "data").mkdir(parents=True)
    description = {"name": "mine", "role": "benchmark", "rows": 3, "hub": hub}
    (tmp_path / "configs" / "data" / "mine.yaml").write_text(yaml.safe_dump(description))
    documents = load_named("mine", prompt="plain", configs=str(tmp_path / "configs"))["test"]
    assert [(one["user"], one["answer"]) for one in documents] == [
        (row["problem"], str(row["answer"])) for row in rows
    ]


def test_what_cannot_be_read_is_named(tmp_path: Path, shared_data: Path):
    with pytest.raises(UserError, match=r"olympiadbench has no hub section.*--metadata"):
        load_named("olympiadbench", prompt="qwen")
    with pytest.raises(UserError, match="no model of configs/model is 'a/b', so its prompt"):
        load_named("amc23", directory=str(shared_data), pretrained="a/b")
    with pytest.raises(UserError, match=r"no such file or folder"):
        load_named("amc23", directory=str(tmp_path), prompt="qwen")
    with pytest.raises(UserError, match=r"mine\.yaml: there is no such file"):
        data_spec("mine", str(shared_data), CONFIGS)
