// Tensors of the binary as {values, shape}. Packed integers become two halves, since a number may exceed 2^53.

export const TWO_32 = 2 ** 32;

function readHalves(halves) {
  return Float32Array.from(halves, (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : (2 ** -14 * fraction) / 1024);
  });
}

/** Read integers of 7 bits a byte, the lowest first, as high * 2^32 + low; `isDelta`: differences of sorted numbers. */
function readIntegers(bytes, size, isDelta) {
  const low = new Uint32Array(size);
  const high = new Uint32Array(size);
  let at = 0;
  for (let i = 0; i < size; i++) {
    const parts = [0, 0, 0]; // 28, 28 and 7 bits
    let byte;
    let group = 0;
    do {
      byte = bytes[at++];
      parts[group >> 2] += (byte & 127) * 128 ** (group & 3);
      group++;
    } while (byte & 128);
    let rest = parts[0] + (parts[1] & 15) * 2 ** 28;
    let top = (parts[1] >>> 4) + parts[2] * 2 ** 24;
    if (isDelta && i) {
      rest += low[i - 1];
      top += high[i - 1] + (rest >= TWO_32 ? 1 : 0);
    }
    low[i] = rest; // modulo 2^32
    high[i] = top;
  }
  return { low, high };
}

function readTensor({ dtype, shape, offset, numBytes }, buffer) {
  const size = shape.reduce((product, length) => product * length, 1);
  switch (dtype) {
    case "float16":
      return { shape, values: readHalves(new Uint16Array(buffer, offset, size)) };
    case "float32":
      return { shape, values: new Float32Array(buffer, offset, size) };
    case "float64":
      return { shape, values: new Float64Array(buffer, offset, size) };
    default: // "varint" or "delta"
      return { shape, ...readIntegers(new Uint8Array(buffer, offset, numBytes), size, dtype === "delta") };
  }
}

/** Read all tensors that a network's description names. */
export function readTensors(descriptions, buffer) {
  const result = {};
  for (const [name, description] of Object.entries(descriptions)) {
    result[name] = readTensor(description, buffer);
  }
  return result;
}
