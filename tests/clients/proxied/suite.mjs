// What the Node suites of this folder share; see suite.py.
//
//     SUITE.mjs HOST PORT USER DATABASE
//
// The folder with node_modules is in the environment, NODE_CLIENTS.

import { isDeepStrictEqual } from 'node:util';
import { createRequire } from 'node:module';

export const load = createRequire(`${process.env.NODE_CLIENTS}/`);
const [host, port, user, database] = process.argv.slice(2);
export const to = { host, port: Number(port), user, database };
export const LARGE = 3_000_000;

let checks = 0;

export function equal(what, seen, expected) {
    checks += 1;
    if (!isDeepStrictEqual(seen, expected)) {
        const shown = (value) => JSON.stringify(value)?.slice(0, 200);
        throw new Error(`${what}: expected ${shown(expected)}, saw ${shown(seen)}`);
    }
}

export async function rejects(what, text, promise) {
    checks += 1;
    const error = await promise.then(() => null, (error) => error);
    if (!error?.message.includes(text)) throw new Error(`${what}: expected an error with ${text}, saw ${error?.message}`);
}

export async function run(suite) {
    try {
        await suite();
        console.log(`${checks} checks`);
    } catch (error) {
        console.error(error.message);
        process.exitCode = 1;
    }
}
