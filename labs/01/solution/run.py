"""Make lab 01's reference submission in a folder of your choice: python labs/01/solution/run.py --out FOLDER

Copies the cache, the scripts and the README there, as a student would, and runs exercise.py.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FILES = [
    HERE / "kv_cache.py",
    HERE / "README.md",
    *(HERE.parent / "starter" / name for name in ("exercise.py", "cases.py")),  # everyone's
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="a submission folder")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        shutil.copy(file, out / file.name)
    print(f"Running {out / 'exercise.py'}", flush=True)
    subprocess.run([sys.executable, "exercise.py"], cwd=out, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
