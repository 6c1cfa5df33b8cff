"""Secrets that this process knows, so that no text leaves it with one inside.

Whoever reads a secret says so (`hide`); every error's text and every line of the log goes through `scrub`.
The doors keep secrets out of what they say themselves: this is for servers that repeat what they were sent,
and for foreign errors that hold it.
"""

from __future__ import annotations

import json
import re
import threading
from typing import Final
from urllib.parse import quote

MASK: Final = "******"
SHORTEST: Final = 6
"""Shorter ones would be found in every other word."""
_HEADER: Final = re.compile(r"(authorization\W{1,8}\w+\s+)[^\s'\"]{6,}", re.IGNORECASE)


class _Known:
    """In the order in which they are looked for: a longer one may begin with a shorter one."""

    texts: tuple[str, ...] = ()
    lock = threading.Lock()


def hide(secret: str | None) -> None:
    """Keep this out of every text from now on; None and short ones change nothing."""
    if secret is None or len(secret) < SHORTEST:
        return
    forms = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
    with _Known.lock:
        _Known.texts = tuple(sorted({*_Known.texts, *forms}, key=len, reverse=True))


def scrub(text: str) -> str:
    """The text with every known secret masked, and the credentials of every Authorization header in it."""
    for secret in _Known.texts:
        text = text.replace(secret, MASK)
    return _HEADER.sub(rf"\1{MASK}", text)
