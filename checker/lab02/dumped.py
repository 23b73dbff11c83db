"""dump.py, run here: on the lab's prompt, whose slots anybody can look up, and on a hidden one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checker.faults import show
from checker.gate import Refusal
from checker.gate_npz import Array
from checker.lab02 import causes
from checker.lab02.flagship import against_truth, counts, two_paths
from checker.lab02.prompts import FLAGSHIP, hidden_dump
from checker.lab02.work import DUMP, Work
from checker.language import _, told
from checker.replay import ended_with, no_end, not_taken_along
from checker.report import Finding
from courselib import bits

UNKNOWN_OPTION = re.compile(r"(unrecognized arguments|no such option):.*--prompt", re.IGNORECASE)  # argparse, click


def dump(work: Work) -> Iterator[Finding | str]:
    """dump.py gives the rows computed here, of "Yesterday I" and of a prompt that it has not seen."""
    if work.run("dump").outcome == "missing":
        yield Finding(kind="missing", file=DUMP, message=_("Without the script, the slots cannot be dumped again."))
        return
    found = list(_dumped(work, "dump", FLAGSHIP, _("slots.npz of its run")))
    yield from found or _another_prompt(work, hidden_dump(work.hidden_seed))


def _dumped(work: Work, name: str, prompt: str, its_slots: str) -> Iterator[Finding]:
    """slots.npz of the run ``name`` against the rows computed here."""
    try:
        arrays = work.replayed_slots(name, prompt)
    except Refusal as refusal:
        run = work.run(name)
        why = no_end(run, work.timeout)
        ended = f" {why}" if why else ended_with(run)
        yield Finding(
            kind="replay",
            file=DUMP,
            where=f"{its_slots}: {refusal.finding.where}" if refusal.finding.where else its_slots,
            expected=refusal.finding.expected,
            found=refusal.finding.found,
            message=f"{_('Your script was run here.')} {refusal}{ended}{not_taken_along(run)}",
            usual_causes=told(causes.NO_DATA),
        )
        return
    yield from two_paths(arrays, DUMP, f"{its_slots}: ")
    yield from against_truth(work.true_slots(prompt), arrays, DUMP, f"{its_slots}: ")


def _another_prompt(work: Work, prompt: str) -> Iterator[Finding]:
    run = work.run("dump hidden")
    if run.exit_code and UNKNOWN_OPTION.search(run.output_tail):
        yield Finding(
            kind="replay",
            file=DUMP,
            where=_("the command line"),
            expected=f"--prompt {show(prompt)}",
            found=run.output_tail.strip().rpartition("\n")[2][:300],
            message=_(
                'Your dump.py does not know --prompt yet: add parser.add_argument("--prompt", default=PROMPT), and '
                "let both paths run on args.prompt, with a slot for each of its words; the starter shows where."
            ),
        )
        return
    its_slots = _('slots.npz of its run on "{prompt}"').format(prompt=prompt)
    labs = _if_the_labs(work, "dump hidden")
    if labs:
        yield _learned_by_heart(work, labs, its_slots) or _ignored(work, prompt, its_slots)
        return
    found = list(_dumped(work, "dump hidden", prompt, its_slots))
    yield from found or _manifest(work, prompt)


def _if_the_labs(work: Work, name: str) -> dict[str, Array] | None:
    """What the run wrote, if it is the slots of the lab's own prompt."""
    try:
        arrays = work.replayed_slots(name, FLAGSHIP)
    except Refusal:
        return None
    return arrays if bits.equal(arrays["tokens"], work.true_slots(FLAGSHIP).tokens) else None


def _ignored(work: Work, prompt: str, its_slots: str) -> Finding:
    return Finding(
        kind="mismatch",
        file=DUMP,
        where=f"{its_slots}: tokens",
        expected=show(work.true_slots(prompt).tokens.tolist()),
        found=show(work.true_slots(FLAGSHIP).tokens.tolist()),
        message=_('Your dump.py was given --prompt "{prompt}", and gave the slots of "{flagship}".').format(
            prompt=prompt, flagship=FLAGSHIP
        ),
        usual_causes=told(causes.PROMPT_IGNORED),
    )


def _learned_by_heart(work: Work, arrays: dict[str, Array], its_slots: str) -> Finding | None:
    """The same bytes for another prompt: the option may only be ignored. So the script runs once more, on a copy of
    courselib with other weights. Who gives the old bytes there, beside a manifest that names the other weights, has
    run on those, and computed nothing."""
    if not _are_the_models(work, arrays):
        return None
    digest = work.run_on_other_weights()
    again = _if_the_labs(work, "dump other weights")
    manifest = work.replayed_dump_manifest("dump other weights")
    if not again or not _are_the_models(work, again) or not manifest or manifest.config.weights_sha256 != digest:
        return None
    row = bits.hex_words(again["k_cached"][0, 0, 0])
    return Finding(
        kind="integrity",
        file=DUMP,
        where=_("slots.npz of its run on other weights"),
        expected=_("the rows that weights {sha256} give").format(sha256=digest[:16]),
        found=_("those of the course's weights: {words} ...").format(words=" ".join(row[:4])),
        message=_(
            "The slots are not computed: asked about another prompt, and run on other weights, dump.py gives the same "
            'bytes again, those of "{flagship}".'
        ).format(flagship=FLAGSHIP),
    )


def _are_the_models(work: Work, arrays: dict[str, Array]) -> bool:
    truth = work.true_slots(FLAGSHIP)
    return all(
        bits.equal(arrays[f"{name}_{path}"], getattr(truth, name)) for name in "kv" for path in ("cached", "full")
    )


def _manifest(work: Work, prompt: str) -> Iterator[Finding]:
    """manifest.json of the run, if it can be read: is it about this prompt?"""
    found = work.replayed_dump_manifest("dump hidden")
    if found is None:
        return  # how a manifest is to look, the task `manifest` says of the one that was handed in
    truth = work.true_slots(prompt)
    arrays = work.replayed_slots("dump hidden", prompt)
    right: dict[str, tuple[object, object]] = {
        "config.prompt": (prompt, found.config.prompt),
        "config.decoded": (truth.decoded, found.config.decoded),
        "config.slots": (list(range(truth.k.shape[2])), found.config.slots),
        **counts(arrays, found),
    }
    for where, (expected, given) in right.items():
        if expected != given:
            yield Finding(
                kind="mismatch",
                file=DUMP,
                where=_('manifest.json of its run on "{prompt}": {where}').format(prompt=prompt, where=where),
                expected=show(expected),
                found=show(given),
                message=_("The manifest of another prompt is to be about that prompt."),
            )
