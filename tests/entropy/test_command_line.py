"""The commands as a user calls them."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_checkpoint import TEMPLATE, make_checkpoint, make_problems
from transformers import AutoModelForCausalLM

from bupo.entropy import __main__ as command
from bupo.entropy import merge as merge_command
from bupo.entropy.source import ModelSource, identity, model_source
from bupo.errors import UserError

SPEC = "problems: 3\nmax_new_tokens: 4\nlenses: [raw]\nanchor_layers: [1]\n"


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing them takes seconds, and one test does."""
    monkeypatch.setattr("bupo.figures.entropy.write_figures", lambda *_: [])


def called(monkeypatch, main, *arguments):
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    main()


def test_by_hand_with_a_model_json(tmp_path):
    make_checkpoint(tmp_path / "llama", kind="llama", layers=3, hidden=16)
    make_problems(tmp_path / "p.parquet", count=3)
    (tmp_path / "model.json").write_text(
        json.dumps({"name": "tiny_llama", "path": "llama", "revision": None, "layers": 3})
    )
    (tmp_path / "spec.yaml").write_text(SPEC)
    call = [sys.executable, "-m", "bupo.entropy", "model.json", "--problems", "p.parquet"]
    done = subprocess.run([*call, "--spec", "spec.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files, found = done.stdout.splitlines()
    assert files.startswith(
        "entropy-tiny_llama/: responses.parquet, statistics.parquet, boundary.json, figures/ ("
    )
    assert found.startswith("tiny_llama: ")
    out = tmp_path / "entropy-tiny_llama"
    record = json.loads((out / "boundary.json").read_text())
    assert record["model"] == "tiny_llama" and record["problem_files"] == ["p.parquet"]
    assert found.endswith(record["reason"])
    assert "[entropy] 3/3 responses" in done.stderr and "tokens measured" in done.stderr
    endings = {path.suffix for path in (out / "figures").iterdir()}
    assert endings == {".png", ".svg"}


def test_shards_and_merge_make_what_one_command_makes(tmp_path, monkeypatch, checkpoint, capsys, no_figures):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC + "batch_size: 1\n")
    (tmp_path / "cell.yaml").write_text("bupo: {layer: 2}")
    files = [make_problems(tmp_path / "a.parquet", 3), make_problems(tmp_path / "b.parquet", 2, first=5)]
    common = [checkpoint, "--problems", *files, "--spec", "spec.yaml", "--cells", "cell.yaml"]
    called(monkeypatch, command.main, *common)
    for shard in ("2/2", "1/2"):
        called(monkeypatch, command.main, *common, "--out", "cut", "--shard", shard)
        assert f"shard {shard} is whole" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {"shard-1-of-2", "shard-2-of-2"}
    called(monkeypatch, merge_command.main, "--out", "cut", "--shards", 2)
    assert "cut/: responses.parquet, statistics.parquet" in capsys.readouterr().out
    one = tmp_path / "entropy-tiny"
    for path in sorted(one.rglob("*")):
        name = path.relative_to(one)
        if path.is_file() and "shard" not in str(name):
            assert (tmp_path / "cut" / name).read_bytes() == path.read_bytes(), name
    table = pd.read_parquet(one / "statistics.parquet")
    assert set(table.anchor.dropna()) == {1, 2} and {"set a", "set b"} < set(table["slice"])


def test_mistakes_in_the_call_are_one_sentence(tmp_path, monkeypatch, checkpoint, problems_file):
    (tmp_path / "s.yaml").write_text("tolerence: 1")
    common = [checkpoint, "--problems", problems_file, "--out", tmp_path / "out"]
    for more, words in (
        (["--spec", tmp_path / "s.yaml"], r"s\.yaml: tolerence is not a known key"),
        (["--spec", tmp_path / "none.yaml"], r"none\.yaml: there is no such file"),
        (["--cells", tmp_path / "s.yaml"], r"s\.yaml: bupo\.layer is missing"),
        (["--shard", "3/2"], r"--shard 3/2: I/N"),
    ):
        with pytest.raises(UserError, match=words):
            called(monkeypatch, command.main, *common, *more)
    with pytest.raises(UserError, match="--shards 0: at least 1"):
        called(monkeypatch, merge_command.main, "--out", tmp_path, "--shards", 0)
    assert not (tmp_path / "out").exists()


def test_wrong_models_are_one_sentence(tmp_path, monkeypatch, checkpoint, problems_file):
    (tmp_path / "empty").mkdir()
    arguments = ["--problems", problems_file, "--out", tmp_path / "out"]
    with pytest.raises(UserError, match="empty: no causal language model could be loaded from here"):
        called(monkeypatch, command.main, tmp_path / "empty", *arguments)
    for missing in (tmp_path / "none", "a/b/c", "./none"):
        with pytest.raises(UserError, match=f"{missing}: there is no such folder"):
            called(monkeypatch, command.main, missing, *arguments)
    described = {"path": str(checkpoint), "layers": 36}
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"layers = 4, but its model\.json says 36"):
        called(monkeypatch, command.main, tmp_path / "model.json", *arguments)
    with pytest.raises(UserError, match="there is no such file"):
        model_source("nowhere/model.json")
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UserError, match="the key path is missing"):
        model_source(str(tmp_path))


def test_weights_that_are_no_numbers_are_one_sentence(tmp_path, monkeypatch, checkpoint, problems_file):
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    with torch.no_grad():
        model.model.layers[2].mlp.down_proj.weight[0, 0] = np.nan
    make_checkpoint(tmp_path / "broken")
    model.save_pretrained(tmp_path / "broken")
    with pytest.raises(UserError, match=r"layers\.2\.mlp\.down_proj\.weight holds NaN") as error:
        called(
            monkeypatch,
            command.main,
            tmp_path / "broken",
            "--problems",
            problems_file,
            "--out",
            tmp_path / "o",
        )
    assert "\n" not in str(error.value)


def test_a_hub_model_keeps_its_revision(tmp_path):
    (tmp_path / "model.json").write_text(
        json.dumps({"path": "Qwen/Qwen3-4B", "revision": "abc", "layers": 36})
    )
    assert model_source(str(tmp_path)) == ModelSource(tmp_path.name, "Qwen/Qwen3-4B", "abc", 36)
    assert model_source("Qwen/Qwen3-4B") == ModelSource("Qwen3-4B", "Qwen/Qwen3-4B")


def test_a_model_in_this_folder_has_the_folders_name(checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint)
    assert model_source(".") == ModelSource("tiny", ".")


def test_the_identity_changes_with_the_weights(tmp_path):
    source = ModelSource("tiny", str(make_checkpoint(tmp_path / "tiny")))
    before = identity(source)
    assert identity(ModelSource("other name", source.path)) == before
    make_checkpoint(tmp_path / "tiny", seed=1)
    assert identity(source) != before


def test_prompts_with_the_word_assistant_and_two_starts_of_text(tmp_path, monkeypatch, no_figures):
    """The response starts where the prompt's tokens end, whatever the text says."""
    twice = TEMPLATE.replace("{{ bos_token }}", "{{ bos_token }}{{ bos_token }}")
    make_checkpoint(tmp_path / "twice", template=twice)
    make_problems(tmp_path / "p.parquet", count=3)  # each problem says "assistant: ..."
    (tmp_path / "spec.yaml").write_text(SPEC)
    call = ["--problems", tmp_path / "p.parquet", "--spec", tmp_path / "spec.yaml", "--out", tmp_path / "out"]
    called(monkeypatch, command.main, tmp_path / "twice", *call)
    responses = pd.read_parquet(tmp_path / "out" / "responses.parquet")
    assert all(ids[:3].tolist() == [1, 1, 4] and 1 not in ids[2:] for ids in responses.prompt_ids)
    assert all(ids[-1] == 5 for ids in responses.prompt_ids)  # <|assistant|>, once more than the problem says
    table = pd.read_parquet(tmp_path / "out" / "statistics.parquet")
    assert set(table.loc[table["slice"] == "all", "n_tokens"]) == {responses.n_tokens.sum()}
