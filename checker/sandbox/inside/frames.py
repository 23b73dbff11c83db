"""The format of the private channel from a sandbox to the checker; checker.sandbox.channel reads it.

    MAGIC                                           as soon as the supervisor runs
    ENTRY kind, len(name), len(data), name, data    for each file under OUT, and each thing left out
    END   how it ended, code, digest                and nothing after it

The digest is keyed with a nonce that only the supervisor and the checker know and that never travels this way:
whoever does not know it can write what he likes, and will not be believed.
"""

from __future__ import annotations

import struct
from _blake2 import blake2b  # what hashlib has; hashlib itself takes 3 ms to import, here at every start

MAGIC = b"byte4byte.data/1"
ENTRY, END = b"+", b"."
ENTRY_HEAD = struct.Struct("!cHQ")  # kind, length of the name, length of the data
ENDING = struct.Struct("!Bi")  # an index into ENDINGS, the exit code
FILE, LINK, FIFO, LEFT_OUT = b"f", b"l", b"p", b"x"  # of LEFT_OUT, the data say why
ENDINGS = ("finished", "timed out", "out of memory", "too many processes", "not started")
DIGEST_SIZE = 32


def keyed(nonce: bytes) -> blake2b:
    """The running digest over every byte that was sent."""
    return blake2b(key=nonce, digest_size=DIGEST_SIZE)
