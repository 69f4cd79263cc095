"""vLLM's process and its files, with a vllm of the test's own in it: what is asked, kept, drawn again, told."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bupo.errors import UserError
from bupo.sampling import (
    Completion,
    Request,
    SamplingSettings,
    key_of,
    sample_vllm,
    vllm_backend,
    vllm_worker,
)
from bupo.sampling.vllm_files import list_parts, read_part

FAKE = Path(__file__).with_name("fake_vllm")
SETTINGS = SamplingSettings(max_new_tokens=30, end_token_ids=frozenset([3, 7]))


@pytest.fixture
def log(tmp_path, monkeypatch) -> Path:
    """What the fake engine was asked; it is found before any vllm of this environment."""
    monkeypatch.setenv("PYTHONPATH", str(FAKE))
    monkeypatch.setenv("FAKE_VLLM_LOG", str(tmp_path / "asked.jsonl"))
    monkeypatch.delenv("BUPO_VLLM_PYTHON", raising=False)
    return tmp_path / "asked.jsonl"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 128}))
    return str(folder)


def requests(count=20):
    return [Request((1, 2, 3 + number % 3), key_of("x", number)) for number in range(count)]


def expected(request: Request) -> list[int]:
    stream, tokens = random.Random(request.key >> 65), []
    while len(tokens) < SETTINGS.max_new_tokens and not set(tokens) & SETTINGS.end_token_ids:
        tokens.append(stream.randrange(20))
    return tokens


def drawn(model, folder, wanted, settings=SETTINGS, **changes) -> dict[int, Completion]:
    parts = sample_vllm(model, None, wanted, settings, changes.pop("engine", {}), folder, **changes)
    return dict(pair for part in parts for pair in part)


def asked(log: Path) -> tuple[list[dict], list[dict]]:
    """Engines that were started, requests that they got."""
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [row["engine"] for row in rows if "engine" in row], [row for row in rows if "request" in row]


def test_responses_come_with_the_place_of_their_request(model, tmp_path, log):
    told: list[int] = []
    found = drawn(model, tmp_path / "job", requests(), on_finished=told.append)
    assert sorted(found) == list(range(20)) and told[-1] == 20
    for place, request in enumerate(requests()):
        tokens = expected(request)
        reason = "stop" if tokens[-1] in SETTINGS.end_token_ids else "length"
        assert found[place] == Completion(tokens, reason, [-float(token) for token in tokens], None)


def test_the_whole_distribution_is_asked_for_and_the_models_own_settings_are_not(model, tmp_path, log):
    drawn(model, tmp_path / "job", requests(), engine={"dtype": "float32"})
    (engine,), rows = asked(log)
    assert engine == {
        "model": model,
        "revision": None,
        "dtype": "float32",
        "generation_config": "vllm",
        "logprobs_mode": "processed_logprobs",
        "skip_tokenizer_init": True,
        "max_model_len": 33,
        "enforce_eager": True,
        "disable_log_stats": True,
    }
    assert {(row["temperature"], row["top_p"], row["top_k"], row["max_tokens"]) for row in rows} == {
        (1.0, 1.0, -1, 30)
    }
    assert all(row["ignore_eos"] and row["stop_token_ids"] == [3, 7] for row in rows)
    assert [row["seed"] for row in rows] == [request.key >> 65 for request in requests()]
    assert [tuple(row["prompt_token_ids"]) for row in rows] == [r.prompt_ids for r in requests()]


def test_a_crash_loses_at_most_one_part_and_the_rest_is_not_drawn_again(model, tmp_path, log, monkeypatch):
    folder = tmp_path / "job"
    monkeypatch.setenv("FAKE_VLLM_FAILS_AFTER", "0")
    with pytest.raises(RuntimeError, match=r"exit code 1; the end of .*worker\.log(.|\n)*out of memory"):
        drawn(model, folder, requests())
    monkeypatch.setenv("FAKE_VLLM_FAILS_AFTER", "12")
    monkeypatch.syspath_prepend(str(FAKE))
    monkeypatch.setattr(vllm_worker, "PART_TOKENS", 5)
    with pytest.raises(RuntimeError, match="out of memory"):
        vllm_worker.draw_missing(folder)
    stored = [len(read_part(part)) for part in list_parts(folder)]
    assert len(stored) > 2 and sum(stored) >= 12 - max(stored)

    log.unlink()
    monkeypatch.delenv("FAKE_VLLM_FAILS_AFTER")
    whole = drawn(model, folder, requests())
    assert [whole[place].token_ids for place in range(20)] == [expected(r) for r in requests()]
    assert len(asked(log)[1]) == 20 - sum(stored)
    log.unlink()
    assert drawn(model, folder, requests(5)) == {place: whole[place] for place in range(5)}
    assert asked(log) == ([], [])


def test_more_requests_only_add(model, tmp_path, log):
    few = drawn(model, tmp_path / "job", requests(8))
    log.unlink()
    more = drawn(model, tmp_path / "job", requests(20)[::-1])
    assert len(asked(log)[1]) == 12
    assert {19 - place: one for place, one in more.items() if place > 11} == few


def test_two_equal_requests_are_one_response(model, tmp_path, log):
    found = drawn(model, tmp_path / "job", requests(3) * 2)
    assert sorted(found) == list(range(6)) and len(asked(log)[1]) == 3
    assert all(found[place] == found[place + 3] for place in range(3))


@pytest.mark.parametrize("change", ["settings", "engine", "prompt"])
def test_what_was_asked_otherwise_is_drawn_anew(model, tmp_path, log, change):
    drawn(model, tmp_path / "job", requests())
    log.unlink()
    settings, engine, wanted = SETTINGS, {}, requests()
    if change == "settings":
        settings = SamplingSettings(max_new_tokens=29, end_token_ids=SETTINGS.end_token_ids)
    elif change == "engine":
        engine = {"dtype": "bfloat16"}
    else:
        wanted = [Request((9, *request.prompt_ids[1:]), request.key) for request in wanted]
    drawn(model, tmp_path / "job", wanted, settings, engine=engine)
    assert len(asked(log)[1]) == 20


@pytest.mark.parametrize(
    ("engine", "limit", "message"),
    [
        ({"dtpye": "float32"}, 30, "vLLM has no argument 'dtpye'"),
        ({"generation_config": "auto"}, 30, "'generation_config' is not open"),
        ({}, 126, "the model holds 128; at most 125 would be right"),
        ({"max_model_len": 20}, 30, "the model holds 20; at most 17 would be right"),
    ],
)
def test_mistakes_are_told_in_one_sentence(model, tmp_path, log, engine, limit, message):
    settings = SamplingSettings(max_new_tokens=limit, end_token_ids=SETTINGS.end_token_ids)
    with pytest.raises(UserError, match=message) as error:
        drawn(model, tmp_path / "job", requests(), settings, engine=engine)
    assert "\n" not in str(error.value)


def test_a_missing_vllm_or_interpreter_is_one_sentence(model, tmp_path, log, monkeypatch):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "vllm.py").write_text("raise ModuleNotFoundError(\"No module named 'vllm'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match=rf"cannot be imported by .*{Path(sys.executable).name} \(No module"):
        drawn(model, tmp_path / "job", requests())
    monkeypatch.setenv("BUPO_VLLM_PYTHON", "/nowhere/python")
    with pytest.raises(UserError, match="'/nowhere/python', cannot be started"):
        drawn(model, tmp_path / "job", requests())


def test_its_process_needs_no_library_that_vllm_does_not_bring():
    code = (
        "import sys, bupo.sampling.vllm_worker\n"
        "print(*{'torch', 'transformers', 'numpy', 'pandas', 'pyarrow', 'pydantic'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_its_process_ends_when_nobody_wants_more(model, tmp_path, log, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM_HANGS", "1")
    parts = sample_vllm(model, None, requests(), SETTINGS, {}, tmp_path / "job", on_finished=None)
    monkeypatch.setattr(vllm_backend, "time", SimpleNamespace(sleep=interrupt_once_there_is(log)))
    with pytest.raises(KeyboardInterrupt):
        next(parts)
    assert not processes_of(tmp_path / "job")


def test_its_process_ends_with_ours(model, tmp_path, log, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM_HANGS", "1")
    code = (
        "import sys; from pathlib import Path\n"
        "from bupo.sampling import *\n"
        "settings = SamplingSettings(max_new_tokens=30, end_token_ids=frozenset([3]))\n"
        "list(sample_vllm(sys.argv[1], None, [Request((1, 2), 5)], settings, {}, Path(sys.argv[2])))\n"
    )
    ours = subprocess.Popen([sys.executable, "-c", code, model, str(tmp_path / "job")])
    try:
        wait_until(lambda: log.exists() and asked(log)[1])
        assert processes_of(tmp_path / "job")
    finally:
        ours.kill()
        ours.wait()
    wait_until(lambda: not processes_of(tmp_path / "job"))


def interrupt_once_there_is(log: Path):
    def sleep(_seconds: float) -> None:
        wait_until(lambda: log.exists() and asked(log)[1])
        raise KeyboardInterrupt

    return sleep


def wait_until(condition) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within two minutes")


def processes_of(folder: Path) -> list[int]:
    """Workers of a job that are still running."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"bupo.sampling.vllm_worker" in words and str(folder).encode() in words:
            found.append(int(process.name))
    return found
