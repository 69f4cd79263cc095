"""The child of entropy_sweep.py that transformer-lens runs in: entropies of the same policies by its readout.

Runs once for each line on standard input and answers with the CPU seconds taken. The states are those of its
cache, the readout is its unembedding, as its documentation has the logit lens, and log_softmax for the
entropy.
"""

import json
import os
import sys
import tempfile
import time
from importlib.metadata import version

import entropy_common as common

common.one_thread()
os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: E402
from transformer_lens.model_bridge import TransformerBridge  # noqa: E402

STATES = ("ln1.hook_out", "hook_attn_out", "ln2.hook_out", "hook_mlp_out", "hook_resid_post")


@torch.no_grad()
def readout(bridge: TransformerBridge, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    names = [f"blocks.{layer}.{state}" for layer in range(common.LAYERS) for state in STATES]
    names += ["blocks.0.hook_resid_pre", "ln_final.hook_out"]
    _, cache = bridge.run_with_cache(ids[None], names_filter=lambda name: name in names)
    found = {}
    for name in names:
        log_p = bridge.unembed(cache[name])[0].log_softmax(-1)
        found[name] = -(log_p.exp() * log_p).sum(-1)
    return found


def main() -> None:
    parser = common.command_line(__doc__)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--length", type=int, required=True)
    arguments = parser.parse_args()
    model, ids = common.make_model(arguments.width), common.make_ids(arguments.length)
    with tempfile.TemporaryDirectory() as folder:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(folder, hf_model=model)
    print(json.dumps({"version": version("transformer-lens")}), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        readout(bridge, ids)
        print(json.dumps({"seconds": time.process_time() - start}), flush=True)


if __name__ == "__main__":
    main()
