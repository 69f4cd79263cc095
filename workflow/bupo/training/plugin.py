"""Entry point ``verl.plugins``: every process that imports verl loads it, also those that want nothing of us.

It makes the CPU platform known to verl, which ``VERL_PLATFORM=cpu`` chooses, and lets torch load verl's
checkpoints without running what is in them. verl swallows what goes wrong here, therefore
`bupo.training.launch` checks afterwards that it took effect.
"""

from bupo.training import platform_cpu, safe_loading

__all__ = ["platform_cpu"]

safe_loading.allow()
