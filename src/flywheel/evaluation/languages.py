"""Which language the users of each record write in, said only where that is sure.

Short requests look alike in kindred languages, and one of them alone is often not enough. So the texts of a
data set are looked at together: what most of them are written in is what an unclear one is probably written
in, too. A text that is still unclear, or whose language too few others share, is UNKNOWN; the script
(`slices`) tells such texts apart at least by their letters.

The guess for a single text comes from py3langid, which is deterministic, knows 139 languages and needs
neither a network nor a model file of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

UNKNOWN = "unknown"

SURE = 0.9
"""Least probability of a language, among all, for a text to be called by it …"""
EVIDENCE = 0.1
"""… and the least that the text alone must say for it: about 14 times what a text that says nothing does. So
"ok" is not English because everything else is."""
HEARD = 600
"""Characters of a text that are looked at."""
_ROUNDS = 3
"""Of learning how common each language is; further ones change next to nothing."""
_NO_LANGUAGE = "zxx"
"""ISO 639-2: no linguistic content. What is code, or a number, is no language."""


def languages_of(texts: Sequence[str], *, enough: int = 1) -> list[str]:
    """The language of each text, as ISO 639 writes it ("en", "pt"), else UNKNOWN.

    A language that fewer than `enough` of the texts are surely in is UNKNOWN as well. About 0.15 ms for each
    distinct text; the first call reads the model, which takes 1 to 2 seconds.
    """
    heard = [text[:HEARD] for text in texts]
    places = {text: place for place, text in enumerate(dict.fromkeys(heard))}
    if not places:
        return []
    names = _identifier().labels
    alone = np.empty((len(places), len(names)), dtype=np.float32)
    for text, place in places.items():
        chances = dict(_identifier().rank(text))
        alone[place] = [chances[name] for name in names]
    of_text = np.array([places[text] for text in heard])
    count = np.bincount(of_text).astype(np.float32)
    common = np.full(len(names), 1 / len(names), dtype=np.float32)
    for _ in range(_ROUNDS):
        together = _weighed(alone, common)
        # One record more, spread over all languages: none is ever impossible.
        common = (count @ together + 1 / len(names)) / (count.sum() + 1)
    together = _weighed(alone, common)
    best = together.argmax(axis=1)
    row = np.arange(len(best))
    sure = (together[row, best] >= SURE) & (alone[row, best] >= EVIDENCE)
    sure &= best != names.index(_NO_LANGUAGE)
    found = [names[k] if ok else UNKNOWN for k, ok in zip(best, sure, strict=True)]
    labels = [found[k] for k in of_text]
    shared = Counter(labels)
    return [label if shared[label] >= enough else UNKNOWN for label in labels]


def _weighed(alone: np.ndarray, common: np.ndarray) -> np.ndarray:
    weighed = alone * common
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
