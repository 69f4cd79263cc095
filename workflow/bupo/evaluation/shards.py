"""Stored responses: one parquet file of texts, written as sampling goes on and found again after a crash.

While it is drawn a shard lies beside its final name (``partial-0.parquet``) and is rewritten whole from time
to time; the final name appears when all is there. Each file carries the identity of its sampling (model,
prompts, settings), so that responses of another model or temperature are never taken for these.
"""

import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

from bupo.evaluation.sampling import Sample
from bupo.files import atomic_path

IDENTITY = b"bupo_sampling"
SAVE_EVERY_S = 30.0

Key = tuple[str, int]


class Shard:
    """The samples of one evaluation on disk.

    Args:
        directory: of the evaluation.
        identity: hash of all that the samples depend on.

    Attributes:
        scratch: folder in which a sampler may keep what it has not handed over yet; gone when all is there.
    """

    def __init__(self, directory: Path, identity: str) -> None:
        self.final = directory / "shard-0.parquet"
        self.partial = directory / "partial-0.parquet"
        self.scratch = directory / f"partial-0-{identity[:16]}"
        self.identity = identity
        self.samples: dict[Key, Sample] = {}
        for path in (self.final, self.partial):
            self.samples.update({(s.problem_id, s.sample): s for s in read_samples(path, identity)})
        self._saved = time.monotonic()

    def add(self, samples: Iterable[Sample]) -> None:
        """Take in new samples; they are on disk within `SAVE_EVERY_S` seconds of drawing."""
        self.samples.update({(sample.problem_id, sample.sample): sample for sample in samples})
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            write_samples(self.partial, self.samples.values(), self.identity)
            self._saved = time.monotonic()

    def finish(self, wanted: Iterable[Key]) -> list[Sample]:
        """Write the final file with exactly the ``wanted`` samples, in that order, and return them."""
        samples = [self.samples[key] for key in wanted]
        write_samples(self.final, samples, self.identity)
        self.partial.unlink(missing_ok=True)
        for scratch in self.final.parent.glob("partial-0-*"):
            shutil.rmtree(scratch)
        return samples


def write_samples(path: Path, samples: Iterable[Sample], identity: str) -> None:
    """Write samples as parquet, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [asdict(sample) for sample in samples]
    types = {"str": pa.string(), "int": pa.int64()}
    schema = pa.schema([(field.name, types[_name(field.type)]) for field in fields(Sample)])
    table = pa.Table.from_pylist(rows, schema=schema).replace_schema_metadata({IDENTITY: identity.encode()})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def read_samples(path: Path, identity: str) -> list[Sample]:
    """Samples of a file, none where it does not exist or holds another sampling."""
    import pyarrow.parquet as pq

    if not path.is_file():
        return []
    table = pq.read_table(path)
    if (table.schema.metadata or {}).get(IDENTITY) != identity.encode():
        return []
    return [Sample(**row) for row in table.to_pylist()]


def _name(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
