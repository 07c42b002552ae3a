// ipx over a folder, as its own command starts it: node ipx.mjs PORT FOLDER
import { createIPX, ipxFSStorage, serveIPX } from "ipx";

const [port, dir] = process.argv.slice(2);
await serveIPX(createIPX({ storage: ipxFSStorage({ dir }) }), { port: Number(port), hostname: "127.0.0.1" }).ready();
