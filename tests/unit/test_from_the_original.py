"""docs/reference/from-the-original.md: what it says is the same is there."""

import re

from phantomlink.cli.arguments import make_parser
from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.openapi import openapi_document
from phantomlink.settings.load import describe_settings
from tests.unit.test_docs import commands, table_after, text_of

NAME = "docs/reference/from-the-original.md"


def unnamed(path):
    """The path without the names of its parameters."""
    return re.sub(r"\{\w+\}", "{}", path)


def test_every_route_of_the_original_is_there():
    methods = {
        unnamed(path): set(known) for path, known in openapi_document(ROUTES)["paths"].items()
    }
    rows = table_after(NAME, "routes of the original")
    assert len(rows) == 21
    for route, _ in rows:
        method, path = route.strip("`").split()
        assert method.lower() in methods[unnamed(path)], route


def test_every_setting_of_the_original_is_there_with_the_default_that_is_told():
    known = {info.variable: info for info in describe_settings()}
    rows = table_after(NAME, "settings of the original")
    assert len(rows) == 13
    for variable, there, here in rows:
        name = variable.strip("`")
        # The old name is an alias: it is taken, and means the same.
        info = known["PHANTOM_MAX_SESSIONS" if name == "PHANTOM_MAX_CONNECTIONS" else name]
        told = there if here.startswith("the same") else re.split("[,:]", here)[0]
        if info.default is not None:
            assert str(info.default).lower().removesuffix(".0") == told.lower(), name


def test_every_command_that_replaces_one_is_a_command():
    words = set(re.findall(r"`phantomlink ([\w-]+)", text_of(NAME)))
    assert words >= {"serve", "watch", "inspect", "lsl-watch", "fetch"}
    assert {f"phantomlink {word}" for word in words} <= set(dict(commands(make_parser()[0])))
