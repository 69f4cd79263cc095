"""Training: BuPO, its parts and GRPO, on verl through its own hooks."""
