"""Reads the records that a route takes out of a JSON body, a query and a path.

Not by msgspec's decoder: its errors do not say what came, the last of two members of one name wins,
and 1.0 is an integer to it. A record's types say what is allowed; a refusal names the member, what
came and what is allowed. A JSON `null` is a member that was not given, but where a record takes
any value.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import parse_qs

import msgspec
from msgspec import inspect as types

from phantomlink.errors import InvalidParameterError, UnknownNameError, UnsupportedBodyError

_INTEGER = re.compile(r"-?[0-9]{1,100}\Z", re.ASCII)
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?\Z", re.ASCII)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SHOWN = 80
_MAX_NAMES = 1000


class RecordReader:
    """Reads one kind of record.

    Args:
        record: the kind; None for a request that takes nothing.
    """

    def __init__(self, record: type[msgspec.Struct] | None) -> None:
        self.record = record
        info = None if record is None else types.type_info(record)
        fields = info.fields if isinstance(info, types.StructType) else ()
        self._fields = {field.encode_name: field for field in fields}

    def values_of_json(self, members: Mapping[str, Any], within: str = "") -> dict[str, Any]:
        """The values that a JSON object gives, checked.

        Raises:
            UnknownNameError: there is no such member.
            InvalidParameterError: a member has the wrong form.
        """
        values = {}
        for name, value in members.items():
            field = self._known(name, within)
            # Where any value is taken, null is one.
            if value is not None or _is_any(field.type):
                values[name] = _of_json(field.type, value, within + name)
        return values

    def values_of_query(self, query: str) -> dict[str, Any]:
        """The values that a query gives, checked; names that begin with `_` are left alone.

        Raises:
            UnknownNameError: there is no such name.
            InvalidParameterError: a value has the wrong form, or there are two of one name.
        """
        if not query:
            return {}
        try:
            given = parse_qs(
                query, keep_blank_values=True, errors="replace", max_num_fields=_MAX_NAMES
            )
        except ValueError:
            raise InvalidParameterError(f"query: takes at most {_MAX_NAMES} names") from None
        return self.values_of_texts({k: v for k, v in given.items() if not k.startswith("_")})

    def values_of_texts(self, texts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """The values that texts give; see `values_of_query`."""
        values = {}
        for name, said in texts.items():
            field = self._known(name)
            if len(said) > 1:
                raise InvalidParameterError(f"{name}: got it {len(said)} times, takes one value")
            values[name] = _of_text(field.type, said[0], name)
        return values

    def make(self, values: Mapping[str, Any], within: str = "") -> msgspec.Struct | None:
        """The record of checked values.

        Raises:
            InvalidParameterError: one is missing that has no default.
        """
        if self.record is None:
            return None
        for name, field in self._fields.items():
            if field.required and name not in values:
                raise InvalidParameterError(f"{within}{name}: got none, takes {_takes(field.type)}")
        return self.record(**values)

    def _known(self, name: str, within: str = "") -> types.Field:
        field = self._fields.get(name)
        if field is None:
            raise UnknownNameError(name, self._fields, within)
        return field


def merged(body: Mapping[str, Any], query: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a body and a query together.

    Raises:
        InvalidParameterError: both have one, and not the same.
    """
    for name, value in query.items():
        if name in body and body[name] != value:
            raise InvalidParameterError(
                f"{name}: got {shown(body[name])} in the body and {shown(value)} in the query, "
                "takes one of them"
            )
    return {**query, **body}


def parse_body(data: bytes, mimetype: str) -> dict[str, Any]:
    """The members of a JSON body; an empty body has none.

    Args:
        data: the body.
        mimetype: what it claims to be, without parameters; "" where it claims nothing.

    Raises:
        UnsupportedBodyError: it claims not to be JSON.
        InvalidParameterError: it is not a JSON object, or has two members of one name.
    """
    if not data.strip():
        return {}
    if mimetype and mimetype != "application/json" and not mimetype.endswith("+json"):
        raise UnsupportedBodyError(f"content type: got {mimetype!r}, takes application/json")
    try:
        body = _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise InvalidParameterError("body: nested too deeply, takes a JSON object") from None
    except ValueError as error:
        raise InvalidParameterError(f"body: not JSON ({error}), takes a JSON object") from None
    if not isinstance(body, dict):
        refuse("body", body, "a JSON object")
    if _SURROGATE.search(data) and not _is_unicode(body):
        raise InvalidParameterError("body: got half of a surrogate pair, takes Unicode")
    return body


def refuse(name: str, value: Any, takes: str) -> NoReturn:
    """Say what came and what is allowed.

    Raises:
        InvalidParameterError: always.
    """
    raise InvalidParameterError(f"{name}: got {shown(value)}, takes {takes}")


def shown(value: Any) -> str:
    """A value as messages show it: cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value)
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return repr(text) if isinstance(value, str) else text


def _of_json(wanted: types.Type, value: Any, name: str) -> Any:
    """The value as a record has it."""
    match wanted:
        case types.Metadata(type=inner):
            return _of_json(inner, value, name)
        case types.UnionType(types=members):
            return _of_json(_not_null(members), value, name)
        case types.BoolType() if isinstance(value, bool):
            return value
        case types.StrType() | types.LiteralType() if isinstance(value, str):
            return _checked(wanted, value, name)
        # To Python true is a number, and 1.0 is 1; to those who write JSON neither is an index.
        case types.IntType() if isinstance(value, int) and not isinstance(value, bool):
            return _checked(wanted, value, name)
        case types.FloatType() if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return _checked(wanted, float(value), name)
            except OverflowError:
                refuse(name, value, "a number that a double can hold")
        case types.ListType(item_type=item) if isinstance(value, list):
            return [_of_json(item, each, f"{name}[{n}]") for n, each in enumerate(value)]
        case types.StructType(cls=cls) if isinstance(value, dict):
            reader = RecordReader(cls)
            within = f"{name}."
            return reader.make(reader.values_of_json(value, within), within)
        case types.AnyType():
            return value
        case _:
            refuse(name, value, _takes(wanted))


def _of_text(wanted: types.Type, text: str, name: str) -> Any:
    """The value of a query or a path as a record has it."""
    match wanted:
        case types.Metadata(type=inner):
            return _of_text(inner, text, name)
        case types.UnionType(types=members):
            return _of_text(_not_null(members), text, name)
        case types.BoolType() if text in {"true", "false"}:
            return text == "true"
        case types.IntType() if _INTEGER.match(text):
            return _checked(wanted, int(text), name)
        case types.FloatType() if _NUMBER.match(text):
            return _checked(wanted, float(text), name)
        case types.StrType() | types.LiteralType():
            return _checked(wanted, text, name)
        case types.AnyType():
            return text
        case _:
            refuse(name, text, _takes(wanted))


def _checked(wanted: types.Type, value: Any, name: str) -> Any:
    """The value, if it is one of those, or in the bounds, that its type names."""
    match wanted:
        case types.LiteralType(values=values):
            fits = value in values
        case types.StrType(min_length=low, max_length=high, pattern=pattern):
            fits = (low or 0) <= len(value) and (high is None or len(value) <= high)
            fits = fits and (pattern is None or re.search(pattern, value) is not None)
        case types.IntType(ge=low, le=high) | types.FloatType(ge=low, le=high):
            fits = (low is None or value >= low) and (high is None or value <= high)
        case _:
            fits = True
    if not fits:
        refuse(name, value, _takes(wanted))
    return value


def _takes(wanted: types.Type) -> str:
    """What a type takes, as the end of a sentence: "takes ..."."""
    match wanted:
        case types.Metadata(type=inner):
            return _takes(inner)
        case types.UnionType(types=members):
            return _takes(_not_null(members))
        case types.BoolType():
            return "true or false"
        case types.LiteralType(values=values):
            return " or ".join(map(str, values))
        case types.IntType(ge=low, le=high):
            return "a whole number" + _between(low, high)
        case types.FloatType(ge=low, le=high):
            return "a number" + _between(low, high)
        case types.StrType(min_length=low, max_length=high, pattern=pattern):
            long = _between(low, high)
            return (
                "a text"
                + (f" of{long.removeprefix(' from')} characters" if long else "")
                + (f" like {pattern}" if pattern else "")
            )
        case types.ListType():
            return "a list"
        case types.StructType():
            return "an object"
        case _:
            return "a value"


def _between(low: float | None, high: float | None) -> str:
    if low is None:
        return "" if high is None else f" up to {high}"
    return f" from {low}" if high is None else f" from {low} to {high}"


def _is_any(wanted: types.Type) -> bool:
    return isinstance(wanted.type if isinstance(wanted, types.Metadata) else wanted, types.AnyType)


def _not_null(members: Iterable[types.Type]) -> types.Type:
    """The one member of a union that is not null: a request's values have one form each."""
    (wanted,) = (each for each in members if not isinstance(each, types.NoneType))
    return wanted


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        (twice, _), *_ = (Counter(name for name, _ in pairs)).most_common(1)
        raise ValueError(f"member {shown(twice)} more than once")
    return members


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_object)
