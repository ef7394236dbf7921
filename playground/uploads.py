"""Files from strangers: to an integer image, or a sentence saying why not.

A stranger's file is believed in nothing but its bytes. Its header is read first, and what it declares (format, size, shape) is
checked before a pixel is decoded, so that a small file that unfolds into hundreds of megapixels costs nothing. Then every way
of storing a picture is brought, on purpose, to the one that the models know: grey, 8 bits, upright.

- Colour: luma, `L = 0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601).
- Alpha: over white, as on paper; a drawing in white ink would vanish there, and goes over black.
- Depth: 16 bits are divided by 257 (65,535 becomes 255); 32-bit integers and floats are stretched from their own range.
- Position: turned as the camera's EXIF says. Of an animation, the first frame.
- Size: a longer side above 1,024 is reduced, each new pixel the mean of the area that it covers.

One file is decoded at a time: at worst (64 million pixels with alpha) that takes about 0.5 GB.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import threading
import warnings
import zlib

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError

MAX_BYTES = 20_000_000  # of the file
MAX_PIXELS = 64_000_000  # declared: more than any phone's ordinary picture (48 million)
MIN_SIDE = 8  # pixels: below, there is nothing to recognise
MAX_RATIO = 50  # longer side to shorter: above, it is a line
LONGER_SIDE = 1024  # pixels of the result: the models see 28 to 64
CONTRAST = 8  # grey levels: less counts as one even grey (`models.data.prepare` says the same)

# Pillow's JPEG plugin also opens MPO (two JPEGs in one file, as phones write them).
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF", "PPM", "ICO")
MAX_PASSES = 100  # progressive JPEGs have about 10; each pass over 64 million pixels takes a second
PYTHON_CODECS = {"ppm", "ppm_plain", "bmp_rle"}  # decoded by Pillow in Python, about 0.5 µs a value
MAX_PYTHON_PIXELS = 2_000_000
MAX_WEBP_PIXELS = 32_000_000  # its decoder holds four copies

# What Pillow and its plugins raise for a broken file. The first six were met when corrupting files of every format (345,000
# cases, Pillow 12.3); the rest are those that Pillow's own `ImageFile` and `Image.open` expect of a plugin.
BROKEN = (
    OSError,  # most: truncated data, decoder errors; UnidentifiedImageError is one
    SyntaxError,  # PNG chunks, EXIF headers
    ValueError,  # raw data of the wrong length, compressed text beyond its limit
    RuntimeError,  # libavif, libheif
    EOFError,  # HEIF, GIF frames, TIFF directories
    TypeError,  # TIFF tags of the wrong type
    struct.error,  # headers that end early
    IndexError,  # tables shorter than the header says
    KeyError,  # modes and tags that do not exist
    zlib.error,  # PNG text and profiles
    OverflowError,  # sizes beyond the C types
)

OTHER_KINDS = (  # (how the file begins, what it is, what would be right)
    (b"%pdf-", "a PDF document", "Export the page as PNG."),
    (b"pk\x03\x04", "a ZIP archive (or an Office document)", "Take the picture out of it and send that."),
    (b"\x1f\x8b", "a compressed archive", "Unpack it and send the picture."),
    (b"8bps", "a Photoshop document", "Export it as PNG."),
    (b"\xff\x0a", "a JPEG XL picture", "Save it as PNG or JPEG."),
    (b"\0\0\0\x0cjxl ", "a JPEG XL picture", "Save it as PNG or JPEG."),
    (b"<!doctype html", "a web page", "Save the picture on it, and send that."),
    (b"<html", "a web page", "Save the picture on it, and send that."),
)

log = logging.getLogger(__name__)
pillow_heif.register_heif_opener(thumbnails=False)
_one_at_a_time = threading.Lock()  # bounds memory; and catching warnings is not safe in two threads at once


class Refused(ValueError):
    """The file cannot be used; the message is one sentence for the person who sent it, and what would be right."""


def grey(data: bytes) -> np.ndarray:
    """The picture in a file's bytes as grey values: uint8 `(H, W)`, 0 black, 255 white, H and W from 8 to 1,024.

    Raises `Refused` for a file that is no picture, is damaged, is of an unknown kind, is over `MAX_BYTES` or `MAX_PIXELS`, has
    a side under `MIN_SIDE`, or is more than `MAX_RATIO` times as long as wide. Threads wait for each other.
    """
    if not data:
        raise Refused("The file is empty (0 bytes): send a picture, for instance a PNG or JPEG.")
    if len(data) > MAX_BYTES:
        raise Refused(f"The file has {len(data):,} bytes, and the limit is {MAX_BYTES:,}: send a smaller picture.")
    _refuse_other_kinds(data)
    with _one_at_a_time, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        # A picture inside the picture (ICO holds PNGs) may be larger than the outer header says.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_header(image, data)
            _decode(image)
            orientation = _orientation(image)
        except Refused:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            pixels = next((f"{int(n):,}" for n in re.findall(r"\d+", str(error))), "too many")
            raise Refused(
                f"The picture has {pixels} pixels, and the limit is {MAX_PIXELS:,}: make it smaller first."
            ) from error
        except UnidentifiedImageError as error:
            raise Refused(
                f"The file ({len(data):,} bytes) is not a picture that can be read here, or its beginning is damaged: "
                "PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF, HEIC, PPM and ICO can."
            ) from error
        except BROKEN as error:
            raise Refused(
                f"The picture's data ({len(data):,} bytes) are damaged or incomplete: save it again, as PNG for instance."
            ) from error
        # From here on the picture is sound, and an error would be ours.
        result = np.array(_upright(_to_grey(image), orientation))
    for warning in said:
        log.debug("decoding an upload: %s", warning.message)
    return result


def _refuse_other_kinds(data: bytes) -> None:
    """`Refused` for files that people mistake for pictures, told by how they begin (text in any case, UTF-8 or UTF-16)."""
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    text = data[:4096].removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff").replace(b"\0", b"").lstrip().lower()
    for beginning, what, right in OTHER_KINDS:
        if start.startswith(beginning) or text.startswith(beginning):
            raise Refused(f"The file is {what}, not a picture: {right[0].lower()}{right[1:]}")
    if re.match(rb"(\xef\xbb\xbf)?\s*<(svg|\?xml|!--|!doctype svg)", text) and b"<svg" in text:
        raise Refused("The file is an SVG drawing, which is made of shapes and not of pixels: export it as PNG.")


def _check_header(image: Image.Image, data: bytes) -> None:
    """`Refused` where what the header declares is beyond a limit. Decodes nothing."""
    width, height = image.size
    shape = f"{width:,} × {height:,} pixels"
    if min(width, height) < MIN_SIDE:
        raise Refused(f"The picture has {shape}, and each side must have at least {MIN_SIDE}: send a larger one.")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise Refused(f"The picture has {shape}, and may be at most {MAX_RATIO} times as long as wide: cut it first.")
    limit, kind = MAX_PIXELS, "picture"
    if image.format == "WEBP":
        limit, kind = MAX_WEBP_PIXELS, "WebP picture"
    codecs = {tile[0] for tile in getattr(image, "tile", ())}
    if codecs & PYTHON_CODECS:
        limit, kind = MAX_PYTHON_PIXELS, f"{image.format} picture of this rare kind"
    if width * height > limit:
        raise Refused(f"The {kind} has {shape} ({width * height:,}), and the limit is {limit:,} in all: make it smaller first.")
    if image.format in ("JPEG", "MPO") and (passes := _passes(data)) > MAX_PASSES:
        raise Refused(f"The JPEG is stored in more than {passes - 1} passes, and {MAX_PASSES} is the limit: save it again.")
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        tile = int(tags.get(322, 1)) * int(tags.get(323, 1))  # TileWidth, TileLength: libtiff allocates one whole
        if tile > MAX_PIXELS:
            raise Refused(f"The TIFF is stored in tiles of {tile:,} pixels, and the limit is {MAX_PIXELS:,}: save it as PNG.")


def _passes(data: bytes) -> int:
    """How many scans the first picture of a JPEG has; counting stops just above `MAX_PASSES`."""
    marker = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)  # not a stuffed zero, not a restart
    passes, at = 0, 2
    while passes <= MAX_PASSES and (found := marker.search(data, at)) is not None:
        end = found.end()
        code = data[end - 1]
        if code == 0xD9:  # end of image
            break
        passes += code == 0xDA  # start of scan
        at = end + max(2, int.from_bytes(data[end : end + 2], "big"))
    return passes


def _decode(image: Image.Image) -> None:
    """Decode an opened picture whose header has been checked. Raises one of `BROKEN`."""
    image.draft("L", _reduced(image.size))  # a JPEG is decoded at a half, a quarter or an eighth, if that suffices
    image.load()
    if image.width * image.height > MAX_PIXELS:  # a few formats can decode to another size than declared
        raise Refused(f"The picture unfolds to {image.width:,} × {image.height:,} pixels: the limit is {MAX_PIXELS:,} in all.")


def _to_grey(image: Image.Image) -> Image.Image:
    """A decoded picture of any mode, reduced, as mode L."""
    if image.mode.startswith(("I", "F")):
        return _reduce(Image.fromarray(_deep(image)))
    if image.has_transparency_data:
        return _composite(image)
    if image.mode == "LAB":
        return _reduce(image.getchannel("L"))
    flat = image.convert("RGB") if image.mode in ("P", "CMYK") else image
    return _reduce(flat.convert("L"))


def _deep(image: Image.Image) -> np.ndarray:
    """Grey values of more than 8 bits as uint8 `(H, W)`: 16 bits by 257, all others stretched from their own range."""
    values = np.asarray(image)
    # Pillow holds PNM's 16 bits in 32, already stretched to 65,535.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        low, high = 0.0, 65535.0
    else:
        finite = values[np.isfinite(values)]
        if finite.size == 0:
            raise Refused("The picture has no finite number in it: save it as PNG with 8 or 16 bits.")
        low, high = float(finite.min()), float(finite.max())
        del finite
    scale = 255 / (high - low) if high > low else 0.0
    result = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), 256):  # in double precision, but never the whole picture
        part = np.nan_to_num(values[row : row + 256].astype(np.float64), nan=low, posinf=high, neginf=low)
        result[row : row + 256] = np.clip(np.rint((part - low) * scale), 0, 255)
    return result


def _composite(image: Image.Image) -> Image.Image:
    """A picture with alpha, reduced, over white; over black if white leaves no contrast. Mode L.

    With ink `L`, opacity `A` and `P = L·A`: over white it is `P + 1 − A`, over black it is `P`. Both are linear in `P` and `A`,
    so the picture may be reduced before.
    """
    if image.mode != "LA":
        image = image.convert("LA" if image.mode in ("L", "1", "La") else "RGBA")
    opacity = image.getchannel("A")
    ink = _reduce(ImageChops.multiply(image.convert("L"), opacity))
    opacity = _reduce(opacity)
    on_white = ImageChops.add(ink, ImageChops.invert(opacity))
    return ink if _contrast(on_white) < CONTRAST <= _contrast(ink) else on_white


def _contrast(image: Image.Image) -> int:
    """Between the lightest and the darkest pixel of a picture of mode L, in grey levels."""
    low, high = image.getextrema()
    return int(high) - int(low)  # type: ignore[arg-type]


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height with the longer side at most `LONGER_SIDE`, the proportions kept."""
    longer = max(size)
    if longer <= LONGER_SIDE:
        return size
    return max(1, round(size[0] * LONGER_SIDE / longer)), max(1, round(size[1] * LONGER_SIDE / longer))


def _reduce(image: Image.Image) -> Image.Image:
    """A picture of mode L at its reduced size, each pixel the mean of the area that it covers."""
    size = _reduced(image.size)
    return image if size == image.size else image.resize(size, Image.Resampling.BOX)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 (upright) where the EXIF block is missing or broken: the picture itself is sound."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        log.debug("broken EXIF in an upload", exc_info=True)
        return 1
    return value if isinstance(value, int) else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """The picture turned as EXIF's orientation says (EXIF 2.32, tag 274: where row 0 and column 0 lie)."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image
