import subprocess
import sys
import tomllib
from importlib import import_module

import pytest

from bupo.__main__ import COMMANDS

HEAVY = ("torch", "verl", "mlflow", "transformers", "pandas", "snakemake", "ray")
PROGRAM = """
import sys
from bupo.__main__ import main
for words in (["plan"], ["status"], ["why", "grpo"], ["why", "results/demo/runs/tiny_qwen3/grpo/seed1/done.json"]):
    sys.argv = ["bupo", *words]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, words
print("loaded:", [name for name in {heavy} if name in sys.modules])
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_is_for(bupo, command):
    status, said = bupo(command, "--help")
    assert status == 0
    assert "--json" in said and f"usage: bupo {command}" in said


def test_the_commands_are_listed_with_what_they_do(bupo):
    _, said = bupo("--help")
    for command in COMMANDS:
        summary = import_module(f"bupo.console.{command}").__doc__.splitlines()[0].partition(": ")[2]
        assert summary.split()[-1].rstrip(".") in said


def test_the_console_script_is_declared_and_there(root):
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]["bupo"]
    module, name = declared.split(":")
    assert callable(getattr(import_module(module), name))


def test_plan_status_and_why_load_nothing_heavy(tree):
    tree.done(tree.config())
    tree.metrics()
    code = PROGRAM.replace("{heavy}", repr(HEAVY))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "loaded: []"


def test_a_mistake_is_one_sentence(project):
    result = subprocess.run([sys.executable, "-m", "bupo", "plan", "nothing"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: experiment = 'nothing' is not known")
    assert result.stderr.count("\n") == 1


def test_another_folder_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = subprocess.run([sys.executable, "-m", "bupo", "status"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "configs/config.yaml: there is no such file" in result.stderr


def test_the_default_experiment_and_its_overrides_are_those_of_the_configuration(project, bupo):
    path = project / "configs/config.yaml"
    path.write_text(path.read_text().replace("overrides: []", "overrides: [training.steps=20]"))
    assert bupo("plan")[1].startswith("demo: 3 cells of 20 steps")
    assert bupo("plan", "demo", "--overrides", "training.steps=7")[1].startswith("demo: 3 cells of 7 steps")
