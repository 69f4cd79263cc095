"""The entry point that verl loads in every process."""

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

PROGRAM = """
import verl, sys
from verl.plugin.platform import get_platform
heavy = [name for name in sys.modules if name.startswith("bupo.training.") and name.count(".") == 2]
print(type(get_platform()).__name__, sorted(name.rsplit(".")[-1] for name in heavy))
"""


def platform_of(environment):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
    )
    return result.stdout.strip().splitlines()[-1]


def test_entry_point_is_installed():
    assert [point.value for point in entry_points(group="verl.plugins", name="bupo")] == [
        "bupo.training.plugin"
    ]


@pytest.mark.parametrize(("chosen", "platform"), [(None, "PlatformCUDA"), ("cpu", "PlatformCpu")])
def test_the_cpu_platform_is_there_for_those_who_choose_it(chosen, platform):
    environment = {key: value for key, value in os.environ.items() if key != "VERL_PLATFORM"}
    if chosen:
        environment["VERL_PLATFORM"] = chosen
    assert platform_of(environment) == f"{platform} ['platform_cpu', 'plugin', 'safe_loading']"


def test_a_missing_plugin_is_told(monkeypatch):
    from verl.plugin.platform import PlatformRegistry

    from bupo.training.launch import check_plugin

    check_plugin("cpu")
    monkeypatch.setattr(PlatformRegistry, "_platforms", {})
    with pytest.raises(RuntimeError, match=r"did not load the entry point verl\.plugins: bupo"):
        check_plugin("cpu")


def test_another_engine_is_told(monkeypatch):
    from verl.workers.engine import EngineRegistry
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

    from bupo.training.worker import check_engine

    check_engine("fsdp2")
    monkeypatch.setitem(EngineRegistry._engines["language_model"]["fsdp2"], "cpu", FSDPEngineWithLMHead)
    with pytest.raises(RuntimeError, match="verl takes FSDPEngineWithLMHead"):
        check_engine("fsdp2")


def test_a_gpu_gets_our_engine_too(monkeypatch):
    from verl.workers.engine import EngineRegistry

    from bupo.training.engine import InternalPolicyEngine

    monkeypatch.setenv("VERL_ENGINE_DEVICE", "cuda")
    monkeypatch.setenv("VERL_ENGINE_VENDOR", "nvidia")
    assert EngineRegistry.get_engine_cls("language_model", "fsdp2") is InternalPolicyEngine


def test_another_trainer_is_told(monkeypatch):
    from verl.trainer.ppo.v1 import PPOTrainerSync
    from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY

    from bupo.training.trainer import TRAINER_NAME, check_registered

    check_registered(TRAINER_NAME)
    monkeypatch.setitem(TRAINER_REGISTRY, TRAINER_NAME, PPOTrainerSync)
    with pytest.raises(RuntimeError, match="PPOTrainerSync"):
        check_registered(TRAINER_NAME)
