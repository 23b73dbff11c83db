"""What more than one view says of a report, in whole sentences. Plain text; whoever prints it makes it safe."""

from __future__ import annotations

from checker.language import N_, _
from checker.report import Finding, Replay, Report, Tier, Verdict
from checker.sandbox import PROMISES

VERDICTS: dict[Verdict, str] = {
    "passed": N_("Everything that was asked for holds."),
    "not passed": N_("Something does not hold yet: the first task that failed is the place to begin."),
    "not started": N_("Nothing is handed in yet."),
    "unreadable": N_("The submission, or a file in it, could not be opened, and was not read."),
    "integrity": N_("A claim in the submission is better than its evidence: look for [integrity]."),
}

# What the report's own codes are called; kinds are codes for people too, and stay as they are.
NAMES = {
    "passed": N_("passed"),
    "failed": N_("failed"),
    "in part": N_("in part"),
    "not run": N_("not run"),
    "not passed": N_("not passed"),
    "not started": N_("not started"),
    "unreadable": N_("unreadable"),
    "integrity": "integrity",
    "verified": N_("verified"),
    "contradicted": N_("contradicted"),
    "not checkable here": N_("not checkable here"),
    "finished": N_("finished"),
    "timed out": N_("timed out"),
    "out of memory": N_("out of memory"),
    "too many processes": N_("too many processes"),
    "no data": N_("no data"),
    "missing": N_("missing"),
    "checker failed": N_("checker failed"),
}
LABELS = {"file": N_("file"), "where": N_("where"), "expected": N_("expected"), "found": N_("found")}
STORED = {
    "compared": N_("stored bytes compared with those generated here"),
    "not compared": N_("stored bytes not compared with those generated here"),
}

RANKS: dict[Tier, str] = {
    "full": N_("the strictest of the three tiers"),
    "landlock": N_("the second of the three tiers"),
    "rlimits": N_("the weakest of the three tiers"),
}


def verdict(report: Report) -> str:
    return _("{verdict}, {points} of {possible} points").format(
        verdict=_(NAMES[report.verdict]), points=report.score.points, possible=report.score.possible
    )


def evidence(report: Report) -> list[str]:
    """What the verdict stands on, a line each."""
    found = report.evidence
    lines = [_run(replay) for replay in found.replayed] + found.recomputed
    if found.stored_bytes != "not reached":
        because = f": {found.stored_bytes_because}" if found.stored_bytes_because else ""
        lines.append(f"{_(STORED[found.stored_bytes])}{because}")
    if found.hidden_seed is not None:
        lines.append(_("hidden inputs: --hidden-seed {seed} draws the same again").format(seed=found.hidden_seed))
    return lines


def _run(replay: Replay) -> str:
    if replay.outcome == "missing":
        return _("{script}: it is not there, so it was not run").format(script=replay.script)
    how = _(NAMES[replay.outcome])
    if replay.exit_code:
        how = _("ended with exit code {code}").format(code=replay.exit_code)
    line = f"{' '.join([replay.script, *replay.arguments])}: {how}"
    if replay.seconds:  # the reports of a class hold no clock
        line += " " + _("in {seconds:.1f} s").format(seconds=replay.seconds)
    for count in replay.counts:
        line += "; " + _("{ops} ops: tokens equal in {tokens} of {n}, bytes in {bytes} of {n}").format(
            ops=count.ops, tokens=count.tokens_equal, bytes=count.bytes_equal, n=count.cases
        )
    return line


def outputs(report: Report) -> list[Replay]:
    """The runs whose own words may help: those that did not come to a good end."""
    return [r for r in report.evidence.replayed if r.output_tail and (r.outcome != "finished" or r.exit_code)]


def printed(replay: Replay) -> str:
    """The line above a script's own words."""
    return _("The end of what {script} printed (its words, not the checker's):").format(script=replay.script)


def sandbox(report: Report) -> str:
    """How far the scripts were shut in, and what that leaves open."""
    tier = report.environment.sandbox
    if tier is None:
        return _("Sandbox: none was needed, since no script was run.")
    open_ = "; ".join(_(promise.against) for promise in PROMISES if promise.by[tier] is None)
    return _("Sandbox: {tier}, {rank}. What it does not stop: {open}.").format(
        tier=tier, rank=_(RANKS[tier]), open=open_
    )


def in_order(findings: list[Finding]) -> list[Finding]:
    """An accusation first, then as they were found."""
    return sorted(findings, key=lambda finding: finding.kind != "integrity")


def causes(findings: list[Finding]) -> list[str]:
    """The usual causes of all of them, each once."""
    return list(dict.fromkeys(cause for finding in findings for cause in finding.usual_causes))


def plain(finding: Finding) -> str:
    """One finding whole, where there is only text: in a CI server, or on Gradescope."""
    lines = [f"[{finding.kind}] {finding.message}"]
    labels = {name: f"{_(label)}:" for name, label in LABELS.items()}
    width = max(map(len, labels.values()))
    for name, label in labels.items():
        value = getattr(finding, name)
        if value is not None:
            lines.append(f"  {label:<{width}} {value}")
    return "\n".join(lines)


def plain_all(findings: list[Finding]) -> str:
    parts = [plain(finding) for finding in in_order(findings)]
    if usual := causes(findings):
        parts.append("\n".join([_("Usual causes:"), *(f"  - {cause}" for cause in usual)]))
    return "\n\n".join(parts)
