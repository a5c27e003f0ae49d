"""By which a session's owner and a node that plays it too know each other. Pure."""

from __future__ import annotations


def ticket_of(node: str, epoch: int, number: int) -> str:
    """A ticket that no other wish of any node has.

    Args:
        node: name of the one that is to play the session too.
        epoch: of it.
        number: of its wishes.
    """
    return f"{node} {epoch} {number}"


def node_of(ticket: str) -> str:
    """The name of the node that a ticket is of."""
    return ticket.rpartition(" ")[0].rpartition(" ")[0]
