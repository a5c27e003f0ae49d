/** The worker of the live screen: nothing but the way of messages. */

import { LiveEngine } from "./live-engine.js";

const engine = new LiveEngine((message) => postMessage(message));
onmessage = (event) => engine.handle(event.data);
