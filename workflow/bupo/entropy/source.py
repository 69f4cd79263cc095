"""The model that is analysed: where it comes from, loading it, and a hash that changes when it does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.entropy.kinds import TokenKinds
from bupo.errors import UserError
from bupo.files import read_json, sha256_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bupo.policies import InternalPolicies


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        name: for people and for files.
        path: a directory, or a repository of the Hugging Face hub.
        revision: commit of the hub repository, or None.
        layers: how many layers it is said to have, or None.
    """

    name: str
    path: str
    revision: str | None = None
    layers: int | None = None


def model_source(argument: str) -> ModelSource:
    """Resolve the command line's MODEL: a ``model.json`` (or its folder), a directory or a hub id.

    Raises:
        UserError: the JSON file is missing or lacks ``path``.
    """
    path = Path(argument)
    if path.is_dir() and not (path / "config.json").exists() and (path / "model.json").exists():
        path = path / "model.json"
    if path.suffix != ".json":
        return ModelSource(path.resolve().name if path.is_dir() else path.name, argument)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; MODEL is a model.json, a directory or a hub id.")
    values = read_json(path)
    if not isinstance(values, dict) or "path" not in values:
        raise UserError(f"{path}: the key path is missing; a model.json says where the model is.")
    return ModelSource(
        values.get("name") or path.parent.name, values["path"], values.get("revision"), values.get("layers")
    )


def identity(source: ModelSource) -> str:
    """Changes when the model or its tokenizer does.

    Of a directory: names, sizes and times of its files (reading the weights would take minutes); of a hub
    repository: the commit.

    Raises:
        UserError: there is no such model.
    """
    folder = Path(source.path)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "model.json")
        stats = [(path.name, path.stat()) for path in files]
        return sha256_text(repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]))
    if source.path.startswith((".", "/", "~")) or source.path.count("/") > 1:  # no name on the hub
        raise UserError(f"{source.path}: there is no such folder; it should hold a model.")
    from transformers import AutoConfig

    with _told(source):
        config = AutoConfig.from_pretrained(source.path, revision=source.revision)
    return sha256_text(f"{source.path}@{getattr(config, '_commit_hash', None) or source.revision}")


class LoadedModel:
    """The model in evaluation mode and its tokenizer, each loaded when it is first asked for.

    Raises:
        UserError: they cannot be loaded, or the model has another number of layers than its ``model.json``
            says; and see `InternalPolicies`.
    """

    def __init__(self, source: ModelSource, dtype: str) -> None:
        """``dtype`` is that of the weights."""
        self.source = source
        self.dtype = dtype

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        from transformers import AutoTokenizer

        with _told(self.source):
            return AutoTokenizer.from_pretrained(self.source.path, revision=self.source.revision)

    @cached_property
    def model(self) -> "PreTrainedModel":
        """The causal language model."""
        import torch
        from transformers import AutoModelForCausalLM

        source = self.source
        with _told(source):
            model = AutoModelForCausalLM.from_pretrained(
                source.path, revision=source.revision, dtype=getattr(torch, self.dtype)
            )
        layers = getattr(model.config.get_text_config(), "num_hidden_layers", None)
        if source.layers is not None and layers != source.layers:
            raise UserError(f"{source.path}: layers = {layers}, but its model.json says {source.layers}.")
        return model.eval()

    @cached_property
    def kinds(self) -> TokenKinds:
        """What kind of token each token is."""
        from bupo.sampling import end_tokens

        return TokenKinds(self.tokenizer, end_tokens(self.model, self.tokenizer))

    @cached_property
    def policies(self) -> "InternalPolicies":
        """The model's internal policies, checked."""
        from bupo.policies import InternalPolicies

        return InternalPolicies(self.model)

    def to_device(self) -> None:
        """Move the model to the GPU if there is one."""
        import torch

        model: Any = self.model
        if torch.cuda.is_available():
            model.to("cuda")


@contextmanager
def _told(source: ModelSource) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{source.path}: no causal language model could be loaded from here: {first}"
        ) from None
