"""Every route of the server, in the order in which the document shows them."""

from __future__ import annotations

from phantomlink.rest.document import document_route
from phantomlink.rest.route import Route
from phantomlink.rest.routes import (
    captures,
    control,
    datasets,
    decoders,
    metrics,
    models,
    nodes,
    pages,
    perturbation,
    recording,
    server,
    sessions,
    stats,
    streams,
    tickets,
    timing,
    views,
)

ROUTES: tuple[Route, ...] = (
    *sessions.ROUTES,
    *timing.ROUTES,
    *perturbation.ROUTES,
    *control.ROUTES,
    *decoders.ROUTES,
    *models.ROUTES,
    *captures.ROUTES,
    *recording.ROUTES,
    *datasets.ROUTES,
    *server.ROUTES,
    *nodes.ROUTES,
    *tickets.ROUTES,
    *metrics.ROUTES,
    *stats.ROUTES,
    *streams.ROUTES,
    *views.ROUTES,
    *pages.ROUTES,
    document_route(lambda: ROUTES),
)
