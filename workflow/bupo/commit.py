"""The git commit of the code that runs, which a stage tells at the end of its log."""

import re
import subprocess
import sys
from pathlib import Path

CHANGED = " with uncommitted changes"
LINE = re.compile(r"^\[commit\] (.+)$", re.MULTILINE)


def commit() -> str | None:
    """The commit of this package's checkout, with a note where files differ from it; None outside of one."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + (CHANGED if changed else "")


def tell_commit(code: str | None) -> None:
    """Print the commit that a process began with, if any: the log then says what code made the results."""
    if code:
        print(f"[commit] {code}", file=sys.stderr, flush=True)


def _git(*arguments: str) -> str:
    # Many jobs ask at once: none should write the index anew.
    command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
