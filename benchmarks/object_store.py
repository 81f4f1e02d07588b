"""One pass over a store on an S3 server behind a slow network, against what requests, bytes and bandwidth foretell.

moto serves the store on this machine; a proxy before it holds every request back for a while (the time to the first
byte) and passes no more bytes a second than each connection, and the network, is given. The model of
`docs/scale.md` is that a pass takes the longest of

- bytes / bandwidth of the network,
- requests x (time to the first byte + bytes of a request / bandwidth of a connection) / requests at a time.

Prints, for several sizes of chunks and numbers of threads, both terms, the time measured and their ratio. A ratio of 1
is the model; the rest is Python's: of neurointerp, of zarr, of s3fs and of the server itself on the same cores.

    python benchmarks/object_store.py --mb 48
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import numpy as np
import s3fs
from moto.server import ThreadedMotoServer

import neurointerp as ni
from neurointerp.store import chunks
from neurointerp.streaming import rows_of

UNITS = 512
PIECE = 2**14
"""Bytes that are passed on at a time."""


@dataclass
class Network:
    """What the proxy lets through, and what it has counted."""

    first_byte: float
    of_connection: float
    of_all: float
    requests: int = 0
    sent: int = 0
    free: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def counted(self) -> tuple[int, int]:
        """Give the requests and bytes since the last call."""
        found = self.requests, self.sent
        self.requests = self.sent = 0
        return found


async def relay(network: Network, server: tuple[str, int], client_in: Any, client_out: Any) -> None:
    """Pass requests on after their wait, and answers at the speeds there are."""
    server_in, server_out = await asyncio.open_connection(*server)
    ready = asyncio.Event()

    async def ask() -> None:
        while data := await client_in.read(2**16):
            if data.split(b" ", 1)[0] in (b"GET", b"HEAD", b"PUT", b"POST"):
                network.requests += 1
                await asyncio.sleep(network.first_byte)
            server_out.write(data)
            await server_out.drain()
        ready.set()
        server_out.close()

    async def answer() -> None:
        own = 0.0
        while data := await server_in.read(PIECE):
            now = time.monotonic()
            network.free = max(now, network.free) + len(data) / network.of_all
            own = max(now, own) + len(data) / network.of_connection
            await asyncio.sleep(max(network.free, own) - now)
            network.sent += len(data)
            client_out.write(data)
            await client_out.drain()
        client_out.close()

    await asyncio.gather(ask(), answer(), return_exceptions=True)


def proxy(network: Network, server: tuple[str, int]) -> int:
    """Serve in a thread of its own, and give the port."""
    loop, port = asyncio.new_event_loop(), list[int]()

    async def serve() -> None:
        listening = await asyncio.start_server(lambda i, o: relay(network, server, i, o), "127.0.0.1", 0)
        port.append(listening.sockets[0].getsockname()[1])

    loop.run_until_complete(serve())
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return port[0]


def stored(folder: Path, megabytes: float, chunk: float, fs: Any) -> str:
    """Write a recording in chunks of so many MiB, and copy it to the bucket."""
    chunks.CHUNK_BYTES = int(chunk * 2**20)
    samples = int(megabytes * 1e6 / (4 * UNITS))
    values = np.random.default_rng(0).standard_normal((samples, UNITS)).astype(np.float32)
    rec = ni.recording(values, modality="activations", units="1", time=np.arange(samples))
    path = ni.save(rec, folder / f"{chunk:g}.zarr", overwrite=True)
    for file in filter(Path.is_file, path.rglob("*")):
        fs.pipe_file(f"bucket/{path.name}/{file.relative_to(path).as_posix()}", file.read_bytes())
    return f"s3://bucket/{path.name}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=float, default=48)
    parser.add_argument("--first-byte", type=float, default=0.1, help="seconds")
    parser.add_argument("--connection", type=float, default=8, help="MB/s of one connection")
    parser.add_argument("--network", type=float, default=24, help="MB/s of all")
    options = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    network = Network(options.first_byte, options.connection * 1e6, options.network * 1e6)
    slow = {"endpoint_url": f"http://127.0.0.1:{proxy(network, server.get_host_and_port())}"}
    fs = s3fs.S3FileSystem(endpoint_url="http://{}:{}".format(*server.get_host_and_port()))
    fs.mkdir("bucket")
    print(f"{options.mb:g} MB; first byte {options.first_byte:g} s, {options.connection:g} MB/s a connection, "
          f"{options.network:g} MB/s in all")  # fmt: skip
    print("chunk MiB  threads  requests  MB     network s  requests s  measured s  measured / model")
    with tempfile.TemporaryDirectory() as folder:
        for chunk in (0.25, 1.0, 4.0):
            url = stored(Path(folder), options.mb, chunk, fs)
            for threads in (1, 4, 16):
                rec = ni.open(url, storage_options=slow)
                network.counted()
                rows = rec.encoding.get("chunks", rec.variable.encoding.get("chunks"))[0]
                begun = time.perf_counter()
                with dask.config.set(scheduler="threads", num_workers=threads):
                    assert not rows_of(rec.chunk({"time": rows})).about.missing.any()
                took = time.perf_counter() - begun
                requests, sent = network.counted()
                bandwidth = sent / network.of_all
                each = options.first_byte + sent / requests / network.of_connection
                waiting = requests * each / min(threads, requests)
                print(f"{chunk:9g}  {threads:7d}  {requests:8d}  {sent / 1e6:5.1f}  {bandwidth:9.2f}  {waiting:10.2f}  "
                      f"{took:10.2f}  {took / max(bandwidth, waiting):16.2f}")  # fmt: skip
    server.stop()


if __name__ == "__main__":
    main()
