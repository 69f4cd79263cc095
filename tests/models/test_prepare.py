"""``python -m bupo.models prepare`` for the three kinds of models."""

import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from bupo.errors import UserError
from bupo.files import sha256_file
from bupo.models import prepare as module
from bupo.models.prepare import prepare


def write_spec(folder, spec):
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


@pytest.fixture(scope="module")
def made(built_spec, tmp_path_factory):
    """A small model made through the command line: (folder, its model.json)."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "bupo.models", "prepare"]
    command += ["--spec", str(write_spec(folder, built_spec)), "--out", str(folder / "small")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "warm-up steps" in done.stderr
    return folder / "small", json.loads((folder / "small" / "model.json").read_text())


def test_built_model_is_described_and_loads(made):
    folder, description = made
    model = AutoModelForCausalLM.from_pretrained(description["path"], revision=description["revision"])
    tokenizer = AutoTokenizer.from_pretrained(description["path"])
    assert description["name"] == "small"
    assert description["prompt"] == "plain"
    assert description["architecture"] == model.config.model_type == "qwen3"
    assert description["layers"] == model.config.num_hidden_layers == 2
    assert description["hidden_size"] == model.config.hidden_size
    assert description["vocab_size"] == model.config.vocab_size == len(tokenizer)
    assert description["parameters"] == model.num_parameters()
    assert description["sha256"]["model.safetensors"] == sha256_file(folder / "model.safetensors")
    assert set(description["sha256"]) == {path.name for path in folder.iterdir()} - {"model.json"}
    assert model.dtype == torch.float32


def test_built_model_samples_from_its_whole_distribution_and_stops_at_the_end_of_turn(made):
    model = AutoModelForCausalLM.from_pretrained(made[0])
    tokenizer = AutoTokenizer.from_pretrained(made[0])
    settings = model.generation_config
    assert (settings.do_sample, settings.temperature, settings.top_p, settings.top_k) == (True, 1.0, 1.0, 0)
    for config in (settings, model.config):
        assert (config.bos_token_id, config.eos_token_id) == (None, tokenizer.eos_token_id)
        assert config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id


def test_the_same_spec_makes_the_same_bits(made, built_spec, tmp_path):
    again = prepare(write_spec(tmp_path, built_spec), tmp_path / "again")
    assert again["sha256"] == made[1]["sha256"]


def test_stopped_in_the_middle_nothing_looks_finished(built_spec, tmp_path, monkeypatch):
    out = tmp_path / "small"
    spec = write_spec(tmp_path, built_spec)
    prepare(spec, out)
    (out / ".building-old").mkdir()
    monkeypatch.setattr(module, "sync", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare(spec, out)
    assert not (out / "model.json").exists()
    assert not list(out.glob(".building-*"))
    monkeypatch.undo()
    assert prepare(spec, out)["sha256"]["config.json"] == sha256_file(out / "config.json")


def test_local_model(made, tmp_path):
    spec = {"model": {"name": "mine", "layers": 2, "prompt": "qwen", "local": {"path": str(made[0])}}}
    description = prepare(write_spec(tmp_path, spec), tmp_path / "mine")
    assert description["path"] == str(made[0])
    assert description["revision"] is None
    assert description["sha256"]["model.safetensors"] == made[1]["sha256"]["model.safetensors"]
    assert description["parameters"] == made[1]["parameters"]
    assert json.loads((tmp_path / "mine" / "model.json").read_text()) == description


def test_local_model_that_is_not_as_stated(made, tmp_path):
    model = {"name": "mine", "layers": 5, "prompt": "qwen", "local": {"path": str(made[0])}}
    with pytest.raises(UserError, match=r"spec.yaml: model.layers = 5, but mine has 2 layers"):
        prepare(write_spec(tmp_path, {"model": model}), tmp_path / "mine")
    model["local"] = {"path": "no/such/folder"}
    with pytest.raises(UserError, match=r"model.local.path = 'no/such/folder' has no config.json"):
        prepare(write_spec(tmp_path, {"model": model}), tmp_path / "mine")
    (tmp_path / "broken").mkdir()
    model["local"] = {"path": str(tmp_path / "broken")}
    (tmp_path / "broken" / "config.json").write_text('{"num_hidden_layers": 5, "hidden_')
    with pytest.raises(UserError, match="is not JSON"):
        prepare(write_spec(tmp_path, {"model": model}), tmp_path / "mine")
    (tmp_path / "broken" / "config.json").write_text('{"num_hidden_layers": 5, "hidden_size": 8}')
    with pytest.raises(UserError, match="has no vocab_size"):
        prepare(write_spec(tmp_path, {"model": model}), tmp_path / "mine")
    (tmp_path / "broken" / "config.json").write_text(
        '{"num_hidden_layers": 5, "hidden_size": 8, "vocab_size": 9}'
    )
    with pytest.raises(UserError, match=r"no \*\.safetensors file"):
        prepare(write_spec(tmp_path, {"model": model}), tmp_path / "mine")
    assert not (tmp_path / "mine" / "model.json").exists()


@pytest.mark.parametrize(("stated", "has"), [(256, 256), (None, 256), (None, None), (255, 256), (256, None)])
def test_positions_that_a_model_does_not_have_are_refused(made, tmp_path, stated, has):
    folder = shutil.copytree(made[0], tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["max_position_embeddings"] = has
    (folder / "config.json").write_text(json.dumps(config))
    model = {"name": "mine", "layers": 2, "prompt": "qwen", "local": {"path": str(folder)}}
    spec = write_spec(tmp_path, {"model": model | ({} if stated is None else {"positions": stated})})
    if stated in (None, has):
        assert prepare(spec, tmp_path / "mine")["layers"] == 2
        return
    wrong = f"model.positions = {stated}, but the config.json of mine has max_position_embeddings = {has}."
    with pytest.raises(UserError, match=f"^{re.escape(f'{spec}: {wrong}')}$"):
        prepare(spec, tmp_path / "mine")
    assert not (tmp_path / "mine" / "model.json").exists()


def test_hub_model_records_the_commit_behind_a_branch(made, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    asked = []

    class Hub:
        def model_info(self, repo, revision):
            asked.append((repo, revision))
            return SimpleNamespace(sha=commit, safetensors=SimpleNamespace(total=123))

    def download(repo, name, revision):
        asked.append((repo, revision))
        return str(made[0] / name)

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    hub = {"repo": "some/model", "revision": "main"}
    spec = {"model": {"name": "far", "layers": 2, "prompt": "qwen", "hub": hub}}
    description = prepare(write_spec(tmp_path, spec), tmp_path / "far")
    assert asked == [("some/model", "main"), ("some/model", commit)]
    assert (description["path"], description["revision"]) == ("some/model", commit)
    assert description["parameters"] == 123
    spec["model"]["layers"] = 36
    with pytest.raises(UserError, match=r"model\.layers = 36, but far has 2 layers"):
        prepare(write_spec(tmp_path, spec), tmp_path / "far")
    spec["model"] |= {"layers": 2, "positions": 7}
    with pytest.raises(UserError, match=r"model\.positions = 7, but the config\.json of far has"):
        prepare(write_spec(tmp_path, spec), tmp_path / "far")


def test_hub_out_of_reach_is_told(tmp_path, monkeypatch):
    class Hub:
        def model_info(self, repo, revision):
            raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    hub = {"repo": "some/model", "revision": "v1"}
    spec = {"model": {"name": "far", "layers": 2, "prompt": "qwen", "hub": hub}}
    with pytest.raises(
        UserError, match="'some/model' at revision 'v1' could not be looked up: no route to host"
    ):
        prepare(write_spec(tmp_path, spec), tmp_path / "far")
