from types import SimpleNamespace

import msgspec
import pytest

from phantomlink.rest.routes.sessions import SessionCreated, SessionState, outputs_of


class FakeOutput:
    def __init__(self, kind, said):
        self.kind = kind
        self._said = said

    def as_json(self):
        return self._said


def session(**said):
    return SimpleNamespace(outputs=[FakeOutput(kind, json) for kind, json in said.items()])


def test_outputs_that_say_nothing_are_not_there():
    assert outputs_of(session(lsl=None, decoders=None)) == {}
    assert outputs_of(session(lsl={"a": 1}, brand={"b": 2})) == {"lsl": {"a": 1}, "brand": {"b": 2}}


@pytest.mark.parametrize("record", [SessionCreated, SessionState])
def test_a_kind_of_output_without_a_record_stands_in_the_answer_by_its_name(record):
    """Its room and one line of the composition root are all that a new kind touches."""
    members = outputs_of(session(lsl={"a": 1}, tally={"spikes": 5}, other=None))
    assert members == {"lsl": {"a": 1}, "outputs": {"tally": {"spikes": 5}}}
    assert set(members) <= set(record.__struct_fields__)
    required = {
        field.name: None
        for field in msgspec.structs.fields(record)
        if field.required and field.name not in members
    }
    answer = msgspec.json.decode(msgspec.json.encode(record(**required, **members)))
    assert answer["outputs"] == {"tally": {"spikes": 5}}
