"""How good is a model's answer, compared with its teacher's? The part that must be right before anything
else.

Pure but for asking models, which goes through `flywheel.chat`: metrics (one small file each), failure
classes, templates, and `run`, which asks and scores many examples at once; then `pairing`, `comparison` and
`verdicts`, which set several systems side by side with the means of `statistics`. It keeps nothing and serves
nothing; who wants to store samples or show progress hands in a function.
"""
