"""Lab 03, done for you: your fits, your prediction and your figure, from the results.json that measure.py wrote.

    python analyse.py [--out DIR]

Calls fit.py, predict.py and plot.py, in this order, and writes analysis.json, prediction.json, curves.png, and
figure.json: your figure as data, which is what the checker looks at. Nothing is timed, so it takes seconds. The checker
brings its own copy of this file, and uses two more options: --fits FILE writes fits.json, what fit.py makes of other
numbers, and --figures FILE writes figures.json, what plot.py draws of other results.
"""

import argparse
import hashlib
import importlib
import json
import math
import numbers
import sys
from pathlib import Path

import cases  # type: ignore[import-not-found]
import matplotlib as mpl

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
mpl.use("agg")  # figures are written to files, and no window opens


# ---- fit.py ----------------------------------------------------------------------------------------------------------


def analysis(results: dict, digest: str) -> dict:
    """An exponent for each series, from the medians of its points."""
    fit = importlib.import_module("fit")
    return {"schema": "lab03.analysis/1", "results_sha256": digest, "fits": [one_fit(fit, *s) for s in series(results)]}


def series(results: dict) -> list[tuple[str, bool, list[int], list[list[int]], int]]:
    """Sweep, with a cache or without, x, the samples of each x, and how many of them come first, for warming up."""
    found = []
    for sweep, cache in cases.SERIES:
        points = [p for p in results["points"] if (p["sweep"], p["cache"]) == (sweep, cache)]
        x = [p["n"] if sweep == "length" else p["B"] for p in points]
        found.append((sweep, cache, x, [p["samples_ns"] for p in points], results["warmup"]))
    return found


def one_fit(fit, sweep: str, cache: bool, x: list[int], samples: list[list[int]], warmup: int) -> dict:  # type: ignore[no-untyped-def]
    low, high = fit.RANGE[sweep]
    medians = [number(fit.median(some, warmup)) for some in samples]
    exponent, prefactor = fit.fit(x, medians, low, high)
    return {
        "sweep": sweep,
        "cache": cache,
        "low": low,
        "high": high,
        "medians_ns": medians,
        "exponent": number(exponent),
        "prefactor_ns": number(prefactor),
    }


def of_other_numbers(asked: dict) -> dict:
    fit = importlib.import_module("fit")
    medians = [number(fit.median(case["samples"], case["warmup"])) for case in asked["medians"]]
    fits = [fit.fit(case["x"], case["y"], case["low"], case["high"]) for case in asked["fits"]]
    made = [{"exponent": number(exponent), "prefactor": number(prefactor)} for exponent, prefactor in fits]
    return {"schema": "lab03.fits/1", "medians": medians, "fits": made}


# ---- predict.py ------------------------------------------------------------------------------------------------------


def prediction(results: dict, fits: list[dict]) -> dict:
    from courselib.minigpt import Config

    predict = importlib.import_module("predict")
    large = plain(predict.large_model(Config(**cases.LARGE, max_slots=cases.SLOTS), cases.LARGE_SIZE))
    seconds = {}
    for sweep, cache, x, _, _ in series(results):
        if sweep == "length":
            fit = next(f for f in fits if (f["sweep"], f["cache"]) == (sweep, cache))
            small = Config(**cases.MINIGPT, max_slots=cases.SLOTS)
            arguments = (small, cache, x, fit["medians_ns"], fit["exponent"], fit["prefactor_ns"])
            seconds["cached" if cache else "uncached"] = plain(predict.seconds(*arguments))
    return {"schema": "lab03.prediction/1", "slots": cases.SLOTS, "large": large, "seconds": seconds}


def compare_exponents(results: dict, fits: list[dict]) -> None:
    """How fast the measured times grow, and beside them how fast the FLOPs of costs.py do, over the same range."""
    from courselib.minigpt import Config

    costs, fit = importlib.import_module("costs"), importlib.import_module("fit")
    small = Config(**cases.MINIGPT, max_slots=max(cases.LENGTHS))
    print(f"{'exponents of':30}{'from':>6}{'to':>6}{'time':>9}{'FLOPs':>9}")
    for (sweep, cache, x, _, _), found in zip(series(results), fits, strict=True):
        shapes = [(1, n) if sweep == "length" else (n, cases.BATCH_LENGTH) for n in x]  # B, n
        work = [costs.flops(small, B, *((1, n - 1) if cache else (n, 0))) for B, n in shapes]
        growth = fit.fit(x, work, found["low"], found["high"])[0] if min(work) > 0 else 0.0
        name = f"{sweep}, {'with a cache' if cache else 'without'}"
        print(f"{name:30}{found['low']:>6}{found['high']:>6}{found['exponent'] or 0:>9.3f}{growth:>9.3f}")


# ---- plot.py ---------------------------------------------------------------------------------------------------------


def draw(results: dict, out: Path) -> None:
    from drawn import figure_as_data  # type: ignore[import-not-found]

    figure = importlib.import_module("plot").draw(results)
    write(out / "figure.json", figure_as_data(figure))
    figure.savefig(out / "curves.png", dpi=200)


def of_other_results(asked: list[dict]) -> dict:
    from drawn import figure_as_data

    plot = importlib.import_module("plot")
    return {"schema": "lab03.figures/1", "figures": [figure_as_data(plot.draw(results)) for results in asked]}


# ---- the command line ------------------------------------------------------------------------------------------------


def number(value: object) -> float | None:
    """null for what is no finite number."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def plain(found: dict) -> dict:
    """The same with whole numbers as they are, and all others as floats."""
    return {key: int(v) if isinstance(v, numbers.Integral) else number(v) for key, v in found.items()}


def write(path: Path, document: dict) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder for what is written")
    parser.add_argument("--fits", type=Path, help="other numbers for fit.py; then only fits.json is written")
    parser.add_argument("--figures", type=Path, help="other results for plot.py; then only figures.json is written")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.fits:
        write(args.out / "fits.json", of_other_numbers(json.loads(args.fits.read_text(encoding="utf-8"))))
    if args.figures:
        write(args.out / "figures.json", of_other_results(json.loads(args.figures.read_text(encoding="utf-8"))))
    if args.fits or args.figures:
        return 0
    data = (HERE / "results.json").read_bytes()
    results = json.loads(data)
    found = analysis(results, hashlib.sha256(data).hexdigest())
    write(args.out / "analysis.json", found)
    compare_exponents(results, found["fits"])
    write(args.out / "prediction.json", prediction(results, found["fits"]))
    draw(results, args.out)
    print(f"written to {args.out}: analysis.json, prediction.json, curves.png, figure.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
