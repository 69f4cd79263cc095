"""Reading a problem set from one file on the web, whose hash is known."""

import http.client
import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bupo.data.config import WebSource
from bupo.data.upstream import UpstreamRow, read_rows
from bupo.errors import UserError
from bupo.files import atomic_path, sha256_file

TIMEOUT_S = 60.0


def web_rows(source: WebSource, name: str) -> Iterator[UpstreamRow]:
    """All rows of the file; it is downloaded once.

    Raises:
        UserError: it cannot be had, or is another file than the one that the set means.
    """
    yield from read_rows(_downloaded(source, name), source.url, source.form)


def cached(source: WebSource) -> Path:
    """Where the file lies once it is downloaded: below ``$XDG_CACHE_HOME``, under its hash."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "bupo" / source.sha256


def _downloaded(source: WebSource, name: str) -> Path:
    path = cached(source)
    if path.is_file():
        return path
    try:
        with atomic_path(path) as temporary:
            with (
                urllib.request.urlopen(source.url, timeout=TIMEOUT_S) as answer,
                temporary.open("wb") as file,
            ):
                shutil.copyfileobj(answer, file)
            found = sha256_file(temporary)
            if found != source.sha256:
                raise UserError(
                    f"web section of the set {name}: {source.url} has the SHA-256 {found}; "
                    f"{source.sha256} would be right, for the set is made of that file."
                )
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"web section of the set {name}: {source.url} cannot be read ({error}); a network that "
            "reaches it would be right, or data.source: local and the files."
        ) from None
    return path
