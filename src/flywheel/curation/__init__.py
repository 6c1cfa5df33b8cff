"""Logged traffic to data sets: pure functions on records, which know no store and no service.

`reading` makes records of log files; `curate` makes the parts of a data set of a workload's records, and a
report of what was left out; `rows` and `icl` write them in the form that training and evaluation read.
"""

from flywheel.curation.curate import Curation, curate, dataset_id
from flywheel.curation.errors import NotEnoughConversations, NotEnoughRecords, NothingButRepeats
from flywheel.curation.icl import icl_rows
from flywheel.curation.reasons import Reason
from flywheel.curation.report import ConflictPolicy, CurationReport
from flywheel.curation.rows import eval_rows, training_rows
from flywheel.curation.similarity import Embedder

__all__ = [
    "ConflictPolicy",
    "Curation",
    "CurationReport",
    "Embedder",
    "NotEnoughConversations",
    "NotEnoughRecords",
    "NothingButRepeats",
    "Reason",
    "curate",
    "dataset_id",
    "eval_rows",
    "icl_rows",
    "training_rows",
]
