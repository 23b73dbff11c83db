"""What more than one view says of a report, in whole sentences. Plain text; whoever prints it makes it safe."""

from __future__ import annotations

from checker.report import Finding, Replay, Report, Tier, Verdict
from checker.sandbox import PROMISES

VERDICTS: dict[Verdict, str] = {
    "passed": "Everything that was asked for holds.",
    "not passed": "Something does not hold yet: the first task that failed is the place to begin.",
    "not started": "Nothing is handed in yet.",
    "unreadable": "The submission, or a file in it, could not be opened, and was not read.",
    "integrity": "A claim in the submission is better than its evidence: look for [integrity].",
}


RANKS: dict[Tier, str] = {
    "full": "the strictest of the three tiers",
    "landlock": "the second of the three tiers",
    "rlimits": "the weakest of the three tiers",
}


def evidence(report: Report) -> list[str]:
    """What the verdict stands on, a line each."""
    found = report.evidence
    lines = [_run(replay) for replay in found.replayed] + found.recomputed
    if found.stored_bytes != "not reached":
        because = f": {found.stored_bytes_because}" if found.stored_bytes_because else ""
        lines.append(f"stored bytes {found.stored_bytes} with those generated here{because}")
    if found.hidden_seed is not None:
        lines.append(f"hidden inputs: --hidden-seed {found.hidden_seed} draws the same again")
    return lines


def _run(replay: Replay) -> str:
    if replay.outcome == "missing":
        return f"{replay.script}: it is not there, so it was not run"
    how = f"ended with exit code {replay.exit_code}" if replay.exit_code else replay.outcome
    line = f"{' '.join([replay.script, *replay.arguments])}: {how}"
    if replay.seconds:  # the reports of a class hold no clock
        line += f" in {replay.seconds:.1f} s"
    for count in replay.counts:
        line += (
            f"; {count.ops} ops: tokens equal in {count.tokens_equal} of {count.cases}, "
            f"bytes in {count.bytes_equal} of {count.cases}"
        )
    return line


def outputs(report: Report) -> list[Replay]:
    """The runs whose own words may help: those that did not come to a good end."""
    return [r for r in report.evidence.replayed if r.output_tail and (r.outcome != "finished" or r.exit_code)]


def printed(replay: Replay) -> str:
    """The line above a script's own words."""
    return f"The end of what {replay.script} printed (its words, not the checker's):"


def sandbox(report: Report) -> str:
    """How far the scripts were shut in, and what that leaves open."""
    tier = report.environment.sandbox
    if tier is None:
        return "Sandbox: none was needed, since no script was run."
    open_ = "; ".join(promise.against for promise in PROMISES if promise.by[tier] is None)
    return f"Sandbox: {tier}, {RANKS[tier]}. What it does not stop: {open_}."


def in_order(findings: list[Finding]) -> list[Finding]:
    """An accusation first, then as they were found."""
    return sorted(findings, key=lambda finding: finding.kind != "integrity")


def causes(findings: list[Finding]) -> list[str]:
    """The usual causes of all of them, each once."""
    return list(dict.fromkeys(cause for finding in findings for cause in finding.usual_causes))


def plain(finding: Finding) -> str:
    """One finding whole, where there is only text: in a CI server, or on Gradescope."""
    lines = [f"[{finding.kind}] {finding.message}"]
    for name in ("file", "where", "expected", "found"):
        value = getattr(finding, name)
        if value is not None:
            lines.append(f"  {name + ':':<9} {value}")
    return "\n".join(lines)


def plain_all(findings: list[Finding]) -> str:
    parts = [plain(finding) for finding in in_order(findings)]
    if usual := causes(findings):
        parts.append("\n".join(["Usual causes:", *(f"  - {cause}" for cause in usual)]))
    return "\n\n".join(parts)
