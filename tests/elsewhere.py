"""The command as on a system that lacks what Linux has: `python -m tests.elsewhere serve ...`.

Before our package is imported, what Windows does not have is taken away: functions and constants of
`os`, modules that only Unix has, the C library by ctypes; and `sys.platform` says win32. Other
packages are imported before: they are to go on as on Linux, only we are elsewhere.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import warnings

NOT_ON_WINDOWS = (
    *("pread", "preadv", "pwrite", "fork", "geteuid", "getuid", "getpgid", "killpg", "fchmod"),
    *("sched_setscheduler", "sched_setaffinity", "sched_getaffinity", "sched_param", "sched_yield"),
    *("timerfd_create", "timerfd_settime_ns", "eventfd", "memfd_create", "posix_fadvise"),
    *("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "SCHED_FIFO", "SCHED_OTHER"),
)
UNIX_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty")
OTHERS = (
    *("asyncio", "http.server", "multiprocessing", "platform", "tempfile", "concurrent.futures"),
    *("h11", "h5py", "hypercorn.trio", "msgpack", "numpy.random", "platformdirs", "psutil"),
    *("prometheus_client", "pylsl", "quart_trio", "rich.console", "trio"),
    *("trio_websocket", "rich.progress", "rich.table", "pythonjsonlogger"),
)


def take_away() -> None:
    """From here on this process is not on Linux, as far as our package can see."""
    slow = ("pynwb",) if "synth" in sys.argv else ()
    for name in (*OTHERS, *slow):
        importlib.import_module(name)
    # platformdirs asks when it is used.
    platformdirs = sys.modules["platformdirs"]
    cache_dir = platformdirs.user_cache_path("phantomlink")
    platformdirs.user_cache_path = lambda *_, **__: cache_dir
    for name in UNIX_MODULES:
        sys.modules[name] = None  # type: ignore[assignment] - to import it is an error now
    for name in NOT_ON_WINDOWS:
        if hasattr(os, name):
            delattr(os, name)

    def no_library(*_: object, **__: object) -> None:
        raise TypeError("bad argument type for built-in operation")  # as CDLL(None) there

    ctypes.CDLL = no_library  # type: ignore[assignment,misc]
    sys.platform = "win32"
    # Asked for by PYTHONWARNDEFAULTENCODING: a text file that is opened in the locale's encoding.
    warnings.filterwarnings("error", category=EncodingWarning, module=r"phantomlink\.")


if __name__ == "__main__":
    take_away()
    from phantomlink.cli import main

    sys.exit(main())
