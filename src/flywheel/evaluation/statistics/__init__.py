"""How sure is a score, is one model better than another, and may a student replace its teacher?

Pure functions on arrays of scores. Records of one conversation are not independent, so every question has
two answers: in closed form where each record is a conversation of its own, and from a cluster bootstrap by
conversation where not. docs/statistics.md has the simulations by which the methods were chosen.
"""

from flywheel.evaluation.statistics.agreement import Kappa, cohen_kappa
from flywheel.evaluation.statistics.bootstrap import ClusterBootstrap
from flywheel.evaluation.statistics.intervals import LEVEL, Interval, normal, wilson
from flywheel.evaluation.statistics.means import mean_intervals
from flywheel.evaluation.statistics.noninferiority import NonInferiority, power, records_needed
from flywheel.evaluation.statistics.paired import difference_intervals, holm, mcnemar, sign_flips
from flywheel.evaluation.statistics.summaries import percentile, summary

__all__ = [
    "LEVEL",
    "ClusterBootstrap",
    "Interval",
    "Kappa",
    "NonInferiority",
    "cohen_kappa",
    "difference_intervals",
    "holm",
    "mcnemar",
    "mean_intervals",
    "normal",
    "percentile",
    "power",
    "records_needed",
    "sign_flips",
    "summary",
    "wilson",
]
