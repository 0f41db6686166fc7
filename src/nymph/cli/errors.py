"""One clear line for what a user can mend, a traceback for what we must."""

import dataclasses
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import click
import yaml
from kedro.config import BadConfigException, MissingConfigException
from kedro.io.core import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, RootModel, ValidationError

from nymph.errors import NymphError, nearest

EXIT_USER_ERROR = 2
_EXPECTED = (
    BadConfigException,
    MissingConfigException,
    DatasetError,
    OmegaConfBaseException,
    yaml.YAMLError,
    click.ClickException,
    ConnectionError,
    PermissionError,
)


_PARAMETER = re.compile(r"Failed to instantiate (\w+) for parameter '([^']+)': (.*?)(?=\n- Parameter|\Z)", re.DOTALL)
_DETAIL = re.compile(r"^(\S+)\n  (.+?) \[type=(\w+), input_value=(.*), input_type=\w+\]", re.MULTILINE)


class _Verbatim(str):
    """A value that was rendered already."""

    def __repr__(self) -> str:
        return str(self)


class ClearCommand(click.Command):
    """A command whose expected errors end in one line on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the class."""
        try:
            return super().invoke(ctx)
        except click.ClickException:
            raise
        except Exception as error:
            line = explain(error)
            if line is None:
                raise
            click.secho(f"error: {line}", fg="red", err=True)
            sys.exit(EXIT_USER_ERROR)


def explain(error: BaseException) -> str | None:
    """What to tell the user, on one line; None for an error nobody expected."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, NymphError):
            return _one_line(str(cause))
        if isinstance(cause, ParameterValidationError):
            return _one_line(explain_parameters(str(cause)))
        if isinstance(cause, ValidationError):
            return _one_line(explain_validation(cause, cause.title))
    for cause in reversed(chain):
        if isinstance(cause, _EXPECTED):
            return _one_line(str(cause))
    return _explain_kedro(error)


def explain_parameters(text: str) -> str:
    """Kedro's report on typed parameters, which holds pydantic's only as text, in the words of `explain_validation`."""
    lines = []
    for title, name, report in _PARAMETER.findall(text):
        details = [
            {"loc": tuple(place.split(".")), "msg": message, "type": kind, "input": _Verbatim(value)}
            for place, message, kind, value in _DETAIL.findall(report)
        ]
        lines += [_explain_one(title, name, detail) for detail in details] or [f"{name}: {report.strip()}"]
    return "; ".join(lines) or text


def explain_validation(error: ValidationError, name: str) -> str:
    """Every wrong option with its full name, what was expected, what came, and the nearest right name."""
    return "; ".join(_explain_one(error.title, name, detail) for detail in error.errors())


def _explain_one(title: str, name: str, detail: Any) -> str:
    place = ".".join([name, *(str(part) for part in detail["loc"])])
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"no option {place!r}{nearest(str(detail['loc'][-1]), _names_at(title, detail['loc'][:-1]))}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if ", got " in message else f"{place}: {message}, got {detail['input']!r}"


def _names_at(title: str, path: tuple[int | str, ...]) -> list[str]:
    """The options beside a wrong one: fields of the model `title`, or of what lies at `path` in it."""
    kind: Any = next((model for model in _subclasses(BaseModel) if model.__name__ == title), None)
    for part in path:
        named = get_origin(kind) in (dict, Mapping)
        kind = get_args(kind)[1] if named else _fields(kind).get(str(part))
    return list(_fields(kind))


def _fields(kind: Any) -> dict[str, Any]:
    """Name -> type of an options class's fields; a root model stands for its root."""
    if isinstance(kind, type) and issubclass(kind, RootModel):
        kind = kind.model_fields["root"].annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}


def _subclasses(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


def _explain_kedro(error: BaseException) -> str | None:
    """Kedro raises plain ValueErrors for what users get wrong; they are known by their words."""
    known = (
        "not found|Failed to find the pipeline|does not (exist|contain)|Given configuration path|contains no|Parameter"
    )
    if isinstance(error, KeyError | ValueError) and re.search(known, str(error)):
        return _one_line(str(error).strip("'\""))
    if isinstance(error, TypeError) and "incompatible container types" in str(error):
        return (
            "one entry is a list in conf/base and a mapping in another environment (or the other way round, or in "
            "--params): these cannot be merged; change the entry in conf/base itself"
        )
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _one_line(text: str) -> str:
    return " ".join(text.split())
