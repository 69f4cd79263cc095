"""A small byte-level BPE tokenizer, trained from the project's own word problems.

Any UTF-8 text can be encoded; digits are single tokens, as in Qwen; the words of the problems and
``\\boxed{`` are single tokens too, so that a worked solution is about twenty tokens long.
"""

from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from bupo.data.arithmetic import problems
from bupo.models.config import TokenizerConfig

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

# Qwen's turns; a system message is only there when it is given.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# A LaTeX command with its brace, a word with the space before it, a digit, a comma, white space, the rest.
PIECES = r" ?\\[A-Za-z]+\{?| ?\p{L}+|\p{N}|, |\s+|[^\s\p{L}\p{N}\\]|\\"

# Words of chat turns and of the usual instructions, which the problems do not contain.
INSTRUCTIONS = (
    "system\nPlease reason step by step, and put your final answer within \\boxed{}.",
    "user\nassistant\n",
)


def build_tokenizer(config: TokenizerConfig) -> PreTrainedTokenizerFast:
    """Train the tokenizer; the same configuration always gives the same one."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(corpus(config.problems), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        padding_side="left",
        model_max_length=config.model_max_length,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def corpus(n: int) -> list[str]:
    """The text that the tokenizer is trained on: ``n`` problems with solutions, and common instructions."""
    texts = [
        text for problem in problems("warmup", n, "mixed", 0) for text in (problem.problem, problem.solution)
    ]
    texts += [text for text in INSTRUCTIONS for _ in range(n)]
    Random(0).shuffle(texts)
    return texts
