// npm pg: a pool, named statements, large values, transactions, errors, statements in parallel.

import { LARGE, equal, load, rejects, run, to } from './suite.mjs';

const { Pool } = load('pg');

await run(async () => {
    const pool = new Pool({ ...to, max: 8 });
    const one = async (on, text, values, name) => Object.values((await on.query({ text, values, name })).rows[0])[0];
    equal('user', await one(pool, 'select session_user'), to.user);
    const sums = await Promise.all(Array.from({ length: 300 }, (_, n) => one(pool, 'select $1::int + 1', [n], 'plus')));
    equal('in parallel', sums, Array.from({ length: 300 }, (_, n) => n + 1));
    equal('large', await one(pool, 'select $1::text', ['z'.repeat(LARGE)]), 'z'.repeat(LARGE));
    const client = await pool.connect();
    await client.query('create temp table numbers as select generate_series(1, 1000) as n');
    await client.query('begin');
    await client.query('delete from numbers');
    await client.query('rollback');
    equal('rolled back', await one(client, 'select count(*)::int from numbers'), 1000);
    await rejects('error', 'division by zero', client.query('select 1 / 0'));
    equal('after the error', await one(client, 'select 1'), 1);
    client.release();
    await pool.end();
});
