"""The level of the log: that of the settings, or the one that operators have put in its place in all processes."""

from __future__ import annotations

import logging
import mmap

import structlog

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class LevelLogger(structlog.BoundLoggerBase):
    """The class of all loggers. `LogLevel` sets its methods: those below the level do nothing.

    A logger that is in use keeps its class, so another class for another level would have no effect on it.
    """


class LogLevel:
    """The level of this process, and the one that counts in all processes that are forked from it.

    A byte of memory that they share has the level that was put. It outlasts each of them, and a reload of the settings.
    """

    def __init__(self) -> None:
        self._put = mmap.mmap(-1, 1)  # 0: none was put
        self._configured = LEVELS[1]
        self.name = ""
        """The level that is in force in this process."""

    def configure(self, name: str) -> None:
        """Put the level *name* of the settings in force, unless another one was put."""
        self._configured = name
        self.apply()

    def put(self, name: str) -> None:
        """Put the level *name* in force, here at once, and in each of the other processes when it calls `apply`."""
        self._put[0] = LEVELS.index(name) + 1
        self.apply()

    def apply(self) -> bool:
        """Put the level that counts in force. Return whether that is a change."""
        number = self._put[0]
        name = LEVELS[number - 1] if number else self._configured
        if name == self.name:
            return False
        self.name, level = name, logging.getLevelNamesMapping()[name]
        for method_name, method in vars(structlog.make_filtering_bound_logger(level)).items():
            if not method_name.startswith("__"):
                setattr(LevelLogger, method_name, method)
        logging.getLogger().setLevel(max(level, logging.WARNING))
        return True


LOG_LEVEL = LogLevel()
"""It is made when this module is imported, which is before the processes are forked."""
