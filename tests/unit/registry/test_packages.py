"""Zip files from anyone: plain files come out of them, or a message."""

import errno
import io
import os
import random
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.errors import InputError, RefusedArtifact, TooLarge, Unavailable
from backend.registry import packages
from backend.registry.packages import receive, unpack

FILES = {"manifest.json": b"{}", "model.txt": b"tree " * 1_000, "CARD.md": b""}
MOST = 100_000
Unpack = Callable[..., dict[str, bytes]]


def zipped(files: dict[str, bytes], *, folder: str = "", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(f"{folder}{name}", content)
    return buffer.getvalue()


def member(name: str = "model.txt", content: bytes = b"tree", **changes: object) -> bytes:
    """A zip of one member with attributes that no library gives it by itself."""
    info = zipfile.ZipInfo(name)
    for attribute, value in changes.items():
        setattr(info, attribute, value)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, content)
    return buffer.getvalue()


@pytest.fixture
def unpacked(tmp_path: Path) -> Unpack:
    """What comes out of a zip, by name; nothing may lie outside its folder."""

    def run(content: bytes, *, max_bytes: int = MOST) -> dict[str, bytes]:
        package, folder = tmp_path / "package.zip", tmp_path / "files"
        package.write_bytes(content)
        try:
            unpack(package, folder, max_bytes=max_bytes)
        finally:
            assert {path.name for path in tmp_path.iterdir()} == {"package.zip", "files"}
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    return run


@pytest.mark.parametrize("folder", ["", "donor_match/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_files_come_out_of_a_zip_with_one_folder_or_none(unpacked: Unpack, folder: str, method: int):
    assert unpacked(zipped(FILES, folder=folder, method=method)) == FILES


def test_a_folder_that_is_a_member_of_its_own_is_no_file(unpacked: Unpack):
    assert unpacked(zipped({"adder/": b"", "adder/model.txt": b"tree"})) == {"model.txt": b"tree"}


@pytest.mark.parametrize(
    "name",
    [
        "../model.txt",
        "a/../../model.txt",
        "/etc/passwd",
        "//etc/passwd",
        "C:\\model.txt",
        "a\\..\\model.txt",
        ".hidden",
        "model .txt",
        "módel.txt",
        "m" * 101,
        "a/b/model.txt",
        "./model.txt",
        "",
    ],
)
def test_names_that_lead_elsewhere_are_refused(unpacked: Unpack, name: str):
    with pytest.raises(RefusedArtifact, match="which is no plain file name"):
        unpacked(member(name))


@pytest.mark.parametrize("other", ["manifest.json", "__MACOSX/model.txt", "a/model.txt"])
def test_files_in_two_folders_are_refused(unpacked: Unpack, other: str):
    with pytest.raises(RefusedArtifact, match=r"member 'b/model\.txt', which is no plain"):
        unpacked(zipped({"b/model.txt": b"", other: b""}))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR])
def test_links_and_devices_are_refused(unpacked: Unpack, kind: int):
    with pytest.raises(RefusedArtifact, match=r"member model\.txt is a link or a device"):
        unpacked(member(content=b"/etc/passwd", external_attr=(kind | 0o777) << 16))


def test_two_members_of_one_name_are_refused(unpacked: Unpack):
    content = zipped({"model.txt": b"first", "model.tzt": b"second"}).replace(b"model.tzt", b"model.txt")
    with pytest.raises(RefusedArtifact, match=r"two members model\.txt"):
        unpacked(content)


def test_an_encrypted_member_is_refused(unpacked: Unpack):
    content = bytearray(member())
    content[6] |= 1  # of the member's own head
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and of the list
    with pytest.raises(RefusedArtifact, match=r"member model\.txt is encrypted"):
        unpacked(bytes(content))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_take_any_memory_are_refused(unpacked: Unpack, method: int):
    with pytest.raises(RefusedArtifact, match="compressed in an unusual way"):
        unpacked(zipped(FILES, method=method))


def test_more_members_than_a_version_has_are_refused(unpacked: Unpack):
    fifty = {f"file{number}": b"" for number in range(50)}
    assert unpacked(zipped(fifty)) == fifty
    with pytest.raises(RefusedArtifact, match="has 51 members, 50 are allowed"):
        packages._members(zipfile.ZipFile(io.BytesIO(zipped(fifty | {"one_more": b""}))))


def test_a_list_of_members_that_would_fill_the_memory_is_not_read(unpacked: Unpack):
    with pytest.raises(RefusedArtifact, match="a list of members that is too long"):
        unpacked(zipped({f"file{number}": b"" for number in range(25_000)}))


def test_a_bomb_is_refused_by_what_it_claims(unpacked: Unpack):
    with pytest.raises(TooLarge, match=r"may take 100,000 bytes \(SANGUINE_MAX_MODEL_BYTES\)"):
        unpacked(zipped({"model.txt": bytes(MOST), "CARD.md": b"1"}))


def test_a_bomb_that_lies_about_its_size_is_stopped(unpacked: Unpack):
    content = bytearray(zipped({"model.txt": bytes(50 * MOST)}))
    listed = content.index(b"PK\x01\x02")
    struct.pack_into("<L", content, listed + 24, 10)
    with pytest.raises(InputError):
        unpacked(bytes(content))


def test_members_that_share_their_bytes_count_each_time(tmp_path: Path):
    """The bomb of Fifield, USENIX WOOT 2019: many members, one block of compressed data."""
    content = bytearray(zipped({"aaaa": bytes(60_000), "bbbb": bytes(60_000)}))
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        first, second = archive.infolist()
    listed = content.rindex(b"PK\x01\x02")
    struct.pack_into("<L", content, listed + 42, first.header_offset)
    assert second.header_offset != first.header_offset
    (tmp_path / "package.zip").write_bytes(content)
    with pytest.raises(InputError):
        unpack(tmp_path / "package.zip", tmp_path / "files", max_bytes=1_000_000)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all", zipped(FILES)[:-30], zipped(FILES)[100:]])
def test_what_is_no_zip_or_half_of_one_is_refused(unpacked: Unpack, content: bytes):
    with pytest.raises(RefusedArtifact, match="no zip, or a damaged one"):
        unpacked(content)


def test_a_flipped_bit_of_a_member_is_found(unpacked: Unpack):
    content = bytearray(zipped(FILES, method=zipfile.ZIP_STORED))
    content[content.index(b"tree")] ^= 1
    with pytest.raises(RefusedArtifact, match="damaged one"):
        unpacked(bytes(content))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 20))
def test_no_damage_does_more_than_refuse(tmp_path_factory: pytest.TempPathFactory, seed: int, flips: int):
    chosen = random.Random(seed)  # noqa: S311 - damage, not secrets
    content = bytearray(zipped(FILES, folder="adder/"))
    for _ in range(flips):
        content[chosen.randrange(len(content))] = chosen.randrange(256)
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "package.zip").write_bytes(content)
    try:
        unpack(folder / "package.zip", folder / "files", max_bytes=MOST)
    except InputError:
        pass
    finally:
        assert {path.name for path in folder.iterdir()} == {"package.zip", "files"}
    assert sum(path.stat().st_size for path in (folder / "files").iterdir()) <= MOST


def test_an_upload_is_stopped_at_the_bound_and_the_rest_is_never_asked_for(tmp_path: Path):
    asked: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            asked.append(number)
            yield bytes(30)

    with pytest.raises(TooLarge):
        receive(chunks(), tmp_path / "package.zip", max_bytes=100)
    assert asked == [0, 1, 2, 3]
    receive([bytes(60), bytes(40)], tmp_path / "other.zip", max_bytes=100)
    assert (tmp_path / "other.zip").stat().st_size == 100


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "Input/output error")])
def test_a_disk_that_cannot_be_used_is_unavailable_and_says_why(number: int, reason: str):
    with pytest.raises(Unavailable, match=f"the folder of incoming models cannot be used: {reason}"), packages.disk():
        raise OSError(number, os.strerror(number))


def test_a_disk_that_fills_up_while_a_file_comes_in_is_unavailable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "open", lambda *_: open("/dev/full", "wb"))  # noqa: SIM115, PTH123 - another open
    with pytest.raises(Unavailable, match="the disk is full"):
        receive([b"content"], Path("package.zip"), max_bytes=10)
