// What pages that upload to Reelway do, as their clients' manuals say. `offsets` is what the server
// said of the upload, in the order in which it was said.
"use strict";

const offsets = [];
const chosen = () => document.getElementById("file").files[0];

const settings = (to) => ({
  endpoint: `${to.url}/v1/uploads/`,
  headers: { Authorization: `Bearer ${to.key}` },
  retryDelays: [0, 100, 300, 1000, 3000],
});

const notingOffsets = (request, response) => {
  const offset = response.getHeader("Upload-Offset");
  if (offset !== undefined && offset !== null) offsets.push(Number(offset));
};

// tus-js-client; answers the address of the upload.
function byTus(to, more = {}) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(chosen(), {
      ...settings(to),
      metadata: { filename: chosen().name, filetype: chosen().type },
      onAfterResponse: notingOffsets,
      onError: (error) => reject(new Error(String(error))),
      onSuccess: () => resolve(upload.url),
      ...more,
    });
    window.upload = upload;
    upload.start();
  });
}

// The same, but it pauses when so many bytes are there; answers the address and how many they were.
function byTusUntil(to, enough) {
  return new Promise((resolve, reject) => {
    const onAfterResponse = (request, response) => {
      notingOffsets(request, response);
      if (offsets.at(-1) < enough) return;
      upload.abort();
      resolve([upload.url, offsets.at(-1)]);
    };
    byTus(to, { onAfterResponse }).then(() => reject(new Error("it did not pause")), reject);
  });
}

// As byTus, going on where an earlier visit to the page left off.
async function byTusAgain(to) {
  const upload = new tus.Upload(chosen(), settings(to));
  const [previous] = await upload.findPreviousUploads();
  if (!previous) throw new Error("nothing was left off");
  return byTus(to, { uploadUrl: previous.uploadUrl });
}

// Uppy with its plugin for tus; answers the address of the upload.
async function byUppy(to) {
  const { Uppy, Tus } = await import("/uppy.min.mjs");
  const uppy = new Uppy({ autoProceed: false }).use(Tus, settings(to));
  uppy.addFile({ name: chosen().name, type: chosen().type, data: chosen() });
  const { successful, failed } = await uppy.upload();
  if (failed.length) throw new Error(failed[0].error);
  return successful[0].uploadURL;
}
