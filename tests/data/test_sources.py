"""Images come from files, else from one download, else from the labelled fallback; broken files are named."""

import functools
import gzip
import hashlib
import http.server
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torchvision
from conftest import ROOT, write_dataset, write_idx

from autoencoder.data import sources
from autoencoder.data.sources import FILES, load_images, read_idx
from autoencoder.errors import InputError


@pytest.fixture
def no_mirror(monkeypatch):
    """torchvision's mirror is a port on this machine where nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    for dataset in (torchvision.datasets.MNIST, torchvision.datasets.FashionMNIST):
        monkeypatch.setattr(dataset, "mirrors", [f"http://127.0.0.1:{port}/"])


@pytest.fixture
def mirror(monkeypatch, tmp_path_factory):
    """A mirror on this machine with a small data set, whose sums torchvision is told; counts its requests."""
    folder = tmp_path_factory.mktemp("mirror")
    write_dataset(folder, ".gz")
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            if self.command == "GET":
                requests.append(Path(self.path).name)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    sums = [(name, torchvision.datasets.utils.calculate_md5(folder / name)) for name in (f"{f}.gz" for f in FILES)]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", sums)
    yield folder, requests
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(("dataset", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_files_are_read_plain_or_gzipped(tmp_path, dataset, folder, suffix):
    write_dataset(tmp_path / folder / "raw", suffix)
    images = load_images(dataset, tmp_path, offline_fallback=False)
    assert images.name == dataset
    assert images.train_images.shape == (60, 1, 28, 28) and images.test_images.shape == (20, 1, 28, 28)
    expected = np.random.default_rng(0).integers(0, 256, (60, 28, 28))
    assert np.array_equal(images.train_images[:, 0].numpy(), expected)
    assert images.test_labels.tolist() == [*range(10)] * 2


def test_a_folder_that_has_the_files_is_not_written_to(tmp_path):
    write_dataset(tmp_path / "MNIST" / "raw")
    before = sorted(tmp_path.rglob("*"))
    for folder in (tmp_path / "MNIST" / "raw", tmp_path / "MNIST", tmp_path):
        folder.chmod(0o555)
    try:
        load_images("mnist", tmp_path, offline_fallback=False)
    finally:
        for folder in (tmp_path, tmp_path / "MNIST", tmp_path / "MNIST" / "raw"):
            folder.chmod(0o755)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("apart", [0.0, 0.1])  # seconds: the later ones come while the first moves its files in
def test_runs_started_at_once_download_once(tmp_path, mirror, monkeypatch, apart):
    _, requests = mirror
    load_images("mnist", tmp_path / "alone", offline_fallback=False)
    due = sorted(requests)
    requests.clear()
    copyfile = shutil.copyfile
    monkeypatch.setattr(shutil, "copyfile", lambda *paths: (time.sleep(apart), copyfile(*paths)))
    sizes: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: sizes.append(len(load_images("mnist", tmp_path / "together", False).train_images))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
        time.sleep(apart)
    for thread in threads:
        thread.join()
    assert sizes == [60] * 4
    assert sorted(requests) == due
    assert sorted(path.name for path in (tmp_path / "together" / "MNIST" / "raw").iterdir()) == sorted(FILES)


def test_a_download_with_a_wrong_sum_is_refused(tmp_path, mirror):
    folder, _ = mirror
    (folder / f"{FILES[0]}.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(InputError, match="cannot be downloaded"):
        load_images("mnist", tmp_path, offline_fallback=False)
    assert not (tmp_path / "MNIST" / "raw").exists()


def test_a_mirror_that_does_not_answer_costs_seconds(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{port}/"])
        monkeypatch.setattr(sources, "CONNECT_SECONDS", 0.2)
        with pytest.raises(InputError, match="cannot be downloaded"):
            load_images("mnist", tmp_path, offline_fallback=False)
    assert socket.getdefaulttimeout() is None


@pytest.mark.slow
@pytest.mark.parametrize("faults", [["slow"], ["drops", "error 500", "wrong bytes"]])
def test_sixteen_processes_at_once_download_once_or_fail_in_one_line(tmp_path, faults):
    """From a mirror that is slow, or has another fault at each request."""
    folder, data, locks = tmp_path / "mirror", tmp_path / "data", tmp_path / "tmp"
    write_dataset(folder, ".gz")
    locks.mkdir()
    requests: list[str] = []

    class Faulty(http.server.BaseHTTPRequestHandler):
        def log_message(self, format, *arguments):
            pass

        def do_GET(self):
            content = (folder / Path(self.path).name).read_bytes()
            fault = faults[len(requests) % len(faults)]
            requests.append(self.path)
            self.send_response(500 if fault == "error 500" else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(OSError):  # torchvision closes the first of two requests for a file, which follows redirects
                self.send(content, fault)

        def send(self, content, fault):
            if fault == "slow":
                for start in range(0, len(content), len(content) // 5 + 1):
                    self.wfile.write(content[start : start + len(content) // 5 + 1])
                    time.sleep(0.1)
            else:
                self.wfile.write(content[: len(content) // 2] if fault == "drops" else content[::-1])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sums = [(f"{name}.gz", torchvision.datasets.utils.calculate_md5(folder / f"{name}.gz")) for name in FILES]
    script = f"""
import os, sys
from torchvision.datasets import MNIST
from autoencoder.data.sources import load_images
from autoencoder.errors import InputError
MNIST.mirrors, MNIST.resources = ["http://127.0.0.1:{server.server_port}/"], {sums}
children = []
for _ in range(16):
    children.append(os.fork())  # which spares 16 imports of torch
    if not children[-1]:
        try:
            said = len(load_images("mnist", {str(data)!r}, offline_fallback=False).train_images)
        except InputError as error:
            said = error
        os.write(1, f"{{said}}\\n".encode())
        os._exit(0)
for child in children:
    os.waitpid(child, 0)
"""
    environment = os.environ | {"TMPDIR": str(locks), "PYTHONPATH": str(ROOT / "src")}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, encoding="utf-8", timeout=300
    )
    said = ended.stdout.splitlines()
    server.shutdown()
    server.server_close()
    if faults == ["slow"]:
        assert said == ["60"] * 16 and len(requests) == 2 * len(FILES)
        assert sorted(path.name for path in data.rglob("*") if path.is_file()) == sorted(FILES)
    else:
        assert len(said) == 16 and all("MNIST is not in" in line for line in said), said
        assert not data.exists()
    assert not list(locks.iterdir())


def test_a_mirror_that_sends_a_byte_now_and_then_is_left(tmp_path, monkeypatch):
    class Slow(http.server.BaseHTTPRequestHandler):
        def log_message(self, format, *arguments):
            pass

        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            for _ in range(20):
                self.wfile.write(b"x")
                time.sleep(0.1)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(sources, "DOWNLOAD_SECONDS", 0.5)
    with pytest.raises(InputError, match="the mirror has not sent all of it within 0 s"):
        load_images("mnist", tmp_path, offline_fallback=False)
    server.shutdown()
    server.server_close()
    assert not list(tmp_path.iterdir())


def test_without_network_the_5k_digits_stand_in_and_say_so(tmp_path, no_mirror, caplog):
    with caplog.at_level(logging.WARNING):
        images = load_images("mnist", tmp_path, offline_fallback=True)
    assert images.name == "mnist_5k"
    assert images.train_images.shape == (4500, 1, 28, 28) and images.test_images.shape == (500, 1, 28, 28)
    assert "mnist_5k" in caplog.text and "DATA_DIR" in caplog.text


def test_mnist_is_not_taken_for_another_set(tmp_path, monkeypatch):
    write_dataset(tmp_path)  # as they are, in no folder that is named after a set
    labels = sources.read_idx(tmp_path / "train-labels-idx1-ubyte")
    assert load_images("fashion_mnist", tmp_path, offline_fallback=False).name == "fashion_mnist"
    monkeypatch.setattr(sources, "MNIST_LABELS", zlib.crc32(labels.tobytes()))
    assert load_images("mnist", tmp_path, offline_fallback=False).name == "mnist"
    with pytest.raises(InputError, match="holds MNIST, not Fashion-MNIST: use data=mnist"):
        load_images("fashion_mnist", tmp_path, offline_fallback=False)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_without_fallback_it_is_an_error_that_says_what_to_do(tmp_path, no_mirror, dataset):
    with pytest.raises(InputError, match=r"is not in .*raw and cannot be downloaded .* DATA_DIR"):
        load_images(dataset, tmp_path, offline_fallback=dataset == "fashion_mnist")


def test_a_folder_that_cannot_be_made_counts_as_no_download(tmp_path, no_mirror):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="is not in"):
        load_images("mnist", tmp_path / "file" / "below", offline_fallback=False)


def test_5k_digits_are_the_same_everywhere():
    """In the same order, too: a figure on them is one to compare with."""
    content = b"".join(tensor.numpy().tobytes() for tensor in load_images("mnist_5k", "unused", False)[1:])
    assert hashlib.md5(content).hexdigest() == "a33780b0f37a6bb9691440b4a5408445"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "wrong magic number"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x00", "wrong magic number 00000d01"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05abc", "has 11 bytes, but its header says 13"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x02abc", "has more than 10 bytes, but its header says 10"),
        (b"\x00\x00\x08\x03\x00\x00", "ends after 6 bytes, within its header"),
    ],
)
def test_broken_files_are_named(tmp_path, content, message):
    path = tmp_path / "some-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_a_truncated_gzip_file_is_named(tmp_path):
    path = tmp_path / "some-idx1-ubyte.gz"
    write_idx(path, np.arange(200))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match=r"some-idx1-ubyte.gz is not a complete gzip file"):
        read_idx(path)


def test_no_more_is_unpacked_than_the_header_says(tmp_path):
    """A file of 1 MB that holds 1 GB, in a process that may use no more than the imports need."""
    path = tmp_path / "bomb-idx1-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"\x00\x00\x08\x01\x00\x00\x00\x05")
        for _ in range(1000):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    with pytest.raises(InputError, match="has more than 13 bytes, but its header says 13"):
        read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_header_of_more_images_than_fit_in_memory_is_refused(tmp_path, suffix):
    path = tmp_path / f"some-idx3-ubyte{suffix}"
    content = b"\x00\x00\x08\x03" + np.array((2**31, 28, 28), ">u4").tobytes() + bytes(100)
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(InputError, match=r"says that it has 1,684 GB of values, and this machine has \d+ GB of memory"):
        read_idx(path)


@pytest.mark.parametrize("kind", ["folder", "fifo", "link loop"])
def test_what_is_no_file_is_not_read(tmp_path, no_mirror, kind):
    write_dataset(tmp_path)
    path = tmp_path / FILES[0]
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    with pytest.raises(InputError, match=f"but not {FILES[0]}: put all four files there"):
        load_images("mnist", tmp_path, offline_fallback=True)


def test_images_and_labels_of_different_sets_are_refused(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    write_dataset(raw)
    shutil.copy(raw / FILES[3], raw / FILES[1])
    with pytest.raises(InputError, match="do not match"):
        load_images("mnist", tmp_path, False)


@pytest.mark.parametrize("name", ["{}.idx{}-ubyte", "{}.idx{}-ubyte.gz", "{}-idx{}-ubyte.gz"])
@pytest.mark.parametrize("folder", ["MNIST/raw", "."])
def test_files_are_found_by_each_of_their_names_in_either_place(tmp_path, name, folder):
    write_dataset(tmp_path / "written")
    for file in FILES:
        stem, _, rest = file.partition("-idx")
        path = tmp_path / folder / name.format(stem, rest[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        content = (tmp_path / "written" / file).read_bytes()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    assert load_images("mnist", tmp_path, offline_fallback=False).train_images.shape == (60, 1, 28, 28)


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_made_in_a_data_folder_where_no_download_succeeds(tmp_path, no_mirror, exists):
    folder = tmp_path / "data"
    if exists:
        folder.mkdir()
    load_images("mnist", folder, offline_fallback=True)
    load_images("mnist_5k", folder, offline_fallback=False)
    assert list(tmp_path.rglob("*")) == ([folder] if exists else [])


def test_a_download_leaves_the_four_files_alone(tmp_path, mirror):
    load_images("mnist", tmp_path / "data", offline_fallback=False)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {f"data/MNIST/raw/{name}" for name in FILES}


def test_a_folder_that_cannot_be_written_to_is_not_downloaded_for(tmp_path, mirror, monkeypatch):
    _, requests = mirror
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for anyone but root, who may write anywhere
    with pytest.raises(InputError, match="cannot be written to"):
        load_images("mnist", tmp_path, offline_fallback=False)
    assert not requests and not list(tmp_path.iterdir())


@pytest.mark.parametrize("refused", ["is_file", "open"])
def test_files_that_must_not_be_read_are_one_line(tmp_path, monkeypatch, no_mirror, refused):
    write_dataset(tmp_path / "MNIST" / "raw")

    def refuse(path, mode="r"):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, refused, refuse)
    with pytest.raises(InputError, match="Permission denied"):
        load_images("mnist", tmp_path, offline_fallback=False)


@pytest.mark.parametrize("train, test, message", [(0, 20, "has no images"), (60, 0, "has no images")])
def test_files_without_images_are_named(tmp_path, train, test, message):
    write_dataset(tmp_path, train=train, test=test)
    with pytest.raises(InputError, match=message):
        load_images("mnist", tmp_path, offline_fallback=False)


def test_training_and_test_images_of_two_sizes_are_refused(tmp_path):
    write_dataset(tmp_path)
    write_idx(tmp_path / FILES[2], np.zeros((20, 30, 20)))
    with pytest.raises(InputError, match="images of 28 x 28 pixels, t10k-images-idx3-ubyte of 30 x 20"):
        load_images("mnist", tmp_path, offline_fallback=False)


def test_the_home_of_nobody_is_a_folder_that_is_not_there(no_mirror):
    with pytest.raises(InputError, match="~nobody-of-that-name"):
        load_images("mnist", "~nobody-of-that-name/data", offline_fallback=False)


def test_some_of_the_four_files_are_no_data_set_and_nothing_is_downloaded_among_them(tmp_path):
    write_dataset(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match="but not train-labels-idx1-ubyte: put all four files there, labels too"):
        load_images("mnist", tmp_path, offline_fallback=True)


def test_a_file_as_data_folder_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, but DATA_DIR"):
        load_images("mnist", tmp_path / "file", offline_fallback=True)
