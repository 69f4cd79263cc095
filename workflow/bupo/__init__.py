"""Bottom-up Policy Optimization (arXiv 2512.19673) as a reproducible experiment pipeline."""
