"""Natural English that Debian ships: WordNet's glosses and Jane Austen's six novels.

Packages are fetched with `apt-get download` and unpacked with `dpkg -x`: no root, nothing installed.
"""

import re
import struct
import subprocess
import zlib
from pathlib import Path

PACKAGES = ("wordnet-base", "r-cran-janeaustenr")


def unpacked(cache: Path) -> Path:
    """The folder with both packages unpacked, fetched first if it is not there. Raises RuntimeError where it cannot."""
    root = cache / "root"
    if root.is_dir():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=cache, check=True)
        for package in PACKAGES:
            file = max(cache.glob(f"{package}_*.deb"))
            subprocess.run(["dpkg", "-x", file.name, "unpacking"], cwd=cache, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(
            f"the corpus needs two Debian packages, and they cannot be had here ({error}). On a Debian or Ubuntu "
            f"machine (or container) run: apt-get download {' '.join(PACKAGES)}; then dpkg -x each .deb into {root}"
        ) from error
    return (cache / "unpacking").rename(root)


def wordnet(root: Path) -> list[tuple[str, str, str]]:
    """(word, part of speech, gloss) of every WordNet entry, as `("apple", "noun", "fruit with red ...")`."""
    entries = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in (root / f"usr/share/wordnet/data.{part}").read_text("utf-8", "replace").splitlines():
            if line.startswith(" ") or " | " not in line:
                continue  # the licence at the top
            fields, gloss = line.split(" | ", 1)
            word = re.sub(r"\(\w+\)$", "", fields.split()[4]).replace("_", " ")
            entries.append((word, part, gloss.strip()))
    return entries


def austen(root: Path) -> list[str]:
    """Paragraphs of the six novels, in order. The package keeps them in R's lazy-load database: a zlib
    stream per object, each inside it R's serialised character vector."""
    data = (root / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    paragraphs, at = [], 0
    while at + 4 < len(data):
        decoder = zlib.decompressobj()
        raw = decoder.decompress(data[at + 4 :])  # 4 bytes of length before each stream
        at = len(data) - len(decoder.unused_data)
        lines = strings(raw)
        if len(lines) > 1000:
            text = "\n".join(lines)
            paragraphs += [" ".join(p.split()) for p in re.split(r"\n\s*\n", text)]
    return [p for p in paragraphs if len(p) > 60]


def strings(raw: bytes) -> list[str]:
    """The character strings of an R serialisation (XDR): flags 0x..09, length, bytes; -1 stands for NA."""
    found, at = [], 0
    while (at := raw.find(b"\x00\x09", at)) != -1:  # a CHARSXP header is 00 0f 00 09 with encoding bits
        length = struct.unpack(">i", raw[at + 2 : at + 6])[0] if at + 6 <= len(raw) else -1
        if at >= 2 and raw[at - 2] == 0 and 0 <= length < 500 and at + 6 + length <= len(raw):
            found.append(raw[at + 6 : at + 6 + length].decode("utf-8", "replace"))
            at += 6 + length
        else:
            at += 1
    return found


def nouns(entries) -> list[str]:
    """Plain lower-case single-word nouns, for names of tables, columns and things."""
    plain = (w for w, part, _ in entries if part == "noun" and re.fullmatch(r"[a-z]{3,9}", w))
    return list(dict.fromkeys(plain))
