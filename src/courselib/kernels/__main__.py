"""python -m courselib.kernels certify: measure whether every tile gives the same bits on this GPU; keep the answer."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click


@click.group(help="Tools for the kernels.")
def main() -> None: ...


@main.command(help="Sweep every tile of the matrix product on this GPU, and keep the certificate. Takes some minutes.")
@click.option("--out", type=click.Path(path_type=Path), help="default: a folder in the user's cache")
def certify(out: Path | None) -> None:
    import torch

    if not torch.cuda.is_available():
        print("A certificate is about a CUDA GPU, and there is none here.", file=sys.stderr)
        sys.exit(2)
    from .triton import certificate

    device = torch.device("cuda", torch.cuda.current_device())
    document = certificate.make(device, progress=click.echo)
    name = re.sub(r"[^a-z0-9]+", "-", f"{document['device']} triton {document['triton']}".lower()).strip("-")
    path = out or certificate.user_folder() / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    for kind in document["kinds"]:
        compared = kind["outputs_compared"] + kind["outputs_compared_over_m"]
        n = sum(kind["differing"].values()) + kind["outputs_differing_over_m"]
        what = f"{kind['dtype']} {kind['precision']}: {len(kind['equal'])} tiles agree"
        click.echo(f"{what}; {n:,} of {compared:,} outputs differ")
    click.echo(f"Kept as {path}")


if __name__ == "__main__":
    main(prog_name="python -m courselib.kernels")
