"""What the scripts that measure one feature share: their arguments, and how they write a record."""

import argparse
import json
from pathlib import Path


def parsed(description, runs_command=True):
    """The arguments of a script: data, the command if it runs it, the number of runs, and where the record goes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True)
    if runs_command:
        parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def write(record, path):
    """Print the record, and write it to the path if there is one."""
    text = json.dumps(record, indent=1)
    print(text)
    if path:
        path.write_text(text + "\n")
