"""Every trial, by family; and the kinds of attack that must be among them."""

from __future__ import annotations

from checker.selftest import (
    archives,
    caches,
    cheats,
    curves,
    documents,
    escapes,
    files,
    forged,
    honest,
    kernels,
    labs,
    resources,
)
from checker.selftest.trial import Family, Trial

LABS = (honest, caches, curves, kernels)  # 02, 01, 03, 05
FAMILIES = (
    Family("honest", "Honest work passes", tuple(trial for lab in LABS for trial in lab.CONTROLS)),
    Family("mistakes", "Honest mistakes fail, and nobody is accused", tuple(t for lab in LABS for t in lab.MISTAKES)),
    Family("cheats", "Scripts that patch, pretend, or measure something else", cheats.ATTACKS),
    Family("caches", "Caches of somebody else's, and rows that are kept elsewhere: lab 01", caches.ATTACKS),
    Family("curves", "Formulas that know the questions, samples nobody measured: lab 03", curves.ATTACKS),
    Family("kernels", "Kernels that do not compute, and tests of kernels that do not look: lab 05", kernels.ATTACKS),
    Family("labs", "The labs themselves", labs.FACTS),
    Family("forged", "Claims that are better than their evidence", forged.ATTACKS),
    Family("documents", "JSON and npz that a parser trips over", documents.ATTACKS),
    Family("files", "What is no plain file", files.ATTACKS),
    Family("archives", "Archives that unpack to more, or elsewhere", archives.ATTACKS),
    Family("escapes", "Scripts that reach for what is not theirs", escapes.PROBES),
    Family("resources", "Scripts that do not end, or take all there is", resources.PROBES),
)
NO_ATTACKS = ("honest", "mistakes", "labs")

# What a checker has to withstand -> the trials that try it.
COVERS: dict[str, tuple[str, ...]] = {
    "forged or inflated results.json": (
        *("forged-tokens", "forged-digest-of-k", "inflated-summary", "inflated-manifest", "results-of-another-cache"),
        "forged-formulas",
    ),
    "hard-coded answers": ("hard-coded-answers", "hard-coded-digests", "made-up-together"),
    "PyTorch in the place of a kernel": (
        *("torch-instead-of-a-kernel", "torch-by-getattr", "torch-by-alias", "torch-ops", "torch-behind-the-name"),
        *("kernels-of-the-course", "work-in-another-file"),
    ),
    "a kernel for show": ("kernel-that-does-nothing", "kernel-that-copies", "kernel-that-copies-first"),
    "another library in the place of a kernel": ("numpy-instead-of-a-kernel",),
    "somebody else's cache": ("cache-of-the-course", "cache-by-name", "cache-from-memory", "cache-copied"),
    "rows that are kept beside the cache": ("rows-beside-the-cache",),
    "made-up samples": ("samples-copied", "samples-made-up"),
    "a picture of something else": ("picture-for-the-grader", "picture-of-one-result"),
    "typed conclusions": ("exponent-of-the-book", "prediction-of-about"),
    "a kernel that sees its batch": ("looks-at-m", "honest-on-the-labs-cases"),
    "an override that stays": ("never-restores",),
    "answers to known cases": (
        *("table-of-the-labs-cases", "honest-on-the-labs-cases", "right-on-the-labs-shapes"),
        "table-of-the-labs-passes",
    ),
    "looking at the hidden cases": ("reads-the-hidden-cases",),
    "a patched driver": ("patches-its-driver", "driver-of-ones-own", "numpy-beside-the-kernels"),
    "a patched library under the kernels": ("patches-torch", "patches-triton"),
    "forged measurements of kernels": ("forged-kernel-results", "forged-kernel-results-of-a-gpu", "forged-invariance"),
    "a test that does not look": ("a-test-that-never-differs", "a-test-that-always-differs"),
    "recognising what is planted": ("recognised-by-source", "recognised-by-hash", "cries-wolf"),
    "bytes that stand in a script": ("embedded-slots", "embedded-slots-and-manifest"),
    "patched comparison": ("patched-comparison", "patched-bits"),
    "patched random generator": ("patched-rng",),
    "patched torch ops": ("patched-torch",),
    "patched json and hashlib": ("patched-json-and-hashlib",),
    "patched numpy": ("patched-numpy", "numpy-of-ones-own"),
    "always-equal objects": ("pickle", "raises-always-equal", "number-equal-to-all"),
    "os._exit": ("exits-well",),
    "stdout spoofing": ("exits-well", "output-flood", "drives-the-terminal"),
    "descriptor spoofing, forged frames": ("spoofs-descriptors", "half-a-message"),
    "/proc games": ("opens-the-channel", "looks-into-others", "traces-the-supervisor"),
    "conftest.py and sitecustomize": ("conftest-and-sitecustomize", "checker-of-ones-own", "library-of-ones-own"),
    "daemons": ("daemon", "writes-on-after-its-end"),
    "fork bombs": ("fork-bomb", "thread-bomb"),
    "memory bombs": ("memory-bomb", "memory-bomb-of-many"),
    "endless loops": ("endless-loop", "burns-processor-time"),
    "ignored signals": ("ignores-signals",),
    "pickles": ("pickle",),
    "zip bombs": ("npz-bomb", "zip-bomb", "gzip-bomb"),
    "header lies": ("header-promises-more", "another-shape", "size-table-lies", "npy-header-that-runs"),
    "symbolic links": ("symlink-to-results", "symlink-to-passwd", "symlinked-folder", "link-in-out", "zip-symlink"),
    "hard links": ("hard-link", "links-to-another-s-work", "tar-hard-link"),
    "FIFOs and devices": ("fifo", "fifo-for-a-text", "device", "socket", "tar-device"),
    "..": ("dot-dot-link", "zip-leads-out", "member-that-leads-out"),
    "duplicate keys and members": ("duplicate-keys", "array-twice", "zip-member-twice"),
    "NaN and 1e999": ("nan", "infinity"),
    "depth": ("deep-json", "folders-without-end"),
    "byte order mark": ("byte-order-mark",),
    "huge integers": ("huge-integer",),
    "calling the no-cache path instead of a cache": ("no-cache-at-all", "cache-on-both-paths"),
    "calling the reference instead of a cache": ("another-library-for-the-test",),
    "copying another student's slots": ("copied-slots", "slots-that-lay-there", "reads-another-s-work"),
    "detecting that it is graded": ("detects-grading", "cries-wolf", "sees-that-it-is-graded"),
    "clock games": ("forged-then-touched", "clock-that-stands", "sets-the-clock"),
    "network": ("network-tcp", "network-udp"),
    "writing outside": ("writes-outside", "patches-the-library", "leaves-something-in-shared-memory"),
    "reading the solution": ("reads-the-solution",),
    "disk and output": ("one-huge-file", "many-files", "too-much-to-hand-over", "huge-file", "too-many-files"),
    "killing the supervisor": ("kills-the-supervisor",),
    "swapped files, a report of one's own": ("a-report-of-ones-own", "a-verdict-in-results", "writes-a-verdict"),
}


def chosen(names: tuple[str, ...], slow: bool = False) -> list[tuple[Family, Trial]]:
    """Those with one of these names, or of a family with it; all without names. KeyError: there is none."""
    every = [(family, trial) for family in FAMILIES for trial in family.trials]
    for name in names:
        if not any(name in (family.name, trial.name) for family, trial in every):
            raise KeyError(name)
    if names:
        return [(family, trial) for family, trial in every if family.name in names or trial.name in names]
    return [(family, trial) for family, trial in every if slow or not getattr(trial, "slow", False)]
