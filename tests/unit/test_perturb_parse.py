"""What is said about a perturbation: every refusal names it, and what is taken comes back."""

from __future__ import annotations

import datetime
import json
import math
import tomllib
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.errors import InvalidParameterError
from phantomlink.perturbation import NO_PERTURBATION, Perturbation
from phantomlink.perturbation.forms import Number, UnitIds, Whole
from phantomlink.perturbation.kinds import KINDS, parameters_of
from phantomlink.perturbation.perturber import Perturber
from phantomlink.perturbation.presets import PRESETS, load_perturbation, parse_perturbation
from phantomlink.perturbation.schema import perturbation_schema
from tests.perturbing import make_perturber

KIND_NAMES = (
    "gaussian_noise, drift, nonstationary_rates, gain_shift, dropout, dead_units, unit_swap, "
    "saturation, common_artifact, packet_loss, packet_duplicate, packet_reorder, jitter, stall"
)
PRESET_NAMES = "light, moderate, intense, extreme, bad_day, next_day, failing_electrodes, weak_link"
FORMS = 'the name of a preset, {"preset": NAME}, {"transforms": [...]} or {"steps": [...]}'
NOISE = {"kind": "gaussian_noise", "noise_std": 0.5}
SCHEMA = jsonschema.Draft202012Validator(perturbation_schema())


def transforms(*asked: object) -> dict:
    return {"transforms": list(asked)}


def steps(*at_seconds: object) -> dict:
    return {"steps": [{"at_seconds": at, "transforms": [NOISE]} for at in at_seconds]}


FIRST = "perturbation.transforms[0]"
# What is refused, and the message; then whether the schema refuses it too.
REFUSED = [
    (5, f"perturbation: got 5, takes {FORMS}"),
    (True, f"perturbation: got true, takes {FORMS}"),
    ([NOISE], f"perturbation: got [{json.dumps(NOISE)}], takes {FORMS}"),
    ({}, f"perturbation: got an object with no member, takes {FORMS}"),
    ({"name": "x"}, f"perturbation: got an object with name, takes {FORMS}"),
    (
        {"preset": "light", "transforms": []},
        f"perturbation: got an object with preset, transforms, takes {FORMS}",
    ),
    (
        {"preset": "light", "name": "x"},
        f"perturbation: got an object with preset, name, takes {FORMS}",
    ),
    ("lihgt", f"perturbation: got 'lihgt', takes one of {PRESET_NAMES}"),
    ({"preset": "lihgt"}, f"perturbation.preset: got 'lihgt', takes one of {PRESET_NAMES}"),
    ({"preset": None}, f"perturbation.preset: got null, takes one of {PRESET_NAMES}"),
    ({"preset": ["light"]}, f'perturbation.preset: got ["light"], takes one of {PRESET_NAMES}'),
    (
        {"transform": []},
        "perturbation.transform: there is no such member; a perturbation has one of preset, "
        "transforms and steps, and may have name",
    ),
    (
        {"transforms": [], "a b\n": 1},
        "perturbation.'a b\\n': there is no such member; a perturbation has one of preset, "
        "transforms and steps, and may have name",
    ),
    ({"transforms": 1}, "perturbation.transforms: got 1, takes a list of at most 32 transforms"),
    (
        transforms(*[NOISE] * 33),
        f"perturbation.transforms: got {json.dumps([NOISE] * 33)[:80]}..., "
        "takes a list of at most 32 transforms",
    ),
    (transforms("drift"), f"{FIRST}: got 'drift', takes {{\"kind\": KIND, ...}}"),
    (transforms(None), f'{FIRST}: got null, takes {{"kind": KIND, ...}}'),
    (transforms({}), f"{FIRST}.kind: not given, takes one of {KIND_NAMES}"),
    (transforms({"kind": "noise"}), f"{FIRST}.kind: got 'noise', takes one of {KIND_NAMES}"),
    (transforms({"kind": 1}), f"{FIRST}.kind: got 1, takes one of {KIND_NAMES}"),
    (
        transforms({"kind": "gaussian_noise"}),
        f"{FIRST}.noise_std: not given, takes a number from 0 to 100",
    ),
    (
        transforms({"kind": "gaussian_noise", "noise_std": None}),
        f"{FIRST}.noise_std: not given, takes a number from 0 to 100",
    ),
    (
        transforms(NOISE, {"kind": "gaussian_noise", "noise_std": -1}),
        "perturbation.transforms[1].noise_std: got -1, takes a number from 0 to 100",
    ),
    (
        transforms({"kind": "gaussian_noise", "noise_std": 100.5}),
        f"{FIRST}.noise_std: got 100.5, takes a number from 0 to 100",
    ),
    (
        transforms({"kind": "gaussian_noise", "noise_std": "1"}),
        f"{FIRST}.noise_std: got '1', takes a number from 0 to 100",
    ),
    (
        transforms({"kind": "gaussian_noise", "noise_std": True}),
        f"{FIRST}.noise_std: got true, takes a number from 0 to 100",
    ),
    (
        transforms({"kind": "gaussian_noise", "noise_std": 10**400}),
        f"{FIRST}.noise_std: got 1{'0' * 79}..., takes a number from 0 to 100",
    ),
    (
        transforms({"kind": "gaussian_noise", "std": 1}),
        f"{FIRST}.std: gaussian_noise has no such parameter; it has noise_std",
    ),
    (
        transforms({"kind": "drift", "drift_amplitude": 1.1}),
        f"{FIRST}.drift_amplitude: got 1.1, takes a number from 0 to 1",
    ),
    (
        transforms({"kind": "drift", "drift_amplitude": 1, "drift_period_seconds": 0}),
        f"{FIRST}.drift_period_seconds: got 0, takes a number from 0.1 to 31536000",
    ),
    (
        transforms({"kind": "saturation", "max_count": 1.5}),
        f"{FIRST}.max_count: got 1.5, takes a whole number from 0 to 65535",
    ),
    (
        transforms({"kind": "saturation", "max_count": True}),
        f"{FIRST}.max_count: got true, takes a whole number from 0 to 65535",
    ),
    (
        transforms({"kind": "saturation"}),
        f"{FIRST}: got none of them, takes one of max_count, max_rate_hz",
    ),
    (
        transforms({"kind": "saturation", "max_count": 1, "max_rate_hz": 1}),
        f"{FIRST}: got max_count and max_rate_hz, takes one of max_count, max_rate_hz",
    ),
    (
        transforms({"kind": "dead_units", "fraction": None}),
        f"{FIRST}: got none of them, takes one of fraction, unit_ids",
    ),
    (
        transforms({"kind": "dead_units", "unit_ids": []}),
        f"{FIRST}.unit_ids: got [], takes a list of 1 to 10000 different unit ids, whole numbers, "
        "or unit labels",
    ),
    (
        transforms({"kind": "dead_units", "unit_ids": [3, 3]}),
        f"{FIRST}.unit_ids: got [3, 3], takes a list of 1 to 10000 different unit ids, "
        "whole numbers, or unit labels",
    ),
    (
        transforms({"kind": "dead_units", "unit_ids": [3, 4.5]}),
        f"{FIRST}.unit_ids[1]: got 4.5, takes a whole number from {-(2**63)} to {2**64 - 1}",
    ),
    (
        transforms({"kind": "packet_reorder", "probability": 0.3}),
        f"{FIRST}.probability: got 0.3, takes a number from 0 to 0.25",
    ),
    ({"steps": {}}, "perturbation.steps: got {}, takes a list of at most 200 steps"),
    (
        {"steps": [NOISE]},
        "perturbation.steps[0].kind: there is no such member; a step has at_seconds and transforms",
    ),
    (
        {"steps": [1]},
        'perturbation.steps[0]: got 1, takes {"at_seconds": SECONDS, "transforms": [...]}',
    ),
    (
        {"steps": [{"transforms": []}]},
        "perturbation.steps[0].at_seconds: not given, takes a number from 0 to 31536000",
    ),
    (
        {"steps": [{"at_seconds": 1}]},
        "perturbation.steps[0].transforms: not given, takes a list of transforms",
    ),
    (
        steps(-1),
        "perturbation.steps[0].at_seconds: got -1, takes a number from 0 to 31536000",
    ),
    (
        {"steps": [{"at_seconds": 0, "transforms": [{"kind": "jitter", "std_ms": -2}]}]},
        "perturbation.steps[0].transforms[0].std_ms: got -2, takes a number from 0 to 10000",
    ),
    (
        {"transforms": [], "name": ""},
        "perturbation.name: got '', takes a text of 1 to 64 characters",
    ),
    (
        {"transforms": [], "name": 5},
        "perturbation.name: got 5, takes a text of 1 to 64 characters",
    ),
]
# What the schema cannot say.
REFUSED_BY_RULE = [
    (
        transforms({"kind": "stall", "rate_hz": 3, "seconds": 0.5}),
        f"{FIRST}.rate_hz: got 3.0, takes a number from 0 to 2, one in each seconds of 0.5",
    ),
    (
        transforms({"kind": "common_artifact", "rate_hz": 11, "amplitude": 1}),
        f"{FIRST}.rate_hz: got 11.0, takes a number from 0 to 10, "
        "one in each duration_seconds of 0.1",
    ),
    (
        steps(0, 5, 5),
        "perturbation.steps[2].at_seconds: got 5, takes a number above that of the step before, "
        "5.0",
    ),
    (
        {"name": "light", "transforms": []},
        "perturbation.name: got 'light', takes another name: a preset has it, and other transforms",
    ),
]
NOT_JSON = [
    (
        transforms({"kind": "gaussian_noise", "noise_std": math.nan}),
        f"{FIRST}.noise_std: got NaN, takes a number from 0 to 100",
    ),
    (
        transforms({"kind": "gaussian_noise", "noise_std": datetime.date(2026, 1, 2)}),
        f"{FIRST}.noise_std: got datetime.date(2026, 1, 2), takes a number from 0 to 100",
    ),
]


@pytest.mark.parametrize(
    ("value", "message"),
    [*REFUSED, *REFUSED_BY_RULE, *NOT_JSON],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong_is_refused_by_name_with_what_is_taken(value, message) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        parse_perturbation(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=lambda value: str(value)[:60])
def test_the_schema_refuses_what_the_parser_refuses(value, message) -> None:
    assert not SCHEMA.is_valid(value), message


def test_the_field_is_called_as_the_caller_says() -> None:
    with pytest.raises(InvalidParameterError, match=r"^body\.noise: got 5, takes"):
        parse_perturbation(5, field="body.noise")


def test_what_is_nested_too_deeply_is_refused_too() -> None:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidParameterError, match="got what is nested too deeply, takes"):
        parse_perturbation(transforms(value))
    with pytest.raises(InvalidParameterError, match=r"got \[{2}.*\.\.\., takes"):
        parse_perturbation(transforms([[1] * 500]))


def values_of(form: object) -> st.SearchStrategy:
    match form:
        case Number():
            return st.floats(form.low, form.high) | st.integers(
                math.ceil(form.low), math.floor(form.high)
            )
        case Whole():
            return st.integers(form.low, form.high)
        case UnitIds():
            return st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5, unique=True)
    raise TypeError(form)


@st.composite
def asked_transforms(draw) -> dict:
    name = draw(st.sampled_from(sorted(KINDS)))
    asked: dict = {"kind": name}
    for parameter in parameters_of(name):
        if parameter.required or draw(st.booleans()):
            asked[parameter.name] = draw(values_of(parameter.form))
    for one, other in (("fraction", "unit_ids"), ("max_count", "max_rate_hz")):
        known = {parameter.name for parameter in parameters_of(name)}
        if {one, other} <= known and (one in asked) == (other in asked):
            asked.pop(other, None)
            asked.setdefault(one, 1)
    if "rate_hz" in asked:
        longest = asked.get("duration_seconds", asked.get("seconds", 0.1))
        asked["rate_hz"] = min(asked["rate_hz"], 1 / longest * 0.999)
    return asked


LISTS = st.lists(asked_transforms(), max_size=4)
NAMES = st.none() | st.text(min_size=1, max_size=64).filter(lambda name: name not in PRESETS)


@st.composite
def asked_perturbations(draw) -> object:
    if draw(st.booleans()):
        return {"transforms": draw(LISTS), "name": draw(NAMES)}
    times = sorted(draw(st.sets(st.floats(0, 31_536_000), max_size=4)))
    made = [{"at_seconds": at, "transforms": draw(LISTS)} for at in times]
    return {"steps": made, "name": draw(NAMES)}


@given(asked_perturbations())
def test_what_is_taken_comes_back(asked) -> None:
    parsed = parse_perturbation(asked)
    said = parsed.as_json()
    assert parse_perturbation(said) == parsed
    assert parse_perturbation(json.loads(json.dumps(said))) == parsed
    assert parse_perturbation(said).as_json() == said
    assert hash(parse_perturbation(said)) == hash(parsed)
    for value in (asked, said):
        SCHEMA.validate(value)
    known = [t for step in parsed.steps for t in step.transforms if not hasattr(t, "unit_ids")]
    if len(known) == sum(len(step.transforms) for step in parsed.steps):
        make_perturber(parsed.as_json())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_their_names_and_come_back(name) -> None:
    preset = PRESETS[name]
    assert preset.name == name
    assert not preset.is_identity
    assert parse_perturbation(name) is preset
    assert parse_perturbation({"preset": name}) is preset
    assert parse_perturbation(preset.as_json()) == preset
    for value in (name, {"preset": name}, preset.as_json()):
        SCHEMA.validate(value)
    make_perturber(name)


def test_the_presets_are_the_ones_that_are_promised() -> None:
    assert ", ".join(PRESETS) == PRESET_NAMES
    for name, std, amplitude in (
        ("light", 0.2, 0.1),
        ("moderate", 0.5, 0.3),
        ("intense", 1.0, 0.5),
        ("extreme", 2.0, 0.8),
    ):
        assert PRESETS[name].as_json() == {
            "name": name,
            "transforms": [
                {"kind": "gaussian_noise", "noise_std": std},
                {
                    "kind": "drift",
                    "drift_amplitude": amplitude,
                    "drift_period_seconds": 60.0,
                },
            ],
        }


def test_the_file_of_presets_is_valid_by_the_schema() -> None:
    text = files("phantomlink.perturbation").joinpath("presets.toml").read_text("utf-8")
    for table in tomllib.loads(text).values():
        SCHEMA.validate(table)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(perturbation_schema())
    json.dumps(perturbation_schema())


def test_none_is_no_perturbation() -> None:
    assert parse_perturbation(None) is NO_PERTURBATION
    assert NO_PERTURBATION.is_identity
    assert NO_PERTURBATION.as_json() == {"transforms": []}
    for nothing in ({"transforms": []}, {"steps": []}, {"steps": [], "name": None}):
        assert parse_perturbation(nothing) == NO_PERTURBATION
        SCHEMA.validate(nothing)
    SCHEMA.validate(None)


def test_an_identity_is_known_as_one() -> None:
    quiet = {"kind": "gaussian_noise", "noise_std": 0}
    assert parse_perturbation(transforms(quiet, quiet)).is_identity
    assert not parse_perturbation(transforms(quiet, NOISE)).is_identity
    assert not parse_perturbation(steps(3)).is_identity


def test_what_is_equal_is_one_perturbation() -> None:
    whole = transforms({"kind": "dead_units", "unit_ids": [9, 4], "at_seconds": 1})
    parts = transforms(
        {"at_seconds": 1.0, "unit_ids": (4.0, 9), "fraction": None, "kind": "dead_units"}
    )
    assert parse_perturbation(whole) == parse_perturbation(parts)
    assert parse_perturbation(whole).as_json() == transforms(
        {"kind": "dead_units", "unit_ids": [4, 9], "at_seconds": 1.0}
    )
    zero = parse_perturbation(transforms({"kind": "gaussian_noise", "noise_std": -0.0}))
    assert str(zero.as_json()["transforms"][0]["noise_std"]) == "0.0"
    assert len({parse_perturbation("light"), parse_perturbation({"preset": "light"})}) == 1


def test_every_transform_says_what_it_stands_for_and_every_parameter_its_unit() -> None:
    for name, kind in KINDS.items():
        assert kind.kind == name
        assert len(kind.__doc__ or "") > 60
        for parameter in parameters_of(name):
            assert parameter.form.about, f"{name}.{parameter.name}"


def test_a_perturbation_from_a_file(tmp_path: Path) -> None:
    toml = tmp_path / "day.TOML"
    toml.write_text(
        'name = "mine"\n[[transforms]]\nkind = "gaussian_noise"\nnoise_std = 0.5\n', "utf-8"
    )
    mine = parse_perturbation({"name": "mine", "transforms": [NOISE]})
    assert load_perturbation(toml) == mine
    as_json = tmp_path / "day.json"
    as_json.write_text(json.dumps(mine.as_json()), "utf-8")
    assert load_perturbation(as_json) == mine
    assert isinstance(mine, Perturbation)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", b"x = ", "{path}: not TOML ("),
        ("a.json", b"{", "{path}: not JSON ("),
        ("a.json", b"[" * 100_000, "{path}: not JSON ("),
        ("a.json", b"\xff\xfe", "{path}: cannot be read ("),
        ("a.json", b'{"steps": 1}', "{path}.steps: got 1, takes a list of at most 200 steps"),
        ("a.toml", b"preset = 1979-05-27", "{path}.preset: got datetime.date(1979, 5, 27), "),
        ("missing.json", None, "{path}: cannot be read ("),
    ],
)
def test_a_file_that_holds_no_perturbation(tmp_path: Path, name, content, message) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidParameterError) as caught:
        load_perturbation(path)
    assert str(caught.value).startswith(message.format(path=path))


def test_a_step_names_its_place_when_units_are_not_there() -> None:
    dead = {"kind": "dead_units", "unit_ids": [-5]}
    asked = {"steps": [*steps(0)["steps"], {"at_seconds": 1, "transforms": [NOISE, dead]}]}
    with pytest.raises(InvalidParameterError) as caught:
        make_perturber(asked)
    assert str(caught.value).startswith("perturbation.steps[1].transforms[1].unit_ids: got -5, ")
    assert Perturber.__doc__
