"""Test a decoder against a live stream, in CI as on a laptop.

pip install './wheels/phantomlink-0.1.0-py3-none-any.whl[testing]'
pytest test_decoder.py
"""

import numpy as np
import pytest

from phantomlink.client import collect, connect


class Ridge:
    """The decoder under test: yours would be imported."""

    bins_back, strength = 8, 1000.0

    def fit(self, counts, velocity):
        rows = np.array([self._row(counts[: n + 1]) for n in range(len(counts))])
        gram = rows.T @ rows + self.strength * np.eye(rows.shape[1])
        self.weights = np.linalg.solve(gram, rows.T @ velocity)

    def reset(self):
        self.recent = []

    def step(self, counts):
        self.recent = [*self.recent, counts][-self.bins_back :]
        return self._row(self.recent) @ self.weights

    def _row(self, counts):
        """Counts of the last bins together, and a one for the offset."""
        return np.append(np.sum(counts[-self.bins_back :], axis=0), 1.0)


@pytest.fixture(scope="session")
def decoder(phantomlink_server):
    training = collect(phantomlink_server.url, trials=range(14), speed=50)
    decoder = Ridge()
    decoder.fit(training.X, training.Y[:, :2])
    return decoder


def r2(truth, predicted):
    return 1 - np.sum((truth - predicted) ** 2) / np.sum((truth - truth.mean(axis=0)) ** 2)


def play(session, decoder, n_packets):
    """Velocities, true and predicted, of so many packets of trials, from trial 14 on."""
    session.seek(trial_id=14)
    decoder.reset()
    truth, predicted = [], []
    with connect(session=session, decoder="ridge") as stream:
        for packet in stream:
            if not packet.is_next_bin:
                decoder.reset()
            vx, vy = decoder.step(packet.counts)
            stream.predict(packet, vx, vy)
            if packet.trial_id is None:
                continue  # between trials there is nothing to decode
            truth.append(packet.velocity)
            predicted.append((vx, vy))
            if len(truth) == n_packets:
                return np.array(truth), np.array(predicted)


@pytest.mark.phantomlink(speed=20)
def test_it_decodes_trials_that_it_has_not_seen(phantomlink_session, decoder):
    truth, predicted = play(phantomlink_session, decoder, 400)
    assert r2(truth, predicted) > 0.2


@pytest.mark.phantomlink(speed=20, perturbation="extreme", seed=7)
def test_it_keeps_going_on_a_failing_implant(phantomlink_session, decoder):
    _, predicted = play(phantomlink_session, decoder, 400)
    assert np.isfinite(predicted).all()
