"""Fill a mirror of WMT's archives with other German-English text, so that the whole recipe can be tried without WMT.

  mirror.py --data data/debian_de_en_full --output data/wmt14_mirror
  prepare.sh --mirror data/wmt14_mirror --checksums data/wmt14_mirror/checksums.json ...

The archives have WMT's names, members and formats; the text is that of DIR/raw/{train,valid,test}.{de,en}.
"""

import argparse
import gzip
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # for what the examples share

from wmt14.catalogue import ARCHIVES, CORPORA, LANGUAGES

CHECKSUMS = "checksums.json"
# Pairs of the real training corpora: the text is divided in their proportion. Validation text is halved.
REAL_PAIRS = {"europarl-v7": 1_920_209, "commoncrawl": 2_399_123, "news-commentary-v9": 201_288}
SEGMENTS = 20  # in a document


def divide(lines: Sequence, weights: Sequence[int]) -> list[Sequence]:
    """Consecutive parts of ``lines``, in the proportion of ``weights``."""
    total, parts, start, passed = sum(weights), [], 0, 0
    for weight in weights:
        passed += weight
        end = len(lines) * passed // total
        parts.append(lines[start:end])
        start = end
    return parts


def sgml(lines: Sequence[str], kind: str, name: str, language: str) -> str:
    """A test set in WMT's form: ``kind`` is src or ref."""
    head = f'setid="{name}" srclang="any"' + (f' trglang="{language}"' if kind == "ref" else "")
    text = [f"<{kind}set {head}>\n"]
    for start in range(0, len(lines), SEGMENTS):
        text.append(f'<doc sysid="{kind}" docid="{name}/{start // SEGMENTS + 1}" genre="text" origlang="de">\n<p>\n')
        for number, line in enumerate(lines[start : start + SEGMENTS], 1):
            text.append(f'<seg id="{number}">{escape(line, {chr(34): "&quot;"})}</seg>\n')
        text.append("</p>\n</doc>\n")
    return "".join([*text, f"</{kind}set>\n"])


def pack(path: Path, members: dict[str, str]) -> None:
    """Write a gzipped tar of texts; the same texts give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as stream,
        gzip.GzipFile(filename="", fileobj=stream, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for name, text in members.items():
            content = text.encode("utf-8")
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))


def make_mirror(raw: Path, output: Path) -> Path:
    """Write the archives into ``output`` from ``raw``/{train,valid,test}.{de,en}, and their sums; the sums' path."""
    members: dict[str, dict[str, str]] = {name: {} for name in ARCHIVES}
    for split in ("train", "valid", "test"):
        corpora = [corpus for corpus in CORPORA if corpus.split == split]
        weights = [REAL_PAIRS.get(corpus.name, 1) for corpus in corpora]
        for side, language in enumerate(LANGUAGES):
            lines = (raw / f"{split}.{language}").read_bytes().decode("utf-8").split("\n")[:-1]
            for corpus, part in zip(corpora, divide(lines, weights), strict=True):
                member = corpus.members[side]
                if split == "train":
                    text = "".join(line + "\n" for line in part)
                else:
                    text = sgml(part, "ref" if "-ref." in member else "src", corpus.name, language)
                members[corpus.archive][member] = text
    sums = {}
    for name, own in members.items():
        pack(output / name, own)
        content = (output / name).read_bytes()
        sums[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    checksums = output / CHECKSUMS
    checksums.write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")
    return checksums


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="mirror.py", description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what debian_de_en/prepare.sh wrote")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="gets wmt12/, wmt13/, wmt14/")
    options = parser.parse_args()
    try:
        checksums = make_mirror(options.data / "raw", options.output)
    except OSError as error:
        print(
            f"mirror.py: {error.filename or options.output}: {error.strerror}: --data is a folder that "
            "examples/debian_de_en/prepare.sh wrote, --output one to write to",
            file=sys.stderr,
        )
        return 1
    print(f"{len(ARCHIVES)} archives in {options.output}: prepare.sh --mirror {options.output} --checksums {checksums}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
