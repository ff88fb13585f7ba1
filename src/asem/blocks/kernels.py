"""Compiled kernels in threads: each takes all cores, and numba may not bear two at a time.

Not all of its threading layers do; one of them ends the process. A thread that calls a kernel
beside other threads holds `KERNELS`.
"""

import threading

KERNELS = threading.Lock()
