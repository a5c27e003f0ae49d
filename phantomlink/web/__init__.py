"""The pages for people: `/` and `/docs`. Nothing in them comes from another server."""

from __future__ import annotations

import html
import importlib.util
from functools import cache
from pathlib import Path

from phantomlink import __version__
from phantomlink.errors import NotFoundError
from phantomlink.service.service import Service

# Browsers enforce what the pages promise: no outside assets.
CONTENT_SECURITY_POLICY = (
    "default-src 'self' 'unsafe-inline' data:; connect-src 'self' ws: wss:; "
    "base-uri 'none'; frame-ancestors 'none'"
)

_HERE = Path(__file__).parent
_SWAGGER_PACKAGE = "flask_swagger_ui"
_ASSET_TYPES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


def landing_page(service: Service, websocket_base: str) -> str:
    """What this is, what it plays, how to connect.

    Args:
        service: the running service.
        websocket_base: how the client called the server, as the beginning of a WebSocket URL.

    Raises:
        UnavailableError: no recording is open.
    """
    recording, grid = service.recording, service.bins.grid
    kind = "synthetic recording" if recording.info.is_synthetic else "recording"
    return _filled(
        "index.html",
        version=__version__,
        base=websocket_base,
        dataset=recording.dataset,
        kind=kind,
        description=recording.info.session_description,
        units=f"{len(recording.unit_ids):,}",
        seconds=f"{grid.duration_seconds:,.1f}",
        trials=f"{len(recording.trials):,}",
        rate=f"{float(service.rate_hz):g}",
        bin=f"{grid.bin_size_ms:g}",
    )


@cache
def docs_page() -> str:
    """Swagger UI over `/openapi.json`."""
    return _filled("docs.html", version=__version__)


@cache
def docs_asset(name: str) -> tuple[Path, str]:
    """A file of Swagger UI and its media type. Blocks the first time.

    Raises:
        NotFoundError: the page has no such file.
    """
    if name not in _ASSET_TYPES:
        raise NotFoundError(f"no file {name!r}; the page has {', '.join(_ASSET_TYPES)}")
    # Found, not imported: the package would bring Flask in.
    spec = importlib.util.find_spec(_SWAGGER_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("flask-swagger-ui is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "dist"
    return folder / name, _ASSET_TYPES[name]


def _filled(name: str, **values: str) -> str:
    page = _text(name)
    for key, value in values.items():
        page = page.replace("{{" + key + "}}", html.escape(value))
    return page


@cache
def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
