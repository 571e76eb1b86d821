// One photograph into its most probable labels, with onnxruntime-web or onnxruntime-node.
//
//   import * as ort from "onnxruntime-web";  // or "onnxruntime-node"
//   const classifier = await load(ort, "model-with-preprocessing.onnx", labelsText);
//   const image = await pixelsOf(await createImageBitmap(file), classifier.channels);
//   console.log(top(classifier, await logitsOf(classifier, image)));
//
// `model` is an address, a path (Node) or the file's bytes; `labels` the text of labels.txt.

export async function load(ort, model, labels, options = {}) {
  const session = await ort.InferenceSession.create(model, options);
  const shape = session.inputMetadata[0].shape; // (height, width, channels); the first two may be any
  return { ort, session, labels: labels.split(/\r?\n/).filter(Boolean), channels: shape[2] };
}

// An image as the model takes it: upright, of any size, uint8 (height, width, channels).
export async function logitsOf({ ort, session }, { data, height, width, channels }) {
  const image = new ort.Tensor("uint8", data, [height, width, channels]);
  const { logits } = await session.run({ image });
  return Float32Array.from(logits.data);
}

// The most probable labels: softmax of the logits, largest first.
export function top({ labels }, logits, count = 5) {
  const highest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - highest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  const ranked = powers.map((power, index) => ({ label: labels[index], probability: power / total }));
  return ranked.sort((one, other) => other.probability - one.probability).slice(0, count);
}

// Pixels of an ImageBitmap, a canvas, a picture or a video's frame, in a browser; red, green, blue, or grey.
export function pixelsOf(source, channels = 3) {
  const width = source.videoWidth || source.naturalWidth || source.width;
  const height = source.videoHeight || source.naturalHeight || source.height;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white"; // what is transparent is laid on white
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return { ...withoutAlpha(context.getImageData(0, 0, width, height).data, channels), height, width };
}

export function withoutAlpha(rgba, channels) {
  const data = new Uint8Array((rgba.length / 4) * channels);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    if (channels === 1) {
      data[to++] = Math.round(0.299 * rgba[from] + 0.587 * rgba[from + 1] + 0.114 * rgba[from + 2]);
    } else {
      for (let channel = 0; channel < 3; channel++) data[to++] = rgba[from + channel];
    }
  }
  return { data, channels };
}

// Whether an answer is the golden one: every logit within the tolerance.
export function agrees(logits, golden) {
  const near = (logit, index) => Math.abs(logit - golden.logits[index]) <= golden.tolerance;
  return logits.length === golden.logits.length && logits.every(near);
}
