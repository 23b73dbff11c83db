"""Lab 02: a KV cache proved byte for byte."""

from checker.lab02.tasks import TASKS
from checker.lab02.work import Work

__all__ = ["TASKS", "Work"]
