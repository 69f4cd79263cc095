"""Files between us and vLLM's process: a job that asks, and parts that answer as responses are finished.

``job.json`` and ``part-000000.json``, ... lie in one folder; each is whole or absent. A response is known by
its request alone (`identity`), so that parts are found again by a job that asks for more, or for less.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bupo.files import read_json, write_text
from bupo.sampling.request import Completion, Request, SamplingSettings, key_of

JOB = "job.json"
PARTS = "part-*.json"


@dataclass(frozen=True)
class Model:
    """What is sampled from: folder or hub id, the hub's revision, and arguments of vLLM's engine."""

    path: str
    revision: str | None
    engine: Mapping[str, Any]


def identity(request: Request) -> str:
    """Name of a request in the files: a hash of its key and its prompt."""
    return f"{key_of(request.key, request.prompt_ids):032x}"


def write_job(folder: Path, model: Model, settings: SamplingSettings, requests: Sequence[Request]) -> None:
    """Ask for ``requests``; parts of another model or other settings are removed first."""
    head = _head(model, settings)
    if not (folder / JOB).is_file() or read_json(folder / JOB)["head"] != head:
        for part in folder.glob(PARTS):
            part.unlink()
    prompts = {prompt: row for row, prompt in enumerate(dict.fromkeys(r.prompt_ids for r in requests))}
    rows = [(prompts[request.prompt_ids], f"{request.key:032x}") for request in dict.fromkeys(requests)]
    _write(folder / JOB, {"head": head, "prompts": list(prompts), "requests": rows})


def read_job(folder: Path) -> tuple[Model, SamplingSettings, list[Request]]:
    """What `write_job` asked for."""
    job = read_json(folder / JOB)
    settings = job["head"]["settings"]
    settings["end_token_ids"] = frozenset(settings["end_token_ids"])
    prompts = [tuple(prompt) for prompt in job["prompts"]]
    requests = [Request(prompts[row], int(key, 16)) for row, key in job["requests"]]
    return Model(**job["head"]["model"]), SamplingSettings(**settings), requests


def list_parts(folder: Path) -> list[Path]:
    """The parts that are there, oldest first."""
    return sorted(folder.glob(PARTS))


def write_part(folder: Path, number: int, completions: Mapping[str, Completion]) -> None:
    """Write the part ``number`` (from 0): completions by the `identity` of their requests."""
    rows = {name: asdict(completion) for name, completion in completions.items()}
    _write(folder / f"part-{number:06d}.json", rows)


def read_part(path: Path) -> dict[str, Completion]:
    """What `write_part` wrote."""
    return {name: Completion(**row) for name, row in read_json(path).items()}


def _head(model: Model, settings: SamplingSettings) -> dict[str, Any]:
    values = {**asdict(settings), "end_token_ids": sorted(settings.end_token_ids)}
    return {"model": {**asdict(model), "engine": dict(model.engine)}, "settings": values}


def _write(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, separators=(",", ":"), allow_nan=False))
