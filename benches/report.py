#!/usr/bin/env python3
"""Makes README.md's table and speed.svg from the latest record of each task.

    python report.py --results results

Records of another size than medium are shown only with --size. Needs only the standard library.
"""
import argparse
import json
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).parent
BEGIN, END = "<!-- results: written by report.py -->", "<!-- end of results -->"
QUESTIONS = {
    "item-random": "One row per call, at random, dense",
    "item-sequential": "One row per call, in order, dense",
    "batch-dense": "512 rows per call, at random, dense",
    "batch-csr": "512 rows per call, at random, CSR (the other loader: dense)",
    "csr-exact": "Epoch, CSR, equal genes, exact shuffle",
    "csr-blocks": "Epoch, CSR, equal genes, shuffled in blocks of 256",
    "csr-exact-256mib": "Epoch, CSR, exact shuffle within 256 MiB",
    "csr-exact-512mib": "Epoch, CSR, exact shuffle within 512 MiB",
    "csr-later-1024mib": "Later epochs of one loader, CSR, exact shuffle within 1 GiB",
    "csr-later-512mib": "Later epochs of one loader, CSR, exact shuffle within 512 MiB",
    "csr-cache-first-256mib": "Epoch with an empty cache folder, CSR, exact shuffle within 256 MiB",
    "csr-cache-later-256mib": "Epoch with a filled cache folder, CSR, exact shuffle within 256 MiB",
    "dense-later-1024mib": "Later epochs of one loader, dense, inner join, exact shuffle within 1 GiB",
    "dense-exact": "Epoch, dense, inner join, exact shuffle",
    "dense-blocks": "Epoch, dense, inner join, shuffled in blocks of 256",
    "dense-weighted": "Epoch of weighted draws with replacement, dense, inner join",
    "open": "Opening the collection (times per second)",
    "python-item-random": "Python: one row per call, at random, dense",
    "python-item-sequential": "Python: one row per call, in order, dense",
    "python-dataloader-0-ours": "Python: torch's DataLoader without workers, dense, `collate_fn=mapped_anndata.collate`",
    "python-dataloader-0-torch": "Python: torch's DataLoader without workers, dense",
    "python-dataloader-2-ours": "Python: torch's DataLoader with two workers, dense, `collate_fn=mapped_anndata.collate`",
    "python-dataloader-2-torch": "Python: torch's DataLoader with two workers, dense",
    "python-csr-exact": "Python: epoch, CSR tensors, equal genes, exact shuffle",
    "python-csr-blocks": "Python: epoch, CSR tensors, equal genes, shuffled in blocks of 256",
    "python-dense-exact": "Python: epoch, dense tensors, inner join, exact shuffle",
    "python-dense-blocks": "Python: epoch, dense tensors, inner join, shuffled in blocks of 256",
}
FORMATS = {
    "csr_none": "h5ad",
    "csr_gzip": "h5ad gzip",
    "csr_lzf": "h5ad lzf",
    "zarr2": "zarr v2 lz4",
    "zarr3": "zarr v3 zstd",
    "annbatch": "annbatch's collection",
    "log1p_gzip": "h5ad gzip, log1p float64",
    "int64_gzip": "h5ad gzip, int64 indices",
    "dense_none": "h5ad dense",
    "dense_gzip": "h5ad dense gzip",
    "many": "1,000 h5ad files of 20 cells",
}


def latest(results, size):
    """The newest record of each task, in the order of names."""
    records = {}
    for path in sorted(results.glob("*-*-*-*.json")):
        record = json.loads(path.read_text())
        if record.get("size") == size:
            records[record["task"]] = record
    return records


def short(number):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def most(record, side, field, form):
    values = [answer.get(field) for answer in record["repetitions"][side] if answer.get(field) is not None]
    return form(max(values)) if values else "-"


def table(records):
    lines = []
    for question, title in QUESTIONS.items():
        of_question = [record for record in records.values() if record["task"].split(".")[0] == question]
        if not of_question:
            continue
        lines += [f"\n### {title}\n"]
        lines += ["| format | against | ours | theirs | ratio (range) | same data | first batch, s | peak RSS, MB | date |"]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        for record in of_question:
            _, format, rival = record["task"].split(".")
            ours, theirs = (short(record["median"][side]) for side in ("ours", "rival"))
            low, high = min(record["ratios"]), max(record["ratios"])
            clean, of = record["clean_repetitions"], len(record["ratios"])
            mark = "" if clean == of else f" ({of - clean} of {of} disturbed)"
            equal = {True: "yes", False: "**no**", None: "-"}[record.get("equal")]
            first = " / ".join(most(record, side, "first_batch_seconds", lambda s: f"{s:.2g}") for side in ("ours", "rival"))
            own = record.get("check", {}).get("ours", {}).get("peak_own_bytes")
            memory = " / ".join(most(record, side, "peak_rss_bytes", lambda n: f"{n / 1e6:.0f}") for side in ("ours", "rival"))
            memory = memory if own is None else f"{own / 1e6:.0f} / {memory.partition(' / ')[2]}"
            lines.append(
                f"| {FORMATS[format]} | {rival} | {ours} | {theirs} | **{record['ratio']:.3g}** ({low:.3g} to {high:.3g}){mark} "
                f"| {equal} | {first} | {memory} | {record['date']} |"
            )
    if not lines:
        return "\nNothing measured yet.\n"
    machine = next(reversed(records.values()))["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    head = (
        f"\n{machine['processors']} x {machine['processor']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
        f"rustc {machine['rustc']}; {versions}. Rows per second unless the title says otherwise; medians.\n"
    )
    return head + "\n".join(lines) + "\n"


def bars(records, ceiling, output):
    """For each format: best epoch of ours, annbatch's in the same run, the ceiling."""
    found = {}
    for record in records.values():
        question, format, rival = record["task"].split(".")
        if question in (f"{output}-exact", f"{output}-blocks") and rival == "annbatch":
            if format not in found or found[format]["median"]["ours"] < record["median"]["ours"]:
                found[format] = record
    rows = []
    for format in FORMATS:
        if format in found:
            top = ceiling.get("formats", {}).get(format, {}).get(f"{output}_rows_per_second", {}).get("two_threads")
            rows.append((FORMATS[format], found[format]["median"]["ours"], found[format]["median"]["rival"], top))
    return rows


def plot(records, ceiling):
    """Horizontal bars, a panel for CSR and one for dense, each with its own axis."""
    left, width, out = 190, 520, []
    y = 28
    for title, output in (("CSR batches", "csr"), ("dense batches, joined genes", "dense")):
        rows = bars(records, ceiling, output)
        if not rows:
            continue
        scale = width / (1.1 * max(max(ours, theirs) for _, ours, theirs, _ in rows))
        out.append(f'<text x="{left}" y="{y}" font-weight="bold">Epoch of {title}, rows per second</text>')
        y += 12
        for label, ours, theirs, top in rows:
            out.append(f'<text x="{left - 8}" y="{y + 20}" text-anchor="end">{escape(label)}</text>')
            for offset, value, colour in ((2, ours, "#2b6cb0"), (17, theirs, "#a0aec0")):
                out.append(f'<rect x="{left}" y="{y + offset}" width="{value * scale:.1f}" height="13" fill="{colour}"/>')
                out.append(f'<text x="{left + value * scale + 5:.1f}" y="{y + offset + 11}" font-size="11">{short(value)}</text>')
            if top and top * scale <= width:
                x = left + top * scale
                out.append(f'<path d="M{x:.1f} {y}v32" stroke="#c53030" stroke-width="2"/>')
            if top:
                out.append(f'<text x="{left + width + 60}" y="{y + 20}" font-size="11" fill="#c53030">{short(top)}</text>')
            y += 40
        y += 34
    if not out:
        return None
    key = (
        f'<rect x="{left}" y="{y - 14}" width="13" height="13" fill="#2b6cb0"/><text x="{left + 18}" y="{y - 3}">this workspace</text>'
        f'<rect x="{left + 140}" y="{y - 14}" width="13" height="13" fill="#a0aec0"/>'
        f'<text x="{left + 158}" y="{y - 3}">annbatch, on its own converted copy</text>'
        f'<path d="M{left + 425} {y - 16}v16" stroke="#c53030" stroke-width="2"/>'
        f'<text x="{left + 433}" y="{y - 3}">decoding ceiling, 2 threads</text>'
    )
    size = f'width="{left + width + 120}" height="{y + 12}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *out, key, "</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--size", default="medium")
    parser.add_argument("--readme", type=Path, help="puts the table between its marks, instead of printing it")
    options = parser.parse_args()
    records = latest(options.results, options.size)
    path = options.results / "ceiling.json"
    svg = plot(records, json.loads(path.read_text()) if path.exists() else {})
    if svg:
        (options.results / "speed.svg").write_text(svg)
    text = table(records)
    if options.readme is None:
        print(text)
        return
    readme = options.readme.read_text()
    before, after = readme.split(BEGIN)[0], readme.split(END)[1]
    options.readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
