"""Student code, shut in: what it may use, read and write while it runs, in the best of three tiers.

    sandbox = choose()          # or choose("landlock"); tried once a process
    checker.replay.run_script   # runs a script in it

inside/supervisor.py runs in the sandbox beside the script and hands its data over; channel.py is the checker's end
of that; tiers.py starts it; promises.py says what each tier stops, and what it does not.
"""

from checker.sandbox.limits import Limits
from checker.sandbox.promises import PROMISES, TIERS, Promise
from checker.sandbox.tiers import Sandbox, SandboxError, choose

__all__ = ["PROMISES", "TIERS", "Limits", "Promise", "Sandbox", "SandboxError", "choose"]
