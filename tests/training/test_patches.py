"""What we change in verl, and what we override, is as it was when we wrote it."""

import importlib.metadata
import importlib.util
import inspect
import sys

import pytest
import torch


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_version():
    from bupo.training.patches import VERL_VERSION

    assert importlib.metadata.version("verl") == VERL_VERSION


def test_rollouts_are_looked_up_where_we_register_ours():
    from verl.workers.rollout import base
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    from bupo.training import patches
    from bupo.training.rollout import InProcessReplica, InProcessRollout

    assert ("vllm", "async") in base._ROLLOUT_REGISTRY
    patches.register_rollout()
    assert base.get_rollout_class("hf", "async") is InProcessRollout
    assert RolloutReplicaRegistry.get("hf") is InProcessReplica


def test_vectorised_log_probs_are_bitwise_verls():
    from verl.utils import torch_functional

    from bupo.training.patches import logprobs_from_logits

    spec = importlib.util.spec_from_file_location("fresh_torch_functional", torch_functional.__file__)
    fresh = importlib.util.module_from_spec(spec)  # another test may have patched the module itself
    spec.loader.exec_module(fresh)
    logits, labels = torch.randn(500, 64) * 5, torch.randint(0, 64, (500,))
    assert torch.equal(logprobs_from_logits(logits, labels), fresh.logprobs_from_logits_v2(logits, labels))
    assert "logprobs_from_logits_v2(logits, labels)" in inspect.getsource(
        torch_functional.logprobs_from_logits
    )


def test_trainer_uses_the_names_that_a_single_process_replaces():
    from verl.trainer.ppo.v1 import trainer_base

    from bupo.training.patches import TRAINER_CLASSES

    used = inspect.getsource(trainer_base.PPOTrainer)
    for name in TRAINER_CLASSES:
        assert hasattr(trainer_base, name)
        assert f"{name}(" in used or f"{name}.create(" in used


def test_trainer_uses_of_ray_what_its_stand_in_has():
    import re

    from verl.trainer.ppo.v1 import trainer_base

    from bupo.training.patches import TRAINER_RAY
    from bupo.training.single_process import NoRay

    used = set(re.findall(rf"\b{TRAINER_RAY}\.(\w+)\(", inspect.getsource(trainer_base)))
    assert used == {"remote", "get"}
    assert all(hasattr(NoRay, name) for name in used)
    assert "ray.get(output.futures)" in inspect.getsource(trainer_base.PPOTrainer._compute_values)


def test_critic_is_loaded_where_we_put_our_loader():
    from verl.utils import model
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

    from bupo.training import patches

    source = inspect.getsource(FSDPEngine._build_module)
    assert "from verl.utils.model import load_valuehead_model" in source
    called = source[source.index("= load_valuehead_model(") :].split(")", maxsplit=1)[0]
    assert all(f"{name}=" in called for name in parameters(patches.load_critic))
    patches.configured_critic()
    assert model.load_valuehead_model is patches.load_critic
    # why: the attention is not the configured one
    assert 'attn_implementation="flash_attention_2"' in inspect.getsource(model)


def test_workers_have_the_names_by_which_we_replace_them():
    from verl.trainer.ppo.v1 import trainer_base
    from verl.workers import engine_workers

    from bupo.training.worker import OURS

    source = inspect.getsource(trainer_base.PPOTrainer._init_resource_pool_mgr)
    for name, ours in OURS.items():
        assert f"ray.remote({name})" in source
        assert issubclass(ours, getattr(engine_workers, name))
    assert parameters(engine_workers.TrainingWorker.__init__)[:2] == ["self", "config"]


def test_learning_rates_reach_the_optimiser_through_verls_options():
    from verl.workers.config.optimizer import FSDPOptimizerConfig, build_optimizer
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

    assert FSDPOptimizerConfig().override_optimizer_config is None
    assert "optimizer_args.update(config.override_optimizer_config)" in inspect.getsource(build_optimizer)
    assert "self._build_optimizer(module)" in inspect.getsource(FSDPEngine._build_model_optimizer)
    assert parameters(FSDPEngine._build_optimizer) == ["self", "module"]
    assert parameters(FSDPEngine.train_batch) == ["self", "data", "loss_function"]
    assert parameters(FSDPEngine.lr_scheduler_step) == ["self"]


def test_trainer_calls_only_what_the_stand_ins_have():
    import re

    from verl.trainer.ppo.v1 import trainer_base, trainer_sync

    from bupo.training import single_process

    sources = inspect.getsource(trainer_base) + inspect.getsource(trainer_sync)
    for attribute, stand_in in (
        ("checkpoint_manager", single_process.DirectWeights),
        ("llm_server_manager", single_process.NoServers),
    ):
        called = set(re.findall(rf"self\.{attribute}\.(\w+)\(", sources))
        assert called
        assert all(hasattr(stand_in, name) for name in called), called


def test_queue_functions_have_transfer_queues_signatures():
    import transfer_queue
    from transfer_queue import interface

    from bupo.training.memory_queue import MemoryQueue
    from bupo.training.patches import QUEUE_FUNCTIONS

    queue = MemoryQueue()
    for name in QUEUE_FUNCTIONS:
        assert hasattr(transfer_queue, name)
        assert parameters(getattr(interface, name)) == parameters(getattr(queue, name))


def test_trainer_and_its_helpers_use_no_other_queue_function():
    import re

    from verl.trainer.ppo.v1 import replay_buffer, trainer_base

    from bupo.training.patches import QUEUE_FUNCTIONS

    used = set()
    for module in (trainer_base, replay_buffer):
        used |= set(re.findall(r"\btq\.(\w+)\(", inspect.getsource(module)))
    asynchronous_only = {"save_checkpoint", "load_checkpoint"}
    assert used - asynchronous_only <= set(QUEUE_FUNCTIONS)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("_compute_old_log_prob", ["self", "batch", "metrics"]),
        ("_compute_ref_log_prob", ["self", "batch", "metrics"]),
        ("_update_actor", ["self", "batch", "metrics"]),
        ("_fetch_one_gen_batch", ["self"]),
        ("_balance_batch", ["self", "batch", "metrics", "logging_prefix", "keep_minibatch"]),
        ("_compute_metrics", ["self", "batch", "metrics", "timing_raw", "global_steps", "epoch"]),
        ("_save_checkpoint", ["self"]),
        ("_init_resource_pool_mgr", ["self"]),
        ("on_train_begin", ["self"]),
        ("on_step_begin", ["self"]),
        ("on_step_end", ["self"]),
    ],
)
def test_trainer_methods_that_we_override(method, expected):
    from verl.trainer.ppo.v1 import PPOTrainerSync

    assert parameters(getattr(PPOTrainerSync, method)) == expected


def test_engine_methods_that_we_override():
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine, FSDPEngineWithLMHead

    assert parameters(FSDPEngineWithLMHead.forward_backward_batch) == [
        "self",
        "data",
        "loss_function",
        "forward_only",
    ]
    assert parameters(FSDPEngineWithLMHead.save_checkpoint)[:5] == [
        "self",
        "local_path",
        "hdfs_path",
        "global_step",
        "max_ckpt_to_keep",
    ]
    # our CPU engine hides this flag there because it only asks for offloading
    uses = [
        line
        for line in inspect.getsource(FSDPEngine._build_fsdp_module).splitlines()
        if "forward_only" in line
    ]
    assert len(uses) == 2
    assert "offload_policy or self.engine_config.forward_only" in uses[1]


def test_task_runner_is_a_class_that_runs_without_an_actor():
    from verl.trainer import main_ppo

    runner = main_ppo.TaskRunnerV1.__ray_metadata__.modified_class
    assert parameters(runner.run)[:2] == ["self", "config"]  # Ray adds one of its own
    assert parameters(runner.init_agent_loop_manager)[:1] == ["self"]


def test_router_is_made_in_the_method_that_we_skip():
    from verl.trainer.ppo.v1 import trainer_base

    from bupo.training import patches

    original = trainer_base.LLMServerManager
    assert inspect.iscoroutinefunction(original._init_global_load_balancer)
    try:
        patches.without_router()
        patched = trainer_base.LLMServerManager
        assert issubclass(patched, original)
        patches.without_router()
        assert trainer_base.LLMServerManager is patched
    finally:
        trainer_base.LLMServerManager = original


def test_transformers_works_without_sklearn():
    import subprocess

    program = (
        "from bupo.training import patches; patches.without_sklearn(); "
        "from transformers import AutoModelForCausalLM, Qwen3ForCausalLM; "
        "import sys; print(sys.modules['sklearn'])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "None\n"
