"""Archives: what is in them, and what a stranger's may try."""

import gzip
import io
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bertspace.data import archives, tables
from bertspace.errors import DataError
from tests.support.data import tarred, written, zipped

FILES = {
    "b/two.csv": b"text\ntwo\n",
    "one.csv": b"text\none\n",
    ".hidden/x.csv": b"",
    "__MACOSX/._one.csv": b"",
}
Packed = Callable[[Path, Mapping[str, bytes]], Path]


both = pytest.mark.parametrize("packed", [zipped, tarred])


def refusal(place: Path) -> str:
    """What is said of an archive that is not read: when it is listed, or else when its files are."""
    with pytest.raises(DataError) as refused:
        archives.contents(place, archives.names(place))
    return str(refused.value)


@pytest.mark.parametrize("packed", [zipped, tarred, written])
def test_files_are_listed_and_read_without_hidden_ones(tmp_path: Path, packed: Packed) -> None:
    place = packed(tmp_path, FILES)
    assert archives.names(place) == ("b/two.csv", "one.csv")
    assert archives.contents(place, ["one.csv", "b/two.csv"]) == {
        "one.csv": b"text\none\n",
        "b/two.csv": b"text\ntwo\n",
    }


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_every_form_of_tar_gives_names_and_contents_of_any_length(tmp_path: Path, form: int) -> None:
    long = "/".join(["folder" * 8] * (2 if form == tarfile.USTAR_FORMAT else 9))
    files = {f"./{long}/a.txt": b"x" * 513, "naïve/é.txt": b"", "last.txt": b"y" * 1024}
    place = tarred(tmp_path, files, form)
    wanted = {name.removeprefix("./"): content for name, content in files.items()}
    assert archives.contents(place, archives.names(place)) == dict(sorted(wanted.items()))


def test_names_that_are_no_utf_8_are_read(tmp_path: Path) -> None:
    place = tmp_path / "odd.tar.gz"
    with tarfile.open(place, "w:gz", format=tarfile.GNU_FORMAT, encoding="latin-1") as file:
        file.addfile(tarfile.TarInfo("naïve.txt"), io.BytesIO())
    assert archives.names(place) == ("naïve.txt",)
    assert len(archives.names(zipped(tmp_path, {"日本.txt": b"", "é.txt": b""}))) == 2


@both
@pytest.mark.parametrize(
    "name", ["../out.csv", "a/../../out.csv", "/etc/out.csv", "..\\out.csv", "C:/out.csv"]
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, packed: Packed, name: str) -> None:
    said = refusal(packed(tmp_path, {"one.csv": b"text\none\n", name: b"text\nx\n"}))
    assert "a path that leads out of it" in said
    assert not list(tmp_path.parent.glob("out.csv"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    place = tmp_path / "links.tar.gz"
    with tarfile.open(place, "w:gz") as file:
        about = tarfile.TarInfo("passwords.txt")
        about.type, about.linkname = kind, "/etc/passwd"
        file.addfile(about)
    assert "a link, a device or a sparse file: 'passwords.txt'" in refusal(place)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "links.zip"
    with zipfile.ZipFile(place, "w") as file:
        link = zipfile.ZipInfo("passwords.txt")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    assert "a link, a device or a sparse file" in refusal(place)


@both
def test_what_unpacks_to_too_much_is_refused(
    tmp_path: Path, packed: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_FILE_BYTES", 1024**2)
    place = packed(tmp_path, {f"{number}.txt": bytes(300_000) for number in range(4)})
    assert place.stat().st_size < 10_000
    assert refusal(place) == (
        f"{place.name} unpacks to more than 1 MB; the limit is 1 MB. Cut it into smaller files."
    )
    assert len(archives.names(zipped(tmp_path, {"a.txt": bytes(100)}))) == 1


def test_a_size_that_is_not_told_in_truth_is_counted_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_FILE_BYTES", 100_000)
    content = zipped(tmp_path, {"a.txt": bytes(1_000_000)}).read_bytes()
    place = tmp_path / "lies.zip"
    place.write_bytes(content.replace((1_000_000).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    with pytest.raises(DataError):
        archives.contents(place, archives.names(place))


@both
def test_too_many_files_are_refused(tmp_path: Path, packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 5)
    assert "more than 5 files" in refusal(packed(tmp_path, {f"{number}.txt": b"" for number in range(6)}))


def test_a_table_of_contents_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LONGEST_DIRECTORY", 100)
    assert "cannot be unpacked" in refusal(zipped(tmp_path, {f"{number}.txt": b"" for number in range(9)}))


def test_a_zip_with_a_password_is_refused_in_words(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path, {"a.txt": b"x"}).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    place = tmp_path / "locked.zip"
    place.write_bytes(content)
    assert refusal(place) == (
        "locked.zip is locked with a password. Unpack it yourself, and give the folder or a file of it."
    )


def test_a_zip_packed_in_another_way_is_refused_in_words(tmp_path: Path) -> None:
    place = tmp_path / "other.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.txt", "x")
    assert "packed by another method than zip's usual one" in refusal(place)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "twice.tar.gz"
    with tarfile.open(place, "w:gz") as file:
        for _ in range(2):
            file.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    assert "two files named 'a.txt'" in refusal(place)


@both
@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
def test_what_broke_off_is_refused(tmp_path: Path, packed: Packed, share: float) -> None:
    place = packed(tmp_path, {f"{number}.txt": bytes(range(256)) * 40 for number in range(9)})
    content = place.read_bytes()
    place.write_bytes(content[: int(len(content) * share)])
    assert "cannot be unpacked: it is no" in refusal(place)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tgz"])
@pytest.mark.parametrize(
    "content",
    [b"text,label\nx,y\n", gzip.compress(b"text\nx\n" * 200, mtime=0), b"PK\3\4" + bytes(99)],
    ids=["text", "gzip", "broken zip"],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "cannot be unpacked" in refusal(tmp_path / name)


def test_a_header_of_many_records_takes_no_long_time(tmp_path: Path) -> None:
    """Python's tarfile (3.11) looks from each of these records to the end: for a minute at this size."""
    header = tarfile.TarInfo("a.txt")
    header.type, header.size = tarfile.XHDTYPE, 65_536
    place = tmp_path / "slow.tar.gz"
    blocks = (header.tobuf() + b"2 " * 32_767 + b"x=") * 20
    place.write_bytes(gzip.compress(blocks + bytes(1024)))
    begin = time.process_time()
    assert "cannot be unpacked" in refusal(place)
    assert time.process_time() - begin < 10


def test_a_folder_that_links_to_itself_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "again").symlink_to(tmp_path)
    assert archives.names(tmp_path) == ("a.txt",)
