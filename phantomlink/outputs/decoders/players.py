"""The built-in decoders of one session: what has left waits for them, and they decode it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import trio
from numpy.typing import NDArray

from phantomlink.evaluation.feed import DecoderError
from phantomlink.outputs.decoders.client_input import GivenAnswer
from phantomlink.outputs.decoders.player import Player
from phantomlink.outputs.decoders.playheads import PlayheadKey
from phantomlink.scheduling.loop_budget import LoopBudget
from phantomlink.scoring import Scoreboard, SentPacket
from phantomlink.wire.packet import Packet, Velocity

logger = logging.getLogger(__name__)


class Players:
    """Built-in decoders by name; one caller at a time has them decode."""

    def __init__(self) -> None:
        self._players: dict[str, Player] = {}
        # A decoder that is being fitted again is waited for: nobody else decodes meanwhile.
        self._decoding = trio.Lock()

    def __len__(self) -> int:
        return len(self._players)

    @property
    def by_name(self) -> Mapping[str, Player]:
        """The decoders."""
        return MappingProxyType(self._players)

    def add(self, player: Player) -> None:
        """Let a decoder play along from the next packet on."""
        self._players[player.name] = player

    def discard(self, name: str) -> Player | None:
        """A decoder stops at once; the decoder, if there was one of this name."""
        player = self._players.pop(name, None)
        if player is not None:
            player.stop()
        return player

    def sent(
        self, key: PlayheadKey, packet: SentPacket, counts: NDArray[np.uint16], *, is_taught: bool
    ) -> None:
        """A packet has left; see `Player.sent`."""
        for player in self._players.values():
            player.sent(key, packet, counts, is_taught=is_taught)

    async def decode(
        self,
        board: Scoreboard,
        budget: LoopBudget,
        tell: Callable[[GivenAnswer], None] | None = None,
        on_wait: Callable[[], None] | None = None,
    ) -> None:
        """Decode what has left.

        Args:
            board: that the decoders answer on.
            budget: of the loop.
            tell: told of every answer.
            on_wait: called before a decoder is fitted again, which takes a while.
        """
        async with self._decoding:
            for player in list(self._players.values()):
                try:
                    await player.decode(board, budget, tell, on_wait)
                except DecoderError as error:
                    logger.warning("Decoder %s stops: %s", player.name, error)
                    self.discard(player.name)
                    board.disconnect(player)

    def velocities(self, packet: Packet) -> dict[str, Velocity]:
        """What each decoder has said of a packet of the unfiltered playhead; None: nothing yet."""
        return {
            name: player.velocity(packet.sequence_number) for name, player in self._players.items()
        }
