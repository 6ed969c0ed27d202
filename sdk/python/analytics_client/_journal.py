"""The on-disk queue: what was tracked and isn't settled, as lines in a few files.

A line is a number and an event as JSON, or `-` and the numbers of events that are
settled. Lines are only appended, in files of a few MiB, of which the oldest is deleted
when nothing in it is unsettled any more. What was written survives the end of the process, however it
ends; nothing is synced, so that it need not survive the end of the machine.
"""

from __future__ import annotations

import json
import os
from typing import Dict, Iterable, List, NamedTuple, Tuple

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from .errors import QueueDirError

FILE_BYTES = 4 << 20

# An empty queue's file is emptied from this size on.
_WORTH_EMPTYING = 64 << 10


class Key(NamedTuple):
    """Where an event is kept."""

    file: int
    number: int


class Journal:
    """An on-disk queue, which this process alone may use. The caller has the lock."""

    def __init__(self, directory: str) -> None:
        """Open the queue in a folder, which is made if it isn't there.

        Raises QueueDirError when another process uses it, or when it can't be used.
        """
        self._directory = directory
        self._unsettled: Dict[int, int] = {}  # events by the number of their file
        self._file = -1
        self._file_number = 0
        self._size = 0
        self._number = 0  # the last event's
        self._is_torn = False  # the file may end within a line
        if fcntl is None:
            raise QueueDirError("queue_dir needs file locks as POSIX has them, which this system lacks")
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            self._lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise QueueDirError(f"queue_dir {directory!r} can't be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise QueueDirError(
                f"queue_dir {directory!r} is in use by another client: give each process a folder of its own"
            ) from error

    def recover(self) -> Tuple[List[Tuple[Key, bytes]], int]:
        """Return what isn't settled, the oldest first, and how many lines can't be read."""
        events: Dict[int, Tuple[Key, bytes]] = {}
        unreadable = 0
        try:
            for file_number in self._files():
                self._file_number = file_number
                self._unsettled[file_number] = 0
                with open(self._path(file_number), "rb") as file:
                    for line in file:
                        try:
                            self._read(line.strip(), events)
                        except (ValueError, RecursionError):
                            unreadable += 1
        except OSError as error:
            raise QueueDirError(f"queue_dir {self._directory!r} can't be read: {error.strerror}") from error
        for key, _ in events.values():
            self._unsettled[key.file] += 1
        self._delete_settled()
        return list(events.values()), unreadable

    def _read(self, line: bytes, events: Dict[int, Tuple[Key, bytes]]) -> None:
        """Apply a line. Raises ValueError if it can't be read: a crash tore it."""
        if not line:
            return
        head, _, rest = line.partition(b" ")
        if head == b"-":
            for number in map(int, rest.split()):
                self._number = max(self._number, number)
                events.pop(number, None)
            return
        number = int(head)
        if not isinstance(json.loads(rest), dict):
            raise ValueError("no event")
        self._number = max(self._number, number)
        events[number] = (Key(self._file_number, number), rest)

    def append(self, data: bytes) -> Key:
        """Write an event. Raises OSError."""
        if self._file < 0 or self._size > FILE_BYTES:
            self._next_file()
        self._number += 1
        self._write(b"%d %s" % (self._number, data))
        self._unsettled[self._file_number] += 1
        return Key(self._file_number, self._number)

    def settle(self, keys: Iterable[Key]) -> None:
        """Note that events need not be sent again. Raises OSError.

        After an error they are sent again at the next start, and recognised.
        """
        settled = list(keys)
        for key in settled:
            self._unsettled[key.file] -= 1
        if self._file < 0:
            self._next_file()
        if self._size > _WORTH_EMPTYING and not any(self._unsettled.values()):
            self._delete_settled()
            os.ftruncate(self._file, 0)
            self._size = 0
            return
        self._write(b"- " + b" ".join(b"%d" % key.number for key in settled))
        self._delete_settled()

    def close(self) -> None:
        """Let another process have the folder. An empty queue leaves no files."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if not any(self._unsettled.values()):
            for number in self._files():
                os.unlink(self._path(number))
        os.close(self._lock)

    def abandon(self) -> None:
        """In a forked child: leave the queue to the parent, whose lock stays."""
        if self._file >= 0:
            os.close(self._file)
        os.close(self._lock)

    def _write(self, line: bytes) -> None:
        line = (b"\n" if self._is_torn else b"") + line + b"\n"
        self._is_torn = True
        written = os.write(self._file, line)
        self._size += written
        if written < len(line):
            raise OSError("the disk took only a part of the line")
        self._is_torn = False

    def _next_file(self) -> None:
        number = self._file_number + 1
        file = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._file_number, self._size, self._is_torn = file, number, 0, False
        self._unsettled[number] = 0

    def _delete_settled(self) -> None:
        """Delete files from the oldest on, but never one before an older one.

        What a file says of the events in older ones is needed for as long as these.
        """
        for number in sorted(self._unsettled):
            if self._unsettled[number] > 0 or number == self._file_number and self._file >= 0:
                break
            os.unlink(self._path(number))
            del self._unsettled[number]

    def _files(self) -> List[int]:
        names = (name[: -len(".ndjson")] for name in os.listdir(self._directory) if name.endswith(".ndjson"))
        return sorted(int(name) for name in names if name.isdigit())

    def _path(self, number: int) -> str:
        return os.path.join(self._directory, f"{number:012d}.ndjson")
