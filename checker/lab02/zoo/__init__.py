"""A zoo of planted KV-cache bugs, to test the test.

One file an idea: ``mutant`` (a bug is data: what to change in courselib), ``alone`` and ``extended`` (the bugs
themselves), ``sample`` (which of them a submission meets), ``oracle`` (what each really gives).
"""

from checker.lab02.zoo.alone import ALONE
from checker.lab02.zoo.extended import EXTENDED
from checker.lab02.zoo.mutant import POISON, SOUND, Mutant, Planted, plant

ZOO: dict[str, Mutant] = {mutant.id: mutant for mutant in (*ALONE, *EXTENDED)}

__all__ = ["POISON", "SOUND", "ZOO", "Mutant", "Planted", "plant"]
