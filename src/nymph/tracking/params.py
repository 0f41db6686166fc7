"""Parameters as MLflow wants them: flat names, short strings.

Typed options are dumped first, so runs can be compared by `training.learning_rate` and not by one long repr.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

VALUE_LIMIT = 500
"""MLflow's server refuses longer values on some stores; a longer one is cut and says so."""
NAME_LIMIT = 250


def flatten(name: str, value: Any) -> dict[str, str]:
    """`{"training.optimiser.lr": "0.001", ...}` of nested mappings, pydantic models and dataclasses.

    An empty `name` leaves the keys without a prefix.
    """
    return {key[:NAME_LIMIT]: _short(leaf) for key, leaf in _leaves(name, value)}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    plain = _plain(value)
    if isinstance(plain, Mapping) and plain:
        for key, inner in plain.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, plain


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    if len(text) <= VALUE_LIMIT:
        return text
    ending = f"... ({len(text)} characters)"
    return text[: VALUE_LIMIT - len(ending)] + ending
