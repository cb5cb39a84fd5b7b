"""Gives a reader of files mutations of a valid one: whatever it is given, it must raise an InputError or give a value.

python -m experiments.fuzz READER [--seconds 60] [--seed 0]

With the package atheris (`pip install atheris`, Linux and macOS), code coverage guides the mutations; without it, they
are random. The file on which a reader fails is kept, and its path is printed.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

with atheris.instrument_imports(include=["jaxattn"]) if atheris else contextlib.nullcontext():
    from experiments.fuzz.readers import READERS, mutations
    from jaxattn.errors import InputError


def check(reader, content, path):
    """Whether a reader accepts the contents; errors other than InputError are raised, and the file is kept."""
    path.write_bytes(reader.pack(content, path))
    try:
        reader.read(path)
        return True
    except InputError as error:
        assert "\n" not in str(error), f"more than one line: {error}"
        return False
    except BaseException:
        print(f"kept in {path}", file=sys.stderr)
        raise


def follow(reader, content, path, seconds, seed):
    corpus = Path(tempfile.mkdtemp())
    (corpus / "valid").write_bytes(content)
    flags = [f"-max_total_time={seconds}", f"-seed={seed + 1}", "-rss_limit_mb=4096", "-timeout=20", str(corpus)]
    atheris.Setup([sys.argv[0], *flags], lambda data: check(reader, data, path) and None)
    atheris.Fuzz()  # ends the process


def draw(reader, content, path, seconds, seed):
    ends, count, read = time.monotonic() + seconds, 0, 0
    for mutation in mutations(content, seed):
        if time.monotonic() > ends:
            break
        count, read = count + 1, read + check(reader, mutation, path)
    print(f"{count:,} files, {read:,} of them read, the others refused in one line")


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    reader = READERS[args.reader]
    path = reader.write(Path(tempfile.mkdtemp(prefix=f"fuzz-{args.reader}-")))
    content = path.read_bytes()
    if not check(reader, content, path):
        raise SystemExit("the valid file is refused")
    (follow if atheris else draw)(reader, content, path, args.seconds, args.seed)


if __name__ == "__main__":
    main()
