"""Messages about invalid settings, in one line: the key, what is allowed, what was given.

They are made from the type of the field, not from pydantic's text (`describe_field`)::

    'voxel_size': give three lengths in nm, z, y, x, for example [8, 4, 4]; got 8
    unknown key 'learning_rat'; did you mean 'learning_rate' in [optimizer]?
"""

import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

MAX_ERRORS = 3
"""Errors of one file that a message lists."""
MAX_EXCERPT_CHARACTERS = 60
"""Characters of a given value in a message."""


@dataclass(frozen=True)
class Expected:
    """What a field takes, in words: metadata of an annotated type, for messages.

    Parameters
    ----------
    text
        Completes "give ...".
    limits
        Follows where a number is out of range.
    """

    text: str
    limits: str = ""


def shorten(value: object, to_text: Callable[[object], str] = repr) -> str:
    """Return a given value as text for a message, without the middle of a long one.

    Examples
    --------
    >>> shorten("5 nm"), shorten("x" * 5000, str)
    ("'5 nm'", 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxx')
    """
    text, half = to_text(value), MAX_EXCERPT_CHARACTERS // 2 - 2
    return text if len(text) <= MAX_EXCERPT_CHARACTERS else f"{text[:half]}...{text[-half:]}"


def shorten_words(message: str) -> str:
    """Return a message with each long word shortened by `shorten`; long paths are shortened too."""
    return " ".join(shorten(word, str) for word in message.split(" "))


def suggest(name: str, allowed: Iterable[str]) -> str:
    """Return a question with the allowed name that a name resembles; empty if there is none.

    Examples
    --------
    >>> suggest("learning_rat", ["name", "learning_rate"])
    "; did you mean 'learning_rate'?"
    """
    close = get_close_matches(name, allowed, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def summarize_errors(error: ValidationError, cls: type[BaseModel], data: Any) -> str:
    """Return the errors of settings in one line; several errors of one field are one message.

    Parameters
    ----------
    error
        Pydantic's.
    cls
        Class of the settings.
    data
        The settings as given.
    """
    details = error.errors()
    parents = {detail["loc"][:end] for detail in details for end in range(1, len(detail["loc"]))}
    # A list that lacks an entry has an error of its own beside that of the entry.
    innermost = [detail for detail in details if detail["loc"] not in parents]
    messages = list(dict.fromkeys(_explain_error(detail, cls, data) for detail in innermost))
    more = f"; and {len(messages) - MAX_ERRORS} more" if len(messages) > MAX_ERRORS else ""
    return "; ".join(messages[:MAX_ERRORS]) + more


def describe_field(field: FieldInfo, key: str = "", *, with_limits: bool = False) -> str:
    """Return in words what a field takes; completes "give ...".

    Parameters
    ----------
    field
        The field of a `Config`.
    key
        Its dotted name, for tables.
    with_limits
        Add the limits of `Expected`.

    Examples
    --------
    >>> from typing import Literal
    >>> from pydantic import BaseModel, Field
    >>> class Example(BaseModel):
    ...     rate: float = Field(0.1, gt=0, le=1)
    ...     name: Literal["adam", "adamw"] = "adam"
    >>> [describe_field(field) for field in Example.model_fields.values()]
    ['a number above 0, at most 1', "'adam' or 'adamw'"]
    """
    if _table_in(field.annotation) is not None:
        is_list = get_origin(field.annotation) is tuple
        return f"at least one table [[{key}]]" if is_list else f"a table [{key}]"
    text = _describe_type(field.annotation, field.metadata)
    limits = [entry.limits for entry in field.metadata if isinstance(entry, Expected)]
    return "".join([text, *limits]) if with_limits else text


def _describe_type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    for entry in metadata:
        if isinstance(entry, Expected):
            return entry.text
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        entries = (e.metadata if isinstance(e, FieldInfo) else [e] for e in parts[1:])
        return _describe_type(parts[0], [entry for group in entries for entry in group])
    if origin in (Union, types.UnionType):
        choices = [part for part in parts if part is not type(None)]
        if len(choices) == 1:  # optional: the limits of the field are those of the value
            return _describe_type(choices[0], metadata)
        texts = map(_describe_type, choices)
        return _join_choices(texts).replace("true or false or", "true, false or")
    if origin is Literal:
        return _join_choices(map(repr, parts))
    if origin is tuple:
        number = "a list" if Ellipsis in parts else f"a list of {len(parts)}"
        return f"{number}, each {_describe_type(parts[0])}"
    names = {bool: "true or false", int: "a whole number", float: "a number", dict: "a table"}
    names |= {str: "text in quotes", Path: "a path in quotes"}
    return names.get(origin or annotation, "another value") + _describe_range(metadata)


def _join_choices(texts: Iterable[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} or {last}" if first else last


def _describe_range(metadata: Iterable[Any]) -> str:
    """Return the limits of a number, from Ge, Gt, Le and Lt of annotated-types."""
    limits = {
        name: getattr(entry, name)
        for entry in metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(entry, name, None) is not None
    }
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    texts = {name: f"{v:g}" if isinstance(v, float) else str(v) for name, v in limits.items()}
    if texts.keys() == {"ge", "le"}:
        return f" from {texts['ge']} to {texts['le']}"
    text = ", ".join(f"{words[name]} {texts[name]}" for name in words if name in texts)
    return f" of {text}" if text.startswith("at ") else f" {text}".rstrip()


def _explain_error(detail: ErrorDetails, cls: type[BaseModel], data: Any) -> str:
    loc, kind = detail["loc"], detail["type"]
    path, table, field = _find_field(cls, loc)
    if kind == "extra_forbidden":
        return _explain_unknown_key(cls, table, loc)
    if kind == "value_error":
        reason, given = detail["msg"].removeprefix("Value error, "), _format_given(detail["input"])
        is_shown = given in reason or isinstance(detail["input"], dict | BaseModel)
        return (
            f"'{_dotted(loc)}': {reason}{'' if is_shown else f'; got {given}'}" if loc else reason
        )
    if field is None:
        return f"give a table of keys: {', '.join(table.model_fields)}"
    key = _dotted(path)
    table_name = _dotted(tuple(part for part in path if isinstance(part, str)))
    expected = describe_field(field, table_name, with_limits="than" in kind)
    if kind == "missing" and path == loc:
        return f"key '{key}' is missing; give {expected}"
    given = _value_at(data, path, detail["input"])
    choices = [part for part in _choices(field.annotation) if isinstance(part, str)]
    hint = suggest(given, choices) if isinstance(given, str) else ""
    return f"'{key}': give {expected}; got {_format_given(given)}{hint}"


def _explain_unknown_key(
    cls: type[BaseModel], table: type[BaseModel], loc: tuple[int | str, ...]
) -> str:
    """Return a message with a similar key, here or in another table, else with all keys."""
    name, allowed = shorten(loc[-1], str), list(table.model_fields)
    hint = suggest(name, allowed)
    elsewhere = {key: path for path, key in _all_keys(cls) if key not in allowed}
    if close := get_close_matches(name, elsewhere, n=1, cutoff=0.99 if hint else 0.8):
        path = elsewhere[close[0]]
        hint = f"; did you mean '{close[0]}' {f'in [{path}]' if path else 'above all tables'}?"
    hint = hint or f" (allowed here: {', '.join(allowed)})"
    return f"unknown key '{_dotted(loc)}'{hint}"


def _all_keys(table: type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key of a configuration, with the dotted name of its table."""
    for name, field in table.model_fields.items():
        yield path, name
        if (inner := _table_in(field.annotation)) is not None and get_origin(
            field.annotation
        ) is not tuple:
            yield from _all_keys(inner, f"{path}.{name}".lstrip("."))


def _find_field(
    cls: type[BaseModel], loc: tuple[int | str, ...]
) -> tuple[tuple[int | str, ...], type[BaseModel], FieldInfo | None]:
    """Return the innermost field that `loc` names: its path, the innermost table, the field.

    `loc` may continue in the value of the field, as for the second number of a voxel size.
    """
    inner: type[BaseModel] | None = cls
    path, table, field = loc[:0], cls, None
    for end, part in enumerate(loc, 1):
        if isinstance(part, int) and inner is not None:
            continue  # entry of a list of tables
        if inner is None or part not in inner.model_fields:
            break
        field, path = inner.model_fields[str(part)], loc[:end]
        inner = _table_in(field.annotation)
        table = inner or table
    return path, table, field


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table that a field takes, or a list of them; None for other values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for part in get_args(annotation) if (table := _table_in(part))), None)


def _choices(annotation: Any) -> Iterator[Any]:
    for part in get_args(annotation):
        yield from (part,) if get_origin(annotation) is Literal else _choices(part)


def _value_at(data: Any, path: tuple[int | str, ...], default: Any) -> Any:
    """Return the given value at a path, or `default`, the innermost part that is invalid."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return default
    return data


def _dotted(loc: tuple[int | str, ...]) -> str:
    return ".".join(shorten(part, str) for part in loc)


def _format_given(value: Any) -> str:
    """Return a value as a file writes it, shortened."""
    return shorten(value, _format_value)


def _format_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_format_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)
