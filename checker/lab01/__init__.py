"""Lab 01: a KV cache of one's own."""

from checker.lab01.tasks import TASKS
from checker.lab01.work import Work

__all__ = ["TASKS", "Work"]
