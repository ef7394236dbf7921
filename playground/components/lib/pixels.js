/** Grey bytes on a canvas, as they are: no smoothing, no compression. */

/** Paints `width`×`height` grey bytes onto a canvas, which takes their size. */
export function paint(canvas, grey, width = 28, height = grey.length / width) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d").putImageData(imageData(grey, width, height), 0, 0);
}

/** Grey bytes as ImageData. */
export function imageData(grey, width, height) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = 0xff000000 | (grey[i] * 0x010101);
  return image;
}

/** A canvas of many pictures, `columns` to a row, `scale` screen pixels a pixel: for taking away as PNG. */
export function sheet(pixels, n, { side = 28, columns = Math.ceil(Math.sqrt(n)), gap = 1, scale = 4 } = {}) {
  const rows = Math.ceil(n / columns);
  const small = new OffscreenCanvas(columns * (side + gap) - gap, rows * (side + gap) - gap);
  const context = small.getContext("2d");
  for (let i = 0; i < n; i++) {
    const tile = imageData(pixels.subarray(i * side * side, (i + 1) * side * side), side, side);
    context.putImageData(tile, (i % columns) * (side + gap), Math.floor(i / columns) * (side + gap));
  }
  const large = new OffscreenCanvas(small.width * scale, small.height * scale);
  const target = large.getContext("2d");
  target.imageSmoothingEnabled = false;
  target.drawImage(small, 0, 0, large.width, large.height);
  return large;
}
