"""The pages for people: the dashboard and `/docs`. Nothing in them comes from another server."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from phantomlink.errors import NotFoundError

# Of `/docs`: browsers enforce that nothing comes from elsewhere. Swagger UI has styles inline.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HERE = Path(__file__).parent
_SWAGGER_PACKAGE = "flask_swagger_ui"
_ASSET_TYPES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


@cache
def docs_page() -> str:
    """Swagger UI over `/openapi.json`."""
    return (_HERE / "docs.html").read_text(encoding="utf-8")


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
