"""A process that saves a store over and over and is killed: `test_store_faults.py` starts it and reads what is left.

It warms up once and forks for each save, so that fifty kills take seconds. Each line on stdin is
`number seconds calls`: save content `number` and kill the save after that many seconds, or end it just before that
many-and-first call that makes, renames or removes a file; -1 for never.
"""

import os
import signal
import sys
import tempfile
import time

import numpy as np

import neurointerp as ni
from neurointerp.store import staging

WATCHED = ("os.mkdir", "os.rename", "os.rmdir", "shutil.rmtree", "ctypes.dlsym")


def content(number, samples):
    """Give a recording whose every value, and length, tells its number."""
    samples += samples // 4 * (number % 3)
    values = np.full((samples, 600), number, np.float32)
    return ni.recording(values, modality="activations", units="1", time=np.arange(samples), name=f"r{number}")


def end_before(calls):
    """End this process before the given number (from 0) of watched calls."""

    def count(event, args):
        nonlocal calls
        if event in WATCHED:
            calls -= 1
            if calls < 0:
                os._exit(9)

    sys.addaudithook(count)


def main(path, samples, exchange):
    """Serve the lines of stdin: each is answered with the seconds the save took, and how it ended."""
    if exchange == "no":
        staging.exchange = lambda *names: False
    with tempfile.TemporaryDirectory() as folder:
        ni.save(content(0, 10), folder + "/warm.zarr")
    for line in sys.stdin:
        number, seconds, calls = (kind(text) for kind, text in zip((int, float, int), line.split(), strict=True))
        rec = content(number, int(samples))
        child = os.fork()
        if not child:
            if calls >= 0:
                end_before(calls)
            ni.save(rec, path, overwrite=True)
            os._exit(0)
        start = time.perf_counter()
        if seconds >= 0:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        sys.stdout.write(f"{time.perf_counter() - start} {status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
