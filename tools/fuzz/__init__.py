"""Fuzzing that learns: atheris changes the inputs that have reached new code of the service.

`table` has the targets, one row each. A target takes bytes and raises an exception for a bug. Its corpus is made in
code. `learner` runs one target.
"""
