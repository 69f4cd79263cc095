"""Grading: is the answer in the last box of a response the gold answer?"""

from bupo.grading.extract import last_boxed
from bupo.grading.grader import RULES, STATUSES, Grade, Grader

__all__ = ["RULES", "STATUSES", "Grade", "Grader", "last_boxed"]
