import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.rest.routes.metrics import Form, choose_form

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.3,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form.JSON),
        ("*/*", Form.JSON),
        (BROWSER, Form.JSON),
        ("application/json, text/plain, */*", Form.JSON),
        ("text/html", Form.JSON),
        ("application/json", Form.JSON),
        ("text/plain", Form.PROMETHEUS),
        ("TEXT/Plain ; Version=0.0.4", Form.PROMETHEUS),
        ("text/*", Form.PROMETHEUS),
        ("text/plain, */*", Form.PROMETHEUS),
        ("text/plain;q=0.5, */*;q=0.8", Form.JSON),
        ("text/plain;q=0.9, application/json;q=0.8", Form.PROMETHEUS),
        ("text/plain;q=0.8, application/json;q=0.9", Form.JSON),
        ("text/plain;q=0", Form.JSON),
        ("application/openmetrics-text", Form.OPENMETRICS),
        ("text/plain, application/openmetrics-text", Form.OPENMETRICS),
        ("text/plain, application/openmetrics-text;q=0.5", Form.PROMETHEUS),
        (PROMETHEUS_2, Form.OPENMETRICS),
        (PROMETHEUS_3, Form.PROMETHEUS),
        ("text/plain;q=nan", Form.JSON),
        ("text/plain;q=7, application/json;q=0.1", Form.JSON),
        (";;,,/,=q;q=", Form.JSON),
    ],
)
def test_the_form_that_is_asked_for(accept, form):
    assert choose_form(accept) is form


@given(st.text(max_size=200))
def test_whatever_is_asked_there_is_an_answer(accept):
    assert choose_form(accept) in Form
