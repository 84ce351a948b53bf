// pg-logical-replication (npm): decodes every message into an object, which is counted and dropped.
// Its first argument and its output are those of debezium_peer.py.
const { LogicalReplicationService, PgoutputPlugin } = require("pg-logical-replication");

const wanted = JSON.parse(process.argv[2]);
const service = new LogicalReplicationService(
  { host: wanted.host, port: wanted.port, user: wanted.user, database: wanted.database },
  { acknowledge: { auto: false, timeoutSeconds: 0 } },
);
let seen = 0;
service.on("data", (lsn, message) => {
  if (message.tag !== "insert" && message.tag !== "update" && message.tag !== "delete") return;
  if (seen === 0) console.log("first");
  seen += 1;
  if (seen === wanted.count) console.log("last");
});
service.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
process.stdin.on("end", () => process.exit(0)).resume();
service.subscribe(new PgoutputPlugin({ protoVersion: 1, publicationNames: [wanted.publication] }), wanted.slot);
