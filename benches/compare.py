#!/usr/bin/env python3
"""Runs `bench` and another loader in turns, checks that both deliver the same, and writes it down.

    python compare.py --bench TARGET/release/bench --python VENV/bin/python --data DIR/medium

Both programs stay open and take turns, so that a slow minute of the machine meets both. First each
answers a check (checksum.py): for rows by index the same rows in the same order, for an epoch the
same set of rows. Then they are timed; a repetition while other processes used the processor is
repeated. Writes <results>/<date>-<task>.json and prints a line a task; report.py makes the table.
Needs only the standard library.
"""
import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
# Processors' worth of work by other processes above which a repetition counts as disturbed.
DISTURBED = 0.15
PACKAGES = "torch lamindb-core annbatch scDataset bionemo-scdl anndata h5py zarr zarrs numpy scipy numba".split()


class Task:
    """One comparison: arguments of `bench` against those of `rivals.py`. Those of ours may begin
    with `python`, for `rivals.py`, and those of the rival with `bench`. `check` is `sequence` (equal rows in equal order), `set` or None,
    over so many rows (0 for an epoch); `metric` is the number that is compared."""

    def __init__(self, name, genes, format, ours, rival, rival_format=None, check="set", rows=0, metric="rows_per_second"):
        self.name, self.genes, self.format = name, genes, format
        self.ours, self.rival, self.rival_format = ours, rival, rival_format or format
        self.check, self.rows, self.metric = check, rows, metric

    def seconds(self, side, options):
        """The most a repetition takes: an epoch of ours must be whole for its look-ahead to count."""
        if not re.match("stream|python ours-(data)?loader", self.ours) or options.seconds < 3:
            return options.seconds
        return 20 if side == "ours" or self.rival.startswith("bench") else 10

    def command(self, side, options):
        arguments = (self.ours if side == "ours" else self.rival).split()
        folder = options.data / self.genes
        if arguments[0] == "python" or side == "rival" and arguments[0] != "bench":
            where = ["--data", str(folder), "--format", self.format if side == "ours" else self.rival_format]
            return [options.python, str(HERE / "rivals.py"), *arguments[arguments[0] == "python" :], *where]
        arguments = [argument.replace("{cache}", options.cache) for argument in arguments]
        format = self.format if side == "ours" else self.rival_format
        pattern = "collection.zarr/dataset_*" if format == "annbatch" else "part_*"
        paths = sorted(str(path) for path in (folder / format).glob(pattern))
        if not paths:
            raise RuntimeError(f"no files in {folder / format}: run generate.py")
        return [options.bench, *arguments[arguments[0] == "bench" :], "--serve", *paths]

    def folders(self, options):
        folder = options.data / self.genes
        return {folder / self.format, folder / self.rival_format}


def tasks():
    """Every comparison, by name `question.format.rival`."""
    for format in ["csr_none", "csr_gzip", "csr_lzf", "zarr2", "zarr3", "dense_none", "dense_gzip"]:
        same = {"rival": "lamindb-items", "check": "sequence", "rows": 1024}
        yield Task(f"item-random.{format}.lamindb", "overlap", format, "items", **same)
        yield Task(f"batch-dense.{format}.lamindb", "overlap", format, "get-batch", **same)
        yield Task(f"batch-csr.{format}.lamindb", "overlap", format, "get-batch --output csr", **same)
    for format in ["csr_none", "csr_gzip"]:
        yield Task(
            f"item-sequential.{format}.lamindb", "overlap", format, "items --order sequential",
            "lamindb-items --order sequential", check="sequence", rows=1024,
        )
        yield Task(f"open.{format}.lamindb", "overlap", format, "open", "lamindb-open", check=None, metric="opens_per_second")
    # A thousand files keep lamindb for minutes.
    yield Task("open.many.lamindb", "same", "many", "open", "lamindb-open", check=None, metric="opens_per_second")

    # Epochs. annbatch reads the collection that it wrote, at its README's setting and at its best.
    prepared = {"annbatch": "annbatch", "annbatch-best": "annbatch --chunk 512 --preload 32"}
    others = {"scdataset": "scdataset", "annloader": "annloader"}
    csr, dense = "stream --output csr", "stream --output dense"
    exact, blocks = "--order exact --memory-mib 1024", "--order blocks:256 --memory-mib 1024"
    for format, order in [("csr_none", exact), ("csr_gzip", exact), ("log1p_gzip", exact), ("csr_gzip", blocks), ("csr_lzf", blocks),
                          ("zarr2", blocks), ("zarr3", blocks), ("annbatch", blocks), ("int64_gzip", blocks), ("log1p_gzip", blocks)]:
        kind = "exact" if order == exact else "blocks"
        for name, rival in prepared.items():
            # The collection holds counts, so that log1p values cannot be compared with it.
            check = None if format == "log1p_gzip" else "set"
            yield Task(f"csr-{kind}.{format}.{name}", "same", format, f"{csr} {order}", f"{rival} --output csr", "annbatch", check)
    for format in ["csr_none", "csr_gzip", "log1p_gzip"]:
        for name, rival in others.items():
            yield Task(f"csr-exact.{format}.{name}", "same", format, f"{csr} {exact}", f"{rival} --output csr")
    yield Task("csr-blocks.zarr3.annbatch-zarr3", "same", "zarr3", f"{csr} {blocks}", "annbatch --output csr")
    yield Task("csr-exact.csr_none.scdl", "same", "csr_none", f"{csr} {exact}", "scdl --output csr")
    for format, order in [("csr_none", exact), ("csr_gzip", exact), ("csr_gzip", blocks)]:
        kind = "exact" if order == exact else "blocks"
        for name, rival in prepared.items():
            yield Task(f"dense-{kind}.{format}.{name}", "overlap", format, f"{dense} {order}", rival, "annbatch")
    for format in ["csr_none", "csr_gzip"]:
        lamindb = {f"lamindb-{workers}": f"lamindb-loader --workers {workers}" for workers in (0, 2)}
        for name, rival in (lamindb | others).items():
            yield Task(f"dense-exact.{format}.{name}", "overlap", format, f"{dense} {exact}", rival)
        for name, rival in lamindb.items():
            ours, rival = f"{dense} --sampler weighted --memory-mib 1024", f"{rival} --sampler weighted"
            yield Task(f"dense-weighted.{format}.{name}", "overlap", format, ours, rival, "csr_none", None)
        one = f"bench {csr} {blocks} --workers 1"
        yield Task(f"csr-blocks.{format}.one-thread", "same", format, f"{csr} {blocks} --workers 2", one)

    for mib in (256, 512):
        for format in ["csr_none", "csr_gzip", "log1p_gzip"]:
            small = f"{csr} --order exact --memory-mib {mib}"
            check = None if format == "log1p_gzip" else "set"
            yield Task(f"csr-exact-{mib}mib.{format}.annbatch", "same", format, small, "annbatch --output csr", "annbatch", check)

    # Later epochs of one loader: rows that the first epoch packed are read from memory.
    later = [("csr", "same", "csr_gzip", 1024), ("csr", "same", "csr_gzip", 512), ("csr", "same", "log1p_gzip", 1024),
             ("csr", "same", "zarr3", 1024), ("dense", "overlap", "csr_gzip", 1024)]
    for output, genes, format, mib in later:
        ours = f"stream --output {output} --order exact --memory-mib {mib} --epochs later"
        rival = "annbatch --output csr" if output == "csr" else "annbatch"
        check = None if format == "log1p_gzip" else "set"
        yield Task(f"{output}-later-{mib}mib.{format}.annbatch", genes, format, ours, rival, "annbatch", check)

    # With a cache folder: first epochs begin with an empty one.
    for epochs in ("first", "later"):
        for format in ("csr_gzip", "zarr3", "log1p_gzip"):
            ours = f"{csr} --order exact --memory-mib 256 --cache {{cache}} --epochs {epochs}"
            check = None if format == "log1p_gzip" else "set"
            yield Task(f"csr-cache-{epochs}-256mib.{format}.annbatch", "same", format, ours, "annbatch --output csr", "annbatch", check)
    # Dense rows of packs beside dense rows of uncompressed files.
    ours, rival = f"{dense} --order exact --memory-mib 1024 --epochs later", f"bench {dense} --order exact --memory-mib 1024"
    yield Task("dense-later-1024mib.dense_gzip.uncompressed", "same", "dense_gzip", ours, rival, "dense_none")

    # The Python package: items and DataLoaders beside lamindb's, loaders beside annbatch and beside Rust.
    for format in ["csr_none", "csr_gzip", "zarr3"]:
        for order in ("random", "sequential"):
            ours, same = f"python ours-items --order {order}", {"check": "sequence", "rows": 1024}
            yield Task(f"python-item-{order}.{format}.lamindb", "overlap", format, ours, f"lamindb-items --order {order}", **same)
        yield Task(f"python-item-random.{format}.rust", "overlap", format, "python ours-items", "bench items", **same)
    for workers in (0, 2):
        for collate in ("ours", "torch"):
            ours = f"python ours-dataloader --workers {workers} --collate {collate}"
            name = f"python-dataloader-{workers}-{collate}.csr_none.lamindb"
            yield Task(name, "overlap", "csr_none", ours, f"lamindb-loader --workers {workers}")
    # Rows of compressed chunks are read from packs after the first pass.
    name, ours = "python-dataloader-0-ours.csr_gzip.lamindb", "python ours-dataloader --workers 0 --collate ours"
    yield Task(name, "overlap", "csr_gzip", ours, "lamindb-loader --workers 0")
    python = "python ours-loader --output"
    for format, order, shuffle, rival in [
        ("csr_none", exact, "exact", "annbatch"), ("csr_gzip", exact, "exact", "annbatch"), ("csr_gzip", blocks, "blocks:256", "annbatch"),
        ("annbatch", blocks, "blocks:256", "annbatch"), ("zarr3", blocks, "blocks:256", "zarr3"),
    ]:
        kind, ours = shuffle.partition(":")[0], f"{python} csr --shuffle {shuffle}"
        yield Task(f"python-csr-{kind}.{format}.annbatch", "same", format, ours, "annbatch --output csr", rival)
        yield Task(f"python-csr-{kind}.{format}.rust", "same", format, ours, f"bench {csr} {order}")
    for format, order, shuffle in [("csr_none", exact, "exact"), ("csr_gzip", exact, "exact"), ("csr_gzip", blocks, "blocks:256")]:
        kind, ours = shuffle.partition(":")[0], f"{python} dense --shuffle {shuffle}"
        yield Task(f"python-dense-{kind}.{format}.annbatch", "overlap", format, ours, "annbatch", "annbatch")
        yield Task(f"python-dense-{kind}.{format}.rust", "overlap", format, ours, f"bench {dense} {order}")


class Program:
    """A program that answers lines."""

    def __init__(self, command):
        self.command = command
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        os.set_blocking(self.process.stderr.fileno(), False)
        self.ready = self.answer()

    def answer(self):
        while line := self.process.stdout.readline():
            if line.startswith("{"):  # some loaders print progress
                return json.loads(line)
        self.process.wait()
        raise RuntimeError((self.process.stderr.read() or "no answer").strip()[-2000:])

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def cpu(self):
        """Seconds of processor time so far, ended children's too."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def busy():
    """Seconds of processor time of the whole machine."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def timed(program, other, seed, seconds):
    """A repetition, and how many processors others used meanwhile."""
    before, own, start = busy(), program.cpu() + other.cpu(), time.perf_counter()
    answer = program.ask("time", seed, seconds)
    wall = time.perf_counter() - start
    foreign = (busy() - before) - (program.cpu() + other.cpu() - own)
    return answer | {"foreign_processors": round(max(0.0, foreign) / max(wall, 0.01), 3)}


def warm(folders):
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                with open(path, "rb", buffering=0) as file:
                    while file.read(1 << 24):
                        pass


def compare(task, options):
    warm(task.folders(options))
    ours, rival = Program(task.command("ours", options)), None
    try:
        rival = Program(task.command("rival", options))
        record = {"task": task.name, "size": options.data.name, "genes": task.genes, "format": task.format}
        record |= {"date": datetime.date.today().isoformat(), "metric": task.metric, "machine": options.machine}
        sides = {"ours": ours, "rival": rival}
        record["commands"] = {"ours": task.ours, "rival": task.rival, "rival_format": task.rival_format}
        record["ready"] = {side: program.ready for side, program in sides.items()}
        if task.check and options.check:
            record["check"] = {side: program.ask("check", 1, task.rows) for side, program in sides.items()}
            a, b = record["check"].values()
            record["equal"] = all(a[key] == b[key] for key in ("rows", task.check))
        else:
            for side, program in sides.items():
                program.ask("time", 1, task.seconds(side, options))
        repetitions = {"ours": [], "rival": []}
        for seed in range(2, 2 + 2 * options.reps):
            for side in ("ours", "rival") if seed % 2 else ("rival", "ours"):
                other = sides["rival" if side == "ours" else "ours"]
                repetitions[side].append(timed(sides[side], other, seed, task.seconds(side, options)))
            clean = [
                all(repetitions[side][k]["foreign_processors"] <= DISTURBED for side in sides)
                for k in range(len(repetitions["ours"]))
            ]
            if sum(clean) >= options.reps:
                break
        # Pairs of repetitions, the least disturbed ones if too few were not disturbed.
        order = sorted(
            range(len(clean)),
            key=lambda k: (not clean[k], max(repetitions[side][k]["foreign_processors"] for side in sides)),
        )
        kept = sorted(order[: options.reps])
        record["clean_repetitions"] = sum(clean[k] for k in kept)
        record["repetitions"] = {side: [repetitions[side][k] for k in kept] for side in sides}
    finally:
        for program in filter(None, (ours, rival)):
            program.close()
    speeds = {side: [answer[task.metric] for answer in record["repetitions"][side]] for side in sides}
    record["median"] = {side: statistics.median(values) for side, values in speeds.items()}
    record["ratio"] = record["median"]["ours"] / record["median"]["rival"]
    record["ratios"] = [mine / its for mine, its in zip(*speeds.values())]
    return record


def machine(python):
    """Processor, memory, kernel and versions."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1])
    script = "import importlib.metadata as m, json, sys; print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"
    versions = subprocess.run([python, "-c", script, *PACKAGES], capture_output=True, text=True, check=True)
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    return {
        "processor": cpu[1] if cpu else platform.processor(),
        "processors": os.cpu_count(),
        "memory_gib": round(memory / 2**20, 1),
        "kernel": platform.release(),
        "rustc": rustc.stdout.split()[1],
        "versions": json.loads(versions.stdout),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="names the tasks")
    parser.add_argument("--bench", default="target/release/bench")
    parser.add_argument("--python", default=sys.executable, help="of the environment of requirements.txt")
    parser.add_argument("--data", type=Path, default=Path("target/bench-data/medium"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--only", default="", help="tasks whose name matches this pattern")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of a repetition")
    parser.add_argument("--no-check", dest="check", action="store_false", help="trust that both deliver the same")
    options = parser.parse_args()
    chosen = [task for task in tasks() if re.search(options.only, task.name)]
    if options.list:
        print("\n".join(task.name for task in chosen))
        return
    options.machine = machine(options.python)
    options.results.mkdir(parents=True, exist_ok=True)
    failed = False
    for task in chosen:
        cache = tempfile.TemporaryDirectory(prefix="bench-cache-")
        options.cache = cache.name
        try:
            record = compare(task, options)
        except (RuntimeError, OSError) as error:
            print(f"{task.name}: FAILED: {error}", flush=True)
            failed = True
            continue
        finally:
            cache.cleanup()
        path = options.results / f"{record['date']}-{task.name}.json"
        path.write_text(json.dumps(record, indent=1) + "\n")
        verdict = {True: "equal", False: "DIFFERENT", None: "not checked"}[record.get("equal")]
        failed |= record.get("equal") is False
        print(
            f"{task.name}: {record['median']['ours']:,.5g} against {record['median']['rival']:,.5g}, "
            f"{record['ratio']:.2f}x ({min(record['ratios']):.2f} to {max(record['ratios']):.2f}), {verdict}, "
            f"{record['clean_repetitions']} of {options.reps} undisturbed",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
