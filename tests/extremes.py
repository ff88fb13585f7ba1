"""Numbers that nobody means, and what is left of a process that has to bear them."""

import resource
import signal
from contextlib import contextmanager

NUMBERS = (
    "0", "-1", "-0.0", "1e-300", "1e300", "nan", "inf", "-inf", str(10**9), str(2**31),
    str(2**63), "9" * 400, "9" * 5000, "1e400", "", " ", "1,2", "0x10", "1_000", "\u0663",
    "x" * 10_000,
)  # fmt: skip
TRIPLES = (
    *NUMBERS, "5,5", "0,0,0", "-1,5,5", "5,nan,5", "5,5,inf", "1e300,5,5", "1e-300,5,5",
    "1e300,1e300,1e300", "1e-300,1e-300,1e-300", "9" * 400 + ",5,5", "5," * 5000, "5,5,5,5",
)  # fmt: skip
BOXES = (
    *NUMBERS, "5:1,:,:", ":,:", "::2,:,:", ":,:,:,:", "-1:,:,:", f":,:{10**30},:", f"{2**63}:,:,:",
    f"0:{'9' * 400},:,:", ":," * 5000, " " * 100_000, "0:1e3,:,:", "0:nan,:,:", "0:0,:,:",
    "\u0660:\u0661,:,:",
)  # fmt: skip
MOST_BYTES = 4 * 2**30
SECONDS = 20
LONGEST_LINE = 400


@contextmanager
def bounded(most_bytes=MOST_BYTES):
    """Let the body take so much more memory and so much time, or raise MemoryError, TimeoutError.

    That is for code that would never end; how long it takes says nothing.
    """

    def stop(number, frame):
        raise TimeoutError

    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
