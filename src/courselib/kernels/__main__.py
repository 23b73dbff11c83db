"""python -m courselib.kernels certify: measure whether every tile gives the same bits on this GPU; keep the answer."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import NoReturn

import click


@click.group(help="Tools for the kernels.")
def main() -> None: ...


@main.command(help="Sweep every tile of the matrix product on this GPU, and keep the certificate. Takes some minutes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="A file to keep it in; default: in the user's cache, where the matrix product looks for it.",
)
def certify(out: Path | None) -> None:
    import torch

    if not torch.cuda.is_available():
        _refuse("A certificate is about a CUDA GPU, and PyTorch finds none here: run this on a machine that has one.")
    try:
        from .triton import certificate, runtime
    except ImportError as error:
        _refuse(str(error))
    if runtime.INTERPRETED:
        _refuse("TRITON_INTERPRET is set, so that no kernel would run on the GPU: unset it and run this again.")
    device = torch.device("cuda", torch.cuda.current_device())
    here = certificate.identity(device)
    name = re.sub(r"[^a-z0-9]+", "-", f"{here['device']} triton {here['triton']}".lower()).strip("-")
    path = out or certificate.user_folder() / f"{name}.json"
    try:  # now, not after minutes of measuring
        path.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(path.parent, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        _refuse(f"Nothing can be written in {path.parent}: name another file with --out, or set COURSELIB_CACHE.")
    document = certificate.make(device, progress=click.echo)
    path.write_text(json.dumps(document, indent=1) + "\n")
    for kind in document["kinds"]:
        compared = kind["outputs_compared"] + kind["outputs_compared_over_m"]
        n = sum(kind["differing"].values()) + kind["outputs_differing_over_m"]
        what = f"{kind['dtype']} {kind['precision']}: {len(kind['equal'])} tiles agree"
        click.echo(f"{what}; {n:,} of {compared:,} outputs differ")
    click.echo(f"Kept as {path}")


def _refuse(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main(prog_name="python -m courselib.kernels")
