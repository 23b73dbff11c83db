"""What is installed: the two lists of requirements say the same, and the pins hold everything that they ask for."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def package(requirement: str) -> str:
    return re.split(r"[<>=;\[ ]", requirement)[0].lower().replace("_", "-")


def test_the_requirements_are_the_projects() -> None:
    assert requirements("requirements.txt") == PROJECT["dependencies"]


def test_every_requirement_of_make_is_pinned() -> None:
    extras = PROJECT["optional-dependencies"]
    asked = [*requirements("requirements.txt"), *extras["bench"], *extras["book"], *extras["test"]]
    wanted = {package(line) for line in asked}
    pinned = {package(line) for line in requirements("constraints.txt") if "==" in line}
    assert wanted - {PROJECT["name"]} <= pinned
