"""NeMo's Evaluator: configurations, targets, jobs and results under `/v1/evaluation`.

The scoring is `flywheel.evaluation`; here are the wire, the jobs that survive a crash, and the samples
they keep.
"""
