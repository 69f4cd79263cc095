"""The child process: answers that hang, eat memory or want to act, threads, forks and deaths."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bupo.grading import Grader
from bupo.grading.screen import is_explosive

EXPENSIVE = ["7/" * 100 + "3", r"\sin(10^{99999})"]
SCREENED = [
    "9^{9^{9^{9}}}",
    "9^9^999",
    "2^{99999999}",
    "99999!",
    "9!!!!!!",
    r"\binom{1000000}{500000}",
    "(" * 60 + "1" + ")" * 60,
    "{" * 60 + "1" + "}" * 60,
    "1" * 300,
]
ACTING = [
    "__import__('os').system('touch {target}')",
    "exec(\"open('{target}','w').write('x')\")",
    r"\text{{__import__('os').system('touch {target}')}}",
    "open('{target}','w')",
    "[x for x in ().__class__.__base__.__subclasses__()]",
]


def processes_of(pid: int) -> list[int]:
    """Child processes of ``pid`` that are alive."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def gone(pid: int, within_s: float = 10.0) -> bool:
    """Whether a process ends within the time (a zombie counts as ended)."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def grader():
    with Grader(limit_s=0.5) as grader:
        grader.can_read(r"\sqrt{2}")
        yield grader


@pytest.mark.timeout(60)
@pytest.mark.parametrize("answer", EXPENSIVE)
def test_an_answer_that_takes_too_long_scores_0(grader: Grader, answer: str):
    child = grader._child.pid
    grade = grader.grade("2", rf"\boxed{{{answer}}}")
    assert not grade.correct and (grade.status, grade.detail) == ("grader_timeout", "timeout")
    assert grader._child.pid == child  # only the worker died: no new import of sympy
    assert grader.grade(r"\sqrt{8}", r"\boxed{2\sqrt{2}}").correct


def test_screened_answers_never_reach_the_parser():
    with Grader() as grader:
        for answer in SCREENED:
            assert grader.grade("2", rf"\boxed{{{answer}}}").detail == "refused", answer
        assert grader._child.pid is None


def test_ordinary_answers_pass_the_screen():
    for answer in (
        "2^{2006}",
        r"\frac{1+\sqrt{5}}{2}",
        "x^{2y}",
        "e^{x^2}",
        "10!",
        "x^{10}+y^{10}",
        r"\binom{20}{10}",
    ):
        assert not is_explosive(answer), answer


def test_answers_cannot_act(grader: Grader, tmp_path: Path):
    for number, template in enumerate(ACTING):
        target = tmp_path / f"made{number}"
        grade = grader.grade("2", rf"\boxed{{{template.format(target=target)}}}")
        assert not grade.correct
    assert list(tmp_path.iterdir()) == []


def test_the_worker_refuses_to_act(tmp_path: Path):
    program = f"""
import os, socket, subprocess
from bupo.grading import child
child.refuse_side_effects()
attempts = [lambda: open({str(tmp_path / "x")!r}, "w"), lambda: os.system("true"), lambda: socket.socket(),
            lambda: subprocess.run(["true"]), lambda: os.remove({str(tmp_path)!r}), lambda: os.fork(),
            lambda: eval("__import__('os')"), lambda: compile("import os", "<string>", "exec")]
for attempt in attempts:
    try:
        attempt()
    except PermissionError:
        print("refused")
print(eval("1.5e3"), open({str(Path(__file__))!r}).read(0) == "")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["refused"] * 8 + ["1500.0", "True"]


def test_memory_has_a_limit():
    program = """
import json, os
from bupo.grading import child
child.compare = lambda gold, answer: {"status": "wrong", "key": str(len(bytearray(gold)))}
worker = child.Worker(os.dup(1))
for size in (8 << 30, 1 << 20):
    print(worker.ask(json.dumps({"limit_s": 5.0, "gold": size, "answer": None}).encode() + b"\\n", 10.0).decode(), end="")
worker.kill()
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"status": "memory", "key": None},
        {"status": "wrong", "key": str(1 << 20)},
    ]


def test_a_killed_child_is_replaced():
    with Grader() as grader:
        assert grader.can_read(r"\sqrt{2}")
        first = grader._child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert grader.grade(r"\sqrt{8}", r"\boxed{2\sqrt{2}}").correct
        assert grader._child.pid != first


def test_close_leaves_no_process():
    grader = Grader()
    assert grader.grade(r"\sqrt{8}", r"\boxed{2\sqrt{2}}").correct
    pid = grader._child.pid
    assert pid is not None
    workers = processes_of(pid)
    assert workers
    grader.close()
    assert all(gone(process) for process in (pid, *workers))
    grader.close()


def test_threads_share_a_grader(grader: Grader):
    pairs = [(f"\\sqrt{{{4 * i}}}", f"2\\sqrt{{{i}}}", True) for i in range(2, 8)]
    pairs += [(f"\\sqrt{{{4 * i}}}", f"3\\sqrt{{{i}}}", False) for i in range(2, 8)]
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda pair: grader.grade_answer(*pair[:2]).correct, pairs * 4))
    assert verdicts == [pair[2] for pair in pairs] * 4


def test_children_die_with_their_owner_and_are_not_shared_across_a_fork():
    program = """
import os, sys, time
from bupo.grading import Grader
grader = Grader()
assert grader.grade("\\\\sqrt{8}", "\\\\boxed{2\\\\sqrt{2}}").correct
first = grader._child.pid
fork = os.fork()
if fork == 0:
    right = grader.grade("\\\\sqrt{18}", "\\\\boxed{3\\\\sqrt{2}}").correct and grader._child.pid != first
    grader.close()
    os._exit(0 if right else 1)
assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 0
assert grader.grade("\\\\sqrt{12}", "\\\\boxed{2\\\\sqrt{3}}").correct and grader._child.pid == first
print(first, flush=True)
time.sleep(60)
"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    workers = processes_of(child)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert workers and all(gone(process) for process in (child, *workers))
