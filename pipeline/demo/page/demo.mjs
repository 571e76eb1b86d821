// The page: a picture into the model, the answer and its milliseconds out; and the golden self-test.
import { agrees, load, logitsOf, pixelsOf, top } from "/bundle/examples/javascript/classifier.mjs";

const TIMED_CALLS = 10;
const CAMERA_EDGE = 640; // pixels: a whole camera frame would only be made smaller again
const MODULES = { wasm: "/runtime/ort.wasm.min.mjs", webgpu: "/runtime/ort.webgpu.min.mjs" };
const at = (id) => document.getElementById(id);
const text = async (address) => (await got(address)).text();
const json = async (address) => (await got(address)).json();
let classifier, golden, camera, current;

async function got(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  return response;
}

async function start() {
  const [about, answers] = await Promise.all([json("/bundle/about.json"), json("/bundle/golden/expected.json")]);
  golden = answers;
  describe(about);
  for (const name of Object.keys(golden)) at("samples").append(sample(name));
  const gpu = await navigator.gpu?.requestAdapter().catch(() => null);
  if (gpu) at("provider").append(new Option("GPU (WebGPU)", "webgpu"));
  // WebGPU has no kernels for int8.
  await use(gpu && !about.integer ? "webgpu" : "wasm");
  await classify(await goldenImage(Object.keys(golden)[0]));
}

function describe(about) {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  document.title = `${about.recipe} · Edgewright demo`;
  at("recipe").textContent = about.recipe;
  const { value, low, high } = about.top1;
  at("about").textContent =
    `${about.integer ? "int8" : "float32"} · ${(about.file_bytes / 1e6).toFixed(1)} MB · ${about.classes} classes · ` +
    `top-1 ${percent(value)} (${percent(low)} to ${percent(high)}) on ${about.images} test images`;
}

// Opens the model on a provider, and holds it to the golden answers; where WebGPU fails them, the CPU takes over.
async function use(provider) {
  document.body.dataset.state = "loading";
  at("provider").value = provider;
  try {
    classifier = await opened(provider);
    if (!(await selfTest()) && provider === "webgpu") throw new Error("its answers are not the golden ones");
  } catch (error) {
    if (provider !== "webgpu") throw error;
    at("provider").querySelector("[value=webgpu]").remove();
    console.info(error); // the whole of it is long, and for whoever looks for it
    tell("WebGPU is not used: it cannot open this file here, or its answers are not the golden ones.");
    return use("wasm");
  }
  document.body.dataset.state = "ready";
}

async function opened(provider) {
  const ort = await import(MODULES[provider]);
  const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  Object.assign(ort.env.wasm, { wasmPaths: "/runtime/", numThreads: threads });
  ort.env.logLevel = "error";
  at("machine").textContent =
    `onnxruntime-web ${ort.env.versions.web}, ${provider === "webgpu" ? "WebGPU" : `${threads} thread${threads > 1 ? "s" : ""}`}`;
  const labels = await text("/bundle/labels.txt");
  await classifier?.session.release();
  return load(ort, "/bundle/model-with-preprocessing.onnx", labels, { executionProviders: [provider] });
}

async function goldenImage(name) {
  const blob = await (await got(`/bundle/golden/${name}.png`)).blob();
  return createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

async function selfTest() {
  const rows = [];
  for (const [name, answer] of Object.entries(golden)) {
    const logits = await logitsOf(classifier, pixelsOf(await goldenImage(name), classifier.channels));
    const difference = Math.max(...logits.map((logit, index) => Math.abs(logit - answer.logits[index])));
    rows.push({ name, answer, difference, good: agrees(logits, answer) });
  }
  const good = rows.filter((row) => row.good).length;
  at("golden").replaceChildren(...rows.map(row));
  at("golden").closest("table").hidden = false;
  at("verdict").className = good === rows.length ? "good" : "bad";
  at("verdict").textContent = `${good} of ${rows.length} golden answers are equal here.`;
  return good === rows.length;
}

function row({ name, answer, difference, good }) {
  const line = document.createElement("tr");
  const numbers = [difference, answer.tolerance].map((number) => number.toExponential(1));
  const cells = [name, answer.label, good ? "equal" : "off", ...numbers];
  line.append(...cells.map((cell) => Object.assign(document.createElement("td"), { textContent: cell })));
  line.children[2].className = good ? "good" : "bad";
  return line;
}

function sample(name) {
  const button = Object.assign(document.createElement("button"), { type: "button", title: `golden ${name}` });
  button.append(Object.assign(new Image(), { src: `/bundle/golden/${name}.png`, alt: `golden ${name}` }));
  button.addEventListener("click", attempt(async () => classify(await goldenImage(name))));
  return button;
}

// One still picture: the answer first, then the median of several calls.
async function classify(source) {
  stopCamera();
  show(source);
  const mine = (current = {});
  const image = pixelsOf(source, classifier.channels);
  answer(await logitsOf(classifier, image));
  const times = [];
  while (times.length < TIMED_CALLS && mine === current) times.push(await timed(image));
  if (mine === current) latency(median(times), `ms · a picture of ${image.width} × ${image.height}, median of ${TIMED_CALLS}`);
}

async function timed(image) {
  const begin = performance.now();
  await logitsOf(classifier, image);
  return performance.now() - begin;
}

const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];

function answer(logits) {
  const items = top(classifier, logits).map(({ label, probability }) => {
    const item = document.createElement("li");
    const part = (name, content) => Object.assign(document.createElement("span"), { className: name, textContent: content });
    const bar = part("bar", "");
    bar.style.width = `${100 * probability}%`;
    item.append(bar, part("label", label), part("share", `${(100 * probability).toFixed(1)} %`));
    return item;
  });
  at("top").replaceChildren(...items);
}

function latency(milliseconds, note) {
  at("latency").textContent = milliseconds.toPrecision(3);
  at("latency-note").textContent = note;
}

function show(source) {
  const canvas = at("shown");
  Object.assign(canvas, { width: source.width, height: source.height, hidden: false });
  canvas.getContext("2d").drawImage(source, 0, 0);
  at("hint").hidden = true;
}

async function fromFile(file) {
  if (!file) return;
  try {
    await classify(await createImageBitmap(file, { imageOrientation: "from-image" }));
  } catch (error) {
    throw new Error(`${file.name} is not a picture that this browser can read (${error.message})`);
  }
}

async function toggleCamera() {
  if (camera) return stopCamera();
  const size = { width: { ideal: CAMERA_EDGE }, height: { ideal: CAMERA_EDGE } };
  camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", ...size } });
  const video = at("video");
  Object.assign(video, { srcObject: camera, hidden: false });
  at("shown").hidden = at("hint").hidden = true;
  at("camera").textContent = "Stop camera";
  current = {};
  await video.play();
  const times = [];
  while (camera) {
    const image = pixelsOf(video, classifier.channels);
    const begin = performance.now();
    answer(await logitsOf(classifier, image));
    times.push(performance.now() - begin);
    latency(median(times.slice(-TIMED_CALLS)), `ms · a frame of ${image.width} × ${image.height}, median of the last ${TIMED_CALLS}`);
    await new Promise(requestAnimationFrame);
  }
}

function stopCamera() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = undefined;
  at("video").hidden = true;
  at("camera").textContent = "Start camera";
}

function tell(problem) {
  at("problem").textContent = problem;
  at("problem").hidden = !problem;
}

// Runs something, and tells what goes wrong.
function attempt(work) {
  return async (event) => {
    tell("");
    try {
      await work(event);
    } catch (error) {
      tell(error.message);
    }
  };
}

at("file").addEventListener("change", attempt((event) => fromFile(event.target.files[0])));
at("provider").addEventListener("change", attempt((event) => use(event.target.value)));
at("again").addEventListener("click", attempt(selfTest));
at("camera").addEventListener("click", attempt(toggleCamera));
at("camera").hidden = !navigator.mediaDevices?.getUserMedia;
for (const kind of ["dragover", "dragleave", "drop"]) {
  at("stage").addEventListener(kind, (event) => {
    event.preventDefault();
    at("stage").classList.toggle("over", kind === "dragover");
  });
}
at("stage").addEventListener("drop", attempt((event) => fromFile(event.dataTransfer.files[0])));
navigator.serviceWorker?.register("/service-worker.js").catch(() => undefined);
await attempt(start)();
