"""How a model is asked here, and what an answer that never came counts as. When to try again is `patience`'
part, how many at once is `throttle`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from flywheel.chat import ChatResult
from flywheel.errors import ChatError, ChatRejected, ChatTimeout
from flywheel.evaluation.failures import Failure
from flywheel.evaluation.sample import Sample

Send = Callable[[Mapping[str, Any]], Awaitable[ChatResult]]

_FAULTS_OF_THE_MACHINERY = frozenset({401, 403, 404, 407, 408})


def failed_sample(error: ChatError) -> Sample:
    """An answer that never came, with its class and whether the machinery is to blame."""
    failure = Failure.TIMEOUT if isinstance(error, ChatTimeout) else Failure.ERROR
    fault = not isinstance(error, ChatRejected) or error.http_status in _FAULTS_OF_THE_MACHINERY
    return Sample(failure=failure, error=str(error), infrastructure=fault)
