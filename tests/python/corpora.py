"""Real text in many languages and scripts, from Debian's packages; nothing is installed.

The packages are fetched into ``$CITADEL_ZOO_DIR`` (by default ``build/zoo``), with ``apt-get download`` and
``dpkg-deb``, which need no root. Manuals come as plain text, translations of programs as .mo files.
"""

from __future__ import annotations

import functools
import gzip
import os
import re
import subprocess
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("CITADEL_ZOO_DIR", ROOT / "build" / "zoo"))

MANUALS = {
    "en": ("debian-reference-en", "debian-reference/debian-reference.en.txt.gz"),
    "de": ("debian-reference-de", "debian-reference/debian-reference.de.txt.gz"),
    "fr": ("debian-reference-fr", "debian-reference/debian-reference.fr.txt.gz"),
    "es": ("debian-reference-es", "debian-reference/debian-reference.es.txt.gz"),
    "ja": ("debian-reference-ja", "debian-reference/debian-reference.ja.txt.gz"),
    "zh": ("debian-reference-zh-cn", "debian-reference/debian-reference.zh-cn.txt.gz"),
    "vi": ("maint-guide-vi", "doc/maint-guide-vi/maint-guide.vi.txt.gz"),
    "ru": ("maint-guide-ru", "doc/maint-guide-ru/maint-guide.ru.txt.gz"),
    "ko": ("debian-faq-ko", "doc/debian/FAQ/debian-faq.ko.txt.gz"),
}
TRANSLATIONS = ("evolution-common", "libgtk-3-common")
# Greek, Hebrew, Arabic, Persian, Hindi, Bengali, Tamil, Telugu, Gujarati, Panjabi, Malayalam, Kannada, Thai,
# Georgian, Chinese, Japanese and Korean; Cyrillic and Latin alphabets with their marks.
LANGUAGES = [
    "el",
    "he",
    "ar",
    "fa",
    "hi",
    "bn_IN",
    "ta",
    "te",
    "gu",
    "pa",
    "ml",
    "kn",
    "th",
    "ka",
    "zh_CN",
    "zh_TW",
    "ja",
    "ko",
]
LANGUAGES += [
    "ru",
    "uk",
    "bg",
    "sr",
    "kk",
    "vi",
    "tr",
    "pl",
    "cs",
    "hu",
    "pt_BR",
    "fi",
    "sv",
    "it",
    "lt",
    "ro",
    "eu",
]


def fetched(package: str) -> Path:
    """The unpacked files of a Debian package."""
    place = FOLDER / "debian" / package
    if not place.is_dir():
        downloads = FOLDER / "debian" / "archives"
        downloads.mkdir(parents=True, exist_ok=True)
        download = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package]
        if subprocess.run(download, cwd=downloads).returncode != 0:
            subprocess.run(["apt-get", "update", "-qq"], check=True)
            subprocess.run(download, cwd=downloads, check=True)
        archive = max(downloads.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
        unpacked = place.with_name(f".{package}.{os.getpid()}")
        subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
        unpacked.rename(place)
    return place


def manual(language: str) -> str:
    package, path = MANUALS[language]
    with gzip.open(fetched(package) / "usr" / "share" / path, "rt", encoding="utf-8") as file:
        return file.read()


def translated(language: str) -> str:
    """What programs say in a language: one message a line or, as the messages have it, several."""
    messages = []
    for package in TRANSLATIONS:
        folder = fetched(package) / "usr" / "share" / "locale" / language / "LC_MESSAGES"
        for path in sorted(folder.glob("*.mo")):
            with path.open("rb") as file:
                catalogue = GNUTranslations(file)._catalog
            messages += [text for key, text in sorted(catalogue.items(), key=str) if key != ""]
    return re.sub(r"</?[a-zA-Z][^<>]*>", "", "\n".join(messages))


def kept(name: str, make, language: str) -> str:
    """Reading 60 catalogues takes ten seconds, reading their texts none."""
    path = FOLDER / "texts" / f"{name}.txt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(make(language), encoding="utf-8", newline="")
        new.rename(path)
    return path.read_bytes().decode()


@functools.cache
def files() -> dict[str, str]:
    """Every text of the corpora by its name."""
    found = {f"manual-{code}": kept(f"manual-{code}", manual, code) for code in MANUALS}
    found |= {f"messages-{code}": kept(f"messages-{code}", translated, code) for code in LANGUAGES}
    return found


def documents(name: str, size: int = 600) -> Iterator[str]:
    """A file cut at line ends into pieces of about `size` bytes; a longer line stays whole."""
    piece, length = [], 0
    for line in files()[name].splitlines(keepends=True):
        piece.append(line)
        length += len(line.encode())
        if length >= size:
            yield "".join(piece)
            piece, length = [], 0
    if piece:
        yield "".join(piece)


@functools.cache
def everything() -> tuple[str, ...]:
    return tuple(text for name in files() for text in documents(name))


@functools.cache
def sample(every: int, offset: int = 0) -> tuple[str, ...]:
    """Each `every`-th document, so that all languages are in it."""
    return everything()[offset::every]


def english() -> list[str]:
    return list(documents("manual-en"))
