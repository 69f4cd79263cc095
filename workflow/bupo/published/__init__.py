"""The paper's numbers, digit for digit, and which of them a cell of ours may be set beside."""
