"""Chunked log-probs on two ranks: sharded weights, and sequences cut in two (Ulysses)."""

import pytest
import torch
from engine_cases import LAYERS, gradients, make_batch, make_engine, save_kind

pytestmark = pytest.mark.slow

LAYOUTS = [(False, 1), (True, 1), (True, 2)]  # packed, ranks that share a sequence


def compare(rank, store, folders):
    """Runs on each rank."""
    torch.distributed.init_process_group(
        "cpu:gloo", store=torch.distributed.FileStore(store, 2), rank=rank, world_size=2
    )
    for folder, (packed, ulysses) in [(folder, layout) for folder in folders for layout in LAYOUTS]:
        engine = make_engine(folder, packed, checkpointing=True, ulysses=ulysses)
        for policy in (f"2/{LAYERS}/raw", "full"):
            batches = [make_batch(policy, chunked, packed) for chunked in (True, False)]
            with engine.eval_mode():
                mine, theirs = (engine.infer_batch(batch)["model_output"] for batch in batches)
            pairs = [(mine[name].values(), theirs[name].values()) for name in ("log_probs", "entropy")]
            assert len(pairs[0][0]) == batches[0]["input_ids"].values().numel()
            (_, mine), (_, theirs) = (gradients(engine, batch) for batch in batches)
            assert mine.keys() == theirs.keys()
            for one, other in pairs + [(mine[name], theirs[name]) for name in mine]:
                assert (one - other).abs().max() <= 1e-5 * other.abs().max(), (
                    folder,
                    packed,
                    ulysses,
                    policy,
                )
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_two_ranks_have_the_numbers_of_logits(tmp_path):
    folders = [save_kind(tmp_path / name, "qwen3", name == "tied") for name in ("tied", "untied")]
    torch.multiprocessing.spawn(compare, (str(tmp_path / "store"), folders), nprocs=2, join=True)
