"""Whether a prompt and its response fit into what a model holds, known before anything runs.

A model's file may say how much that is (`bupo.models.config.ModelConfig.context`). A prompt counts as
``data.max_prompt_tokens`` in every stage. Training leaves longer ones out; those of other sets are counted
before they are sampled (`bupo.sampling.request.check_room`).
"""

from collections.abc import Iterator
from pathlib import Path

from bupo.errors import UserError
from bupo.experiment.plan import Plan
from bupo.experiment.workload import Workloads
from bupo.models.config import ModelConfig


def longest_response(model: ModelConfig, wanted: int, prompt: int) -> int:
    """How many tokens of a response a model holds behind a prompt, at most as many as are wanted.

    Args:
        model: which; where its context is not known it holds them all.
        wanted: tokens of a response.
        prompt: tokens of the longest prompt.
    """
    return wanted if model.context is None else min(wanted, model.context - prompt)


def check_lengths(plan: Plan, configs: Path, where: str) -> None:
    """Check that each model holds the longest prompt and the longest response of its training and evaluation.

    Those are compared with others of the same length, so that a shorter one has to be asked for. The entropy
    analysis of a model draws responses of `longest_response` (`bupo.experiment.specs`): its results are means
    over tokens, and it surveys models whose contexts differ.

    Args:
        plan: of the experiment.
        configs: the project's ``configs/`` folder.
        where: the experiment's file, for messages.

    Raises:
        UserError: a model holds less, or no more than the prompt.
    """
    prompt = plan.experiment.data.max_prompt_tokens
    for name, model in plan.models.items():
        if longest_response(model, 1, prompt) < 1:
            raise UserError(
                f"{where}: data.max_prompt_tokens = {prompt} should be less than {model.context}, the tokens "
                f"of prompt and response that {name} holds."
            )
    for name, tokens, key in _asked(plan, configs, where):
        model = plan.models[name]
        if (most := longest_response(model, tokens, prompt)) < tokens:
            raise UserError(
                f"{key} = {tokens} should be at most {most} for {name}, which holds {model.context} tokens, "
                f"{prompt} of them the prompt's (data.max_prompt_tokens)."
            )


def _asked(plan: Plan, configs: Path, where: str) -> Iterator[tuple[str, int, str]]:
    """Models, the tokens of the longest response that is asked of them, and the key that says so."""
    experiment, training = plan.experiment, plan.experiment.training
    if plan.evaluation:
        file = configs / "evaluation" / f"{experiment.evaluation.settings}.yaml"
        for name in experiment.models.train:
            yield name, plan.evaluation.max_new_tokens, f"{file}: max_new_tokens"
    workloads = Workloads(
        configs, training.engine or "", training.settings, training.overrides, f"{where}: training"
    )
    file = configs / "settings" / f"{training.settings}.yaml"
    key = f"{where}: data.max_response_length (of_model in {file}, or training.overrides)"
    for method, name in dict.fromkeys((cell.method, cell.model) for cell in plan.cells):
        if plan.models[name].context is None:
            continue  # composing takes a while
        if (tokens := workloads.response_tokens(method, name)) is not None:
            yield name, tokens, key
