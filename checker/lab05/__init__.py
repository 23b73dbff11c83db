"""Lab 05: Triton kernels whose rows do not know their batch."""

from checker.lab05.tasks import TASKS
from checker.lab05.work import Work

__all__ = ["TASKS", "Work"]
