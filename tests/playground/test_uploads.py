"""Files from strangers, built here: every one becomes the picture that it shows, or a sentence, and nothing else."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from playground import uploads
from playground.uploads import Refused, grey

RNG = np.random.default_rng(7)
COLOURS = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
GREYS = RNG.integers(0, 256, (24, 32), dtype=np.uint8)
SMOOTH = np.add.outer(np.arange(24) * 6, np.arange(32) * 3).astype(np.uint8)  # 0 to 231: survives lossy formats


def luma(rgb: np.ndarray) -> np.ndarray:
    """BT.601 of `(H, W, 3)`, as floats."""
    return rgb.astype(float) @ [0.299, 0.587, 0.114]


def saved(picture: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int, depth: int = 8, colour: int = 0, pixels: bytes = b"\0" * 64) -> bytes:
    """A PNG of a few bytes that declares any size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def assert_shows(data: bytes, expected: np.ndarray, within: float = 1.0) -> None:
    result = grey(data)
    assert result.dtype == np.uint8
    assert result.shape == expected.shape
    assert np.abs(result.astype(float) - expected).max() <= within


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_keep_grey_exactly_and_colour_as_luma(kind):
    assert_shows(saved(GREYS, kind), GREYS, within=0)
    assert_shows(saved(COLOURS, kind), luma(COLOURS))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff_is_read(compression):
    assert_shows(saved(GREYS, "TIFF", compression=compression), GREYS, within=0)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "HEIF"])
def test_lossy_formats_come_close(kind):
    assert_shows(saved(np.dstack([SMOOTH] * 3), kind, quality=95), SMOOTH, within=6)


def test_gif_gives_colours_and_not_palette_indices():
    indices = RNG.integers(0, 4, (24, 32), dtype=np.uint8)
    palette = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250], [90, 90, 90]], np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette(palette.tobytes())
    assert_shows(saved(picture, "GIF"), luma(palette)[indices])


def test_one_bit_becomes_black_and_white():
    bits = GREYS > 127
    assert_shows(saved(Image.fromarray(bits), "PNG"), bits * 255, within=0)


def test_sixteen_bits_are_divided_by_257():
    deep = RNG.integers(0, 65536, (24, 32), dtype=np.uint16)
    deep[0, :3] = 0, 65535, 257
    for kind in ("PNG", "TIFF"):
        assert_shows(saved(deep, kind), deep / 257, within=0.5)
    dark = (deep // 64).astype(np.uint16)
    assert grey(saved(dark, "PNG")).max() == 4  # scaled by the depth: a dark picture stays dark
    plain = b"P5 32 24 65535\n" + deep.astype(">u2").tobytes()
    assert_shows(plain, deep / 257, within=0.5)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_thirty_two_bits_are_stretched_from_their_own_range(kind):
    values = (RNG.random((24, 32)) * 2e6 - 1e6).astype(kind)
    low, high = float(values.min()), float(values.max())
    assert_shows(saved(values, "TIFF"), (values.astype(float) - low) / (high - low) * 255, within=0.5)


def test_floats_that_are_no_numbers_do_not_spoil_the_rest():
    values = np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
    values[3, :3] = np.nan, np.inf, -np.inf
    result = grey(saved(values, "TIFF"))
    assert list(result[3, :3]) == [0, 255, 0]
    assert result[0, 0] == 0
    assert result[-1, -1] == 255
    with pytest.raises(Refused, match="no finite number"):
        grey(saved(np.full((9, 9), np.nan, np.float32), "TIFF"))


def test_one_even_float_is_black_and_no_division_by_zero():
    assert_shows(saved(np.full((9, 9), 3.5, np.float32), "TIFF"), np.zeros((9, 9)), within=0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_alpha_is_composited_over_white(kind):
    alpha = GREYS[:, ::-1]
    over_white = (luma(COLOURS) * alpha + 255.0 * (255 - alpha.astype(float))) / 255
    assert_shows(saved(np.dstack([COLOURS, alpha]), kind), over_white, within=1.5)


def test_grey_with_alpha_is_composited_over_white():
    alpha = GREYS[::-1]
    expected = (GREYS.astype(float) * alpha + 255.0 * (255 - alpha.astype(float))) / 255
    assert_shows(saved(Image.merge("LA", [Image.fromarray(GREYS), Image.fromarray(alpha)]), "PNG"), expected)


def test_a_palette_with_a_transparent_entry_shows_white_there():
    indices = RNG.integers(0, 3, (24, 32), dtype=np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette(bytes([0, 0, 0, 200, 0, 0, 40, 40, 40]))
    expected = np.array([255, luma(np.array([200, 0, 0])), 40])[indices]
    for kind in ("PNG", "GIF"):
        assert_shows(saved(picture, kind, transparency=0), expected)


def test_a_transparent_colour_of_a_picture_without_alpha_shows_white():
    ground = np.zeros((24, 32), np.uint8)
    ground[5:9] = 60
    assert_shows(saved(ground, "PNG", transparency=0), np.where(ground == 60, 60, 255), within=0)


@pytest.mark.parametrize("white", [255, 252])
def test_a_drawing_in_white_ink_on_a_transparent_ground_does_not_vanish(white):
    drawing = np.zeros((24, 32, 4), np.uint8)
    drawing[8:16, 10:20] = white
    drawing[8:16, 10:20, 3] = 255
    drawing[7, 10:20] = [white, white, white, 128]  # an anti-aliased edge
    result = grey(saved(drawing, "PNG"))
    assert (result[8:16, 10:20] == white).all()
    assert abs(int(result[7, 12]) - 128) <= 2
    assert result[0, 0] == 0


def test_a_fully_transparent_picture_is_white():
    assert (grey(saved(np.zeros((9, 9, 4), np.uint8), "PNG")) == 255).all()


def test_cmyk_jpeg_is_not_inverted():
    cmyk = np.zeros((24, 32, 4), np.uint8)
    cmyk[..., 3] = 255 - SMOOTH
    assert_shows(saved(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=95), SMOOTH, within=6)


def test_lab_gives_its_lightness():
    lab = np.dstack([GREYS, np.zeros_like(GREYS), np.zeros_like(GREYS)])
    assert_shows(saved(Image.fromarray(lab, "LAB"), "TIFF"), GREYS, within=0)


# Where EXIF's orientation says the stored first row and column lie, undone with numpy.
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_turns_the_picture_upright_once(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(np.dstack([SMOOTH] * 3), kind, exif=exif, quality=95)
    assert_shows(data, UPRIGHT[orientation](SMOOTH), within=6)


def test_avif_is_turned_upright_once():
    exif = Image.Exif()
    exif[0x0112] = 6  # Pillow writes it as the format's own rotation
    assert_shows(saved(np.dstack([SMOOTH] * 3), "AVIF", exif=exif, quality=95), np.rot90(SMOOTH, -1), within=6)


def test_heic_is_turned_by_its_own_rotation_and_not_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6  # ISO 23008-12: EXIF's orientation is for information only in this format
    assert_shows(saved(np.dstack([SMOOTH] * 3), "HEIF", exif=exif, quality=95), SMOOTH, within=6)


def test_a_broken_exif_block_leaves_a_sound_picture_as_it_is():
    for exif in (b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        assert_shows(saved(SMOOTH, "JPEG", exif=exif, quality=95), SMOOTH, within=6)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_an_animation_gives_its_first_frame(kind):
    other = Image.fromarray(np.full((24, 32), 255, np.uint8)).convert("RGB")
    first = Image.fromarray(SMOOTH).convert("RGB")
    data = saved(first, kind, save_all=True, append_images=[other], **({"lossless": True} if kind == "WEBP" else {}))
    assert_shows(data, SMOOTH, within=8)


def test_mpo_as_phones_write_it_gives_its_first_picture():
    first, second = (Image.fromarray(a).convert("RGB") for a in (SMOOTH, 255 - SMOOTH))
    data = saved(first, "MPO", save_all=True, append_images=[second], quality=95)
    with Image.open(io.BytesIO(data)) as reopened:
        assert reopened.format == "MPO"
    assert_shows(data, SMOOTH, within=6)


def test_ico_gives_its_largest_picture():
    picture = Image.fromarray(GREYS[:24, :24]).resize((48, 48), Image.Resampling.NEAREST).convert("RGBA")
    assert_shows(saved(picture, "ICO", sizes=[(16, 16), (48, 48)]), np.kron(GREYS[:24, :24], np.ones((2, 2))), within=0)


def test_a_longer_side_over_1024_is_reduced_to_the_mean_of_the_area():
    coarse = RNG.integers(0, 256, (40, 1024), dtype=np.uint8).astype(float)
    fine = np.kron(coarse, np.ones((3, 3)))
    jitter = np.tile([[-9, 0, 9], [0, 9, -9], [9, -9, 0]], coarse.shape)  # nought on average over a cell
    fine = np.clip(fine, 9, 246)
    assert_shows(saved((fine + jitter).astype(np.uint8), "PNG"), np.clip(coarse, 9, 246), within=1)
    assert grey(saved(np.zeros((2000, 1500), np.uint8), "PNG")).shape == (1024, 768)


def test_a_large_jpeg_is_decoded_reduced_and_quickly():
    coarse = np.add.outer(np.arange(75), np.arange(100)).astype(np.uint8) + 20
    large = np.kron(coarse, np.ones((64, 64), np.uint8))  # 31 megapixels: an eighth is (600, 800)
    data = saved(large, "JPEG")
    began = time.process_time()
    result = grey(data)
    assert result.shape == (768, 1024)
    assert time.process_time() - began < 2
    rows, columns = (np.arange(768) * 75 // 768)[:, None], np.arange(1024) * 100 // 1024
    assert np.abs(result.astype(float) - coarse[rows, columns]).max() <= 4  # a step on the way to a neighbour


def test_white_ink_survives_reduction():
    drawing = np.zeros((2048, 2048, 4), np.uint8)
    drawing[512:1024, 512:1024] = 255
    result = grey(saved(drawing, "PNG"))
    assert result.shape == (1024, 1024)
    assert (result[256:512, 256:512] == 255).all()
    assert result.mean() == 255 / 16


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"Dear Sir or Madam", "not a picture"),
        (bytes(1000), "not a picture"),
        (b"\n <!DOCTYPE html><html><svg></svg></html>", "web page"),
        (b"<HTML><body>", "web page"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04" + bytes(60), "ZIP"),
        (b"\x1f\x8b\x08" + bytes(60), "archive"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "SVG.*PNG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg></svg>", "SVG.*PNG"),
        ("<?xml version='1.0'?><svg></svg>".encode("utf-16"), "SVG.*PNG"),
        (saved(np.zeros((1, 1), np.uint8), "PNG"), r"1 × 1 pixels.*at least 8"),
        (saved(np.zeros((1, 10_000), np.uint8), "PNG"), r"10,000 × 1 pixels.*at least 8"),
        (saved(np.zeros((8, 10_000), np.uint8), "PNG"), r"10,000 × 8 pixels.*50 times"),
        (saved(np.zeros((7, 100), np.uint8), "GIF"), r"100 × 7"),
        (b"P5 3000 3000 100\n", "3,000 × 3,000.*2,000,000"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a picture"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(data, says):
    with pytest.raises(Refused, match=f"(?s){says}") as refused:
        grey(data)
    sentence = str(refused.value)
    assert sentence.endswith(".")
    assert sentence[0].isupper()
    assert "\n" not in sentence
    assert len(sentence) < 250


def test_the_smallest_and_the_longest_pictures_allowed_are_read():
    assert grey(saved(np.zeros((8, 8), np.uint8), "PNG")).shape == (8, 8)
    assert grey(saved(np.zeros((8, 400), np.uint8), "PNG")).shape == (8, 400)
    with pytest.raises(Refused, match="50 times"):
        grey(saved(np.zeros((401, 8), np.uint8), "PNG"))


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (10_000, 10_000), (8_000, 8_001)])
def test_a_decompression_bomb_is_refused_from_its_header(width, height, monkeypatch):
    monkeypatch.setattr(uploads, "_decode", lambda image: pytest.fail("decoded"))
    data = png_header(width, height, pixels=bytes(10_000))
    assert len(data) < 200
    with pytest.raises(Refused, match=f"{width * height:,}.*64,000,000") as refused:
        grey(data)
    assert isinstance(refused.value, ValueError)


def test_a_picture_inside_an_icon_may_not_be_larger_than_allowed():
    inner = png_header(12_000, 12_000)
    icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 64, 64, 0, 0, 1, 8, len(inner), 22) + inner
    with pytest.raises(Refused, match="144,000,000"):
        grey(icon)


def test_a_jpeg_of_endless_passes_is_refused():
    data = saved(SMOOTH, "JPEG", progressive=True)
    at = data.index(b"\xff\xda")
    one_pass = data[at : data.index(b"\xff", at + 2)]
    assert uploads._passes(data) < 20
    with pytest.raises(Refused, match="passes"):
        grey(data[:at] + one_pass * 150 + data[at:])


def test_a_tiff_of_giant_tiles_is_refused():
    entries = [(256, 64), (257, 64), (258, 8), (259, 1), (262, 1), (277, 1), (322, 65536), (323, 65536), (324, 300), (325, 64)]
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    with pytest.raises(Refused, match="4,294,967,296"):
        grey(b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + bytes(400))


def test_a_file_over_the_limit_is_refused_unread():
    with pytest.raises(Refused, match=r"20,000,001 bytes.*20,000,000"):
        grey(bytes(uploads.MAX_BYTES + 1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "AVIF", "HEIF", "GIF", "ICO"])
def test_half_a_file_is_refused_and_the_cause_is_kept(kind):
    picture = Image.fromarray(COLOURS).resize((200, 150))
    data = saved(picture, kind)
    with pytest.raises(Refused, match="damaged") as refused:
        grey(data[: len(data) // 2])
    assert refused.value.__cause__ is not None


def test_pillow_warnings_do_not_leak():
    data = saved(SMOOTH, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0")
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        grey(data)
    assert leaked == []


def test_errors_of_our_own_are_not_called_damaged_files(monkeypatch):
    monkeypatch.setattr(uploads, "_reduce", lambda image: image.no_such_method())
    with pytest.raises(AttributeError):
        grey(saved(GREYS, "PNG"))


def assert_array_or_refused(data: bytes) -> None:
    began = time.process_time()
    result = None
    with contextlib.suppress(Refused):
        result = grey(data)
    if result is not None:
        assert result.dtype == np.uint8
        assert result.ndim == 2
        assert min(result.shape) >= 8
        assert max(result.shape) <= uploads.LONGER_SIDE
    assert time.process_time() - began < 5


VALID = [
    saved(COLOURS, "PNG"),
    saved(np.dstack([COLOURS, GREYS]), "PNG"),
    saved(GREYS.astype(np.uint16) * 257, "PNG"),
    saved(Image.fromarray(COLOURS).quantize(8), "GIF"),
    saved(COLOURS, "JPEG"),
    saved(Image.fromarray(COLOURS).convert("CMYK"), "JPEG", progressive=True),
    saved(COLOURS, "WEBP"),
    saved(Image.fromarray(COLOURS).quantize(8), "BMP"),
    saved(COLOURS, "TIFF", compression="tiff_lzw"),
    saved(GREYS.astype(np.float32), "TIFF"),
    saved(COLOURS, "AVIF"),
    saved(COLOURS, "HEIF"),
    saved(np.dstack([COLOURS, GREYS]), "ICO", sizes=[(16, 16)]),
    saved(COLOURS, "PPM"),
    b"P3 9 9 255\n" + b"7 " * 243,
]
CHANGE = st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4))  # where in the file, and what
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(st.binary(max_size=300), st.sampled_from([data[:n] for data in VALID for n in (0, 4, 16)]))
def test_random_bytes_give_an_array_or_a_refusal(noise, beginning):
    assert_array_or_refused(beginning + noise)


@FUZZ
@given(st.sampled_from(VALID), st.floats(0, 1))
def test_truncated_files_give_an_array_or_a_refusal(data, share):
    assert_array_or_refused(data[: int(len(data) * share)])


@FUZZ
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=5),
)
def test_corrupted_files_give_an_array_or_a_refusal(data, changes):
    changed = bytearray(data)
    for where, new in changes:
        at = int(where**3 * len(data))  # mostly near the header
        changed[at : at + len(new)] = new
    assert_array_or_refused(bytes(changed))
