"""Make lab 02's reference submission in a folder of your choice: python labs/02/solution/run.py --out FOLDER

Copies the scripts and the README into the two experiment folders, as a student would, and runs the scripts there.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDERS = {"22-cache-correctness": ["property_test.py", "README.md"], "22-yesterday-worked": ["dump.py"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="a submission folder; its two folders are made")
    out = parser.parse_args().out
    for folder, files in FOLDERS.items():
        (out / folder).mkdir(parents=True, exist_ok=True)
        for name in files:
            shutil.copy(HERE / name, out / folder / name)
        print(f"Running {out / folder / files[0]}", flush=True)
        subprocess.run([sys.executable, files[0]], cwd=out / folder, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
