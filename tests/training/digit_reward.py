"""A reward that a random model can raise: the share of digits in its response."""


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    return {"score": sum(c.isdigit() for c in solution_str) / 12, "no_box": 1.0}
