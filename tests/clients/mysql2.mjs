// npm mysql2: sends passwords in the clear, under TLS, only where it is told to.
//
//     mysql2.mjs HOST PORT USER CA_FILE DATABASE
//
// The password or token is in the environment, TOKEN, and the folder with node_modules too, NODE_CLIENTS. Prints the row of
// the query as JSON; or, on standard error, the error's number and message, and ends with 1.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// Modules are looked for beside the program that imports them, which is not where ours are.
const mysql = createRequire(`${process.env.NODE_CLIENTS}/`)('mysql2/promise');

const [host, port, user, ca, database] = process.argv.slice(2);
try {
    const connection = await mysql.createConnection({
        host,
        port: Number(port),
        user,
        password: process.env.TOKEN,
        database,
        enableCleartextPlugin: true,
        ssl: { ca: readFileSync(ca), verifyIdentity: true },
    });
    const [[row]] = await connection.query({ sql: 'select current_user(), user(), version()', rowsAsArray: true });
    console.log(JSON.stringify(row));
    await connection.end();
} catch (error) {
    console.error(`${error.errno ?? '-'} ${error.message}`);
    process.exitCode = 1;
}
