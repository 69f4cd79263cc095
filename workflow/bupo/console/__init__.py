"""What a person asks of a grid: what it costs, whether it can run, where it stands, what made a number."""
