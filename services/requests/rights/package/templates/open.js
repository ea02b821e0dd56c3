
"use strict";
const header = document.getElementById("header").textContent;
const how = JSON.parse(header);
const words = JSON.parse(document.getElementById("words").textContent);
const said = document.getElementById("said");
const REPORT = 0, ARCHIVE = 1;

// A loop: to be called for each sign takes ten times as long, and a large archive has hundreds of millions.
function bytes(text) {
  const raw = atob(text);
  const found = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) found[at] = raw.charCodeAt(at);
  return found;
}

async function keyFrom(passphrase) {
  const typed = new TextEncoder().encode(passphrase.trim().normalize("NFC"));
  const raw = await crypto.subtle.importKey("raw", typed, "PBKDF2", false, ["deriveKey"]);
  const derived = { name: "PBKDF2", hash: how.hash, salt: bytes(how.salt), iterations: how.iterations };
  return crypto.subtle.deriveKey(derived, raw, { name: "AES-GCM", length: 256 }, false, ["decrypt"]);
}

// A key of one's own opens the file's, which stands in the header as JWE (RFC 7516): ECDH-ES+A256KW on P-256, A256GCM.
async function keyWith(own) {
  const [head, wrapped, iv, sealed, tag] = how.sealed.split(".");
  const told = JSON.parse(new TextDecoder().decode(fromUrl(head)));
  const curve = { name: "ECDH", namedCurve: "P-256" };
  const { kty, crv, x, y, d } = own;
  const mine = await crypto.subtle.importKey("jwk", { kty, crv, x, y, d }, curve, false, ["deriveBits"]);
  const epk = { kty: told.epk.kty, crv: told.epk.crv, x: told.epk.x, y: told.epk.y };
  const theirs = await crypto.subtle.importKey("jwk", epk, curve, false, []);
  const agreed = await crypto.subtle.deriveBits({ name: "ECDH", public: theirs }, mine, 256);
  const wrapping = await crypto.subtle.importKey("raw", await derived(agreed, told.alg), "AES-KW", false, ["unwrapKey"]);
  const content = await crypto.subtle.unwrapKey("raw", fromUrl(wrapped), wrapping, "AES-KW", "AES-GCM", false, ["decrypt"]);
  const said = { name: "AES-GCM", iv: fromUrl(iv), additionalData: new TextEncoder().encode(head) };
  const plain = await crypto.subtle.decrypt(said, content, joined(fromUrl(sealed), fromUrl(tag)));
  return crypto.subtle.importKey("raw", bytes(new TextDecoder().decode(plain)), "AES-GCM", false, ["decrypt"]);
}

// RFC 7518, 4.6.2: one round of the Concat KDF, for 256 bits and two parties without names.
function derived(agreed, algorithm) {
  const name = new TextEncoder().encode(algorithm);
  const none = number(0);
  return crypto.subtle.digest("SHA-256", joined(number(1), new Uint8Array(agreed), number(name.length), name, none, none, number(256)));
}

function number(value) {
  const found = new Uint8Array(4);
  new DataView(found.buffer).setUint32(0, value);
  return found;
}

function joined(...parts) {
  const found = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    found.set(part, at);
    at += part.length;
  }
  return found;
}

const fromUrl = (text) => bytes(text.replaceAll("-", "+").replaceAll("_", "/"));

function nonce(part, place, last) {
  const found = new Uint8Array(12);
  found[0] = part;
  new DataView(found.buffer).setUint32(7, place);
  found[11] = last ? 1 : 0;
  return found;
}

async function opened(part, key) {
  const chunks = [...document.querySelectorAll(`script[data-part="${part}"]`)];
  if (!chunks.length) throw new Error("a part is missing");
  const additionalData = new TextEncoder().encode(header);
  const plain = [];
  for (const [place, chunk] of chunks.entries()) {
    const iv = nonce(part, place, place === chunks.length - 1);
    plain.push(await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData }, key, bytes(chunk.textContent)));
  }
  return new Blob(plain);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// A large one takes seconds; a part of it that was changed on the way opens as little as the report's.
async function saveArchive(key) {
  const told = document.getElementById("saved");
  told.textContent = words.opening;
  try {
    save(await opened(ARCHIVE, key), "data.zip");
    told.textContent = words.saved;
  } catch (failure) {
    told.textContent = words.broken;
  }
}

// The report is shown in a frame that runs nothing. There a link within the page leads to the address of the frame, which is not that of
// this file: without it the frame would show this locked page once more.
function show(page) {
  document.getElementById("report").srcdoc = page.replaceAll(' href="#', ' href="about:srcdoc#');
}

// What is searched for is looked up here, and the page shown anew: what holds it first, and nothing before it.
function search(report, wanted) {
  const page = new DOMParser().parseFromString(report, "text/html");
  const text = wanted.trim().toLocaleLowerCase();
  const found = document.getElementById("found");
  let rows = 0;
  for (const row of page.querySelectorAll("tbody tr")) {
    row.hidden = !row.textContent.toLocaleLowerCase().includes(text);
    rows += !row.hidden;
  }
  found.textContent = text ? `${words.rows}: ${rows}.` : "";
  if (text) {
    if (page.querySelector(".note")) found.textContent += ` ${words.first}`;
    for (const before of page.querySelectorAll("header, #at-a-glance")) before.hidden = true;
    for (const table of page.querySelectorAll(".scroll")) table.hidden = !table.querySelector("tbody tr:not([hidden])");
  }
  show("<!doctype html>" + page.documentElement.outerHTML);
}

document.getElementById("form").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  if (!window.crypto?.subtle || !window.DecompressionStream) {
    said.textContent = words.old;
    return;
  }
  said.textContent = words.opening;
  try {
    const own = document.getElementById("own");
    const key = own
      ? await keyWith(JSON.parse(await own.files[0].text()))
      : await keyFrom(document.getElementById("passphrase").value);
    const packed = await opened(REPORT, key);
    const report = await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).text();
    show(report);
    let typing;
    document.getElementById("search").oninput = (event) => {
      clearTimeout(typing);
      typing = setTimeout(() => search(report, event.target.value), 200);
    };
    document.getElementById("archive").onclick = () => saveArchive(key);
    document.getElementById("page").onclick = () => save(new Blob([report], { type: "text/html" }), "report.html");
    document.getElementById("closed").hidden = true;
    document.getElementById("opened").hidden = false;
    document.querySelector("#opened h1").focus();
  } catch (failure) {
    said.textContent = words.wrong;
  }
});
