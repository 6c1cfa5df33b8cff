"""Numbers and times as a report writes them. Each number carries all its digits in `<data value>`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard

from markupsafe import Markup

DASH = "–"


def percent(share: Any) -> Any:
    """92.0 % for 0.92."""
    return _data(share, f"{share * 100:.1f} %") if _number(share) else DASH


def points(share: Any, *, signed: bool = True) -> Any:
    """+2.5 for a difference of 0.025."""
    return _data(share, f"{share * 100:{'+' if signed else ''}.1f}") if _number(share) else DASH


def span(interval: Any, *, signed: bool = False, plain: bool = False) -> Any:
    """80.1 – 92.3 % for an interval of shares; `signed`: in points; `plain`: in its own unit."""
    if not isinstance(interval, Mapping):
        return DASH
    low, high = interval.get("low"), interval.get("high")
    if not _number(low) or not _number(high):
        return DASH
    if plain:
        return Markup("{} – {}").format(_data(low, f"{low:.2f}"), _data(high, f"{high:.2f}"))
    sign, to, unit = ("+", "to", "") if signed else ("", DASH, " %")
    texts = (_data(low, f"{low * 100:{sign}.1f}"), _data(high, f"{high * 100:{sign}.1f}"))
    return Markup("{} {} {}{}").format(texts[0], to, texts[1], unit)


def number(value: Any) -> Any:
    """1,234 as it is, other numbers with four digits."""
    if not _number(value):
        return DASH
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return _data(value, f"{int(value):,}")
    return _data(value, f"{value:.4g}")


def milliseconds(value: Any) -> Any:
    """12 ms."""
    return _data(value, f"{value:,.0f} ms") if _number(value) else DASH


def probability(value: Any) -> Any:
    """A p value: 0.012, or "under 0.001"."""
    return _data(value, "under 0.001" if value < 0.001 else f"{value:.3f}") if _number(value) else DASH


def duration(seconds: Any) -> Any:
    """1:05 for 65 seconds."""
    if not _number(seconds):
        return DASH
    hours, rest = divmod(round(seconds), 3600)
    text = f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
    return _data(seconds, text)


def moment(text: Any) -> str:
    """2026-01-02 03:04:05 UTC for the API's naive UTC; what is no time stays as it is."""
    try:
        return f"{datetime.fromisoformat(str(text)):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return str(text) if isinstance(text, str) else DASH


def epoch(seconds: Any) -> Any:
    """2026-01-02 03:04:05 UTC for seconds since the epoch."""
    if not _number(seconds):
        return DASH
    return _data(seconds, f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC")


def value(thing: Any) -> Any:
    """A setting's value."""
    if thing is None or thing in ({}, []):
        return DASH
    if isinstance(thing, bool):
        return "yes" if thing else "no"
    return _data(thing, repr(thing)) if _number(thing) else str(thing)


def flat(block: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """`(training_config.epochs, 3)`: the leaves of nested objects and lists, with their dotted names."""
    if isinstance(block, Mapping) and block:
        for key, each in block.items():
            yield from flat(each, f"{name}.{key}" if name else str(key))
    elif isinstance(block, Sequence) and not isinstance(block, str) and block:
        for position, each in enumerate(block):
            yield from flat(each, f"{name}[{position}]")
    else:
        yield name, block


def clean(thing: Any) -> Any:
    """The document without what no file can hold: control characters and halves of surrogate pairs."""
    if isinstance(thing, str):
        return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in thing)
    if isinstance(thing, Mapping):
        return {clean(str(key)): clean(each) for key, each in thing.items()}
    return [clean(each) for each in thing] if isinstance(thing, Sequence) else thing


def _number(thing: Any) -> TypeGuard[int | float]:
    return isinstance(thing, int | float) and not isinstance(thing, bool) and math.isfinite(thing)


def _data(value: float, text: str) -> Markup:
    return Markup('<data value="{}">{}</data>').format(repr(value), text.replace("-", "−"))
