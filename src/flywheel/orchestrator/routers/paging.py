"""The parameters that every list of the API takes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

Limit = Annotated[int | None, Query(ge=1, le=1000)]
"""Entries of a page; None: all."""
PageLimit = Annotated[int, Query(ge=1, le=1000)]
"""As `Limit`, for a list that is never given out as a whole."""
Offset = Annotated[int, Query(ge=0)]
"""Entries before the page."""
PAGE = 50
"""Entries of a page, where nothing is asked."""
