"""The class of our task files: repeats and metrics for any number of samples, and prompts that are ours."""

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask

from bupo.data.prompts import PROMPTS
from bupo.errors import UserError
from bupo.evaluation.named import prompt_name


class BenchmarkTask(ConfigurableTask):
    """A task of lm-eval with ``samples`` repeats of each problem.

    ``--metadata '{"samples": 32}'`` sets their number, for which lm-eval's command line has no option. Before
    anything is sampled the prompts are checked (`check_prompts`), where the command line names the model.

    Raises:
        UserError: ``samples`` is no positive whole number.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        samples = config["metadata"].get("samples", config["repeats"])
        if type(samples) is not int or samples < 1:
            raise UserError(f"samples is {samples!r}; a whole number from 1 would be right.")
        known = {key: value for key, value in config.items() if key != "class"}
        super().__init__(config=known | {"repeats": samples})

    def aggregation(self) -> dict[str, Any]:
        """How each metric is aggregated: those of the task file, and pass@k for every k up to n."""
        return super().aggregation() | dict.fromkeys(self._pass_at_k(), mean)

    def higher_is_better(self) -> dict[str, bool]:
        """Whether more is better, for each metric."""
        return super().higher_is_better() | dict.fromkeys(self._pass_at_k(), True)

    def build_all_requests(self, **arguments: Any) -> None:
        """Build the requests, then check their prompts."""
        super().build_all_requests(**arguments)
        model = self.config.metadata or {}
        if model.get("pretrained") is not None:
            longest = int((self.config.generation_kwargs or {})["max_gen_toks"])
            check_prompts(self.instances, model, longest)

    def _pass_at_k(self) -> list[str]:
        return [f"pass_at_{k}" for k in range(1, self.config.repeats + 1)]


def check_prompts(requests: Sequence[Instance], model: Mapping[str, Any], longest: int) -> None:
    """Refuse prompts that are not ours, and those that lm-eval would cut to make room for the response.

    lm-eval only warns when it cuts the beginning of a prompt, or when it drops a system message that the chat
    template refuses, and says nothing of a chat template that is left out or of thinking that is on.

    Args:
        requests: with documents of `bupo.evaluation.task.document`.
        model: ``pretrained`` and the model's other arguments on the command line, with ``--metadata``.
        longest: longest response in tokens.

    Raises:
        UserError: names a problem, and what would be right.
    """
    tokenizer, holds = load_tokenizer(model)
    name = prompt_name(model)
    lengths: dict[str, int] = {}
    for request in requests:
        ids = lm_eval_ids(tokenizer, request.args[0], model.get("add_bos_token"))
        if name is not None and ids != (ours := our_ids(tokenizer, request.doc, name)):
            bare = lm_eval_ids(tokenizer, request.args[0], add_bos_token=False)
            right = "--model_args add_bos_token=False" if bare == ours else _right_options(name)
            raise UserError(
                f"lm-eval's prompt of {request.doc['id']} is not the project's prompt {name!r}; "
                f"{right} would be right."
            )
        lengths[request.doc["id"]] = len(ids)
    problem = max(lengths, key=lengths.__getitem__)
    room = holds - lengths[problem]
    if room < longest:
        right = f"--gen_kwargs max_gen_toks={room} or less" if room > 0 else "a model that holds more"
        raise UserError(
            f"lm-eval would cut the prompt of {problem}: it has {lengths[problem]} tokens, a response up to "
            f"{longest}, and {model['pretrained']} holds {holds} in all; {right} would be right."
        )


def load_tokenizer(model: Mapping[str, Any]) -> tuple[Any, int]:
    """The tokenizer that lm-eval uses, and the number of tokens that the model holds."""
    from lm_eval.models.utils import resolve_max_length
    from transformers import AutoConfig, AutoTokenizer

    def given(*names: str) -> dict[str, Any]:
        return {name: model[name] for name in names if model.get(name) is not None}

    where = given("revision", "trust_remote_code")
    tokenizer: Any = AutoTokenizer.from_pretrained(
        model.get("tokenizer") or model["pretrained"], **where, **given("add_bos_token")
    )
    if holds := model.get("max_length") or model.get("max_model_len"):
        return tokenizer, int(holds)
    config = AutoConfig.from_pretrained(model["pretrained"], **where)
    return tokenizer, resolve_max_length(config, tokenizer)


def lm_eval_ids(tokenizer: Any, prompt: str, add_bos_token: bool | None) -> list[int]:
    """Token ids of a prompt as lm-eval makes them: special tokens, unless the text begins with one."""
    if tokenizer.bos_token and prompt.startswith(tokenizer.bos_token):
        add_bos_token = False
    special = {} if add_bos_token is None else {"add_special_tokens": add_bos_token}
    return tokenizer(prompt, **special)["input_ids"]


def our_ids(tokenizer: Any, doc: Mapping[str, str], name: str) -> list[int]:
    """Token ids of a document's prompt as training and our own evaluation make them."""
    prompt = PROMPTS[name]
    if prompt.template is None and tokenizer.chat_template is None:
        raise UserError(
            f"the prompt {name!r} needs a chat template, which {tokenizer.name_or_path} has not; "
            """--metadata '{"prompt": "octothinker"}' would be right for a base model."""
        )
    roles = ("system", "user") if doc["system"] else ("user",)
    messages = [{"role": role, "content": doc[role]} for role in roles]
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, **prompt.template_arguments()
    )
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _right_options(name: str) -> str:
    prompt = PROMPTS[name]
    if prompt.template is not None:
        return "no --apply_chat_template"
    options = ",".join(f"{key}={value}" for key, value in prompt.template_options.items())
    return "--apply_chat_template" + (f" with --model_args {options}" if options else "")
