"""Sets from the hub: the real library loads a folder of this machine that stands for the dataset's repository."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from bupo.data import hub
from bupo.data.config import DataSpec, HubSource
from bupo.data.normalise import normalise
from bupo.errors import UserError

ROWS = [
    {"problem": f"What is {n} + 1?", "answer": f"0{n + 1}", "url": f"20{22 + n % 2}_AIME"} for n in range(6)
]
HASH = "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The library's cache in a folder of the test, and no network."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return tmp_path


def spec(folder, **changes):
    source = {"dataset": str(folder), "revision": HASH, "split": "test", **changes}
    data = {"name": "set", "role": "benchmark", "rows": 6, "hub": source}
    return DataSpec.model_validate({"set": data, "source": "hub"})


def write_lines(folder):
    folder.mkdir()
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, ROWS)))


def write_parquet(folder):
    (folder / "data").mkdir(parents=True)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(ROWS), folder / "data" / "test-00000-of-00001.parquet"
    )


@pytest.mark.parametrize("write", [write_lines, write_parquet])
def test_a_repository_in_either_form(cache, write):
    write(cache / "repository")
    problems, report = normalise(spec(cache / "repository"))
    assert [p.problem for p in problems] == [row["problem"] for row in ROWS]
    assert [p.answer for p in problems] == [str(n + 1) for n in range(6)]
    assert report["repairs"]["answer"] == {"leading_zeros": 6}
    assert report["source"]["revision"] == HASH
    assert problems[3].upstream_row == 3
    assert problems[3].upstream_file.endswith(f"@{HASH}:test")


def test_hub_and_local_give_one_set(cache):
    write_lines(cache / "repository")
    local = {"name": "set", "role": "benchmark", "rows": 6, "local": {"path": "repository/test.jsonl"}}
    ours, _ = normalise(DataSpec.model_validate({"set": local, "source": "local", "directory": str(cache)}))
    theirs, _ = normalise(spec(cache / "repository"))
    assert [(p.id, p.problem, p.answer, p.upstream_hash) for p in ours] == [
        (p.id, p.problem, p.answer, p.upstream_hash) for p in theirs
    ]


def test_two_splits_at_once_and_where(cache):
    write_lines(cache / "repository")
    (cache / "repository" / "train.jsonl").write_text(
        json.dumps({"problem": "p", "answer": "1", "url": "2022_AIME"})
    )
    data = {"name": "set", "role": "train", "rows": 4}
    source = {"dataset": str(cache / "repository"), "revision": "main", "split": "train+test"}
    where = {"url": "2022_AIME"}
    found, report = normalise(
        DataSpec.model_validate({"set": {**data, "hub": {**source, "where": where}}, "source": "hub"})
    )
    assert len(found) == 4
    assert report["rows"]["not_selected"] == 3


@pytest.mark.parametrize(
    "changes", [{"split": "validation"}, {"config": "other"}, {"dataset": "nobody/nothing"}], ids=str
)
def test_what_is_not_there_is_told(cache, changes):
    write_lines(cache / "repository")
    with pytest.raises(UserError, match="cannot be loaded") as told:
        normalise(spec(cache / "repository", **changes))
    assert "\n" not in str(told.value)


def test_the_commit_is_recorded(cache, monkeypatch):
    import huggingface_hub

    class Info:
        sha = "b" * 40

    asked = []

    def dataset_info(self, dataset, revision):
        asked.append((dataset, revision))
        return Info()

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    source = HubSource(dataset="owner/name", revision=HASH, split="test")
    assert hub.resolved_commit(source) == HASH
    assert asked == []
    assert hub.resolved_commit(source.model_copy(update={"revision": "v1.0"})) == "b" * 40
    assert asked == [("owner/name", "v1.0")]
    assert hub.resolved_commit(source.model_copy(update={"dataset": str(cache)})) is None
