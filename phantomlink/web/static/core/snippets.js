/** Programs that connect to one session, to copy. */

/**
 * @param {string} base of the server, as `http://127.0.0.1:8000/`
 * @param {string} code of the session
 * @param {boolean} hasToken whether the server wants one
 * @param {string} lslName of its neural LSL stream
 * @returns {{name: string, install: string, code: string}[]}
 */
export function snippets(base, code, hasToken, lslName) {
  const root = base.replace(/\/$/, "");
  const socket = root.replace(/^http/, "ws");
  const python = hasToken ? ", token=os.environ[\"PHANTOM_API_TOKEN\"]" : "";
  const curl = hasToken ? " -H \"Authorization: Bearer $PHANTOM_API_TOKEN\"" : "";
  const js = hasToken ? ", token: process.env.PHANTOM_API_TOKEN" : "";
  return [
    {
      name: "Python",
      install: "phantomlink[client], installed from the project's copy or as a wheel",
      code: `${hasToken ? "import os\n" : ""}from phantomlink.client import connect

with connect("${root}", session="${code}"${python}) as stream:
    for packet in stream:
        print(packet.packet_id, packet.counts.sum(), packet.velocity)`,
    },
    {
      name: "JavaScript",
      install: "a module of this server; a browser, or Node 22",
      code: `import { connectStream, spikeCounts } from "${root}/static/phantomlink-client.js";

connectStream("${root}/", "${code}", {
  onMessage: ({ type, data }) => type === "data" && console.log(data.packet_id, spikeCounts(data.spikes))${js},
});`,
    },
    {
      name: "pylsl",
      install: "pip install pylsl",
      code: `from pylsl import StreamInlet, resolve_byprop

(info,) = resolve_byprop("name", "${lslName}", timeout=5)
inlet = StreamInlet(info)
while True:
    counts, timestamp = inlet.pull_sample()
    print(timestamp, sum(counts))`,
    },
    {
      name: "curl",
      install: "nothing",
      code: `curl${curl} ${root}/api/sessions/${code}
curl${curl} -X POST ${root}/api/control/${code}/pause
curl${curl} -X POST ${root}/api/control/${code}/seek -H "Content-Type: application/json" -d '{"position_seconds": 25}'
# the stream itself: ${socket}/stream/${code}`,
    },
  ];
}
