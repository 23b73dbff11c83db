"""Lab 03: what decoding costs with a cache and without, in numbers, in curves, and in one prediction."""

from checker.lab03.tasks import TASKS
from checker.lab03.work import Work

__all__ = ["TASKS", "Work"]
