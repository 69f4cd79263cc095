"""Reading problem sets from the Hugging Face hub, through its own library, at a stated revision."""

import re
from collections.abc import Iterator
from pathlib import Path

from bupo.data.config import HubSource
from bupo.data.upstream import UpstreamRow
from bupo.errors import UserError

COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_rows(source: HubSource, name: str) -> Iterator[UpstreamRow]:
    """All rows of one split. A dataset that is a folder on this machine works too.

    Raises:
        UserError: the hub cannot be reached, or it has no such dataset, revision, configuration or split.
    """
    import datasets

    datasets.disable_progress_bars()
    try:
        rows = datasets.load_dataset(
            source.dataset, name=source.config, revision=source.revision, split=source.split
        )
    except Exception as error:  # the library raises its own, the hub's, requests' and pyarrow's errors
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"hub section of the set {name}: {source.dataset} at revision {source.revision}, split "
            f"{source.split}, cannot be loaded ({type(error).__name__}: {reason}); a hub that can be reached "
            "and a dataset that it has would be right, or data.source: local and the files."
        ) from None
    shown = f"{source.dataset}@{source.revision}:{source.split}"
    for number, row in enumerate(rows):
        yield UpstreamRow(shown, number, dict(row))


def resolved_commit(source: HubSource) -> str | None:
    """The full commit that the revision stands for; None for a folder on this machine."""
    if Path(source.dataset).is_dir():
        return None
    if COMMIT.fullmatch(source.revision):
        return source.revision
    import huggingface_hub

    try:
        return huggingface_hub.HfApi().dataset_info(source.dataset, revision=source.revision).sha
    except (huggingface_hub.errors.HfHubHTTPError, OSError) as error:
        raise UserError(
            f"hub: the commit behind {source.dataset} at revision {source.revision} cannot be found "
            f"({type(error).__name__}); a full commit hash as revision would be right."
        ) from None
