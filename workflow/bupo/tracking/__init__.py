"""MLflow: one experiment per grid, a parent run, a child run for each cell and seed and each base model."""
