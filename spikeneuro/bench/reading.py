"""Reading YAML strictly: every error names the file, the line and the key path."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from spikeneuro._validation import suggestion
from spikeneuro.errors import DataNotFoundError, InputError

Path_ = tuple[str | int, ...]

_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "integer": (int,),
    "truth value": (bool,),
    "mapping": (dict,),
    "list": (list,),
}


class _Loader(yaml.SafeLoader):
    """Safe loader that refuses a key given twice instead of taking the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


@dataclass(frozen=True)
class Document:
    """A YAML file: its text, its content, and the line of each key."""

    path: Path
    text: str
    content: dict[str, Any]
    lines: Mapping[Path_, int] = field(repr=False)

    def error(self, where: Path_, message: str) -> InputError:
        """Error at the key path `where`, with the line of the nearest key that the file itself holds."""
        line = next((self.lines[where[:n]] for n in range(len(where), 0, -1) if where[:n] in self.lines), None)
        place = "" if line is None else f", line {line}"
        return InputError(f"{self.path}{place}: {dotted(where)}{': ' if where else ''}{message}")


def read_yaml(path: Path) -> Document:
    """Read a YAML mapping.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    InputError
        If it is not UTF-8 text, no YAML (with line and column), or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataNotFoundError(f"there is no suite file {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
    try:
        node = yaml.compose(text, Loader=_Loader)
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{path}{where}: not valid YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: a suite is a mapping of keys to values, this file holds {_kind(content)}.")
    return Document(path, text, content, dict(_lines(node, ())))


class Reader:
    """One mapping of a document, read key by key; `finish` refuses what was not asked for."""

    def __init__(self, document: Document, content: Any, where: Path_ = ()) -> None:
        if not isinstance(content, dict):
            raise document.error(where, f"a mapping is needed here, got {_kind(content)}.")
        self._document = document
        self._content = content
        self._where = where
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def error(self, key: str, message: str) -> InputError:
        """Error at `key` of this mapping."""
        return self._document.error((*self._where, key), message)

    def keys(self) -> list[str]:
        """Keys of the mapping, every one thereby asked for."""
        self._asked.update(map(str, self._content))
        return [str(key) for key in self._content]

    def value(self, key: str, kind: str | None = None, *, required: bool = False, default: Any = None) -> Any:
        """Value of `key`, checked to be of `kind`; None (YAML's ``null``) counts as absent."""
        self._asked.add(key)
        value = self._content.get(key)
        if value is None:
            if required:
                raise self._document.error(self._where, f"the key {key!r} is missing.")
            return default
        self._check(value, kind, key)
        return value

    def choice(self, key: str, options: Iterable[str], *, default: str | None = None) -> Any:
        """Value of `key` out of `options`; required unless there is a default."""
        value = self.value(key, "text", required=default is None, default=default)
        if value not in options:
            raise self.error(key, f"unknown value {value!r}; {suggestion(value, options)}")
        return value

    def items(self, key: str, kind: str, *, required: bool = False, default: Any = ()) -> tuple[Any, ...]:
        """Non-empty list at `key`, each item of `kind`."""
        values = self.value(key, "list", required=required)
        if values is None:
            return tuple(default)
        if not values:
            raise self.error(key, "the list is empty.")
        for index, value in enumerate(values):
            self._check(value, kind, key, index)
        return tuple(values)

    def columns(self, key: str, *, required: bool = False, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """One name or a list of names at `key`."""
        if isinstance(self._content.get(key), str):
            return (self.value(key, "text"),)
        return self.items(key, "text", required=required, default=default)

    def below(self, key: str, *, required: bool = False) -> "Reader | None":
        """Reader of the mapping at `key`."""
        content = self.value(key, "mapping", required=required)
        return None if content is None else Reader(self._document, content, (*self._where, key))

    def each(self, key: str, *, required: bool = False) -> list["Reader"]:
        """Readers of the mappings in the list at `key`."""
        values = self.items(key, "mapping", required=required)
        return [Reader(self._document, value, (*self._where, key, index)) for index, value in enumerate(values)]

    def finish(self) -> None:
        """Refuse keys that nothing asked for."""
        for key in self._content:
            if key not in self._asked:
                raise self.error(str(key), f"unknown key; {suggestion(str(key), self._asked)}")

    def _check(self, value: Any, kind: str | None, *place: str | int) -> None:
        if kind is None:
            return
        wrong = not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "truth value")
        if wrong:
            article = "an" if kind == "integer" else "a"
            raise self._document.error((*self._where, *place), f"{article} {kind} is needed here, got {_kind(value)}.")


def dotted(where: Path_) -> str:
    """Key path as text: ``experiments[0].split.method``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return text.removeprefix(".")


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {bool: "truth value", dict: "mapping", list: "list", str: "text", int: "number", float: "number"}
    name = names.get(type(value), type(value).__name__)
    return f"a {name}" if isinstance(value, (dict, list)) else f"the {name} {value!r}"


def _lines(node: Any, where: Path_) -> Iterable[tuple[Path_, int]]:
    """Line of every key and list item of a YAML node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*where, str(key.value))
            yield place, key.start_mark.line + 1
            yield from _lines(value, place)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*where, index), value.start_mark.line + 1
            yield from _lines(value, (*where, index))
