"""Frozen dataclasses to plain JSON values and back, strictly: a job file with a typo must not train the default.

Unknown keys name the nearest right one, missing keys and wrong types name their place (`job.schedule.warmup_ratio`).
It covers the types options are made of (numbers, strings, literals, unions, tuples, lists, dicts, dataclasses).
"""

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar, Union

from nymph.errors import NymphError, nearest

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dicts, lists, numbers and strings for a dataclass of such values; tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(cls: type[T], value: Any, where: str = "job") -> T:
    """Build dataclass `cls` from plain values.

    Raises:
        NymphError: An unknown or missing key, or a value of another type, with its place and what was expected.
    """
    if not isinstance(value, dict):
        raise NymphError(f"{where} must be an object with keys, got {value!r}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in value:
        if key not in fields:
            raise NymphError(f"{where} has no key {key!r}{nearest(str(key), fields)}; known keys: {', '.join(fields)}")
    hints = typing.get_type_hints(cls)
    missing = [name for name, field in fields.items() if name not in value and _required(field)]
    if missing:
        raise NymphError(f"{where} lacks {', '.join(map(repr, missing))}")
    return cls(**{key: _convert(hints[key], item, f"{where}.{key}") for key, item in value.items()})


def _required(field: Any) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return from_plain(hint, value, where)  # type: ignore[arg-type]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _convert(arguments[0], value, where)
    if origin is Literal:
        return _literal(arguments, value, where)
    if origin in (Union, types.UnionType):
        return _union(arguments, value, where)
    if origin in (tuple, list):
        return _sequence(origin, arguments, value, where)
    if origin is dict:
        return {
            key: _convert(arguments[1], item, f"{where}.{key}") for key, item in _require(dict, value, where).items()
        }
    return _scalar(hint, value, where)


def _literal(allowed: tuple[Any, ...], value: Any, where: str) -> Any:
    if value not in allowed:
        hint = nearest(str(value), map(str, allowed))
        raise NymphError(f"{where} must be one of {', '.join(map(repr, allowed))}, got {value!r}{hint}")
    return value


def _union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    errors = []
    for option in _candidates(options, value):
        try:
            return _convert(option, value, where)
        except NymphError as error:
            errors.append(str(error))
    raise NymphError(errors[0] if len(errors) == 1 else f"{where}: no alternative fits {value!r} ({'; '.join(errors)})")


def _candidates(options: tuple[Any, ...], value: Any) -> list[Any]:
    """The alternatives worth trying: where each declares its `type`, only the one `value` names."""
    present = [option for option in options if option is not type(None)]
    if isinstance(value, dict) and "type" in value:
        named = [option for option in present if value["type"] in _type_names(option)]
        return named or present
    return present


def _type_names(option: Any) -> tuple[Any, ...]:
    hint = typing.get_type_hints(option).get("type") if dataclasses.is_dataclass(option) else None
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def _sequence(kind: Any, arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise NymphError(f"{where} must be a list, got {value!r}")
    endless = kind is list or (len(arguments) == 2 and arguments[1] is ...)
    hints = [arguments[0]] * len(value) if endless else list(arguments)
    if len(hints) != len(value):
        raise NymphError(f"{where} must have {len(hints)} values, got {len(value)}: {value!r}")
    return kind(_convert(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(hints, value, strict=True)))


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise NymphError(f"{where} must be {getattr(hint, '__name__', hint)}, got {value!r}")
    return value


def _require(kind: type[T], value: Any, where: str) -> T:
    if not isinstance(value, kind):
        raise NymphError(f"{where} must be {kind.__name__}, got {value!r}")
    return value
