"""``python -m bupo.environments``: make the environment that a lock file pins, once, whoever comes first.

An environment is a virtual environment ``<folder>/<name>-<hash of the lock>``, so that another lock makes
another one and leaves the jobs that run in the old one alone. It is whole when its file ``.complete`` holds
that hash; one that was killed on its way is made anew.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bupo.errors import UserError, run_quietly
from bupo.files import exclusive, sha256_text, write_text

COMPLETE = ".complete"
FOLDER = Path(".environments")
PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==(\S+)")


def lock_sha256(lock: Path) -> str:
    """The hash of what a lock file pins, whatever its comments and the order of its lines."""
    lines = (line.strip() for line in lock.read_text(encoding="utf-8").splitlines())
    return sha256_text("\n".join(sorted(line for line in lines if line and not line.startswith("#"))))


def place(lock: Path, folder: Path = FOLDER) -> Path:
    """Where the environment of a lock file lies, made or not."""
    return folder / f"{lock.stem}-{lock_sha256(lock)[:12]}"


def is_complete(environment: Path, lock: Path) -> bool:
    """Whether an environment was made of just this lock file."""
    record = environment / COMPLETE
    return record.is_file() and record.read_text(encoding="utf-8").strip() == lock_sha256(lock)


def is_running(lock: Path) -> bool:
    """Whether the running interpreter is of the environment: made of the lock, or with its packages."""
    return is_complete(Path(sys.prefix), lock) or not wrong(pins(lock))


def pins(lock: Path) -> dict[str, str]:
    """The versions that a lock file names, by package."""
    matches = (PIN.match(line) for line in lock.read_text(encoding="utf-8").splitlines())
    return {match[1]: match[2] for match in matches if match}


def wrong(versions: Mapping[str, str]) -> list[str]:
    """The packages that are missing here or of another version, in words."""
    here, found = _installed(), []
    for name, version in versions.items():
        installed = here.get(_normal(name))
        if installed is None:
            found.append(f"{name} {version} is not installed")
        # 2.13.0+cpu is a build of 2.13.0
        elif installed.split("+")[0] != version.split("+")[0]:
            found.append(f"{name} is {installed}, not {version}")
    return found


def _installed() -> dict[str, str]:
    """Versions of the packages here, by the names of their records, none of which is opened."""
    records = (record.stem for path in reversed(sys.path) for record in Path(path).glob("*.dist-info"))
    return {_normal(name): version for name, _, version in (record.rpartition("-") for record in records)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Environment:
    """What the jobs of an experiment run in.

    Attributes:
        lock: what it has to have.
        choice: ``auto``: the environment of the running interpreter where that is made of the lock or has its
            packages, else the one that is made of it; ``here``: the former whatever it has; or the folder of
            an environment.
        container: an image for Snakemake's own containers; empty for none.
    """

    lock: Path
    choice: str = "auto"
    container: str = ""

    @cached_property
    def to_be_made(self) -> bool:
        """Whether the jobs need the environment that is made of the lock."""
        return self.choice == "auto" and not is_running(self.lock)

    @cached_property
    def programs(self) -> Path:
        """The folder with the ``python`` that the jobs run, absolute.

        Raises:
            UserError: the folder that is named has no ``bin/python``.
        """
        if self.choice in ("auto", "here"):
            return place(self.lock).absolute() / "bin" if self.to_be_made else Path(sys.executable).parent
        programs = Path(self.choice).absolute() / "bin"
        if not (programs / "python").exists():
            raise UserError(
                f"configs/config.yaml: environment = {self.choice!r} has no bin/python; "
                "auto, here or the folder of an environment would be right."
            )
        return programs


def make(lock: Path, folder: Path = FOLDER, project: Path | None = None) -> Path:
    """Make the environment of a lock file where it is not there.

    Args:
        lock: file of pinned requirements, for pip.
        folder: what it is made in.
        project: the package that is installed into it beside them, by reference.

    Returns:
        Its folder.

    Raises:
        UserError: pip could not install it.
    """
    environment = place(lock, folder)
    if is_complete(environment, lock):
        return environment
    with exclusive(f"{environment}.lock"):
        if not is_complete(environment, lock):
            print(f"[environment] {environment} from {lock}: some minutes", file=sys.stderr, flush=True)
            shutil.rmtree(environment, ignore_errors=True)
            _install(environment, lock, project)
            write_text(environment / COMPLETE, lock_sha256(lock) + "\n")
    return environment


def _install(environment: Path, lock: Path, project: Path | None) -> None:
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    steps = [
        [sys.executable, "-m", "venv", str(environment)],
        [*pip, "install", "--quiet", "--requirement", str(lock)],
    ]
    if project is not None:
        steps.append([*pip, "install", "--quiet", "--no-deps", "--editable", str(project)])
    for step in [*steps, [*pip, "check"]]:
        # what it says goes with our own messages; nothing of it is a result
        if subprocess.run(step, stdout=sys.stderr, check=False).returncode:
            raise UserError(
                f"{lock}: the environment {environment} could not be made: '{' '.join(step)}' failed, "
                "and what it said is above; an index of packages that has them all would be right."
            )


def main() -> None:
    """Parse the command line and make the environment."""
    parser = argparse.ArgumentParser(prog="python -m bupo.environments", description=__doc__)
    parser.add_argument("--lock", type=Path, required=True, help="a file of envs/, such as envs/gpu.lock")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="what the environment is made in")
    parser.add_argument("--project", type=Path, help="a package that is installed into it, by reference")
    arguments = parser.parse_args()
    print(make(arguments.lock, arguments.folder, arguments.project))


if __name__ == "__main__":
    run_quietly(main)
