// ipx over a folder, as its own command starts it, in several processes on one port: node ipx.mjs PORT FOLDER PROCESSES
import cluster from "node:cluster";
import { createIPX, ipxFSStorage, serveIPX } from "ipx";

const [port, dir, processes] = process.argv.slice(2);
if (cluster.isPrimary) {
  for (let i = 0; i < Number(processes); i++) cluster.fork();
} else {
  const storage = ipxFSStorage({ dir, maxAge: 86400 });
  await serveIPX(createIPX({ storage }), { port: Number(port), hostname: "127.0.0.1", reusePort: true }).ready();
}
