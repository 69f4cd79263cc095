"""lm-eval's prompts are ours, whole, or the run is refused before anything is sampled."""

from pathlib import Path

import pytest
from boxing_models import save_base_model, save_chat_model
from lm_eval.tasks import TaskManager
from transformers import AutoTokenizer

from bupo.data.prompts import PROMPTS
from bupo.errors import UserError
from bupo.evaluation.task import TASK_DIRECTORY


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "qwen": save_chat_model(folder / "chat", ["1"]),
        "octothinker": save_base_model(folder / "base", ["1"]),
    }


def build(directory: Path, name: str, model: Path, chat: bool, **metadata) -> list[str]:
    """The prompts of AMC 2023 as lm-eval's evaluator has them built, at most 8 response tokens."""
    thinking = {key: metadata[key] for key in ("enable_thinking",) if key in metadata}
    metadata = {"directory": str(directory), "prompt": name, "pretrained": str(model), **metadata}
    loaded = TaskManager(include_path=TASK_DIRECTORY, include_defaults=False, metadata=metadata)
    task = loaded.load("bupo_amc23")["tasks"]["bupo_amc23"]
    task.set_config("generation_kwargs", {"max_gen_toks": 8}, update=True)
    tokenizer = AutoTokenizer.from_pretrained(model)

    def template(messages, add_generation_prompt):
        return tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt, **thinking
        )

    arguments = {"apply_chat_template": True, "chat_template": template} if chat else {}
    task.build_all_requests(**arguments)
    return [instance.args[0] for instance in task.instances]


def test_right_options_give_our_prompts(models: dict[str, Path], shared_data: Path):
    chat = build(shared_data, "qwen", models["qwen"], chat=True, enable_thinking=False)
    assert len(chat) == 40 and all("put your final answer within" in prompt for prompt in chat)
    base = build(shared_data, "octothinker", models["octothinker"], chat=False)
    assert all(prompt.startswith("A conversation") for prompt in base)
    tokenizer = AutoTokenizer.from_pretrained(models["octothinker"])
    problem = base[0].split("tag.\n")[1].removesuffix("\nAssistant:")
    assert tokenizer(base[0])["input_ids"] == PROMPTS["octothinker"].encode(tokenizer, problem)


@pytest.mark.parametrize(
    ("name", "chat", "options", "right"),
    [
        ("qwen", True, {}, "--apply_chat_template with --model_args enable_thinking=False would be right"),
        ("qwen", False, {"enable_thinking": False}, "--apply_chat_template with"),
        (
            "qwen",
            True,
            {"enable_thinking": False, "add_bos_token": True},
            "--model_args add_bos_token=False would",
        ),
        ("octothinker", False, {"add_bos_token": False}, "no --apply_chat_template would be right"),
    ],
)
def test_other_prompts_are_refused(models, shared_data, name, chat, options, right):
    if options.get("add_bos_token"):  # only a tokenizer that has a first token can put it twice
        model = models["qwen"].with_name("chat-bos")
        tokenizer = AutoTokenizer.from_pretrained(save_base_model(model, ["1"]))
        tokenizer.chat_template = AutoTokenizer.from_pretrained(models["qwen"]).chat_template.replace(
            "<s>", "="
        )
        tokenizer.save_pretrained(model)
    else:
        model = models[name]
    with pytest.raises(UserError, match=right):
        build(shared_data, name, model, chat, **options)


def test_a_model_without_a_template_needs_a_prompt_with_one(models: dict[str, Path], shared_data: Path):
    with pytest.raises(UserError, match=r"'qwen' needs a chat template, which .*base has not"):
        build(shared_data, "qwen", models["octothinker"], chat=False)


def test_no_prompt_is_cut_unnoticed(models: dict[str, Path], shared_data: Path):
    whole = {"chat": True, "enable_thinking": False}
    prompts = build(shared_data, "qwen", models["qwen"], **whole)
    tokenizer = AutoTokenizer.from_pretrained(models["qwen"])
    longest = max(len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) for prompt in prompts)
    build(shared_data, "qwen", models["qwen"], **whole, max_length=longest + 8)
    with pytest.raises(UserError, match=rf"cut the prompt of amc23-\w+: it has {longest} tokens.*toks=7 or"):
        build(shared_data, "qwen", models["qwen"], **whole, max_length=longest + 7)
    with pytest.raises(UserError, match="a model that holds more would be right"):
        build(shared_data, "qwen", models["qwen"], **whole, max_model_len=longest)
