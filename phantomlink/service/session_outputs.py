"""The outputs of sessions: which a session is made with, and whether it may have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phantomlink.engine.output import Output, OutputKind
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import is_private
from phantomlink.errors import InvalidParameterError, SessionDiffersError


class SessionOutputs:
    """Makes the outputs of sessions.

    Args:
        kinds: that each session has.
    """

    def __init__(self, kinds: Sequence[OutputKind[Session]]) -> None:
        self._kinds = tuple(kinds)

    async def prepare(self) -> None:
        """Import what outputs need; before any is made."""
        for kind in self._kinds:
            await kind.prepare()

    def make(self, code: str | None, wanted: Mapping[str, bool]) -> tuple[Output[Session], ...]:
        """The outputs of a session that is about to be made."""
        has_secret = code is not None and is_private(code)
        return tuple(
            kind.output(
                is_wanted=wanted.get(kind.name, kind.is_default)
                and not (has_secret and kind.publishes_code)
            )
            for kind in self._kinds
        )

    def check_offered(self, wanted: Mapping[str, bool]) -> None:
        """Whether the server has all that are asked for.

        Raises:
            InvalidParameterError: it has not.
        """
        missing = {name for name, is_wanted in wanted.items() if is_wanted}
        missing -= {kind.name for kind in self._kinds}
        for name in sorted(missing):
            raise InvalidParameterError(
                f"{name}: got true, takes false: this server was started without such outputs"
            )

    def check_private(self, wanted: Mapping[str, bool]) -> None:
        """Whether none is asked for that would tell the code of a private session.

        Raises:
            InvalidParameterError: one is.
        """
        for kind in self._kinds:
            if kind.publishes_code and wanted.get(kind.name, False):
                raise InvalidParameterError(
                    f"{kind.name}: got true for a private session, takes false: {kind.label} "
                    "tell their code"
                )

    def check_same(self, session: Session, wanted: Mapping[str, bool]) -> None:
        """Whether a session was made with the outputs that are asked for.

        Raises:
            SessionDiffersError: it was not.
        """
        labels = {kind.name: kind.label for kind in self._kinds}
        for output in session.outputs:
            if wanted.get(output.kind, output.is_wanted) != output.is_wanted:
                was = "with" if output.is_wanted else "without"
                raise SessionDiffersError(
                    f"{output.kind}: got {str(wanted[output.kind]).lower()}, but session "
                    f"{session.code!r} was made {was} {labels[output.kind]}; delete it first, or "
                    "take another code"
                )
