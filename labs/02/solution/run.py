"""Make lab 02's reference submission in a folder of your choice: python labs/02/solution/run.py --out FOLDER

Copies the scripts and the README into the two experiment folders, as a student would, and runs the scripts there. The
bug it diagnoses is the one of a student whose name is "reference".
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BUG = ["-m", "checker", "bug", "--student", "reference", "--out", "bug"]
FOLDERS = {  # what is copied, and what is run there
    "22-cache-correctness": (
        ["property_test.py", "diagnose.py", "README.md"],
        [["property_test.py"], BUG, ["diagnose.py"]],
    ),
    "22-yesterday-worked": (["dump.py"], [["dump.py"]]),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="a submission folder; its two folders are made")
    out = parser.parse_args().out
    for folder, (files, commands) in FOLDERS.items():
        (out / folder).mkdir(parents=True, exist_ok=True)
        for name in files:
            shutil.copy(HERE / name, out / folder / name)
        for command in commands:
            print(f"Running in {out / folder}: python {' '.join(command)}", flush=True)
            subprocess.run([sys.executable, *command], cwd=out / folder, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
