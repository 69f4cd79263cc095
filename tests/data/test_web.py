"""Sets from one file on the web; a file of this machine stands for it."""

import json

import pytest
import yaml

from bupo.data.config import DataSet, DataSpec
from bupo.data.normalise import normalise
from bupo.data.web import cached
from bupo.errors import UserError
from bupo.files import sha256_file

ROWS = [{"problem": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(6)]


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "upstream.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def spec(url, digest):
    data = {"name": "set", "role": "benchmark", "rows": 6, "web": {"url": url, "sha256": digest}}
    return DataSpec.model_validate({"set": data, "source": "web"})


def test_it_is_downloaded_once(file):
    wanted = spec(file.as_uri(), sha256_file(file))
    problems, report = normalise(wanted)
    assert [problem.answer for problem in problems] == [row["answer"] for row in ROWS]
    assert report["source"] == {"kind": "web", "url": file.as_uri(), "sha256": sha256_file(file)}
    assert problems[3].upstream_file == file.as_uri() and problems[3].upstream_row == 3
    file.unlink()
    assert len(normalise(wanted)[0]) == 6


def test_another_file_is_refused_and_not_kept(file):
    wanted = spec(file.as_uri(), "0" * 64)
    with pytest.raises(UserError, match=r"has the SHA-256 .* would be right"):
        normalise(wanted)
    assert not cached(wanted.set.web).exists()


def test_a_web_that_cannot_be_reached_is_told(file):
    with pytest.raises(UserError, match=r"cannot be read .*data.source: local"):
        normalise(spec("http://127.0.0.1:9/set.jsonl", "0" * 64))


@pytest.mark.parametrize("name", ["deepmath5k", "olympiadbench"])
def test_a_set_that_the_hub_lacks_is_the_file_that_local_has(root, shared_data, name):
    data = DataSet.model_validate(yaml.safe_load((root / f"configs/data/{name}.yaml").read_text()))
    assert data.kind("hub") == "web" and data.web.columns == data.local.columns
    assert sha256_file(shared_data / data.local.path[0]) == data.web.sha256
