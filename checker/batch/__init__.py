"""A class at once: many submissions, each checked in a process of its own, and what they have in common.

``handed_in`` (who handed in what), ``work`` (what is done with one submission), ``zygote`` (the process that work is
forked from), ``lanes`` (the zygotes, seen from outside), ``kept`` (SQLite: nothing is checked twice), ``run`` (all of
it, on threads or on dask), ``rows`` and ``view`` (what comes of it, as files), ``command`` (the command line).
"""
