"""Evaluation: samples drawn through lm-eval, graded, and turned into numbers with intervals."""
