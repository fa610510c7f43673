"""Image files of every kind become the right pixels, or are named with the reason why not."""

import numpy as np
import pytest
from made_images import blobs
from PIL import Image

from autoencoder.data.decoding import BadImageError, read_header, read_pixels

COLOUR = blobs(1, (12, 10, 3))[0]
GREY = blobs(1)[0]


def planes(image: np.ndarray) -> np.ndarray:
    """[H, W] or [H, W, 3] as [C, H, W]."""
    return image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        *((suffix, {}) for suffix in (".png", ".bmp", ".tif", ".tga", ".PNG")),
        (".webp", {"lossless": True}),
        (".jp2", {"irreversible": False}),
    ],
)
def test_a_lossless_file_has_its_own_pixels(image, suffix, options, tmp_path):
    path = tmp_path / f"one{suffix}"
    Image.fromarray(image).save(path, **options)
    channels = 3 if suffix == ".webp" else planes(image).shape[0]  # WebP knows no grey
    assert read_header(path) == (12, 10, channels)
    np.testing.assert_array_equal(read_pixels(path, planes(image).shape), planes(image))


@pytest.mark.parametrize("suffix", [".jpg", ".avif"])
def test_a_lossy_file_has_nearly_its_own_pixels(suffix, tmp_path):
    smooth = np.stack([np.add.outer(np.arange(32) * 4, np.arange(24) * 3)] * 3, -1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / f"one{suffix}", quality=95)
    difference = read_pixels(tmp_path / f"one{suffix}", (3, 32, 24)).astype(int) - planes(smooth)
    assert abs(difference).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_16_bits_are_scaled_not_clipped(suffix, tmp_path):
    values = np.array([[0, 128, 129, 257, 1_000, 32_768, 65_406, 65_535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"one{suffix}")
    assert read_header(tmp_path / f"one{suffix}").channels == 1
    expected = np.round(values / 257)[None]
    np.testing.assert_array_equal(read_pixels(tmp_path / f"one{suffix}", (1, 1, 8)), expected)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_parts_are_white(mode, tmp_path):
    alpha = np.linspace(0, 255, 120).reshape(12, 10).astype(np.uint8)
    image = GREY if mode == "LA" else COLOUR
    Image.fromarray(np.dstack([image, alpha])).save(tmp_path / "one.png")
    share = alpha / 255
    expected = planes(image) * share + 255 * (1 - share)
    assert abs(read_pixels(tmp_path / "one.png", expected.shape) - expected).max() <= 1


def test_a_palette_is_looked_up(tmp_path):
    palette = np.array([[255, 0, 0], [0, 200, 10], [3, 4, 5]], np.uint8)
    chosen = np.arange(120).reshape(12, 10).astype(np.uint8) % 3
    image = Image.fromarray(chosen, mode=None).convert("P")
    image.putpalette(palette.tobytes())
    image.putdata(chosen.flatten().tolist())
    image.save(tmp_path / "one.png")
    image.save(tmp_path / "clear.png", transparency=1)
    assert read_header(tmp_path / "one.png").channels == 3
    np.testing.assert_array_equal(read_pixels(tmp_path / "one.png", (3, 12, 10)), planes(palette[chosen]))
    palette[1] = 255
    np.testing.assert_array_equal(read_pixels(tmp_path / "clear.png", (3, 12, 10)), planes(palette[chosen]))


def test_cmyk_becomes_rgb(tmp_path):
    inks = {(0, 255, 255, 0): (255, 0, 0), (255, 0, 0, 0): (0, 255, 255), (0, 0, 0, 255): (0, 0, 0)}
    for inked, seen in inks.items():
        for suffix in (".tif", ".jpg"):
            Image.new("CMYK", (8, 8), inked).save(tmp_path / f"one{suffix}")
            pixels = read_pixels(tmp_path / f"one{suffix}", (3, 8, 8)).astype(int)
            assert abs(pixels - np.array(seen)[:, None, None]).max() <= 3, (inked, suffix)


def test_black_and_white_is_0_and_255(tmp_path):
    Image.fromarray(GREY > 100).save(tmp_path / "one.png")
    np.testing.assert_array_equal(read_pixels(tmp_path / "one.png", (1, 12, 10)), planes((GREY > 100) * 255))


STORED = {  # EXIF's orientations: how an upright image is stored
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: np.swapaxes(image, 0, 1),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: np.rot90(np.swapaxes(image, 0, 1), 2),
    8: lambda image: np.rot90(image, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_photo_is_turned_upright(orientation, suffix, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](COLOUR))
    Image.fromarray(stored).save(tmp_path / f"one{suffix}", exif=exif)
    assert read_header(tmp_path / f"one{suffix}")[:2] == (12, 10)
    np.testing.assert_array_equal(read_pixels(tmp_path / f"one{suffix}", (3, 12, 10)), planes(COLOUR))


def test_colour_becomes_grey_by_its_luma_and_grey_becomes_colour(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "one.png")
    Image.fromarray(GREY).save(tmp_path / "two.png")
    luma = COLOUR @ [0.299, 0.587, 0.114]
    assert abs(read_pixels(tmp_path / "one.png", (1, 12, 10)) - luma).max() <= 1
    np.testing.assert_array_equal(read_pixels(tmp_path / "two.png", (3, 12, 10)), np.stack([GREY] * 3))


def test_another_size_keeps_the_middle_undistorted(tmp_path):
    thirds = np.zeros((10, 30, 3), np.uint8)
    for third in range(3):
        thirds[:, 10 * third : 10 * third + 10, third] = 200
    Image.fromarray(thirds).save(tmp_path / "one.png")
    pixels = read_pixels(tmp_path / "one.png", (3, 5, 5))
    assert pixels[1].min() > 180 and pixels[[0, 2]].max() < 20  # the filter looks beyond the edges


def test_a_photo_with_previews_is_one_image(tmp_path):
    image = Image.fromarray(COLOUR)
    image.save(tmp_path / "one.jpg", format="MPO", save_all=True, append_images=[image.resize((5, 6))])
    assert read_header(tmp_path / "one.jpg") == (12, 10, 3)
    assert read_pixels(tmp_path / "one.jpg", (3, 12, 10)).shape == (3, 12, 10)


def write_bad(path, kind):
    """Writes a file that cannot be used."""
    frames = [Image.fromarray(image) for image in blobs(3, (12, 10, 3))]
    whole = path.with_name("whole.png")
    frames[0].resize((200, 200)).save(whole)
    content = whole.read_bytes()
    whole.unlink()
    if kind in ("gif", "webp", "tiff", "png"):
        frames[0].save(path, format=kind, save_all=True, append_images=frames[1:])
    elif kind == "huge":
        Image.new("1", (10_000, 9_000)).save(path, format="png")
    elif kind == "far too huge":
        Image.new("1", (20_000, 9_000)).save(path, format="png")
    elif kind == "32 bits":
        Image.fromarray(np.arange(120, dtype=np.int32).reshape(12, 10)).save(path, format="tiff")
    elif kind == "floats":
        Image.fromarray(np.ones((12, 10), np.float32)).save(path, format="tiff")
    elif kind == "postscript":
        frames[0].save(path, format="eps")
    else:
        path.write_bytes({"empty": b"", "text": b"no image", "truncated": content[: len(content) // 2]}[kind])


BAD = {
    **dict.fromkeys(("gif", "webp", "tiff", "png"), "has 3 frames"),
    **dict.fromkeys(("huge", "far too huge"), "has more than 89,478,485 pixels"),
    **dict.fromkeys(("32 bits", "floats"), "has pixels of 32 bits, whose range is not known"),
    **dict.fromkeys(("text", "postscript"), "is not an image, or broken"),
    "empty": "is empty",
    "truncated": "cannot be decoded (image file is truncated",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_used_says_why(kind, tmp_path):
    write_bad(tmp_path / "one.png", kind)
    with pytest.raises(BadImageError) as error:
        read_pixels(tmp_path / "one.png", (3, 12, 10))
    assert str(error.value).startswith(BAD[kind])


def test_a_file_that_is_gone_or_locked_says_why(tmp_path):
    with pytest.raises(BadImageError, match="No such file"):
        read_header(tmp_path / "one.png")
