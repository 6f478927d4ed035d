// An issuer for tests: the npm package oidc-provider, with people whose claims come from the environment.
// Prints {"issuer": …} once it listens. Its own development pages ask for a login (any password) and consent.
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const people = JSON.parse(process.env.PEOPLE), clients = JSON.parse(process.env.CLIENTS);
const server = createServer((request, response) => provider.callback()(request, response));
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients,
  claims: { openid: ["sub"], profile: ["name", "preferred_username", "unit", "groups"] },
  pkce: { required: () => true },
  findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
});
console.log(JSON.stringify({ issuer }));
