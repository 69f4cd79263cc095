"""Where stored samples come from: what they depend on, in one hash, and the model in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bupo.errors import UserError
from bupo.evaluation.config import Decoding
from bupo.evaluation.models import EvaluatedModel
from bupo.files import sha256_file, sha256_text

GENERATOR = "philox"
"""What the random numbers come from; samples of another generator are not taken for these."""

SAMPLING_KEYS = (
    *("temperature", "top_p", "max_new_tokens", "backend", "dtype", "seed"),
    *("chat_template_kwargs", "chat_template", "vllm"),
)


@dataclass(frozen=True)
class Origin:
    """What every file of samples says of itself.

    Attributes:
        identity: hash of all that a sample depends on besides its problem and number.
        model: name of the model in the experiment.
        run: ``<model>/<cell>/seed<s>``.
        weights: the identity of the model.
    """

    identity: str
    model: str
    run: str
    weights: str


def origin_of(model: EvaluatedModel, benchmark: Path, decoding: Decoding) -> Origin:
    """The origin of samples that ``model`` draws for ``benchmark``."""
    identity = sampling_identity(model.identity, benchmark, decoding)
    return Origin(identity, model.name, model.run, model.identity)


def fitting_origin(found: Iterable[Origin], benchmark: Path, decoding: Decoding, folder: Path) -> Origin:
    """The one origin among those of stored samples that fits benchmark and settings.

    Args:
        found: of the samples that lie in ``folder``.
        benchmark: whose problems are to be graded.
        decoding: the settings that the samples should have been drawn with.
        folder: for messages.

    Raises:
        UserError: none fits, or samples of several models do.
    """
    fitting = [
        origin
        for origin in dict.fromkeys(found)
        if origin.identity == sampling_identity(origin.weights, benchmark, decoding)
    ]
    if not fitting:
        raise UserError(
            f"{folder} holds no samples for {benchmark} with the settings given; the settings and "
            "the benchmark that they were drawn with, or samples drawn with these, would be right."
        )
    if len({origin.identity for origin in fitting}) > 1:
        runs = ", ".join(sorted({origin.run for origin in fitting}))
        raise UserError(
            f"{folder} holds samples of several models ({runs}); --model with one of them would be right."
        )
    return fitting[0]


def sampling_identity(weights: str, benchmark: Path, decoding: Decoding) -> str:
    """Hash of all that a sample depends on; the number of samples is not part of it, nor the batch size."""
    chosen = {key: getattr(decoding, key) for key in SAMPLING_KEYS}
    return sha256_text(f"{GENERATOR} {weights} {sha256_file(benchmark)} {chosen}")
