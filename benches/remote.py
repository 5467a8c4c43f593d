"""Times collections on a server: `python benches/remote.py --data DIR --binary PATH`.

With `--rivals PYTHON`, that Python, which has annbatch, fsspec and aiohttp, reads from the same server
by `remote_rivals.py`; annbatch its own collection, which lies in `DIR/annbatch/collection.zarr`
(`generate.py` writes it) and needs consolidated metadata.

The server runs on loopback: it answers each request after 20 ms, sends 100 MB/s in all, and fails a
part of the requests if that is asked for. What is measured is printed as JSON.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LATENCY, RATE = 0.02, 100e6


class Link(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()
    lock = threading.Lock()
    free = 0.0
    failing = 0.0
    requests = 0
    n_bytes = 0

    def setup(self):
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # no delay of small answers

    def log_message(self, *_):
        pass

    def do_GET(self):
        time.sleep(LATENCY)
        with Link.lock:
            Link.requests += 1
        path = Link.folder / self.path.split("?")[0].lstrip("/")
        if random.random() < Link.failing:
            return self.answer(503, b"")
        if not path.is_file():
            return self.answer(404, b"")
        size, changed = path.stat().st_size, path.stat().st_mtime_ns
        headers = {"ETag": f'"{size}-{changed}"'}
        found = re.match(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        start, end = 0, size
        if found:
            first, last = found.groups()
            start, end = (int(first), min(int(last) + 1, size)) if first else (size - int(last), size)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        with open(path, "rb") as file:
            file.seek(start)
            body = file.read(end - start)
        with Link.lock:
            Link.n_bytes += len(body)
            now = time.monotonic()
            Link.free = max(now, Link.free) + len(body) / RATE
            wait = Link.free - now
        time.sleep(wait)
        self.answer(206 if found else 200, body, **headers)

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def counted(run):
    """Runs something; returns its seconds, and the requests and bytes that it took."""
    Link.requests = Link.n_bytes = 0
    started = time.monotonic()
    result = run()
    seconds = round(time.monotonic() - started, 3)
    return {"seconds": seconds, "requests": Link.requests, "bytes": Link.n_bytes, **(result or {})}


def anonymous(pid):
    """The bytes of a process's own memory, without files that it maps; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s*(\d+)", status)
    return int(found.group(1)) * 1024 if found else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of .h5ad files")
    parser.add_argument("--binary", default="target/release/mapped-anndata")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rivals", metavar="PYTHON")
    args = parser.parse_args()
    files = sorted(args.data.glob("*.h5ad"))
    Link.folder = args.data
    server = Server(("127.0.0.1", 0), Link)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    urls = [f"{host}/{path.name}" for path in files]
    hundred = [f"{urls[number % len(urls)]}?part={number}" for number in range(100)]
    total = sum(path.stat().st_size for path in files)

    def command(*words):
        words = [args.binary, *map(str, words), "--json"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            own = 0
            while run.poll() is None:
                own = max(own, anonymous(run.pid))
                time.sleep(0.01)
            told, error = run.communicate()
        if run.returncode:
            sys.exit(error)
        return {**json.loads(told.splitlines()[-1]), "own_bytes": own}

    def opened(urls, cache, *more):
        return counted(lambda: command("info", *urls, "--cache", cache, *more) and None)

    def epoch(paths, *more):
        def run():
            told = command("stream", *paths, "--shuffle", "exact", *more)
            return {"told": told}

        return counted(run)

    results = {"files": len(files), "bytes of the files": total, "date": time.strftime("%Y-%m-%d")}
    with tempfile.TemporaryDirectory() as folder:
        fresh = iter(os.path.join(folder, str(number)) for number in range(1000))

        def several(run):
            return [run() for _ in range(args.runs)]

        cache = next(fresh)
        results["open one, cold"] = several(lambda: opened(urls[:1], next(fresh)))
        opened(urls[:1], cache)
        results["open one, again"] = several(lambda: opened(urls[:1], cache))
        results["open one, again, not asked"] = opened(urls[:1], cache, "--no-revalidate")
        cache = next(fresh)
        results["open 100, cold"] = opened(hundred, cache)
        results["open 100, again"] = opened(hundred, cache)
        cache = next(fresh)
        results["first epoch"] = several(lambda: epoch(urls, "--cache", next(fresh)))
        epoch(urls, "--cache", cache)
        results["second epoch"] = several(lambda: epoch(urls, "--cache", cache))
        local = next(fresh)
        epoch(files, "--cache", local)
        results["second epoch, local"] = several(lambda: epoch(files, "--cache", local))
        results["first epoch, local"] = several(lambda: epoch(files, "--cache", next(fresh)))

        def download():
            for path in files:
                fetch = ["curl", "-s", "-o", f"{folder}/{path.name}", f"{host}/{path.name}"]
                subprocess.run(fetch, check=True)
            command("stream", *(f"{folder}/{path.name}" for path in files), "--shuffle", "exact")

        results["download, then an epoch"] = several(lambda: counted(download))
        Link.failing = 0.05
        results["first epoch, 5 % of requests fail"] = several(
            lambda: epoch(urls, "--cache", next(fresh))
        )
        Link.failing = 0.0

        def ranks():
            cache = next(fresh)
            words = ["stream", *urls, "--shuffle", "exact", "--cache", cache]
            started = [
                subprocess.Popen(
                    [args.binary, *words, "--rank", str(rank), "--world-size", "3"],
                    stdout=subprocess.DEVNULL,
                )
                for rank in range(3)
            ]
            assert all(rank.wait() == 0 for rank in started)

        results["three ranks, one folder"] = several(lambda: counted(ranks))

        def rival(name, urls):
            def run():
                words = [args.rivals, Path(__file__).with_name("remote_rivals.py"), name, *urls]
                told = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
                return {"told": json.loads(told)}

            return counted(run)

        if args.rivals:
            datasets = sorted((args.data / "annbatch/collection.zarr").glob("dataset_*"))
            collection = [f"{host}/{path.relative_to(args.data)}" for path in datasets]
            results["annbatch, an epoch of its own collection"] = several(
                lambda: rival("annbatch", collection)
            )
            results["anndata over fsspec, one file read whole"] = several(
                lambda: rival("anndata", urls[:1])
            )
            results["anndata over fsspec, random rows"] = several(lambda: rival("anndata-rows", urls))
    for name, runs in results.items():
        if isinstance(runs, list):
            middle = statistics.median(run["seconds"] for run in runs)
            print(f"{name}: {middle} s", file=sys.stderr)
    json.dump(results, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
