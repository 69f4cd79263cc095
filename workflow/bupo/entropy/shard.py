"""One shard of the analysis: its responses, then one forward over each, kept as they come.

While a shard is worked on, its responses lie in ``responses-<hash>/``, a file for each part, and its sums in
``sums-<hash>/``, a file for each problem; the hash is of all that they hang on. ``responses.parquet`` and at
last ``sums.parquet`` are made of them. Killed at any moment and started again, a shard goes on after the last
file that was whole; started with other settings it keeps what does not hang on them.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bupo.entropy.drawing import draw_responses
from bupo.entropy.problems import Problem, drawn_problems
from bupo.entropy.quantities import Row
from bupo.entropy.responses import Response, parts_of
from bupo.entropy.settings import Analysis
from bupo.entropy.slices import Slices
from bupo.entropy.source import LoadedModel, ModelSource, identity
from bupo.entropy.sums import problem_sums
from bupo.entropy.tables import (
    about,
    count_tokens,
    read_responses,
    read_sums,
    write_responses,
    write_sums,
)
from bupo.errors import UserError
from bupo.files import exclusive, read_json, sha256_text, write_json
from bupo.progress import Progress

RESPONSES, SUMS = "responses.parquet", "sums.parquet"


@dataclass(frozen=True)
class Shard:
    """Every ``count``-th part of the problems, from part ``number`` on, counted from 1."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """``2/4`` is the second of four.

        Raises:
            UserError: it is not of this form.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise UserError(f"--shard {text}: I/N with I from 1 to N would be right, such as 2/4.")
        return cls(int(number), int(count))

    def __str__(self) -> str:
        """``2/4``."""
        return f"{self.number}/{self.count}"

    def folder(self, out: Path) -> Path:
        """Where its files lie."""
        return out / f"shard-{self.number}-of-{self.count}"


def run_shard(
    source: ModelSource, files: Sequence[Path], settings: Analysis, out: Path, shard: Shard
) -> None:
    """Make responses.parquet and sums.parquet of one shard; the latter says that the shard is whole.

    Args:
        source: the model.
        files: problem files.
        settings: of the analysis.
        out: folder of the analysis; the shard has one of its own in it.
        shard: which one.

    Raises:
        UserError: a mistake in the problems, the model or the settings; or another process is at work here.
    """
    problems = drawn_problems(files, settings.problems, settings.seed)
    parts = parts_of(problems, settings)[shard.number - 1 :: shard.count]
    asked = [asdict(problem) for problem in problems]
    drawn = sha256_text(repr((identity(source), asked, settings.sampling())))
    measured = sha256_text(repr((drawn, settings.measuring())))
    slices = Slices(settings.edges, sorted({problem.set for problem in problems}))
    told: dict[str, Any] = {
        "identity": measured,
        "model": source.name,
        "files": sorted(file.name for file in files),
        "settings": settings.model_dump(),
        "slices": slices.names,
    }
    folder = shard.folder(out)
    work = {
        name: folder / f"{name}-{key[:16]}"
        for name, key in (("responses", drawn), ("vllm", drawn), ("sums", measured))
    }
    with _alone(folder, keep=list(work.values())):
        if about(folder / SUMS).get("identity") == measured:
            _tell_again(folder / SUMS, told)
        else:
            (folder / SUMS).unlink(missing_ok=True)
            loaded = LoadedModel(source, settings.dtype)
            if about(folder / RESPONSES).get("identity") != drawn:
                _draw(loaded, parts, settings, work["responses"], work["vllm"])
                files_of_parts = [_file(work["responses"], number) for number in range(len(parts))]
                responses = (response for path in files_of_parts for response in read_responses(path))
                write_responses(folder / RESPONSES, responses, {"identity": drawn})
            rows = _measure(loaded, folder / RESPONSES, slices, settings, work["sums"])
            sums = (list(read_sums(path)) for path in sorted(work["sums"].glob("*.parquet")))
            told["rows"] = [asdict(row) for row in rows]
            write_sums(folder / SUMS, sums, len(rows), told)
        for path in work.values():
            shutil.rmtree(path, ignore_errors=True)


def _draw(
    loaded: LoadedModel, parts: Sequence[list[Problem]], settings: Analysis, folder: Path, vllm: Path
) -> None:
    """Draw the responses of the parts that are not in ``folder`` yet."""
    missing = {n: part for n, part in enumerate(parts) if not _file(folder, n).exists()}
    if not missing:
        return
    _check(loaded, settings)  # before hours of sampling
    done = settings.samples * sum(len(part) for n, part in enumerate(parts) if n not in missing)
    for number, responses in draw_responses(loaded, missing, settings, vllm, done):
        write_responses(_file(folder, number), responses)


def _measure(
    loaded: LoadedModel, responses: Path, slices: Slices, settings: Analysis, folder: Path
) -> list[Row]:
    """Measure the problems whose sums are not in ``folder`` yet; the rows of the sums."""
    total, done = count_tokens(responses), 0
    progress: Progress | None = None
    for number, several in enumerate(_by_problem(read_responses(responses))):
        path, tokens = _file(folder, number), sum(response.n_tokens for response in several)
        if not path.exists():
            if progress is None:
                _check(loaded, settings)
                loaded.to_device()
                progress = Progress("entropy", total, "tokens measured", done=done)
            kinds = [loaded.kinds.of(response.prompt_ids, response.response_ids) for response in several]
            masks = [slices.of(response, each) for response, each in zip(several, kinds, strict=True)]
            rows, sums = problem_sums(loaded.policies, several, masks, settings)
            if number == 0:
                write_json(folder / "rows.json", [asdict(row) for row in rows])
            write_sums(path, [sums], len(rows))
            progress.update(done + tokens)
        done += tokens
    return [Row(**row) for row in read_json(folder / "rows.json")] if done else []


def _check(loaded: LoadedModel, settings: Analysis) -> None:
    total = loaded.policies.total
    for anchor in settings.anchor_layers:
        if anchor > total:
            raise UserError(
                f"anchor_layers (with the layers of --cells) holds {anchor}, but {loaded.source.name} has "
                f"layers 1 to {total}."
            )


def _by_problem(responses: Iterator[Response]) -> Iterator[list[Response]]:
    for _, group in groupby(responses, key=lambda response: (response.set, response.problem_id)):
        yield list(group)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.parquet"


def _tell_again(path: Path, told: Mapping[str, Any]) -> None:
    """Where only settings that judge have changed, sums stay, and what the file says of itself does not."""
    before = about(path)
    now = {**before, **told}
    if now != before:
        by_problem = groupby(read_sums(path), key=lambda each: (each.set, each.problem_id))
        write_sums(path, (list(group) for _, group in by_problem), len(before["rows"]), now)


@contextmanager
def _alone(folder: Path, keep: Sequence[Path]) -> Iterator[None]:
    """Hold the folder, freed of what other settings or a killed process have left."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(folder / ".lock", wait=False):
            for path in folder.iterdir():
                if path.is_dir() and path not in keep:
                    shutil.rmtree(path)
                elif path.suffix == ".tmp":
                    path.unlink()
            yield
    except BlockingIOError:
        raise UserError(f"{folder}: another process is analysing here; wait for it.") from None
