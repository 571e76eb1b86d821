// Runs one model in this page, and times its calls with the page's own clock.

import * as ort from "/runtime/ort.wasm.min.mjs";

// An isolated page's clock has grains of 5 microseconds: a sample of at least so much is exact to one in a hundred.
const LEAST_MS = 0.5;
const ARRAYS = { float32: Float32Array, uint8: Uint8Array };
let session, held;

// `weights` are the names of files beside the model, which it refers to.
async function open(folder, file, weights, threads) {
  if (!crossOriginIsolated) throw new Error("the page is not isolated, so that it has neither threads nor a fine clock");
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = "/runtime/";
  ort.env.logLevel = "fatal"; // errors are raised as well, and warnings concern nobody
  const externalData = weights.map((path) => ({ path, data: folder + path }));
  session = await ort.InferenceSession.create(folder + file, { executionProviders: ["wasm"], externalData });
}

// The input of the calls that follow, from base64.
function hold(type, shape, text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  held = { [session.inputNames[0]]: new ort.Tensor(type, new ARRAYS[type](bytes.buffer), shape) };
}

async function answer() {
  const { [session.outputNames[0]]: logits } = await session.run(held);
  return { shape: logits.dims, numbers: Array.from(logits.data) };
}

// Milliseconds of so many samples: each is a call, or the mean of as many calls as the clock's grains ask for.
async function time(samples) {
  const found = [];
  while (found.length < samples) {
    let calls = 0;
    let spent = 0;
    const start = performance.now();
    do {
      await session.run(held);
      calls += 1;
      spent = performance.now() - start;
    } while (spent < LEAST_MS);
    found.push(spent / calls);
  }
  return found;
}

globalThis.runner = { open, hold, held: () => held, answer, time };
