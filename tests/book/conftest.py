"""The book's scripts are run in Node.js. Where there is none, that is said, and only what they are given is tested."""

from shutil import which

NODE = which("node")
collect_ignore = [] if NODE else ["test_sum_order_script.py"]


def pytest_report_header():
    return None if NODE else "Node.js is not installed: the scripts of the book's pages are not run"
