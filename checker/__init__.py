"""The checker: reads a lab's spec, collects evidence from a submission, gives a verdict.

One file an idea: ``spec`` (lab.toml), ``gate`` (the only way a submission's file is read), ``replay``
(the student's scripts, run again), ``report`` (what was found), ``check`` (the tasks in order),
``terminal`` and ``views`` (the report, drawn), ``store`` (the report folder), ``hints``, ``overview`` (how far each
lab is), ``watch`` (again at each save), ``language`` and ``messages`` (English and Spanish), ``command`` (what
`python -m checker LAB_DIR` does), ``cli``. What is particular to one lab lives in a package of its own,
``checker.lab02`` for labs/02.
"""

__version__ = "0.1.0"
