"""What is not whole yet lies in folders of its own, ``partial-*``, which one process at a time works in.

A shard that is drawn is a folder of pieces beside its file, each written once and found after a crash.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bupo.errors import UserError
from bupo.evaluation.origin import Origin
from bupo.evaluation.sampling import Sample
from bupo.evaluation.shards import Shard
from bupo.evaluation.store import write_samples
from bupo.files import exclusive, sync

SAVE_EVERY_S = 30.0
SAVE_CHARACTERS = 2**23
LOCK, PIECES = ".lock", "piece-*.parquet"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A folder, made if needed, that no other process works in meanwhile.

    Raises:
        UserError: another process does.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder / LOCK, wait=False))
        except BlockingIOError:
            raise UserError(
                f"{folder}: another process is working in this folder; waiting for it would be right."
            ) from None
        yield


class Partial:
    """The samples of a shard that is not whole yet.

    Args:
        folder: of the evaluation.
        shard: that is drawn.
        origin: of its samples.

    Attributes:
        scratch: folder in which a sampler may keep what it has not handed over yet.
    """

    def __init__(self, folder: Path, shard: Shard, origin: Origin) -> None:
        self.folder = folder / f"partial-{shard.name}-{origin.identity[:16]}"
        self.scratch = self.folder / "scratch"
        self.origin = origin
        self._unsaved: list[Sample] = []
        self._characters, self._saved = 0, time.monotonic()
        self._next = 0

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """While samples come in: no other process draws them; at the end, also by an error, all are saved.

        Raises:
            UserError: another process is drawing this shard.
        """
        with held(self.folder):
            pieces = sorted(self.folder.glob(PIECES))
            self._next = int(pieces[-1].stem.removeprefix("piece-")) + 1 if pieces else 0
            try:
                yield
            finally:
                self.save()

    def add(self, samples: Iterable[Sample]) -> None:
        """Take in new samples; they are on disk within `SAVE_EVERY_S` seconds, and at most `SAVE_CHARACTERS`
        of their texts are not.
        """
        for sample in samples:
            self._unsaved.append(sample)
            self._characters += len(sample.text)
        if time.monotonic() - self._saved > SAVE_EVERY_S or self._characters > SAVE_CHARACTERS:
            self.save()

    def save(self) -> None:
        """Write what is not on disk yet as one more piece."""
        if self._unsaved:
            write_samples(self.folder / f"piece-{self._next:06d}.parquet", [self._unsaved], self.origin)
            self._next += 1
        self._unsaved, self._characters, self._saved = [], 0, time.monotonic()

    def publish(self, samples: Iterable[Sequence[Sample]], path: Path) -> None:
        """Write the file of the shard, in row groups, and delete the folder with all pieces."""
        whole = self.folder / "whole.parquet"
        write_samples(whole, samples, self.origin)
        publish_file(whole, path)
        shutil.rmtree(self.folder)


def publish_file(written: Path, path: Path) -> None:
    """Sync a file and rename it to ``path``: what a kill leaves lies where it was written."""
    sync(written)
    written.replace(path)
    sync(path.parent)


def remove_partial(folder: Path, needless: Callable[[Path], bool]) -> None:
    """Delete the partial shards in the folder of an evaluation that nobody draws and nobody needs.

    Args:
        folder: of the evaluation.
        needless: whether a piece can go; a partial shard goes with all of its pieces or not at all.
    """
    for partial in folder.glob("partial-*/"):
        with suppress(BlockingIOError), exclusive(partial / LOCK, wait=False):
            if all(map(needless, partial.glob(PIECES))):
                shutil.rmtree(partial)
