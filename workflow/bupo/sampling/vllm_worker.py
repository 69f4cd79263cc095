"""vLLM's process: ``python -m bupo.sampling.vllm_worker FOLDER PARENT`` draws what ``FOLDER/job.json`` asks.

Started by `bupo.sampling.sample_vllm`, maybe by an interpreter of another environment: besides vllm it needs
nothing but what vllm itself needs. It ends with the process ``PARENT``.
"""

import os
import signal
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from bupo.errors import UserError, run_command
from bupo.sampling.request import Completion, Request, SamplingSettings, check_room
from bupo.sampling.vllm_files import Model, identity, list_parts, read_job, read_part, write_part

IN_FLIGHT = 4096
"""Requests that the engine holds, running or waiting."""

PART_TOKENS, PART_S = 2**18, 10.0
"""A part is written when it holds so many tokens, or so many seconds after the one before."""

OURS = {
    "model": "the model's path",
    "revision": "the model's revision",
    "generation_config": "vllm: the sampling settings that the model ships with are left out",
    "logprobs_mode": "processed_logprobs: of the distribution drawn from",
    "skip_tokenizer_init": "true: tokens go in and come out",
}
"""Arguments of the engine that are not open to the caller, and what they are."""


def main() -> None:
    """Read the arguments and draw."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    draw_missing(folder)


def draw_missing(folder: Path) -> None:
    """Draw those requests of the job in ``folder`` that no part of it answers.

    Raises:
        UserError: vLLM is not there, or an argument or a length is not right.
    """
    model, settings, requests = read_job(folder)
    parts = list_parts(folder)
    there = {name for part in parts for name in read_part(part)}
    missing = deque(request for request in requests if identity(request) not in there)
    engine = _start_engine(model, settings, requests)
    _draw(engine, missing, settings, folder, first_part=len(parts))


def _end_with(parent: int) -> None:
    """Kill this process and all that it started when ``parent`` is no more: nobody waits for the rest."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)


def _start_engine(model: Model, settings: SamplingSettings, requests: list[Request]) -> Any:
    try:
        from vllm import EngineArgs, LLMEngine
        from vllm.platforms import current_platform
    except ImportError as error:
        raise UserError(
            f"vLLM cannot be imported by {sys.executable} ({error}); an interpreter whose environment has "
            "vllm, named by BUPO_VLLM_PYTHON, would be right (without a GPU: make env-vllm)."
        ) from error
    known = set(EngineArgs.__dataclass_fields__)
    for name in model.engine:
        if name in OURS:
            raise UserError(f"vLLM's argument {name!r} is not open: it is {OURS[name]}.")
        if name not in known:
            raise UserError(f"vLLM has no argument {name!r}; one of vllm.EngineArgs would be right.")
    if current_platform.is_cpu():
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # compiled pieces would need a C++ compiler
    arguments = EngineArgs(
        **{"enforce_eager": current_platform.is_cpu(), "disable_log_stats": True, **model.engine},
        model=model.path,
        revision=model.revision,
        generation_config="vllm",
        logprobs_mode="processed_logprobs",
        skip_tokenizer_init=True,
    )
    check_room(requests, settings, arguments.create_model_config().max_model_len)
    if arguments.max_model_len is None:
        longest = max(len(request.prompt_ids) for request in requests)
        arguments.max_model_len = longest + settings.max_new_tokens
    return LLMEngine.from_engine_args(arguments)


def _draw(
    engine: Any, missing: deque[Request], settings: SamplingSettings, folder: Path, first_part: int
) -> None:
    """Keep the engine full, and write what is finished, whichever comes first."""
    number, finished, tokens, written = first_part, dict[str, Completion](), 0, time.monotonic()
    while missing or engine.has_unfinished_requests():
        while missing and engine.get_num_unfinished_requests() < IN_FLIGHT:
            request = missing.popleft()
            prompt = {"prompt_token_ids": list(request.prompt_ids)}
            engine.add_request(identity(request), prompt, _parameters(request, settings))
        for output in engine.step():
            if output.finished:
                finished[output.request_id] = completion = _completion(output.outputs[0])
                tokens += len(completion.token_ids)
        due = tokens >= PART_TOKENS or time.monotonic() - written > PART_S
        if finished and (due or not engine.has_unfinished_requests()):
            write_part(folder, number, finished)
            number, finished, tokens, written = number + 1, {}, 0, time.monotonic()


def _parameters(request: Request, settings: SamplingSettings) -> Any:
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    return SamplingParams(
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=-1,
        max_tokens=settings.max_new_tokens,
        seed=request.key >> 65,  # vLLM's seeds are signed numbers of 64 bits
        ignore_eos=True,  # the end tokens are exactly the next line's
        stop_token_ids=sorted(settings.end_token_ids),
        logprobs=0,  # of the drawn token alone
        flat_logprobs=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _completion(output: Any) -> Completion:
    if output.finish_reason not in ("stop", "length"):
        raise RuntimeError(f"vLLM ended a response for the reason {output.finish_reason!r}")
    log_probs = [output.logprobs.logprobs[start] for start in output.logprobs.start_indices]
    return Completion(list(output.token_ids), output.finish_reason, log_probs, None)


if __name__ == "__main__":
    run_command(main)
