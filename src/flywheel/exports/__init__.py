"""What leaves Flywheel for other programs: tables as files, runs for trackers, data sets and adapters for
hubs.

Everything here takes the plain JSON documents that anybody can have (`GET /api/jobs/{id}`, samples, rows of a
data set) and knows no other room. One file per target: `csv`, `jsonl` and `parquet` write rows, `mlflow` and
`wandb` log runs, `hub` pushes with the card that `cards` writes. `tables` says which columns there are and
makes the rows, `tracked` what a tracker is told of a run. Each foreign library is imported in its own file
only, and only when it is wanted.
"""
