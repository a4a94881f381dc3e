// npm mysql2: a pool, prepared statements, compression, large values, transactions, errors.

import { LARGE, equal, load, rejects, run, to } from './suite.mjs';

const mysql = load('mysql2/promise');

await run(async () => {
    for (const compress of [false, true]) {
        const pool = mysql.createPool({ ...to, connectionLimit: 8, compress });
        const one = async (on, sql, values) => Object.values((await on.execute(sql, values))[0][0])[0];
        equal('user', (await one(pool, 'select current_user() as u')).split('@')[0], to.user);
        const numbers = Array.from({ length: 300 }, (_, n) => n);
        const sums = await Promise.all(numbers.map((n) => one(pool, 'select ? + 1 as s', [n])));
        equal('in parallel', sums.map(Number), numbers.map((n) => n + 1));
        equal('large', await one(pool, 'select ? as s', ['z'.repeat(LARGE)]), 'z'.repeat(LARGE));
        const connection = await pool.getConnection();
        await connection.query('create temporary table numbers (n int)');
        await connection.beginTransaction();
        await connection.query('insert into numbers values ?', [numbers.map((n) => [n])]);
        await connection.rollback();
        equal('rolled back', Number(await one(connection, 'select count(*) as c from numbers')), 0);
        await rejects('error', "doesn't exist", connection.query('select * from absent'));
        equal('after the error', Number(await one(connection, 'select 1 as o')), 1);
        connection.release();
        await pool.end();
    }
});
