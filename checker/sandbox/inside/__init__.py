"""What runs inside a sandbox, beside the student's script: the standard library only, quick to start.

``python -I -S`` runs it as a package of its own (its parent, the checker, is not there in the full tier), so within
it imports are relative.
"""
