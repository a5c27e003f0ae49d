"""What the machine was doing meanwhile: a busy one makes every figure larger."""

from __future__ import annotations

import os
import platform

import psutil
import trio


class HostMeter:
    """CPU that the host took away, and that other processes used, since it was made."""

    def __init__(self) -> None:
        self._began = psutil.cpu_times()

    def shares(self) -> dict[str, float]:
        """Of all CPUs: `steal`, taken away by the host, and `busy`, used by anybody here."""
        now = psutil.cpu_times()
        spent = {name: getattr(now, name) - getattr(self._began, name) for name in now._fields}
        # guest is part of user.
        total = sum(s for name, s in spent.items() if not name.startswith("guest"))
        if total <= 0:
            return {"steal": 0.0, "busy": 0.0}
        steal = spent.get("steal", 0.0)
        idle = spent["idle"] + spent.get("iowait", 0.0)
        return {"steal": steal / total, "busy": (total - steal - idle) / total}


def machine() -> dict[str, object]:
    """What it is, in general words."""
    return {
        "cpus": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "trio": trio.__version__,
    }
