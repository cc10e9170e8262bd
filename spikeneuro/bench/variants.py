"""Variants of a suite: a mapping merged deeply over the default."""

from typing import Any

from spikeneuro._validation import suggestion
from spikeneuro.bench.reading import Document, Reader

#: Words that name a thing; when a variant changes one, the parameters beside it belong to the old thing and go.
_NAMES = ("method", "source", "model")
_BESIDE = ("params", "pretraining")
#: Not a variant: one sentence on what the default leaves out; at the top level or among the variants.
REDUCED = "reduced"
_MERGED_BY_NAME = ("experiments", "candidates")


def variant_names(document: Document) -> list[str]:
    """Names of the variants a suite offers beside the default."""
    return [name for name in document.content.get("variants") or {} if name != REDUCED]


def with_variant(document: Document, variant: str | None) -> tuple[dict[str, Any], str | None]:
    """Content of the suite with `variant` merged over it, and the note that belongs to it."""
    content = document.content
    top = Reader(document, content)
    reduced = top.value(REDUCED, "text")
    variants = top.below("variants")
    if variants is None:
        if variant is not None:
            raise document.error((), f"the suite has no variants, so none called {variant!r}.")
        return content, reduced
    for name in variants.keys():  # noqa: SIM118 - a reader, not a dict
        variants.value(name, "text" if name == REDUCED else "mapping")
    if variant is None:
        return content, variants.value(REDUCED, "text", default=reduced)
    names = variant_names(document)
    if variant not in names:
        raise document.error(("variants",), f"unknown variant {variant!r}; {suggestion(variant, names)}")
    return _merged_suite(document, variant), document.content["variants"][variant].get("note")


def _merged_suite(document: Document, variant: str) -> dict[str, Any]:
    where = ("variants", variant)
    changes = Reader(document, document.content["variants"][variant], where)
    changes.value("note", "text")
    merged = dict(document.content)
    for key in ("seeds", "title", "description"):
        merged[key] = changes.value(key, default=merged.get(key))
    merged["training"] = deep_merge(merged.get("training") or {}, changes.value("training", "mapping", default={}))
    for key in _MERGED_BY_NAME:
        below = changes.below(key)
        if below is None:
            continue
        items = {item["name"]: item for item in merged.get(key) or [] if isinstance(item, dict) and "name" in item}
        for name in below.keys():  # noqa: SIM118 - a reader, not a dict
            if name not in items:
                raise below.error(name, f"the suite has no such entry in {key}; {suggestion(name, items)}")
            items[name] = deep_merge(items[name], below.value(name, "mapping", default={}))
        merged[key] = list(items.values())
    changes.finish()
    return merged


def deep_merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` over it: mappings are merged, everything else replaced.

    Where a change renames a thing (``method``, ``source``, ``model``), the parameters of the old one are dropped.

    Examples
    --------
    >>> deep_merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
    {'a': {'x': 1, 'y': 3}}
    >>> deep_merge({"method": "k-fold", "params": {"k": 5}}, {"method": "holdout"})
    {'method': 'holdout'}
    """
    renamed = any(name in changes and changes[name] != base.get(name) for name in _NAMES)
    merged = {key: value for key, value in base.items() if not (renamed and key in _BESIDE)}
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = deep_merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
