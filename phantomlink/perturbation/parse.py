"""What a client, a file or a setting says about a perturbation, checked and made canonical."""

from __future__ import annotations

from collections.abc import Mapping

from phantomlink.errors import InvalidParameterError
from phantomlink.perturbation.forms import Number, listed, refuse, shown
from phantomlink.perturbation.kinds import KINDS, parameters_of
from phantomlink.perturbation.perturbation import NO_PERTURBATION, Perturbation, Step
from phantomlink.perturbation.transform import LONGEST_SECONDS, Transform

MOST_TRANSFORMS = 32
"""In one step."""
MOST_STEPS = 200
LONGEST_NAME = 64

AT_SECONDS = Number(0, LONGEST_SECONDS, "from when on the step applies, s of stream time")
_FORMS = 'the name of a preset, {"preset": NAME}, {"transforms": [...]} or {"steps": [...]}'
_MEMBERS = ("preset", "name", "transforms", "steps")


def parse_among(value: object, field: str, presets: Mapping[str, Perturbation]) -> Perturbation:
    """A perturbation as it was asked for, where these presets are known by name.

    Raises:
        InvalidParameterError: what is wrong, by field, with the value and what is allowed.
    """
    if value is None:
        return NO_PERTURBATION
    if isinstance(value, str):
        return _preset(value, field, presets)
    if not isinstance(value, Mapping):
        refuse(field, value, _FORMS)
    for member in value:
        if member not in _MEMBERS:
            raise InvalidParameterError(
                f"{_within(field, member)}: there is no such member; "
                "a perturbation has one of preset, transforms and steps, and may have name"
            )
    given = [member for member in ("preset", "transforms", "steps") if member in value]
    if len(given) != 1 or (given == ["preset"] and "name" in value):
        members = listed(value) or "no member"
        raise InvalidParameterError(f"{field}: got an object with {members}, takes {_FORMS}")
    if given == ["preset"]:
        return _preset(value["preset"], f"{field}.preset", presets)
    if given == ["transforms"]:
        steps: tuple[Step, ...] = (
            Step(0.0, _transforms(value["transforms"], f"{field}.transforms")),
        )
    else:
        steps = _steps(value["steps"], f"{field}.steps")
    if not any(step.transforms for step in steps):
        steps = ()
    parsed = Perturbation(steps, _name(value.get("name"), f"{field}.name"))
    preset = presets.get(parsed.name) if parsed.name is not None else None
    if preset is not None and preset != parsed:
        # A preset's name means the preset, or what is reported would mislead.
        refuse(f"{field}.name", parsed.name, "another name: a preset has it, and other transforms")
    return parsed


def _preset(name: object, field: str, presets: Mapping[str, Perturbation]) -> Perturbation:
    if not isinstance(name, str) or name not in presets:
        refuse(field, name, f"one of {listed(presets)}")
    return presets[name]


def _name(value: object, field: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME:
        refuse(field, value, f"a text of 1 to {LONGEST_NAME} characters")
    return value


def _steps(value: object, field: str) -> tuple[Step, ...]:
    if not isinstance(value, list | tuple) or len(value) > MOST_STEPS:
        refuse(field, value, f"a list of at most {MOST_STEPS} steps")
    steps: list[Step] = []
    for position, member in enumerate(value):
        here = f"{field}[{position}]"
        if not isinstance(member, Mapping):
            refuse(here, member, '{"at_seconds": SECONDS, "transforms": [...]}')
        for name in member:
            if name not in {"at_seconds", "transforms"}:
                raise InvalidParameterError(
                    f"{_within(here, name)}: there is no such member; "
                    "a step has at_seconds and transforms"
                )
        for name in ("at_seconds", "transforms"):
            if name not in member:
                takes = AT_SECONDS.takes if name == "at_seconds" else "a list of transforms"
                raise InvalidParameterError(f"{here}.{name}: not given, takes {takes}")
        at_seconds = AT_SECONDS.parse(member["at_seconds"], f"{here}.at_seconds")
        if steps and at_seconds <= steps[-1].at_seconds:
            refuse(
                f"{here}.at_seconds",
                member["at_seconds"],
                f"a number above that of the step before, {steps[-1].at_seconds}",
            )
        steps.append(Step(at_seconds, _transforms(member["transforms"], f"{here}.transforms")))
    return tuple(steps)


def _transforms(value: object, field: str) -> tuple[Transform, ...]:
    if not isinstance(value, list | tuple) or len(value) > MOST_TRANSFORMS:
        refuse(field, value, f"a list of at most {MOST_TRANSFORMS} transforms")
    return tuple(
        _transform(member, f"{field}[{position}]") for position, member in enumerate(value)
    )


def _transform(value: object, field: str) -> Transform:
    kinds = f"one of {listed(KINDS)}"
    if not isinstance(value, Mapping):
        refuse(field, value, '{"kind": KIND, ...}')
    if "kind" not in value:
        raise InvalidParameterError(f"{field}.kind: not given, takes {kinds}")
    name = value["kind"]
    if not isinstance(name, str) or name not in KINDS:
        refuse(f"{field}.kind", name, kinds)
    kind = KINDS[name]
    parameters = parameters_of(name)
    known = [parameter.name for parameter in parameters]
    for member in value:
        if member != "kind" and member not in known:
            raise InvalidParameterError(
                f"{_within(field, member)}: {name} has no such parameter; it has {listed(known)}"
            )
    values: dict[str, object] = {}
    for parameter in parameters:
        here, form = f"{field}.{parameter.name}", parameter.form
        given = value.get(parameter.name)
        if given is not None:
            values[parameter.name] = form.parse(given, here)
        elif parameter.required:
            raise InvalidParameterError(f"{here}: not given, takes {form.takes}")
    kind.check(values, field)
    return kind(**values)


def _within(field: str, member: object) -> str:
    """The path of a member whose name we did not choose."""
    name = member if isinstance(member, str) and member.isidentifier() else shown(member)
    return f"{field}.{name}" if len(name) <= 64 else f"{field}.{name[:64]}..."
