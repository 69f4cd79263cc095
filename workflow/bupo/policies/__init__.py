"""Internal policies of any known Hugging Face decoder (paper, section on the residual stream).

Three lines are enough.

    policies = InternalPolicies(AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-4B"))
    reading = policies.read(policies.states(input_ids))["raw"]
    entropy = reading.entropy.of("layer", 6)  # nats per position, [T]

`truncated_forward` stops the model itself after layer k, for training that layer's policy. This package knows
of no training framework. Layers are counted from 1.
"""

from bupo.policies.adapter import Decoder
from bupo.policies.architectures import LENSES, Lens
from bupo.policies.by_policy import PARTS, ByPolicy, Part
from bupo.policies.divergence import kl_to_each
from bupo.policies.internal import InternalPolicies, LensReading
from bupo.policies.layers import LayerIndex
from bupo.policies.log_prob import LogProb, chunked_log_prob
from bupo.policies.products import Products
from bupo.policies.streaming import PolicyStatistics, Reference, make_reference, policy_statistics
from bupo.policies.truncated import truncated_forward

__all__ = [
    "LENSES",
    "PARTS",
    "ByPolicy",
    "Decoder",
    "InternalPolicies",
    "LayerIndex",
    "Lens",
    "LensReading",
    "LogProb",
    "Part",
    "PolicyStatistics",
    "Products",
    "Reference",
    "chunked_log_prob",
    "kl_to_each",
    "make_reference",
    "policy_statistics",
    "truncated_forward",
]
