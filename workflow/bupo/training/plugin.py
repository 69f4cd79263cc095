"""Entry point ``verl.plugins``: every process that imports verl loads it, also those that want nothing of us.

It makes the CPU platform known to verl and nothing else; ``VERL_PLATFORM=cpu`` chooses it. verl swallows what
goes wrong here, therefore `bupo.training.launch` checks afterwards that it took effect.
"""

from bupo.training import platform_cpu

__all__ = ["platform_cpu"]
