"""UUIDs of version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import time


def uuid7() -> str:
    """Return a new UUID: 48 bits of milliseconds, then 74 random bits.

    The random bits are the operating system's: neither random.seed() nor a fork makes
    two processes count the same.
    """
    millis = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    number = (
        (millis & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (random >> 62 & 0xFFF) << 64
        | 0b10 << 62
        | (random & 0x3FFF_FFFF_FFFF_FFFF)
    )
    h = f"{number:032x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
