"""200 responses that mean harm: each scores 0, and nothing is left of them."""

import os
import socket
from pathlib import Path

import pytest
from hostile import GOLD, hostile_responses

from bupo.grading import STATUSES, Grader


@pytest.fixture
def listener():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        opened.setblocking(False)
        yield opened


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found |= {child} | descendants(child)
    return found


def sockets() -> set[str]:
    """The sockets that this process holds."""
    links = (os.path.realpath(path) for path in Path("/proc/self/fd").iterdir())
    return {link for link in links if "socket:" in link}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", ["math_verify", "string"])
def test_hostile_responses_have_no_effect(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, rule: str
):
    monkeypatch.chdir(tmp_path)
    responses = hostile_responses(tmp_path / "made", listener.getsockname()[1])
    assert len(responses) == len(set(responses)) == 200
    before, held = descendants(os.getpid()), sockets()
    with Grader(rule) as grader:
        grades = [grader.grade(GOLD, response) for response in responses]
        assert [grade for grade in grades if grade.correct] == []
        assert {grade.status for grade in grades} <= set(STATUSES) - {"correct"}
        assert all(len(grade.answer or "") <= 300 and len(grade.key or "") <= 300 for grade in grades)
        assert grader.grade(GOLD, r"So \boxed{\dfrac73}").correct
    assert list(tmp_path.iterdir()) == []
    assert descendants(os.getpid()) <= before and sockets() == held
    with pytest.raises(BlockingIOError):
        listener.accept()  # nobody has called
