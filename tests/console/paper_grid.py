"""A grid of the paper's models on GPUs, on one benchmark."""

GRID = """
description: Small.
models: {train: [qwen3_4b, qwen3_8b]}
data: {train: [arithmetic], benchmarks: [aime24]}
analysis: {settings: paper, problems: aime24}
training: {engine: gpu, steps: 300}
evaluation: {settings: paper}
baselines: [grpo]
grid:
  - {method: ppo, model: qwen3_4b, seed: [1, 2]}
  - {method: grpo, model: qwen3_8b, seed: [1, 2]}
"""


def write_grid(project, text=GRID):
    (project / "configs/experiment/grid.yaml").write_text(text)
