r"""Prompts: how a problem is put to each family of models, as the paper has it.

A prompt is a list of chat messages plus, for base models without a chat template, the template that joins
them. Text that went through a template already holds the model's first token, so it is tokenised without
special tokens.
"""

from dataclasses import dataclass, field
from typing import Any

Messages = list[dict[str, str]]

BOXED = r"Please reason step by step, and put your final answer within \boxed{}."
OCTOTHINKER = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The assistant first thinks about the reasoning process in the mind and then provides the user with the "
    r"answer. User: You must put your answer inside \boxed{} and Your final answer will be extracted "
    "automatically by the \\boxed{} tag.\n{problem}\nAssistant:"
)
BARE_TEMPLATE = "{{ bos_token or '' }}{% for message in messages %}{{ message['content'] }}{% endfor %}"


@dataclass(frozen=True)
class Prompt:
    """How problems are put to a family of models.

    Attributes:
        system: system message, None for none.
        user: text of the user's message, with ``{problem}`` where the problem goes.
        template: chat template for models that have none of their own; None: the tokenizer's own is used.
        template_options: options of the tokenizer's chat template (Qwen3: thinking off).
    """

    system: str | None
    user: str
    template: str | None = None
    template_options: dict[str, Any] = field(default_factory=dict)

    def messages(self, problem: str) -> Messages:
        """The problem as chat messages."""
        user = {"role": "user", "content": self.user.replace("{problem}", problem)}
        return [user] if self.system is None else [{"role": "system", "content": self.system}, user]

    def template_arguments(self) -> dict[str, Any]:
        """What a tokenizer's ``apply_chat_template`` is given beside the messages."""
        template = {} if self.template is None else {"chat_template": self.template}
        return template | self.template_options

    def render(self, tokenizer: Any, problem: str) -> str:
        """The text that the model continues, with its first special token where its template has one."""
        return tokenizer.apply_chat_template(
            self.messages(problem),
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=True,
            **self.template_options,
        )

    def encode(self, tokenizer: Any, problem: str) -> list[int]:
        """Token ids of `render`'s text; no second BOS."""
        return tokenizer(self.render(tokenizer, problem), add_special_tokens=False)["input_ids"]


PROMPTS = {
    "plain": Prompt(system=None, user="{problem}"),
    "qwen": Prompt(system=BOXED, user="{problem}", template_options={"enable_thinking": False}),
    "octothinker": Prompt(system=None, user=OCTOTHINKER, template=BARE_TEMPLATE),
}
